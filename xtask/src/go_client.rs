//! The tier `go client`: libcni itself, with Go's own interface plugins above our IPAM.
//!
//! Owns the building of `tests/libcni` (the client, and ptp, bridge and macvlan from the newest
//! plugins, which speak CNI 1.1 while Debian's speak 1.0) and the conversation with each version. It
//! leaves to the core's and the plugin's own tests what an answer must contain in detail: here a
//! client that we did not write must be content.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::call::{Call, Fault};
use crate::ipam::{Choice, FIRST, Ipam};
use crate::prerequisites;
use crate::sandbox::Sandbox;
use crate::steps::Steps;
use crate::tiers::Report;
use crate::workspace::Workspace;

/// Versions of the CNI specification to speak, oldest first.
const VERSIONS: [&str; 3] = ["0.4.0", "1.0.0", "1.1.0"];

/// The client's code for CHECK after DEL: libcni's cache holds no result.
const NO_RESULT: u64 = 101;

/// Builds the client and lets it talk to our IPAM in each version.
pub(crate) fn tier(workspace: &Workspace, choice: Choice) -> Report {
    let module = workspace.root.join("tests/libcni");
    let possible = Sandbox::possible().and_then(|()| prerequisites::go(&module));
    if let Err(reason) = possible.and_then(|()| prerequisites::need(&["ping"])) {
        return Report::skipped(reason);
    }
    let mut steps = Steps::new("go client");
    let go = |arguments: &[&str]| {
        let call = Call::new("go").args(arguments).dir(&module);
        call.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly")
    };
    let built = workspace.target.join("go");
    steps.step("format", || well_formed(&module));
    steps.step("vet", || go(&["vet", "."]).output());
    let build = steps.step("build", || {
        go(&["build", "-o"]).arg(built.join("libcni-client")).arg(".").output()?;
        go(&["build", "-o"]).arg(built.join("plugins/")).arg("tool").output()
    });
    if build.is_none() {
        return steps.finish();
    }
    for version in VERSIONS {
        converse(&mut steps, workspace, choice, &built, version);
    }
    steps.finish()
}

fn well_formed(module: &Path) -> Result<(), Fault> {
    let list = Call::new("gofmt").args(["-l", "."]).dir(module).output()?;
    if list.is_empty() { Ok(()) } else { Err(Fault::Wrong(format!("run gofmt on: {list}"))) }
}

fn converse(
    steps: &mut Steps,
    workspace: &Workspace,
    choice: Choice,
    built: &Path,
    version: &'static str,
) {
    let opened = steps.step(&format!("{version}: a private network"), Sandbox::open);
    let Some(sandbox) = opened else { return };
    let ipam = steps.step(&format!("{version}: pools"), || {
        let mut ipam = Ipam::prepare(workspace, choice, &sandbox)?;
        if choice == Choice::HostLocal {
            ipam.directory = built.join("plugins");
        }
        Ok(ipam)
    });
    let Some(ipam) = ipam else { return };
    let talk = Talk { sandbox: &sandbox, ipam: &ipam, built: built.to_path_buf(), version };
    if version == "1.1.0" && choice == Choice::HostLocal {
        steps.skip(3, "host-local knows neither STATUS nor GC");
    }
    for (name, work) in talk.story(choice) {
        if steps.step(&format!("{version}: {name}"), || work(&talk)).is_none() {
            return;
        }
    }
}

type Sentence = (&'static str, fn(&Talk<'_>) -> Result<(), Fault>);

/// One conversation in one version.
#[derive(Debug)]
struct Talk<'a> {
    sandbox: &'a Sandbox,
    ipam: &'a Ipam<'a>,
    built: PathBuf,
    version: &'static str,
}

impl Talk<'_> {
    /// What is said, in order.
    fn story(&self, choice: Choice) -> Vec<Sentence> {
        let mut story: Vec<Sentence> = vec![
            ("VERSION names it", |talk| talk.version_is_known()),
            ("ADD gives both families", |talk| talk.add_two_pods()),
            ("the pods reach their gateways", |talk| talk.gateways_answer()),
            ("CHECK is content", |talk| talk.verb("a", &["check"]).map(drop)),
            ("ADD into a namespace that is not there holds nothing", |talk| talk.add_in_vain()),
        ];
        if self.version == "1.1.0" && choice == Choice::Spiderpool {
            story.push(("STATUS is well", |talk| talk.verb("a", &["status"]).map(drop)));
            story.push(("GC keeps what is valid", |talk| talk.collect("a:eth0", 2)));
            story.push(("GC of an empty list frees the network", |talk| talk.collect("none", 0)));
        }
        story.push(("DEL gives everything back", |talk| talk.delete_both()));
        story.push(("DEL again, without a namespace, is well", |talk| talk.delete_again()));
        story.push(("CHECK after DEL is refused", |talk| talk.check_after_delete()));
        story
    }

    fn version_is_known(&self) -> Result<(), Fault> {
        let known = self.verb("a", &["version"])?;
        let versions = known.get(self.ipam.plugin()).and_then(Value::as_array);
        let is_known = versions.is_some_and(|list| list.iter().any(|one| one == self.version));
        expect(is_known, &format!("{} among the versions", self.version), &known)
    }

    fn add_two_pods(&self) -> Result<(), Fault> {
        for pod in ["a", "b"] {
            self.sandbox.call("ip").args(["netns", "add", pod]).output()?;
            let result = self.verb(pod, &["add"])?;
            let addresses: Vec<&str> = list(&result, "ips", "address");
            let has = |prefix: &str| addresses.iter().any(|one| one.starts_with(prefix));
            let is_dual = addresses.len() == 2 && has(FIRST.v4) && has(FIRST.v6);
            expect(is_dual, "one address of each family", &result)?;
            let answered = result.get("cniVersion").and_then(Value::as_str);
            expect(answered == Some(self.version), "an answer in the version asked for", &result)?;
        }
        self.ipam.expect_allocated(4)
    }

    fn gateways_answer(&self) -> Result<(), Fault> {
        for gateway in [format!("{}1", FIRST.v4), format!("{}1", FIRST.v6)] {
            let ping = ["netns", "exec", "a", "ping", "-c", "1", "-W", "5", &gateway];
            self.sandbox.call("ip").args(ping).output()?;
        }
        Ok(())
    }

    fn add_in_vain(&self) -> Result<(), Fault> {
        self.refused("absent", &["add"])?;
        self.ipam.expect_allocated(4)
    }

    /// Sends GC to the IPAM alone, with an empty cache: ptp has no GC to pass it on, and with a cache
    /// libcni would send DEL for everything that is not valid and leave nothing to collect.
    fn collect(&self, valid: &str, left: usize) -> Result<(), Fault> {
        let mut plugin = json!({ "type": self.ipam.plugin() });
        if let Some(fields) = plugin.as_object_mut() {
            fields.insert("ipam".to_owned(), self.ipam.configuration(FIRST));
        }
        let conf = self.sandbox.file("gc.conflist", &self.list_of(&plugin))?;
        let cache = self.sandbox.directory("empty-cache")?;
        self.client(&conf, &cache).args(["-valid", valid, "gc"]).output()?;
        self.ipam.expect_allocated(left)
    }

    fn delete_both(&self) -> Result<(), Fault> {
        self.verb("a", &["del"])?;
        self.verb("b", &["del"])?;
        self.ipam.expect_allocated(0)
    }

    fn delete_again(&self) -> Result<(), Fault> {
        let conf = self.conf()?;
        let cache = self.sandbox.directory("cache")?;
        self.client(&conf, &cache).args(["-id", "a", "-netns", "", "del"]).output()?;
        self.ipam.expect_allocated(0)
    }

    fn check_after_delete(&self) -> Result<(), Fault> {
        let error = self.refused("a", &["check"])?;
        let code = error.get("code").and_then(Value::as_u64);
        expect(code == Some(NO_RESULT), "the client's code for an empty cache", &error)
    }

    /// Performs a verb for a pod and gives what the client printed; `null` when that is nothing.
    fn verb(&self, pod: &str, words: &[&str]) -> Result<Value, Fault> {
        let call = self.pod_call(pod, words)?;
        parse(&call, &call.output()?)
    }

    /// Performs a verb that must fail and gives the error object.
    fn refused(&self, pod: &str, words: &[&str]) -> Result<Value, Fault> {
        let call = self.pod_call(pod, words)?;
        let (status, out, err) = call.capture()?;
        if status.code() == Some(1) {
            return parse(&call, &out);
        }
        let line = call.line();
        Err(Fault::Wrong(format!("`{line}` must end with 1, got {status}:\n{out}{err}")))
    }

    fn pod_call(&self, pod: &str, words: &[&str]) -> Result<Call, Fault> {
        let (conf, cache) = (self.conf()?, self.sandbox.directory("cache")?);
        let namespace = format!("/run/netns/{pod}");
        Ok(self.client(&conf, &cache).args(["-id", pod, "-netns", &namespace]).args(words))
    }

    fn client(&self, conf: &Path, cache: &Path) -> Call {
        let plugins = self.built.join("plugins");
        let places = format!("{},{}", self.ipam.directory.display(), plugins.display());
        let call = self.sandbox.call(self.built.join("libcni-client"));
        call.args(["-plugin-dir", &places]).arg("-conf").arg(conf).arg("-cache").arg(cache)
    }

    fn conf(&self) -> Result<PathBuf, Fault> {
        let plugin = json!({ "type": "ptp", "ipam": self.ipam.configuration(FIRST) });
        self.sandbox.file("ptp.conflist", &self.list_of(&plugin))
    }

    fn list_of(&self, plugin: &Value) -> String {
        json!({ "cniVersion": self.version, "name": FIRST.name, "plugins": [plugin] }).to_string()
    }
}

fn parse(call: &Call, text: &str) -> Result<Value, Fault> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    let unexpected = |error: serde_json::Error| Fault::Reply {
        command: call.line(),
        reason: format!("{error} in `{text}`"),
    };
    serde_json::from_str(text).map_err(unexpected)
}

/// Gives one text field of each object in a list.
fn list<'v>(value: &'v Value, name: &str, field: &str) -> Vec<&'v str> {
    let items = value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.get(field)?.as_str()).collect()
}

fn expect(is_met: bool, what: &str, seen: &Value) -> Result<(), Fault> {
    if is_met { Ok(()) } else { Err(Fault::Wrong(format!("{what} expected, got {seen}"))) }
}
