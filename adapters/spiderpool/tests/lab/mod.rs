//! What the tests of the plugin share: a store in a directory of its own, and the real binary called
//! the way a runtime calls it.
//!
//! Every test binary of this directory uses it. Invariants: a plugin process sees the variables of its
//! call and none of the caller's, and everything it writes lies in the lab's directory.

#![expect(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod ask;
pub(crate) mod room;

use serde_json::{Value, json};
use spiderpool_core::audit::{Audit, audit};
use spiderpool_core::command::Command;
use spiderpool_core::definition::{Pool, PoolDraft, RouteDraft};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_store::{Extra, OpenOptions, Patience, Store};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) use ask::Ask;

/// The binary under test.
pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_spiderpool");

/// A namespace that is there without any right: the plugin's own.
pub(crate) const HERE: &str = "/proc/self/ns/net";

/// A directory with a store, a log and whatever else a test makes.
#[derive(Debug)]
pub(crate) struct Lab {
    home: TempDir,
}

impl Lab {
    /// A lab without a store.
    pub(crate) fn bare() -> Self {
        Self { home: tempfile::Builder::new().prefix("sp-plugin-").tempdir().unwrap() }
    }

    /// A lab whose store has these pools.
    pub(crate) fn with(pools: impl IntoIterator<Item = PoolDraft>) -> Self {
        let lab = Self::bare();
        lab.define(pools);
        lab
    }

    /// A lab with `blue`, `blue6`, `green` and `green6`: ten addresses each, from `.10` or `::10` on,
    /// behind the gateway `.1` or `::1`.
    pub(crate) fn new() -> Self {
        Self::with([
            ten("blue", "10.6.0.", "24"),
            ten("blue6", "fd00:6::", "64"),
            ten("green", "10.7.0.", "24"),
            ten("green6", "fd00:7::", "64"),
        ])
    }

    /// A lab with a copy of this one's store, which nobody has open.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::bare();
        std::fs::create_dir(copy.store_dir()).unwrap();
        for entry in std::fs::read_dir(self.store_dir()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, copy.store_dir().join(path.file_name().unwrap())).unwrap();
            }
        }
        std::fs::create_dir(copy.store_dir().join("locks")).unwrap();
        copy
    }

    pub(crate) fn define(&self, pools: impl IntoIterator<Item = PoolDraft>) {
        let store = self.store();
        for draft in pools {
            let command = Command::DefinePool(Pool::try_from(draft).unwrap());
            store.execute(&command, Moment { now_ms: 1, seed: 1 }, &Extra::default()).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn store_dir(&self) -> PathBuf {
        self.path("store")
    }

    /// The store, made if it is not there.
    pub(crate) fn store(&self) -> Store {
        open(&self.store_dir())
    }

    /// A configuration of the network `net` with these pools of either family.
    pub(crate) fn conf(&self, v4: &[&str], v6: &[&str]) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": "net",
            "type": "macvlan",
            "ipam": {
                "type": "spiderpool",
                "store_path": self.store_dir(),
                "log_file_path": self.path("log"),
                "node_name": "host",
                "default_ipv4_ippool": v4,
                "default_ipv6_ippool": v6,
            },
        })
    }

    /// A call for `eth0` of a container on the pool `blue`.
    pub(crate) fn ask(&self, verb: &str, container: &str) -> Ask {
        Ask::new(verb, self.conf(&["blue"], &[])).container(container)
    }

    pub(crate) fn add(&self, container: &str) -> Ask {
        self.ask("ADD", container).netns(HERE)
    }

    pub(crate) fn del(&self, container: &str) -> Ask {
        self.ask("DEL", container)
    }

    /// Every allocation: its address, then container, interface and owner.
    pub(crate) fn held(&self) -> BTreeMap<IpAddr, String> {
        held(&self.store())
    }

    pub(crate) fn revision(&self) -> u64 {
        self.store().revision().unwrap()
    }

    pub(crate) fn audit(&self) -> Audit {
        audit(&self.store().load_all().unwrap()).unwrap()
    }

    /// Nothing is held, nothing is left beside it, and the audit finds nothing.
    pub(crate) fn is_as_new(&self) {
        assert_eq!(self.held(), BTreeMap::new());
        assert_eq!(self.store().witnesses().unwrap(), []);
        let audit = self.audit();
        assert!(audit.is_clean(), "{audit:?}");
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

pub(crate) fn open(dir: &Path) -> Store {
    let patience = Patience::Each(Duration::from_secs(60));
    Store::open(dir, OpenOptions { patience, ..OpenOptions::create() }).unwrap()
}

pub(crate) fn held(store: &Store) -> BTreeMap<IpAddr, String> {
    let view = store.load_all().unwrap();
    let line = |found: spiderpool_core::view::Found<'_>| {
        let allocation = &found.allocation;
        let nic = &allocation.placement.attachment;
        format!("{} {nic} {}", allocation.container, allocation.owner)
    };
    view.allocations().unwrap().map(|found| (found.address(), line(found))).collect()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Ten addresses, from `10` on, of the prefix of that length that begins so, with its gateway at `1`.
pub(crate) fn ten(name: &str, begin: &str, length: &str) -> PoolDraft {
    range(name, begin, length, "10", "19")
}

pub(crate) fn range(name: &str, begin: &str, length: &str, first: &str, last: &str) -> PoolDraft {
    let zero = if begin.ends_with("::") { "" } else { "0" };
    PoolDraft {
        name: name.into(),
        prefix: format!("{begin}{zero}/{length}"),
        ranges: vec![format!("{begin}{first}-{begin}{last}")],
        gateway: Some(format!("{begin}1")),
        ..PoolDraft::default()
    }
}

pub(crate) fn route(dst: &str, gw: &str) -> RouteDraft {
    RouteDraft { dst: dst.into(), gw: gw.into() }
}
