//! Names of pools: for every NIC, for each NIC, for a namespace.
//!
//! Names may be patterns; whether a pool of that name exists is the core's to judge, and so is
//! whether the NIC being attached is among those listed. Invariants: an item of a list names its NIC
//! if any item does, and no two name the same (`tests::nics_are_named_all_or_none`).

use super::{Flaw, json};
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// Names or patterns of pools, in the order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolNames {
    /// Of IPv4 pools.
    pub v4: Vec<String>,
    /// Of IPv6 pools.
    pub v6: Vec<String>,
}

impl PoolNames {
    /// Whether it names no pool at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The pools of one NIC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NicPools {
    /// The NIC; absent when the items stand in the order of the NICs.
    pub interface: Option<String>,
    /// Its pools; at least one.
    pub pools: PoolNames,
    /// Whether it goes without a default route; absent leaves that to the CNI configuration.
    pub clean_gateway: Option<bool>,
}

/// Names of pools that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadPools {
    /// No pool for either family.
    #[error("item {item} names no pool; list some under `ipv4`, `ipv6` or both")]
    NoPools {
        /// Counted from 0; 0 also for a text that is not a list.
        item: usize,
    },
    /// A name of no characters.
    #[error("item {item} has an empty name under `{field}`; leave it out or write a pool's name")]
    EmptyName {
        /// Counted from 0; 0 also for a text that is not a list.
        item: usize,
        /// The list that holds it.
        field: &'static str,
    },
    /// A name of no characters in a plain list of names.
    #[error("item {item} is an empty name; leave it out or write a pool's name")]
    Nameless {
        /// Counted from 0.
        item: usize,
    },
    /// A list of NICs without any.
    #[error("the list is empty; write an item for each NIC or remove the annotation")]
    NoItems,
    /// Some items name their NIC, and this one does not.
    #[error("item {item} has no `interface`, but others have; name it in all items or in none")]
    NoInterface {
        /// Counted from 0.
        item: usize,
    },
    /// Two items for one NIC.
    #[error("item {item} is for the interface `{interface}`, as item {earlier} is; merge them")]
    Twice {
        /// Counted from 0.
        item: usize,
        /// The first item for it.
        earlier: usize,
        /// The NIC.
        interface: String,
    },
}

/// An item as it is written; further fields are ignored.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    ipv4: Option<Vec<String>>,
    #[serde(default)]
    ipv6: Option<Vec<String>>,
    #[serde(default, rename = "cleangateway", alias = "cleanGateway")]
    clean_gateway: Option<bool>,
}

impl From<Item> for NicPools {
    fn from(item: Item) -> Self {
        let (v4, v6) = (item.ipv4.unwrap_or_default(), item.ipv6.unwrap_or_default());
        Self {
            interface: item.interface.filter(|name| !name.is_empty()),
            pools: PoolNames { v4, v6 },
            clean_gateway: item.clean_gateway,
        }
    }
}

/// Reads `{"ipv4": […], "ipv6": […]}`.
pub(super) fn read_one(text: &str) -> Result<PoolNames, Flaw> {
    let item: Item = json::read(text, r#"{"ipv4": ["pool-a"], "ipv6": ["pool-b"]}"#)?;
    let pools = NicPools::from(item).pools;
    check_names(0, &pools)?;
    Ok(pools)
}

/// Reads a list of items, one for each NIC.
pub(super) fn read_each(text: &str) -> Result<Vec<NicPools>, Flaw> {
    let expected = r#"[{"interface": "eth0", "ipv4": ["pool-a"], "ipv6": ["pool-b"]}]"#;
    let items: Vec<Item> = json::read(text, expected)?;
    let items: Vec<_> = items.into_iter().map(NicPools::from).collect();
    check_items(&items)?;
    Ok(items)
}

/// Reads `["pool-a", "pool-b"]`.
pub(super) fn read_names(text: &str) -> Result<Vec<String>, Flaw> {
    let names: Vec<String> = json::read(text, r#"["pool-a", "pool-b"]"#)?;
    match names.iter().position(String::is_empty) {
        Some(item) => Err(BadPools::Nameless { item }.into()),
        None => Ok(names),
    }
}

fn check_names(item: usize, pools: &PoolNames) -> Result<(), BadPools> {
    if pools.is_empty() {
        return Err(BadPools::NoPools { item });
    }
    for (field, names) in [("ipv4", &pools.v4), ("ipv6", &pools.v6)] {
        if names.iter().any(String::is_empty) {
            return Err(BadPools::EmptyName { item, field });
        }
    }
    Ok(())
}

fn check_items(items: &[NicPools]) -> Result<(), BadPools> {
    if items.is_empty() {
        return Err(BadPools::NoItems);
    }
    let named = items.iter().any(|item| item.interface.is_some());
    let mut seen = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        check_names(at, &item.pools)?;
        match &item.interface {
            None if named => return Err(BadPools::NoInterface { item: at }),
            None => {}
            Some(interface) => {
                if let Some(earlier) = seen.insert(interface, at) {
                    let interface = interface.clone();
                    return Err(BadPools::Twice { item: at, earlier, interface });
                }
            }
        }
    }
    Ok(())
}
