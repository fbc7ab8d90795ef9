//! One call of a plugin: environment and configuration in, exit code and answer out.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

/// A call that has not been made yet.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) env: BTreeMap<String, OsString>,
    pub(crate) stdin: Stdin,
}

/// What goes to standard input.
#[derive(Clone, Debug)]
pub(crate) enum Stdin {
    Conf(Value),
    Bytes(Vec<u8>),
}

/// What a call came to.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The exit code; `None` when a signal ended it.
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ask {
    pub(crate) fn new(verb: &str, conf: Value) -> Self {
        let ask = Self { env: BTreeMap::new(), stdin: Stdin::Conf(conf) };
        ask.env("CNI_COMMAND", verb).env("CNI_IFNAME", "eth0").env("CNI_PATH", "/opt/cni/bin")
    }

    pub(crate) fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn verb(self, verb: &str) -> Self {
        self.env("CNI_COMMAND", verb)
    }

    pub(crate) fn container(self, id: &str) -> Self {
        self.env("CNI_CONTAINERID", id)
    }

    pub(crate) fn netns(self, path: impl Into<OsString>) -> Self {
        self.env("CNI_NETNS", path)
    }

    pub(crate) fn nic(self, name: &str) -> Self {
        self.env("CNI_IFNAME", name)
    }

    /// Sets a key of the network configuration.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let Stdin::Conf(conf) = &mut self.stdin else { panic!("the call has no configuration") };
        conf[key] = value.into();
        self
    }

    /// Leaves a key of the network configuration out.
    pub(crate) fn without(mut self, key: &str) -> Self {
        let Stdin::Conf(conf) = &mut self.stdin else { panic!("the call has no configuration") };
        conf.as_object_mut().unwrap().remove(key);
        self
    }

    pub(crate) fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    pub(crate) fn input(&self) -> Vec<u8> {
        match &self.stdin {
            Stdin::Conf(conf) => conf.to_string().into_bytes(),
            Stdin::Bytes(bytes) => bytes.clone(),
        }
    }

    /// The process of a command that is, or ends by starting, the plugin; its input written and closed.
    pub(crate) fn start_as(&self, mut command: Command) -> Child {
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(&self.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A plugin that was killed meanwhile reads nothing.
        drop(child.stdin.take().unwrap().write_all(&self.input()));
        child
    }

    pub(crate) fn send_as(&self, command: Command) -> Heard {
        Heard::of(self.start_as(command))
    }
}

impl Heard {
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            exit: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The JSON on standard output; `null` for nothing.
    pub(crate) fn json(&self) -> Value {
        match self.stdout.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap(),
        }
    }

    /// The error code; 0 for success.
    #[track_caller]
    pub(crate) fn code(&self) -> u64 {
        match self.exit {
            Some(0) => 0,
            _ => self.json()["code"].as_u64().unwrap_or_else(|| panic!("no code in {self:?}")),
        }
    }

    /// Message and details of an error.
    pub(crate) fn told(&self) -> String {
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        format!("{}\n{}", text("msg"), text("details"))
    }

    /// Fails unless the code is this one.
    #[track_caller]
    pub(crate) fn expect(self, code: u64) -> Self {
        assert_eq!(self.code(), code, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.expect(0)
    }

    /// The addresses of a result, in order, without their prefix lengths.
    #[track_caller]
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        assert_eq!(self.exit, Some(0), "{self:?}");
        let json = self.json();
        let ips = json["ips"].as_array().unwrap();
        let text =
            |ip: &Value| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
        ips.iter().map(|ip| text(ip).parse().unwrap()).collect()
    }
}
