//! Who may depend on whom.
//!
//! Owns the layering of the workspace as data. `tidy` calls it with what cargo says of the members.
//! Invariants, each with the test that shows it kept:
//!
//! 1. The core depends on no member and on little else (`the_core_stands_alone`).
//! 2. Netlink and Kubernetes do not know each other (`netlink_and_kubernetes_are_strangers`).
//! 3. The store knows the core only (`the_store_knows_the_core`).
//! 4. Nothing that is published rests on an adapter (`adapters_carry_nothing`).
//! 5. The CNI plugins start fast: no runtime, client or argument parser in their whole trees
//!    (`the_plugins_stay_small`).

use std::path::Path;

use super::Finding;
use crate::call::{Call, Fault};
use crate::workspace::{Dependency, Member, Workspace};

const CORE: &str = "spiderpool-core";
const STORE: &str = "spiderpool-store";
const NETLINK: &str = "spiderpool-netlink";
const KUBERNETES: &str = "spiderpool-kube";
/// The CNI plugins, which a runtime starts for every pod.
const PLUGINS: [&str; 4] =
    ["spiderpool-plugin", "spiderpool-coordinator", "spiderpool-ifacer", "spiderpool-rdma"];

/// What the core may use at run time, beside the standard library.
const CORE_MAY_USE: [&str; 3] = ["ipnet", "serde", "thiserror"];

/// Directories whose packages may use the adapters.
const ABOVE_ADAPTERS: [&str; 6] = ["adapters", "examples", "benches", "tests", "xtask", "fuzz"];

/// What a CNI plugin must not reach; crates of the same family (`tokio-util`) neither.
const PLUGIN_MUST_NOT_REACH: [&str; 3] = ["tokio", "kube", "clap"];

/// Finds dependencies that break the layering.
///
/// # Errors
/// When cargo cannot list a plugin's tree or a manifest cannot be read.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>, Fault> {
    let mut breaches = member_breaches(&workspace.members);
    for plugin in PLUGINS.iter().filter_map(|name| workspace.member(name)) {
        let tree = Call::cargo()
            .args(["tree", "--package", &plugin.name, "--edges", "normal", "--prefix", "none"])
            .dir(&workspace.root)
            .output()?;
        breaches.extend(plugin_breaches(plugin, &tree));
    }
    breaches.into_iter().map(|breach| breach.locate(&workspace.root)).collect()
}

/// A dependency that must not be.
#[derive(Debug)]
struct Breach<'a> {
    member: &'a Member,
    dependency: String,
    what: String,
    remedy: &'static str,
}

impl Breach<'_> {
    /// Gives the finding, at the line of the manifest that names the dependency.
    fn locate(self, root: &Path) -> Result<Finding, Fault> {
        let whole = root.join(&self.member.manifest);
        let text = std::fs::read_to_string(&whole).map_err(Fault::file("read", &whole))?;
        let line = line_of(&text, &self.dependency);
        Ok(Finding::error(&self.member.manifest, line, self.what, self.remedy))
    }
}

fn line_of(manifest: &str, dependency: &str) -> usize {
    let names = |line: &str| {
        line.strip_prefix(dependency).is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names).map_or(1, |index| index + 1)
}

fn member_breaches(members: &[Member]) -> Vec<Breach<'_>> {
    let mut breaches: Vec<Breach<'_>> = Vec::new();
    for member in members {
        for dependency in &member.dependencies {
            let known = members.iter().find(|other| other.name == dependency.name);
            let Some((what, remedy)) = verdict(member, dependency, known) else { continue };
            let dependency = dependency.name.clone();
            breaches.push(Breach { member, dependency, what, remedy });
        }
    }
    breaches
}

/// Says what is wrong with one dependency, and what to do. `known` is the member depended on, if it is
/// one.
fn verdict(
    member: &Member,
    dependency: &Dependency,
    known: Option<&Member>,
) -> Option<(String, &'static str)> {
    let (from, to) = (member.name.as_str(), dependency.name.as_str());
    let breach = |remedy| Some((format!("{from} depends on {to}"), remedy));
    if known.is_none() {
        let listed = from != CORE || !dependency.normal || CORE_MAY_USE.contains(&to);
        return if listed {
            None
        } else {
            breach("the core uses ipnet, serde and thiserror only: do without, or argue for it")
        };
    }
    if from == CORE {
        return breach("the core knows no other crate of the workspace: turn the dependency round");
    }
    if from == STORE && to != CORE {
        return breach("the store knows the core only: let an adapter join the two");
    }
    if matches!((from, to), (NETLINK, KUBERNETES) | (KUBERNETES, NETLINK)) {
        return breach("the two do not know each other: let an adapter join them");
    }
    let is_adapter = known.is_some_and(|other| other.manifest.starts_with("adapters"));
    if is_adapter && !ABOVE_ADAPTERS.iter().any(|above| member.manifest.starts_with(above)) {
        return breach("libraries do not rest on adapters: move what is shared into a library");
    }
    None
}

fn plugin_breaches<'a>(plugin: &'a Member, tree: &str) -> Vec<Breach<'a>> {
    let mut reached: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|package| PLUGIN_MUST_NOT_REACH.iter().any(|family| is_of(package, family)))
        .collect();
    reached.sort_unstable();
    reached.dedup();
    let breach = |package: &str| Breach {
        member: plugin,
        dependency: package.to_owned(),
        what: format!("the CNI plugin {} reaches {package}", plugin.name),
        remedy: "see `cargo tree -p PLUGIN -e normal -i PACKAGE` and cut the path",
    };
    reached.into_iter().map(breach).collect()
}

/// Whether a package is the family's head or one of its members: `tokio`, `tokio-util`, `clap_lex`.
fn is_of(package: &str, family: &str) -> bool {
    package.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn member(name: &str, manifest: &str, dependencies: &[&str]) -> Member {
        let normal = |name: &&str| Dependency { name: (*name).to_owned(), normal: true };
        Member {
            name: name.to_owned(),
            manifest: PathBuf::from(manifest),
            dependencies: dependencies.iter().map(normal).collect(),
            ..Member::default()
        }
    }

    /// The breaches in a workspace of the usual members, the first of which is replaced.
    fn breaches(replaced: Member) -> Vec<String> {
        let mut members = vec![
            member(CORE, "spiderpool-core/Cargo.toml", &["ipnet"]),
            member(STORE, "spiderpool-store/Cargo.toml", &[CORE, "rusqlite"]),
            member(NETLINK, "spiderpool-netlink/Cargo.toml", &[CORE]),
            member(KUBERNETES, "spiderpool-kube/Cargo.toml", &[CORE]),
            member("spiderpool-cni", "adapters/cni/Cargo.toml", &[CORE, STORE]),
            member("xtask", "xtask/Cargo.toml", &["spiderpool-cni"]),
        ];
        members.retain(|member| member.name != replaced.name);
        members.push(replaced);
        member_breaches(&members).into_iter().map(|breach| breach.what).collect()
    }

    #[test]
    fn the_core_stands_alone() {
        let core = |dependencies: &[&str]| {
            breaches(member(CORE, "spiderpool-core/Cargo.toml", dependencies))
        };
        assert!(core(&["ipnet", "serde", "thiserror"]).is_empty());
        assert_eq!(core(&["tokio"]), ["spiderpool-core depends on tokio"]);
        assert_eq!(core(&[STORE]), ["spiderpool-core depends on spiderpool-store"]);
        let mut testing = member(CORE, "spiderpool-core/Cargo.toml", &["proptest"]);
        testing.dependencies[0].normal = false;
        assert!(breaches(testing).is_empty());
    }

    #[test]
    fn netlink_and_kubernetes_are_strangers() {
        let netlink = member(NETLINK, "spiderpool-netlink/Cargo.toml", &[KUBERNETES]);
        assert_eq!(breaches(netlink), ["spiderpool-netlink depends on spiderpool-kube"]);
        let kubernetes = member(KUBERNETES, "spiderpool-kube/Cargo.toml", &[NETLINK]);
        assert_eq!(breaches(kubernetes), ["spiderpool-kube depends on spiderpool-netlink"]);
    }

    #[test]
    fn the_store_knows_the_core() {
        let store = member(STORE, "spiderpool-store/Cargo.toml", &[CORE, NETLINK, "tempfile"]);
        assert_eq!(breaches(store), ["spiderpool-store depends on spiderpool-netlink"]);
    }

    #[test]
    fn adapters_carry_nothing() {
        let library = member("spiderpool-sim", "spiderpool-sim/Cargo.toml", &["spiderpool-cni"]);
        assert_eq!(breaches(library), ["spiderpool-sim depends on spiderpool-cni"]);
        let bench = member("spiderpool-benches", "benches/Cargo.toml", &["spiderpool-cni"]);
        assert!(breaches(bench).is_empty());
    }

    #[test]
    fn the_plugins_stay_small() {
        let plugin = member(PLUGINS[0], "adapters/spiderpool/Cargo.toml", &[]);
        let tree = "spiderpool-plugin v0.1.0 (/x)\nserde v1.0.1\ntokio-util v0.7.0\ntokio v1.5.0 (*)\n\
                    kubelike v1.0.0\ntokio v1.5.0\n";
        let what: Vec<String> =
            plugin_breaches(&plugin, tree).into_iter().map(|breach| breach.what).collect();
        let expected = ["tokio", "tokio-util"]
            .map(|package| format!("the CNI plugin spiderpool-plugin reaches {package}"));
        assert_eq!(what, expected);
    }

    #[test]
    fn a_breach_is_found_in_the_manifest() {
        let manifest = "[dependencies]\nserde_json = \"1\"\nserde.workspace = true\n";
        assert_eq!(line_of(manifest, "serde"), 3);
        assert_eq!(line_of(manifest, "tokio"), 1);
    }
}
