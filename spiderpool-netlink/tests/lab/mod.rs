//! Network namespaces that a test makes and that go with it, and iproute2 as the second opinion.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use spiderpool_netlink::Namespace;

/// A namespace of a name that no other test has, deleted at the end even if the test fails.
pub(crate) struct Room {
    pub(crate) name: String,
}

impl Room {
    /// Makes a namespace with its loopback up.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        demand_root();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let room = Self { name: format!("sp-netlink-{}-{number}", std::process::id()) };
        room.make();
        room
    }

    pub(crate) fn make(&self) {
        ip(&format!("netns add {}", self.name));
        self.ip("link set lo up");
    }

    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    pub(crate) fn namespace(&self) -> Namespace {
        Namespace::by_name(&self.name).unwrap()
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        ip(&format!("-n {} {arguments}", self.name))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let deleted = Command::new("ip").args(["netns", "delete", &self.name]).output();
        if !std::thread::panicking() {
            assert!(
                deleted.unwrap().status.success() || !std::path::Path::new(&self.path()).exists()
            );
        }
    }
}

/// Runs `ip` and gives what it printed.
pub(crate) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn demand_root() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let is_root = effective.split_whitespace().nth(1) == Some("0");
    assert!(
        is_root,
        "the host tier needs root: run it as root, or set SPIDERPOOL_SKIP_HOST_TIER=1"
    );
}

/// Whether the host tier was declined; says so, because a skipped test is not a passed one.
pub(crate) fn declined() -> bool {
    let declined = std::env::var_os("SPIDERPOOL_SKIP_HOST_TIER").is_some_and(|value| value == "1");
    if declined {
        eprintln!("SKIPPED: SPIDERPOOL_SKIP_HOST_TIER=1");
    }
    declined
}
