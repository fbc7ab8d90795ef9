//! One call of a plugin: environment and configuration in, exit code and answer out.
//!
//! Invariants: a plugin sees the variables of its call and none of the caller's; it runs in the node's
//! network namespace; CNI_ARGS come in another order with each call, as runtimes give them.

use crate::room::Room;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where Debian's `containernetworking-plugins` puts its programs.
pub const PLUGINS: &str = "/usr/lib/cni";

/// The program of a plugin: ours from beside the test binary, any other from Debian.
#[must_use]
pub fn program(kind: &str) -> PathBuf {
    let ours = ["spiderpool", "coordinator", "ifacer", "rdma"].contains(&kind);
    let path = if ours { our_programs().join(kind) } else { Path::new(PLUGINS).join(kind) };
    let remedy = if ours {
        "run `cargo build --workspace` with the profile of these tests"
    } else {
        "install containernetworking-plugins"
    };
    assert!(path.is_file(), "the plugin `{kind}` is not at {}: {remedy}", path.display());
    path
}

/// The directory that cargo builds the workspace's programs into: that above the test binary's own.
#[must_use]
pub fn our_programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}

/// A call that has not been made yet.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which program.
    pub kind: String,
    /// `CNI_COMMAND` and the others.
    pub env: BTreeMap<String, String>,
    /// What goes to standard input.
    pub conf: Value,
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The exit code; `None` when a signal ended it.
    pub exit: Option<i32>,
    /// What was printed.
    pub stdout: String,
    /// What was complained of.
    pub stderr: String,
}

impl Call {
    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Starts the plugin inside a room, its input written and closed.
    #[must_use]
    pub fn start(&self, node: &Room) -> Child {
        let mut command = node.command(&program(&self.kind).to_string_lossy());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(&self.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A plugin that ended early reads nothing.
        drop(child.stdin.take().unwrap().write_all(self.conf.to_string().as_bytes()));
        child
    }

    /// Calls the plugin inside a room.
    #[must_use]
    pub fn send(&self, node: &Room) -> Heard {
        Heard::of(self.start(node))
    }
}

impl Heard {
    /// What a process came to.
    #[must_use]
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Whether it succeeded.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.exit == Some(0)
    }

    /// The JSON that was printed; `null` for nothing.
    #[track_caller]
    pub fn json(&self) -> Value {
        match self.stdout.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON in {self:?}")),
        }
    }

    /// The error's code, and its message with details; a success fails the test.
    #[track_caller]
    pub fn error(&self) -> (u64, String) {
        assert!(!self.is_well(), "it succeeded: {self:?}");
        let json = self.json();
        let code = json["code"].as_u64().unwrap_or_else(|| panic!("no code in {self:?}"));
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (code, format!("{} {}", text("msg"), text("details")))
    }
}

/// The arguments that a runtime gives for a pod, in another order each time.
#[must_use]
pub fn arguments(pod: &str, container: &str) -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut pairs = vec![
        "IgnoreUnknown=1".to_owned(),
        "K8S_POD_NAMESPACE=default".to_owned(),
        format!("K8S_POD_NAME={pod}"),
        format!("K8S_POD_INFRA_CONTAINER_ID={container}"),
        format!("K8S_POD_UID={pod}"),
    ];
    // Each of the 120 orders in turn: the call's number, read in a mixed base, says what comes next.
    let mut number = CALLS.fetch_add(1, Ordering::Relaxed);
    let mut order = Vec::new();
    while !pairs.is_empty() {
        let left = u64::try_from(pairs.len()).unwrap();
        order.push(pairs.remove(usize::try_from(number % left).unwrap()));
        number /= left;
    }
    order.join(";")
}
