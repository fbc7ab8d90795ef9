//! Network namespaces that a test makes and that go with it, even when the test fails.

use spiderpool_netlink::Namespace;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long the kernel may take to let a packet through: duplicate address detection alone takes a
/// second or two.
const PATIENCE: Duration = Duration::from_secs(20);

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
        let room = Self { name: format!("sp-coordinator-{}-{number}", std::process::id()) };
        ip(&format!("netns add {}", room.name));
        room.ip("link set lo up");
        room
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

    /// Sets a sysctl of the namespace, named as below `/proc/sys`.
    pub(crate) fn sysctl(&self, name: &str, value: u32) {
        let assignment = format!("echo {value} > /proc/sys/{name}");
        let output = self.run("sh", &["-c", &assignment]);
        assert!(output.status.success(), "{assignment}: {output:?}");
    }

    /// Whether one echo request is answered within a second.
    pub(crate) fn pings(&self, to: IpAddr) -> bool {
        self.run("ping", &["-n", "-c", "1", "-W", "1", &to.to_string()]).status.success()
    }

    /// Fails unless an address answers in time.
    #[track_caller]
    pub(crate) fn reaches(&self, to: IpAddr) {
        eventually(&format!("an answer from {to} to {}", self.name), || self.pings(to));
    }

    /// Fails if an address answers.
    #[track_caller]
    pub(crate) fn does_not_reach(&self, to: IpAddr) {
        assert!(!self.pings(to), "{to} answers {}", self.name);
    }

    /// Fails unless a TCP connection to a port of `server` at this address comes about, and the server
    /// sees the address that it comes from, which is given.
    #[track_caller]
    pub(crate) fn connects(&self, server: &Self, to: IpAddr) -> IpAddr {
        let any: IpAddr = match to {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let listener = server.inside(move || TcpListener::bind(SocketAddr::new(any, 0)).unwrap());
        let target = SocketAddr::new(to, listener.local_addr().unwrap().port());
        eventually(&format!("a connection to {target} from {}", self.name), || {
            let wait = Duration::from_secs(2);
            self.inside(move || TcpStream::connect_timeout(&target, wait).is_ok())
        });
        listener.accept().unwrap().1.ip()
    }

    /// Runs `work` on a thread inside.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let done: Result<T, spiderpool_netlink::RunError<std::fmt::Error>> =
            self.namespace().run(|_| Ok(work()));
        done.unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It is gone already where the test deleted it.
        drop(Command::new("ip").args(["netns", "delete", &self.name]).output());
    }
}

/// What `probe` says, as soon as it is true.
#[track_caller]
pub(crate) fn eventually(what: &str, probe: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !probe() {
        assert!(Instant::now() < end, "{what} did not come about in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `ip` and gives what it printed.
#[track_caller]
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
