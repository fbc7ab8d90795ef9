//! A network namespace that a laboratory makes, and what can be run inside.
//!
//! Used by every other module. Invariants: a room's name is no other's; the namespace goes with the
//! value (`a_room_goes_with_its_value`); programs enter the network namespace and nothing else of it;
//! the machine's own namespace is a room only in a VM of the tier VM.

use spiderpool_netlink::{Namespace, RunError};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a packet may take to get through before the way counts as blocked.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What every VM of the tier VM has, and nothing else.
const VM: &str = "/vm/command";

/// A namespace with a name that no other test has.
#[derive(Debug)]
pub struct Room {
    name: String,
    is_machine: bool,
}

impl Room {
    /// Makes a namespace with its loopback up. Duplicate address detection is off in it, so that
    /// addresses can be used at once: it is the probes' matter, not the chains'.
    #[must_use]
    pub fn new(role: &str) -> Self {
        let room = Self { name: own_name(role), is_machine: false };
        ip(&format!("netns add {}", room.name));
        room.furnish();
        room
    }

    /// The machine's own namespace, which alone has the devices that sysfs shows. Only in a VM: its
    /// settings are changed. Whoever uses it is alone with it; its virtual links go with the value.
    #[must_use]
    pub fn of_the_machine(role: &str) -> Self {
        assert!(Path::new(VM).exists(), "the machine's own namespace is left alone but in a VM");
        let room = Self { name: own_name(role), is_machine: true };
        ip(&format!("netns attach {} {}", room.name, std::process::id()));
        room.furnish();
        room
    }

    fn furnish(&self) {
        self.ip("link set lo up");
        for place in ["default", "all"] {
            self.sysctl(&format!("net/ipv6/conf/{place}/accept_dad"), 0);
            self.sysctl(&format!("net/ipv4/conf/{place}/rp_filter"), 0);
        }
    }

    /// The names of its links of a kind.
    #[must_use]
    pub fn links(&self, kind: &str) -> Vec<String> {
        let list = self.ip(&format!("-br link show type {kind}"));
        let names = list.lines().filter_map(|line| line.split(['@', ' ']).next());
        names.map(str::to_owned).collect()
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path that a runtime would hand on.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Removes the namespace before the value goes.
    pub fn delete(&self) {
        ip(&format!("netns delete {}", self.name));
    }

    /// Runs `ip` inside and gives what it printed; a failure fails the test.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        ip(&format!("-n {} {arguments}", self.name))
    }

    /// Runs several `ip` commands inside, one a line, by one process.
    #[track_caller]
    pub fn ip_batch(&self, lines: &str) {
        let script = format!("ip -batch - <<'END'\n{lines}\nEND\n");
        self.sh(&script);
    }

    /// A command that enters the network namespace before it starts a program.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).args(["--", program]);
        command
    }

    /// Runs a program inside.
    #[must_use]
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    /// Runs a shell script inside and gives what it printed; a failure fails the test.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        let output = self.run("sh", &["-ec", script]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {script}: {complaint}", self.name);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sets a setting, named as below `/proc/sys`.
    pub fn sysctl(&self, name: &str, value: u32) {
        let path = format!("/proc/sys/{name}");
        self.inside(|| {
            std::fs::write(&path, value.to_string()).unwrap_or_else(|bad| panic!("{path}: {bad}"));
        });
    }

    /// The value of a setting, named as below `/proc/sys`.
    #[must_use]
    pub fn sysctl_value(&self, name: &str) -> String {
        let path = format!("/proc/sys/{name}");
        let read = || std::fs::read_to_string(&path).unwrap_or_else(|bad| panic!("{path}: {bad}"));
        self.inside(read).trim().to_owned()
    }

    /// Runs `work` on a thread inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = Namespace::by_name(&self.name).unwrap();
        let done: Result<T, RunError<std::fmt::Error>> = namespace.run(|_| Ok(work()));
        done.unwrap()
    }

    /// Whether one echo request is answered within a second.
    #[must_use]
    pub fn pings(&self, to: IpAddr) -> bool {
        self.pings_with(to, &[])
    }

    /// Whether one echo request with these options of `ping` is answered within a second.
    #[must_use]
    pub fn pings_with(&self, to: IpAddr, options: &[&str]) -> bool {
        let to = to.to_string();
        let base = ["-n", "-c", "1", "-W", "1"];
        let arguments: Vec<&str> = base.iter().chain(options).copied().chain([&*to]).collect();
        self.run("ping", &arguments).status.success()
    }

    /// Fails unless an address answers in time.
    #[track_caller]
    pub fn reaches(&self, to: IpAddr) {
        eventually(&format!("an answer from {to} to {}", self.name), || self.pings(to));
    }

    /// Fails if an address answers.
    #[track_caller]
    pub fn does_not_reach(&self, to: IpAddr) {
        assert!(!self.pings(to), "{to} answers {}", self.name);
    }

    /// The way that the kernel would send a packet by: what `ip route get` says.
    #[track_caller]
    pub fn way(&self, to: &str) -> String {
        self.ip(&format!("route get {to}")).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The link by which a packet to an address would leave; `to` may say more, as `ip route get` takes
    /// it (`10.0.0.1 from 10.0.0.2`).
    #[track_caller]
    pub fn link_toward(&self, to: &str) -> String {
        word_after(&self.way(to), "dev").unwrap_or_else(|| panic!("no link toward {to}"))
    }

    /// The source address that a packet to an address would have.
    #[track_caller]
    pub fn source_toward(&self, to: &str) -> IpAddr {
        let way = self.way(to);
        let source = word_after(&way, "src").unwrap_or_else(|| panic!("no source in {way}"));
        source.parse().unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_machine {
            self.links("veth").iter().for_each(|link| drop(self.ip(&format!("link del {link}"))));
        }
        // It is gone already where the test deleted it.
        drop(Command::new("ip").args(["netns", "delete", &self.name]).output());
    }
}

/// The word that follows another.
#[must_use]
pub fn word_after(text: &str, word: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    words.find(|one| *one == word)?;
    words.next().map(str::to_owned)
}

/// Fails unless `probe` comes true in time.
#[track_caller]
pub fn eventually(what: &str, probe: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !probe() {
        assert!(Instant::now() < end, "{what} did not come about in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `ip` and gives what it printed; a failure fails the test.
#[track_caller]
pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output();
    let output =
        output.unwrap_or_else(|bad| panic!("`ip` cannot be run ({bad}): install iproute2"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// A name that no other room has.
fn own_name(role: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    demand_root();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("sp-ch-{role}-{}-{number}", std::process::id())
}

fn demand_root() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let is_root = effective.split_whitespace().nth(1) == Some("0");
    assert!(is_root, "the host tier needs root: run it as root");
}
