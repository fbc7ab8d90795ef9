//! Network namespaces that a test makes and that go with it, even when the test fails.

use spiderpool_netlink::Namespace;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A namespace with a name that no other test has.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: String,
}

impl Room {
    /// Makes a namespace with its loopback up.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        demand_root();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let room = Self { name: format!("sp-plugin-{}-{number}", std::process::id()) };
        room.make();
        room
    }

    pub(crate) fn make(&self) {
        ip(&format!("netns add {}", self.name));
        self.ip("link set lo up");
    }

    pub(crate) fn delete(&self) {
        ip(&format!("netns delete {}", self.name));
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

    /// A command that enters the network namespace, and nothing else of it, before it starts a program.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).args(["--", program]);
        command
    }

    /// Runs a program inside.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It is gone already where the test deleted it.
        drop(Command::new("ip").args(["netns", "delete", &self.name]).output());
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
    assert!(is_root, "the host tier needs root: run it as root");
}
