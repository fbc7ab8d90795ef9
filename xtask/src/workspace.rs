//! The workspace as cargo describes it.
//!
//! Owns the answer to "where is the tree, what are its members, where do binaries go". Every command
//! reads it. It asks `cargo metadata --no-deps`, which resolves nothing and needs no network.
//! Invariant: a member's manifest path is relative to the root
//! (`members_and_their_dependencies_are_read`).

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::call::{Call, Fault};

/// What is built of members whose features no other member asks for.
pub(crate) const FEATURES: [&str; 2] = ["--features", "spiderpool-kube/crd"];

/// The tree and its members.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The directory of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// The members, in cargo's order.
    pub(crate) members: Vec<Member>,
}

/// One package of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// The package's name.
    pub(crate) name: String,
    /// Its Cargo.toml, relative to the root.
    pub(crate) manifest: PathBuf,
    /// What it depends on, for building, running or testing.
    pub(crate) dependencies: Vec<Dependency>,
    /// The names of its binaries.
    pub(crate) binaries: Vec<String>,
    /// The names of its integration tests.
    pub(crate) tests: Vec<String>,
    /// What its manifest says to other tools: `package.metadata`.
    pub(crate) metadata: Value,
}

/// One dependency of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The package that is depended on.
    pub(crate) name: String,
    /// Whether it is a normal dependency: neither `dev` nor `build`.
    pub(crate) normal: bool,
}

impl Workspace {
    /// Gives the workspace that this crate belongs to.
    ///
    /// # Errors
    /// When cargo cannot describe it.
    pub(crate) fn open() -> Result<Self, Fault> {
        // Asked at run time: checkouts that share a target directory share this binary, too.
        let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = here.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        Self::at(&here.parent().unwrap_or(&here).join("Cargo.toml"))
    }

    /// Gives the workspace of the manifest.
    ///
    /// # Errors
    /// When cargo cannot describe it.
    pub(crate) fn at(manifest: &Path) -> Result<Self, Fault> {
        let call = Call::cargo()
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(manifest);
        let text = call.output()?;
        let unexpected = |reason: String| Fault::Reply { command: call.line(), reason };
        let metadata: Value =
            serde_json::from_str(&text).map_err(|error| unexpected(error.to_string()))?;
        lift(&metadata).ok_or_else(|| unexpected("a field is missing".to_owned()))
    }

    /// Gives the member of that name.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Gives the path of a binary that a debug build of the workspace makes.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Gives the paths, relative to the root, of every file that is tracked or about to be: what
    /// `.gitignore` does not leave out.
    ///
    /// # Errors
    /// When git cannot list them.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, Fault> {
        let list = Call::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
            .dir(&self.root)
            .output()?;
        let mut files: Vec<PathBuf> =
            list.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        files.retain(|path| self.root.join(path).is_file());
        files.sort();
        Ok(files)
    }
}

impl Member {
    /// Gives what the manifest says of a test binary in `[package.metadata.TIER.TEST]`: a list of texts.
    pub(crate) fn wishes(&self, tier: &str, test: &str, name: &str) -> Vec<String> {
        let list =
            self.metadata.pointer(&format!("/{tier}/{test}/{name}")).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }
}

fn lift(metadata: &Value) -> Option<Workspace> {
    let root = PathBuf::from(metadata.get("workspace_root")?.as_str()?);
    let target = PathBuf::from(metadata.get("target_directory")?.as_str()?);
    let packages = metadata.get("packages")?.as_array()?;
    let members =
        packages.iter().map(|package| lift_member(&root, package)).collect::<Option<_>>()?;
    Some(Workspace { root, target, members })
}

fn lift_member(root: &Path, package: &Value) -> Option<Member> {
    let manifest = Path::new(package.get("manifest_path")?.as_str()?);
    let dependencies = package.get("dependencies")?.as_array()?;
    let targets = package.get("targets")?.as_array()?;
    Some(Member {
        name: package.get("name")?.as_str()?.to_owned(),
        manifest: manifest.strip_prefix(root).unwrap_or(manifest).to_path_buf(),
        dependencies: dependencies.iter().map(lift_dependency).collect::<Option<_>>()?,
        binaries: targets.iter().filter_map(|target| lift_target(target, "bin")).collect(),
        tests: targets.iter().filter_map(|target| lift_target(target, "test")).collect(),
        metadata: package.get("metadata").cloned().unwrap_or_default(),
    })
}

fn lift_dependency(dependency: &Value) -> Option<Dependency> {
    Some(Dependency {
        name: dependency.get("name")?.as_str()?.to_owned(),
        normal: dependency.get("kind")?.is_null(),
    })
}

/// Gives the target's name when it is of that kind.
fn lift_target(target: &Value, kind: &str) -> Option<String> {
    let kinds = target.get("kind")?.as_array()?;
    if !kinds.iter().any(|other| other.as_str() == Some(kind)) {
        return None;
    }
    Some(target.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_and_their_dependencies_are_read() {
        let metadata = json!({
            "workspace_root": "/w", "target_directory": "/t",
            "packages": [{
                "name": "a", "manifest_path": "/w/a/Cargo.toml",
                "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}],
                "targets": [
                    {"name": "a", "kind": ["lib"]}, {"name": "run", "kind": ["bin"]},
                    {"name": "host", "kind": ["test"]},
                ],
                "metadata": {"vm": 1},
            }],
        });
        let workspace = lift(&metadata).unwrap();
        let normal = |name: &str, normal| Dependency { name: name.to_owned(), normal };
        let expected = Member {
            name: "a".to_owned(),
            manifest: PathBuf::from("a/Cargo.toml"),
            dependencies: vec![normal("b", true), normal("c", false)],
            binaries: vec!["run".to_owned()],
            tests: vec!["host".to_owned()],
            metadata: json!({"vm": 1}),
        };
        assert_eq!(workspace.members, [expected]);
        assert_eq!(workspace.binary("run"), Path::new("/t/debug/run"));
    }

    #[test]
    fn the_manifest_says_what_a_binary_finds() {
        let metadata = json!({"vm": {"vm": {"modules": ["ib_core netns_mode=0"]}}});
        let member = Member { metadata, ..Member::default() };
        assert_eq!(member.wishes("vm", "vm", "modules"), ["ib_core netns_mode=0"]);
        assert!(member.wishes("vm", "vm", "files").is_empty());
        assert!(member.wishes("vm", "vm_shared", "modules").is_empty());
        assert!(member.wishes("kube", "vm", "modules").is_empty());
    }

    #[test]
    fn a_description_without_packages_is_not_a_workspace() {
        assert!(lift(&json!({"workspace_root": "/w", "target_directory": "/t"})).is_none());
    }

    #[test]
    fn this_crate_is_a_member_of_its_workspace() {
        let workspace = Workspace::open().unwrap();
        let member = workspace.member("xtask").unwrap();
        assert_eq!(member.manifest, Path::new("xtask/Cargo.toml"));
        assert!(workspace.files().unwrap().contains(&PathBuf::from("xtask/src/main.rs")));
    }
}
