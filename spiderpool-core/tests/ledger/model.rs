//! A naive model of the ledger: plain lists of addresses, no blocks, no indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What the model knows of one allocated address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) owner: String,
    pub(crate) attachment: String,
    pub(crate) container: String,
    pub(crate) is_static: bool,
}

/// Every usable address of every pool, and who holds which.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) pools: BTreeMap<String, BTreeSet<IpAddr>>,
    pub(crate) held: BTreeMap<IpAddr, Held>,
    pub(crate) quarantined: BTreeSet<IpAddr>,
}

impl Model {
    /// The addresses of a pool that a sequential ledger could give, lowest first.
    pub(crate) fn free<'a>(&'a self, pool: &str) -> impl Iterator<Item = &'a IpAddr> {
        let pool = self.pools.get(pool).into_iter().flatten();
        pool.filter(|address| {
            !self.held.contains_key(address) && !self.quarantined.contains(address)
        })
    }

    /// The address that an owner has on an interface in a family.
    pub(crate) fn of(&self, owner: &str, attachment: &str, v4: bool) -> Option<IpAddr> {
        let mut held = self.held.iter();
        let found = held.find(|(address, held)| {
            held.owner == owner && held.attachment == attachment && address.is_ipv4() == v4
        });
        found.map(|(address, _)| *address)
    }

    /// Asks the first pool with room; keeps what the owner has; all families or none.
    pub(crate) fn add(&mut self, held: &Held, v4: &[&str], v6: &[&str]) -> Option<Vec<IpAddr>> {
        let mut got = Vec::new();
        for (pools, is_v4) in [(v4, true), (v6, false)] {
            if pools.is_empty() {
                continue;
            }
            let kept = self.of(&held.owner, &held.attachment, is_v4);
            let fresh = pools.iter().find_map(|pool| self.free(pool).next().copied());
            got.push(kept.or(fresh)?);
        }
        for address in &got {
            self.held.insert(*address, held.clone());
        }
        Some(got)
    }

    /// Frees what a container holds on an interface; static identities only lose their container.
    pub(crate) fn del(&mut self, container: &str, attachment: Option<&str>) {
        let goes = |held: &Held| {
            held.container == container && attachment.is_none_or(|name| held.attachment == name)
        };
        self.held.retain(|_, held| held.is_static || !goes(held));
        for held in self.held.values_mut().filter(|held| goes(held)) {
            held.container.clear();
        }
    }

    /// Frees whatever is attached and not listed; static identities only lose their container.
    pub(crate) fn collect(&mut self, keep: &BTreeSet<(String, String)>) {
        let stays = |held: &Held| {
            held.container.is_empty()
                || keep.contains(&(held.container.clone(), held.attachment.clone()))
        };
        self.held.retain(|_, held| held.is_static || stays(held));
        for held in self.held.values_mut().filter(|held| !stays(held)) {
            held.container.clear();
        }
    }
}
