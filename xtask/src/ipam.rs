//! The address management that real clients are tried with: ours, or host-local.
//!
//! Owns the one description of the test networks in both dialects. The tiers `go client` and `podman`
//! use it. With host-local they show that the harness works without us. Invariant: both give every pod
//! one IPv4 and one IPv6 address of the network
//! that is asked for (`both_dialects_name_the_network`).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::call::{Call, Fault};
use crate::prerequisites::CNI_PLUGINS;
use crate::sandbox::Sandbox;
use crate::workspace::Workspace;

/// A test network and the beginnings of its addresses, a /24 and a /64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Net {
    /// Its name in CNI configurations; its pools are `NAME-v4` and `NAME-v6`.
    pub(crate) name: &'static str,
    /// How each of its IPv4 addresses begins.
    pub(crate) v4: &'static str,
    /// How each of its IPv6 addresses begins.
    pub(crate) v6: &'static str,
}

/// The network of every pod's first interface.
pub(crate) const FIRST: Net = Net { name: "sp-first", v4: "10.213.0.", v6: "fd00:213::" };

/// The network of a second interface.
pub(crate) const SECOND: Net = Net { name: "sp-second", v4: "10.214.0.", v6: "fd00:214::" };

impl Net {
    /// Gives the network's pools in the manifests that a cluster would take.
    fn pools(self) -> String {
        let Self { name, v4, v6 } = self;
        [("v4", v4, "24"), ("v6", v6, "64")]
            .map(|(family, prefix, length)| {
                let lines = [
                    "---".to_owned(),
                    "apiVersion: spiderpool.spidernet.io/v2beta1".to_owned(),
                    "kind: SpiderIPPool".to_owned(),
                    format!("metadata: {{name: {name}-{family}}}"),
                    "spec:".to_owned(),
                    format!("  subnet: {}/{length}", first_of(prefix)),
                    format!("  ips: [\"{prefix}10-{prefix}59\"]"),
                    format!("  gateway: \"{prefix}1\""),
                ];
                lines.join("\n") + "\n"
            })
            .concat()
    }

    /// Gives the `ipam` object in the dialect of the plugin.
    fn configuration(self, choice: Choice, state: &Path) -> Value {
        let Self { name, v4, v6 } = self;
        match choice {
            Choice::Spiderpool => json!({
                "type": "spiderpool",
                "store_path": state,
                "default_ipv4_ippool": [format!("{name}-v4")],
                "default_ipv6_ippool": [format!("{name}-v6")],
            }),
            Choice::HostLocal => json!({
                "type": "host-local",
                "dataDir": state,
                "ranges": [
                    [{"subnet": format!("{}/24", first_of(v4))}],
                    [{"subnet": format!("{}/64", first_of(v6))}],
                ],
            }),
        }
    }
}

/// Gives the first address that begins so: `10.0.0.` is completed, `fd00::` is an address.
fn first_of(prefix: &str) -> String {
    if prefix.ends_with('.') { format!("{prefix}0") } else { prefix.to_owned() }
}

/// Which address management.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// The plugin of this workspace.
    Spiderpool,
    /// The plugin of the CNI project, to try the harness alone.
    HostLocal,
}

/// An address management with its state in a sandbox.
#[derive(Debug)]
pub(crate) struct Ipam<'a> {
    choice: Choice,
    sandbox: &'a Sandbox,
    state: PathBuf,
    /// Where the plugin's binary is.
    pub(crate) directory: PathBuf,
    control: PathBuf,
}

impl<'a> Ipam<'a> {
    /// Builds what is needed and fills an empty state with the test networks' pools.
    ///
    /// # Errors
    /// When a build or `spiderpoolctl apply` fails.
    pub(crate) fn prepare(
        workspace: &Workspace,
        choice: Choice,
        sandbox: &'a Sandbox,
    ) -> Result<Self, Fault> {
        let state = sandbox.directory("ipam")?;
        let binaries = workspace.target.join("debug");
        let directory = match choice {
            Choice::Spiderpool => binaries,
            Choice::HostLocal => PathBuf::from(CNI_PLUGINS),
        };
        let control = workspace.binary("spiderpoolctl");
        let ipam = Self { choice, sandbox, state, directory, control };
        if choice == Choice::Spiderpool {
            let names = ["spiderpool-plugin", "spiderpool-coordinator", "spiderpoolctl"];
            let packages = names.iter().flat_map(|name| ["--package", name]);
            Call::cargo().args(["build", "--bins"]).args(packages).dir(&workspace.root).run()?;
            let pools = sandbox.file("pools.yaml", &[FIRST, SECOND].map(Net::pools).concat())?;
            ipam.control().args(["apply", "-f"]).arg(pools).output()?;
        }
        Ok(ipam)
    }

    /// Gives the plugin's name.
    pub(crate) fn plugin(&self) -> &'static str {
        match self.choice {
            Choice::Spiderpool => "spiderpool",
            Choice::HostLocal => "host-local",
        }
    }

    /// Gives the `ipam` object of a CNI configuration for the network.
    pub(crate) fn configuration(&self, net: Net) -> Value {
        net.configuration(self.choice, &self.state)
    }

    /// Gives a description of each address that is allocated.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(crate) fn allocated(&self) -> Result<Vec<String>, Fault> {
        match self.choice {
            Choice::Spiderpool => self.listed(),
            Choice::HostLocal => {
                let records = [FIRST, SECOND].map(|net| recorded(&self.state.join(net.name)));
                Ok(records.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }

    /// Fails unless exactly so many addresses are allocated.
    ///
    /// # Errors
    /// Names the addresses that are.
    pub(crate) fn expect_allocated(&self, count: usize) -> Result<(), Fault> {
        let found = self.allocated()?;
        if found.len() == count {
            return Ok(());
        }
        let (number, list) = (found.len(), found.join(", "));
        Err(Fault::Wrong(format!("{count} allocated addresses expected, got {number}: {list}")))
    }

    fn control(&self) -> Call {
        self.sandbox.call(&self.control).arg("--store").arg(&self.state)
    }

    fn listed(&self) -> Result<Vec<String>, Fault> {
        let call = self.control().args(["ip", "list", "-o", "json"]);
        let text = call.output()?;
        let list: Result<Vec<Value>, _> = serde_json::from_str(&text);
        let unexpected = |error: serde_json::Error| Fault::Reply {
            command: call.line(),
            reason: error.to_string(),
        };
        Ok(list.map_err(unexpected)?.iter().map(Value::to_string).collect())
    }
}

/// Gives the addresses that host-local recorded: each is a file's name.
fn recorded(directory: &Path) -> Result<Vec<String>, Fault> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(directory).map_err(Fault::file("read", directory))?;
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(Fault::file("read", directory))?.file_name();
        let name = name.to_string_lossy().into_owned();
        if name.parse::<IpAddr>().is_ok() {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_name_the_network() {
        let pools = FIRST.pools();
        for line in ["name: sp-first-v6}", "subnet: fd00:213::/64", "\"10.213.0.10-10.213.0.59\""] {
            assert!(pools.contains(line), "{line} in {pools}");
        }
        let local = FIRST.configuration(Choice::HostLocal, Path::new("/s")).to_string();
        let ours = FIRST.configuration(Choice::Spiderpool, Path::new("/s")).to_string();
        assert!(local.contains("10.213.0.0/24") && local.contains("fd00:213::/64"), "{local}");
        assert!(ours.contains("sp-first-v4") && ours.contains("sp-first-v6"), "{ours}");
    }

    #[test]
    fn host_locals_records_are_read() {
        let home = tempfile::tempdir().unwrap();
        for name in ["10.213.0.2", "fd00:213::2", "lock", "last_reserved_ip.0"] {
            std::fs::write(home.path().join(name), "").unwrap();
        }
        assert_eq!(recorded(home.path()).unwrap(), ["10.213.0.2", "fd00:213::2"]);
        assert_eq!(recorded(&home.path().join("none")).unwrap(), Vec::<String>::new());
    }
}
