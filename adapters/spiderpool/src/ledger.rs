//! Who keeps the allocations: the agent of a cluster's node, or the embedded store of one host.
//!
//! Every verb asks this first, so that all of them ask the same one. What decides, in this order
//! (`the_first_that_is_named_decides`):
//!
//! 1. `ipam_unix_socket_path` names the agent's socket: the agent, whether it is there or not.
//! 2. `store_path` names a store: the store.
//! 3. Nothing is named, and the reference's default socket is there: the agent.
//! 4. Nothing is named, and there is a store at the default place: that store.
//! 5. Neither is there, but the default socket's directory is: an agent that is away, which is to be
//!    asked again. A DEL must not take it for a host that has nothing to give back.
//! 6. Otherwise the store, whose absence is told.

use crate::conf::Ipam;
use spiderpool_agent_api::SOCKET;
use std::path::{Path, PathBuf};

/// Where the store is when nothing is said.
pub(crate) const STORE: &str = "/var/lib/spiderpool";

/// Who keeps the allocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ledger {
    /// The embedded store in this directory.
    Embedded(PathBuf),
    /// The agent on this socket.
    Agent(PathBuf),
}

impl Ledger {
    /// Whom a configuration means.
    pub(crate) fn of(ipam: &Ipam) -> Self {
        // A template that leaves a path out leaves it empty.
        let named =
            |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        chosen(named(&ipam.ipam_unix_socket_path), named(&ipam.store_path), Path::exists)
    }

    /// What people are told of it.
    pub(crate) const fn told(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "the store",
            Self::Agent(_) => "the agent",
        }
    }
}

fn chosen(
    socket: Option<PathBuf>,
    store: Option<PathBuf>,
    exists: impl Fn(&Path) -> bool,
) -> Ledger {
    if let Some(socket) = socket {
        return Ledger::Agent(socket);
    }
    if let Some(store) = store {
        return Ledger::Embedded(store);
    }
    let (socket, store) = (Path::new(SOCKET), Path::new(STORE));
    let is_of_cluster = socket.parent().is_some_and(&exists);
    if exists(socket) || (is_of_cluster && !exists(store)) {
        Ledger::Agent(socket.to_owned())
    } else {
        Ledger::Embedded(store.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_cni::NetConf;

    #[test]
    fn the_first_that_is_named_decides() {
        let dir = "/var/run/spidernet";
        let agent = |path: &str| Ledger::Agent(path.into());
        let store = |path: &str| Ledger::Embedded(path.into());
        let check = |socket: &str, named: &str, there: &[&str], expected: Ledger| {
            let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
            let exists = |path: &Path| there.iter().any(|one| Path::new(one) == path);
            assert_eq!(chosen(path(socket), path(named), exists), expected);
        };
        check("/s", "", &[STORE], agent("/s"));
        check("/s", "/d", &["/d", STORE], agent("/s"));
        check("", "/d", &[dir, SOCKET], store("/d"));
        check("", "", &[dir, SOCKET, STORE], agent(SOCKET));
        check("", "", &[dir, SOCKET], agent(SOCKET));
        check("", "", &[dir, STORE], store(STORE));
        check("", "", &[dir], agent(SOCKET));
        check("", "", &[STORE], store(STORE));
        check("", "", &[], store(STORE));
    }

    #[test]
    fn both_places_of_the_key_are_read() {
        let check = |conf: &str, expected: Ledger| {
            let conf = format!(r#"{{"cniVersion": "1.0.0", "name": "n", {conf}}}"#);
            let conf = NetConf::parse(conf.as_bytes()).unwrap();
            assert_eq!(Ledger::of(&Ipam::of(&conf).unwrap()), expected);
            assert_eq!(Ledger::of(&Ipam::lenient(&conf)), expected);
        };
        let agent = |path: &str| Ledger::Agent(path.into());
        check(r#""ipam": {"ipam_unix_socket_path": "/s"}"#, agent("/s"));
        check(r#""ipam_unix_socket_path": "/s", "ipam": {}"#, agent("/s"));
        check(r#""ipam_unix_socket_path": "/s", "ipam": null"#, agent("/s"));
        check(
            r#""ipam_unix_socket_path": "/s", "ipam": {"ipam_unix_socket_path": "/t"}"#,
            agent("/t"),
        );
        let store = r#""ipam": {"ipam_unix_socket_path": "", "store_path": "/d"}"#;
        check(store, Ledger::Embedded("/d".into()));
    }

    #[test]
    fn a_bad_configuration_leads_a_release_to_the_same_ledger() {
        let check = |conf: &str, expected: Ledger| {
            let conf = format!(r#"{{"cniVersion": "1.0.0", "name": "n", {conf}}}"#);
            let conf = NetConf::parse(conf.as_bytes()).unwrap();
            assert!(Ipam::of(&conf).is_err());
            assert_eq!(Ledger::of(&Ipam::lenient(&conf)), expected);
        };
        let bad = r#""log_level": 7"#;
        let agent = || Ledger::Agent("/s".into());
        check(&format!(r#""ipam": {{"ipam_unix_socket_path": "/s", {bad}}}"#), agent());
        check(&format!(r#""ipam_unix_socket_path": "/s", "ipam": {{{bad}}}"#), agent());
        let store = Ledger::Embedded("/d".into());
        check(&format!(r#""ipam": {{"store_path": "/d", {bad}}}"#), store.clone());
        check(r#""ipam_unix_socket_path": 7, "ipam": {"store_path": "/d"}"#, store);
    }
}
