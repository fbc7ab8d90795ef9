//! A node in a namespace of its own, the plugin run in it, and what the node then holds.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use spiderpool_core::intend::{Reason, Tenure};
use spiderpool_core::net::{Bond, Link, LinkKind, LinkName, Side};
use spiderpool_core::plan::{LinkChange, Op, Plan, Step};
use spiderpool_netlink::change::DuplicateDetection;
use spiderpool_netlink::{Focus, Namespace, Session, Stage, Wanted};

pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_ifacer");

/// A namespace for the calling thread alone, with one for the other ends of its NICs.
pub(crate) struct Node {
    pub(crate) session: Session,
    wire: Namespace,
    directory: tempfile::TempDir,
}

/// What a call came to.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Node {
    /// Runs a test on a node that ends with it; processes that it starts are on that node, too.
    pub(crate) fn within(test: impl FnOnce(&mut Self) + Send) {
        let run = || {
            let wire = thread::spawn(new_namespace).join().unwrap();
            new_namespace();
            let directory = tempfile::tempdir().unwrap();
            test(&mut Self { session: Session::here().unwrap(), wire, directory });
        };
        thread::scope(|scope| {
            // The panic of the test itself has been printed by then.
            assert!(scope.spawn(run).join().is_ok());
        });
    }

    /// Gives the node NICs: veths whose other ends are plugged in.
    pub(crate) fn nics(&mut self, names: &[&str]) {
        for name in names {
            let far = format!("far-{name}");
            self.session.create_veth(name, &far, &self.wire).unwrap();
            self.wire.run(|session| session.set_up(&far)).unwrap();
        }
    }

    pub(crate) fn address(&mut self, nic: &str, address: &str) {
        let address = address.parse().unwrap();
        self.session.add_address(nic, address, DuplicateDetection::Skip).unwrap();
    }

    /// The path of the namespace of the other ends, for as long as the node is there.
    pub(crate) fn wire(&self) -> PathBuf {
        let fd = self.wire.as_fd().as_raw_fd();
        format!("/proc/{}/fd/{fd}", std::process::id()).into()
    }

    /// A directory that goes with the node.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A configuration with the plugin's keys.
    pub(crate) fn conf(&self, keys: &Value) -> Value {
        let lock = self.directory.path().join("ifacer.lock");
        let mut conf =
            json!({"cniVersion": "1.0.0", "name": "lan", "type": "ifacer", "lockPath": lock});
        for (key, value) in keys.as_object().unwrap() {
            conf[key] = value.clone();
        }
        conf
    }

    pub(crate) fn ask(&self, verb: &str, keys: &Value) -> Heard {
        Heard::of(start(verb, &self.conf(keys), &[]))
    }

    /// An ADD that succeeds; gives what it says it did.
    #[track_caller]
    pub(crate) fn add(&self, keys: &Value) -> Vec<String> {
        let heard = self.ask("ADD", keys);
        assert_eq!(heard.exit, Some(0), "{heard:?}");
        heard.done()
    }

    /// An ADD that is refused; gives its code and message.
    #[track_caller]
    pub(crate) fn refused(&self, keys: &Value) -> (u64, String) {
        let heard = self.ask("ADD", keys);
        assert_eq!(heard.exit, Some(1), "{heard:?}");
        let answer = heard.json();
        (answer["code"].as_u64().unwrap(), answer["msg"].as_str().unwrap().to_owned())
    }

    /// Says that CHECK finds nothing wrong, and that another ADD does nothing.
    #[track_caller]
    pub(crate) fn rests(&self, keys: &Value) {
        let checked = self.ask("CHECK", keys);
        assert_eq!((checked.exit, checked.stdout.as_str()), (Some(0), ""), "{checked:?}");
        assert_eq!(self.add(keys), [""; 0]);
    }

    pub(crate) fn links(&self) -> BTreeMap<LinkName, Link> {
        let here = Namespace::here().unwrap();
        let mut stage = Stage::of_host(&here).unwrap();
        let focus = Focus { host: Wanted::tables([]), pod: Wanted::default() };
        stage.observe(&focus).unwrap().host.links
    }

    /// Changes one thing about a link, as an administrator would.
    #[track_caller]
    pub(crate) fn change(&self, name: &str, change: LinkChange) {
        let op = Op::SetLink { name: LinkName::new(name).unwrap(), change };
        let step = Step {
            side: Side::Host,
            op,
            tenure: Tenure::Pod,
            reason: Reason::ParentInterface,
            undo: Vec::new(),
            collateral: Vec::new(),
            losses: Vec::new(),
        };
        let mut stage = Stage::of_host(&Namespace::here().unwrap()).unwrap();
        let focus = Focus { host: Wanted::tables([]), pod: Wanted::default() };
        stage.observe(&focus).unwrap();
        stage.apply(&Plan { steps: vec![step] }).unwrap();
    }

    #[track_caller]
    pub(crate) fn link(&self, name: &str) -> Link {
        self.links().remove(&LinkName::new(name).unwrap()).unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.links().contains_key(&LinkName::new(name).unwrap())
    }

    #[track_caller]
    pub(crate) fn bond(&self, name: &str) -> Bond {
        let link = self.link(name);
        let LinkKind::Bond(bond) = link.kind else { panic!("{link:?}") };
        bond
    }

    /// The ports of a bond that are up, by name.
    pub(crate) fn ports(&self, bond: &str) -> Vec<String> {
        let links = self.links().into_values();
        let ports = links.filter(|link| link.is_up && link.controller.as_deref() == Some(bond));
        ports.map(|link| link.name.to_string()).collect()
    }
}

fn new_namespace() -> Namespace {
    unshare(CloneFlags::CLONE_NEWNET).expect("a namespace takes root");
    Namespace::here().unwrap()
}

/// Starts the plugin in the calling thread's namespace, its input written and closed.
pub(crate) fn start(verb: &str, conf: &Value, env: &[(&str, &str)]) -> Child {
    start_program(PLUGIN, verb, conf, env)
}

pub(crate) fn start_program(
    program: &str,
    verb: &str,
    conf: &Value,
    env: &[(&str, &str)],
) -> Child {
    let mut command = Command::new(program);
    command.env_clear().envs([
        ("CNI_COMMAND", verb),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/proc/self/ns/net"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/usr/lib/cni"),
    ]);
    command.envs(env.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A plugin that was killed meanwhile reads nothing.
    drop(child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()));
    child
}

impl Heard {
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The commands that it says it did.
    pub(crate) fn done(&self) -> Vec<String> {
        let lines = self.stderr.lines().filter_map(|line| line.strip_prefix("ifacer: "));
        lines.map(str::to_owned).collect()
    }
}
