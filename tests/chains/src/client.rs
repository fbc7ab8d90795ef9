//! Chains through libcni, the library that container runtimes use.
//!
//! The client is the module `tests/libcni`, which knows nothing of us; it is built here when a suite
//! wants it first.

use crate::call::{PLUGINS, arguments, our_programs};
use crate::lab::Lab;
use crate::network::Network;
use crate::pod::Pod;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a verb came to.
#[derive(Debug, Clone)]
pub struct Said {
    /// Whether the client succeeded.
    pub is_well: bool,
    /// The result or the error; `null` for nothing.
    pub json: Value,
    /// What it complained of.
    pub stderr: String,
}

/// Has libcni perform a verb for an interface of a pod.
#[must_use]
pub fn perform(lab: &Lab, pod: &Pod<'_>, nic: &str, network: &Network, verb: &str) -> Said {
    let conf = lab.path(&format!("{}-{nic}.conflist", network.name));
    std::fs::write(&conf, network.list().to_string()).unwrap();
    let places = format!("{},{PLUGINS}", our_programs().display());
    let output = lab
        .node
        .command(&program().to_string_lossy())
        .args(["-plugin-dir", &places, "-ifname", nic, "-id", &pod.container])
        .args(["-netns", &pod.room.path()])
        .args(["-args", &arguments(pod.room.name(), &pod.container)])
        .arg("-conf")
        .arg(&conf)
        .arg("-cache")
        .arg(lab.path("libcni-cache"))
        .arg(verb)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let json = match stdout.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}")),
    };
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { is_well: output.status.success(), json, stderr }
}

/// The client, built once for each run.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../libcni");
        let program = our_programs().join("go/libcni-client");
        let output = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(module)
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=readonly")
            .output()
            .unwrap_or_else(|bad| panic!("`go` cannot be run ({bad}): install Go"));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the libcni client cannot be built: {complaint}");
        program
    })
}
