//! One conversation of three: the runtime, the plugin, and the agent.

use crate::fake::{Fake, Said, Seen};
use crate::lab::ask::Heard;
use crate::lab::{Ask, HERE, Lab};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A lab, an agent in it, and the record of what was said.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) lab: Lab,
    pub(crate) agent: Option<Fake>,
    golden: PathBuf,
    text: String,
    /// How much of what the agent was asked is written down.
    written: usize,
}

impl Talk {
    /// Begins the conversation that is kept in that file of `tests/golden/`, with nobody on the socket.
    pub(crate) fn alone(name: &str) -> Self {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let golden = golden.join(format!("agent-{name}.txt"));
        Self { lab: Lab::bare(), agent: None, golden, text: String::new(), written: 0 }
    }

    /// The same with an agent that follows a script.
    pub(crate) fn new(name: &str, script: impl FnMut(&Seen) -> Said + Send + 'static) -> Self {
        let mut talk = Self::alone(name);
        talk.agent = Some(Fake::new(&socket(&talk.lab), script));
        talk
    }

    pub(crate) fn add(&self) -> Ask {
        ask(&self.lab, "ADD").netns(HERE)
    }

    pub(crate) fn ask(&self, verb: &str) -> Ask {
        ask(&self.lab, verb)
    }

    /// Makes one call, and writes down both ends of it.
    pub(crate) fn say(&mut self, ask: &Ask) -> Heard {
        let heard = ask.send();
        let variables = ask.env.iter().filter(|(key, _)| *key != "CNI_PATH");
        let variables: Vec<_> = variables
            .map(|(key, value)| {
                format!(" {}='{}'", key.trim_start_matches("CNI_"), value.to_string_lossy())
            })
            .collect();
        let input = String::from_utf8_lossy(&ask.input()).into_owned();
        writeln!(self.text, ">>>{}\n{input}", variables.concat()).unwrap();
        for seen in self.agent.iter().flat_map(Fake::seen).skip(self.written) {
            self.written += 1;
            writeln!(self.text, "--- {}\n{}", seen.call, without_time(&seen.body)).unwrap();
        }
        let exit = heard.exit.unwrap_or(-1);
        writeln!(self.text, "<<< exit {exit}\n{}", heard.stdout).unwrap();
        heard
    }

    /// What the agent was asked, method and path.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.agent.as_ref().unwrap().calls()
    }

    /// The body of the agent's request of that number.
    pub(crate) fn body(&self, at: usize) -> Value {
        serde_json::from_slice(&self.agent.as_ref().unwrap().seen()[at].body).unwrap()
    }
}

impl Drop for Talk {
    /// Compares with the file: the last act of every conversation that came to its end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let home = self.lab.path("").display().to_string();
        let text = self.text.replace(&home, "$LAB/");
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            std::fs::write(&self.golden, &text).unwrap();
            return;
        }
        let kept = std::fs::read_to_string(&self.golden).unwrap_or_default();
        let file = self.golden.display();
        assert_eq!(kept, text, "{file} differs; UPDATE_GOLDEN=1 writes it anew");
    }
}

pub(crate) fn socket(lab: &Lab) -> PathBuf {
    lab.path("agent.sock")
}

/// A call for `eth0` of container `c1` of the pod `default/web-0`.
pub(crate) fn ask(lab: &Lab, verb: &str) -> Ask {
    let conf = json!({
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "macvlan",
        "ipam": {
            "type": "spiderpool",
            "ipam_unix_socket_path": socket(lab),
            "log_file_path": lab.path("log"),
        },
    });
    Ask::new(verb, conf).container("c1").pod("web-0", "u-1")
}

/// What is left of a deadline differs each time; it is there, and is less than two minutes.
fn without_time(body: &[u8]) -> String {
    if body.is_empty() {
        return "(no body)".to_owned();
    }
    let mut value: Value = serde_json::from_slice(body).unwrap();
    if let Some(left) = value.get_mut("deadlineMs") {
        assert!((1..100_000).contains(&left.as_u64().unwrap()), "{left}");
        *left = json!("(some)");
    }
    value.to_string()
}

/// An address as an agent of this version grants it.
pub(crate) fn ip(nic: &str, address: &str, generation: u64) -> Value {
    let (version, gateway) = if address.contains(':') { (6, "fd00:6::1") } else { (4, "10.6.0.1") };
    json!({
        "version": version, "address": address, "nic": nic, "ipPool": "blue", "gateway": gateway,
        "space": "default", "generation": generation,
    })
}

pub(crate) fn reply(ips: &[Value]) -> Value {
    json!({"apiVersion": 2, "ips": ips, "routes": []})
}

pub(crate) fn well(body: &Value) -> Said {
    Said::Json(200, body.to_string())
}
