//! The names of objects on the server.
//!
//! Invariants:
//! 1. A block's name and its key say the same, both ways (`names_go_there_and_back`,
//!    `only_the_one_way_of_writing_is_read`).
//! 2. What labels a node's endpoints is a valid label value, whatever the node is called
//!    (`long_names_of_nodes_are_cut`).

use crate::cluster::object::{EndpointKey, IndexKey, Key};
use crate::manifest::{PoolSpec, ReservedIPSpec, Spec, SubnetSpec};
use spiderpool_core::address::Family;
use spiderpool_core::name::Name;
use spiderpool_core::slots::BlockKey;

/// The kind of a block.
pub const BLOCK_KIND: &str = "SpiderBlock";

/// The kind of a shard of the index.
pub const INDEX_KIND: &str = "SpiderBlockIndex";

/// The kind of the ledger.
pub const LEDGER_KIND: &str = "SpiderLedger";

/// The kind of an endpoint.
pub const ENDPOINT_KIND: &str = "SpiderEndpoint";

/// The name of the only ledger.
pub const LEDGER_NAME: &str = "cluster";

/// Where an object is found on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The plural of its kind, as URLs write it.
    pub plural: &'static str,
    /// Its namespace; `None` for an object of the cluster.
    pub namespace: Option<Name>,
    /// Its name.
    pub name: String,
}

/// Where an object is found.
#[must_use]
pub fn path(key: &Key) -> Path {
    let (plural, name) = match key {
        Key::Pool(name) => ("spiderippools", name.to_string()),
        Key::Subnet(name) => ("spidersubnets", name.to_string()),
        Key::Reservation(name) => ("spiderreservedips", name.to_string()),
        Key::Block(block) => ("spiderblocks", block_name(block)),
        Key::Index(index) => ("spiderblockindexes", index_name(index)),
        Key::Ledger => ("spiderledgers", LEDGER_NAME.to_owned()),
        Key::Endpoint(endpoint) => {
            let EndpointKey { namespace, name } = endpoint.clone();
            let (namespace, name) = (Some(namespace), name.to_string());
            return Path { plural: "spiderendpoints", namespace, name };
        }
    };
    Path { plural, namespace: None, name }
}

/// The kind of an object, as `kind:` writes it.
#[must_use]
pub const fn kind(key: &Key) -> &'static str {
    match key {
        Key::Pool(_) => PoolSpec::KIND,
        Key::Subnet(_) => SubnetSpec::KIND,
        Key::Reservation(_) => ReservedIPSpec::KIND,
        Key::Block(_) => BLOCK_KIND,
        Key::Index(_) => INDEX_KIND,
        Key::Ledger => LEDGER_KIND,
        Key::Endpoint(_) => ENDPOINT_KIND,
    }
}

/// The key of the object with a kind and a name; `None` when no object of that kind is called so,
/// or the protocol does not know the kind.
#[must_use]
pub fn key_of(kind: &str, name: &str, namespace: Option<&str>) -> Option<Key> {
    let plain = || Name::new(name).ok();
    match kind {
        PoolSpec::KIND => plain().map(Key::Pool),
        SubnetSpec::KIND => plain().map(Key::Subnet),
        ReservedIPSpec::KIND => plain().map(Key::Reservation),
        BLOCK_KIND => parse_block_name(name).map(Key::Block),
        INDEX_KIND => parse_index_name(name).map(Key::Index),
        LEDGER_KIND => (name == LEDGER_NAME).then_some(Key::Ledger),
        ENDPOINT_KIND => {
            let namespace = Name::new(namespace?).ok()?;
            Some(Key::Endpoint(EndpointKey { namespace, name: plain()? }))
        }
        _ => None,
    }
}

/// The name of a block: space, family and the first address in hexadecimal, such as
/// `default.4.0a060040`.
///
/// ```
/// use spiderpool_core::{address::Family, name::Name, slots::BlockKey};
/// use spiderpool_kube::cluster::wire::{block_name, parse_block_name};
/// let space = Name::new("default")?;
/// let block = BlockKey { space, family: Family::V4, first: 0x0a06_0040 };
/// assert_eq!(block_name(&block), "default.4.0a060040");
/// assert_eq!(parse_block_name("default.4.0a060040"), Some(block));
/// # Ok::<(), spiderpool_core::name::BadName>(())
/// ```
#[must_use]
pub fn block_name(block: &BlockKey) -> String {
    let BlockKey { space, family, first } = block;
    format!("{space}.{}.{}", family.version(), hex(*family, *first))
}

/// The block that a name names; `None` for any other text.
#[must_use]
pub fn parse_block_name(text: &str) -> Option<BlockKey> {
    let (rest, first) = text.rsplit_once('.')?;
    let (space, version) = rest.rsplit_once('.')?;
    let family = match version {
        "4" => Family::V4,
        "6" => Family::V6,
        _ => return None,
    };
    let first = parse_hex(family, first)?;
    Some(BlockKey { space: Name::new(space).ok()?, family, first })
}

fn index_name(index: &IndexKey) -> String {
    let IndexKey { space, family, first } = index.clone();
    block_name(&BlockKey { space, family, first })
}

fn parse_index_name(text: &str) -> Option<IndexKey> {
    let BlockKey { space, family, first } = parse_block_name(text)?;
    let index = IndexKey { space, family, first };
    (index == IndexKey::of(&parse_block_name(text)?)).then_some(index)
}

/// The number of an address in as many lower-case digits as its family needs.
pub(super) fn hex(family: Family, number: u128) -> String {
    let digits = usize::from(family.width() / 4);
    format!("{number:0digits$x}")
}

/// The number that [`hex`] wrote.
pub(super) fn parse_hex(family: Family, text: &str) -> Option<u128> {
    let number = u128::from_str_radix(text, 16).ok()?;
    (hex(family, number) == text).then_some(number)
}

/// What the label [`super::NODE_LABEL`] of a node's endpoints says: the node's name, and of one that
/// is longer than a label value may be (63 bytes) the beginning and a sum of the whole (FNV-1a).
/// Two such nodes can have the same label: whoever selects by it looks at the node again.
#[must_use]
pub fn node_label(node: &str) -> String {
    const LABEL_MAX_BYTES: usize = 63;
    if node.len() <= LABEL_MAX_BYTES {
        return node.to_owned();
    }
    let sum = node.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let beginning: String = node.chars().filter(char::is_ascii).take(40).collect();
    format!("{beginning}-{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks() -> impl Strategy<Value = BlockKey> {
        let space = "[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?";
        (space, any::<bool>(), any::<u128>()).prop_map(|(space, v4, first)| {
            let family = if v4 { Family::V4 } else { Family::V6 };
            let space = Name::new(&space).unwrap();
            BlockKey { space, family, first: first & family.last() & !63 }
        })
    }

    proptest! {
        #[test]
        fn names_go_there_and_back(block in blocks()) {
            prop_assert_eq!(parse_block_name(&block_name(&block)), Some(block.clone()));
            let endpoint = EndpointKey { namespace: block.space.clone(), name: block.space.clone() };
            let keys = [
                Key::Index(IndexKey::of(&block)),
                Key::Block(block.clone()),
                Key::Pool(block.space.clone()),
                Key::Subnet(block.space.clone()),
                Key::Reservation(block.space),
                Key::Ledger,
                Key::Endpoint(endpoint),
            ];
            for key in keys {
                let at = path(&key);
                let namespace = at.namespace.as_ref().map(Name::as_str);
                prop_assert_eq!(key_of(kind(&key), &at.name, namespace), Some(key));
            }
        }

        #[test]
        fn only_the_one_way_of_writing_is_read(text in "[a-f.]{0,4}[.]?[46]?[.]?[0-9a-fA-F+]{0,9}") {
            if let Some(block) = parse_block_name(&text) {
                prop_assert_eq!(block_name(&block), text);
            }
        }
    }

    #[test]
    fn other_texts_name_nothing() {
        let texts = ["", "default", "default.4", "default.5.0a060040", "default.4.0A060040"];
        let more = ["default.4.a060040", "default.4.+a060040", ".4.0a060040", "default.6.0a060040"];
        for text in texts.into_iter().chain(more) {
            assert_eq!(parse_block_name(text), None, "for {text}");
        }
        assert_eq!(key_of(INDEX_KIND, "default.4.0a060040", None), None);
        assert_eq!(key_of(LEDGER_KIND, "other", None), None);
        assert_eq!(key_of(ENDPOINT_KIND, "web-0", None), None);
        assert_eq!(key_of("Pod", "web-0", Some("default")), None);
    }

    #[test]
    fn long_names_of_nodes_are_cut() {
        assert_eq!(node_label("worker-1.example"), "worker-1.example");
        assert_eq!(node_label(&"x".repeat(63)).len(), 63);
        let (one, other) = (node_label(&"x".repeat(64)), node_label(&"x".repeat(65)));
        assert_eq!((one.len(), other.len()), (57, 57));
        assert_ne!(one, other);
    }
}
