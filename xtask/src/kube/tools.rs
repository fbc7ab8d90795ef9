//! The programs of a control plane, built from the Go modules in `tests/kube-tools`.
//!
//! Owns which module gives which program, and the cache: `kubernetes-A-etcd-B/` for each pair of
//! versions, and `lock`, which whoever builds holds. `kube` calls it. Invariants:
//!
//! 1. A directory gets its name when it is whole, so what is there can be used
//!    (`what_is_not_whole_is_built`).
//! 2. The versions are those that go.mod requires, and the programs say so themselves
//!    (`versions_are_read_from_go_mod`, `the_server_is_told_its_version`).

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Settings, Version};
use crate::call::{Call, Fault};
use crate::prerequisites;
use crate::steps::progress;
use crate::workspace::Workspace;

/// Where the modules are, from the root of the workspace.
const MODULES: &str = "tests/kube-tools";

/// The package of Kubernetes' module that its programs' version is in.
const STAMP: &str = "k8s.io/component-base/version";

/// The programs of etcd's module, and their packages.
const ETCD: [(&str, &str); 2] =
    [("etcd", "go.etcd.io/etcd/server/v3"), ("etcdutl", "go.etcd.io/etcd/etcdutl/v3")];

/// Gives the directory of the programs of that version, built if the cache does not hold them.
///
/// # Errors
/// When there is no Go or one that is too old, or the modules cannot be downloaded or built.
pub(crate) fn provide(
    workspace: &Workspace,
    settings: &Settings,
    version: Version,
) -> Result<PathBuf, Fault> {
    let modules = workspace.root.join(MODULES);
    let plan = Plan::read(&modules, version)?;
    let home = home(settings)?;
    let place = home.join(plan.name());
    if place.is_dir() {
        return Ok(place);
    }
    prerequisites::go(&plan.kubernetes.directory).map_err(Fault::Wrong)?;
    prerequisites::go(&plan.etcd.directory).map_err(Fault::Wrong)?;
    let _lock = lock(&home)?;
    complete(&place, |part| plan.build(part))?;
    Ok(place)
}

/// Makes a directory by work in another one beside it, unless it is there.
fn complete(place: &Path, work: impl FnOnce(&Path) -> Result<(), Fault>) -> Result<(), Fault> {
    if place.is_dir() {
        return Ok(());
    }
    let mut part = place.as_os_str().to_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    if part.exists() {
        std::fs::remove_dir_all(&part).map_err(Fault::file("delete", &part))?;
    }
    std::fs::create_dir_all(&part).map_err(Fault::file("create", &part))?;
    work(&part)?;
    std::fs::rename(&part, place).map_err(Fault::file("rename", &part))
}

/// A Go module, and the version of what it is there for.
#[derive(Debug, PartialEq, Eq)]
struct Module {
    directory: PathBuf,
    /// Without its `v`: `1.36.3`.
    version: String,
}

impl Module {
    fn read(directory: PathBuf, required: &str) -> Result<Self, Fault> {
        let path = directory.join("go.mod");
        let text = std::fs::read_to_string(&path).map_err(Fault::file("read", &path))?;
        let missing = || Fault::Wrong(format!("{} does not require {required}", path.display()));
        let version = required_version(&text, required).ok_or_else(missing)?.to_owned();
        Ok(Self { directory, version })
    }

    /// Builds what `packages` names, `tool` being all tools of the module, into a file or directory.
    fn build(&self, into: &Path, flags: &str, packages: &str) -> Result<(), Fault> {
        let call = Call::new("go").args(["build", "-trimpath", "-ldflags", flags, "-o"]);
        call.arg(into)
            .arg(packages)
            .dir(&self.directory)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .env("GOTOOLCHAIN", "local")
            .run()
    }
}

/// Gives the version, without its `v`, that a go.mod requires of a module.
fn required_version<'t>(text: &'t str, module: &str) -> Option<&'t str> {
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("require "));
    let mut found = lines.filter_map(|line| line.strip_prefix(module)?.strip_prefix(" v"));
    found.next()?.split_whitespace().next()
}

/// What is to be built.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    kubernetes: Module,
    etcd: Module,
}

impl Plan {
    fn read(modules: &Path, version: Version) -> Result<Self, Fault> {
        let kubernetes = Module::read(modules.join(version.name()), "k8s.io/kubernetes")?;
        let etcd = Module::read(modules.join("etcd"), "go.etcd.io/etcd/server/v3")?;
        Ok(Self { kubernetes, etcd })
    }

    fn name(&self) -> String {
        format!("kubernetes-{}-etcd-{}", self.kubernetes.version, self.etcd.version)
    }

    fn build(&self, into: &Path) -> Result<(), Fault> {
        progress("kube", &format!("building {}: some minutes, once", self.name()));
        for (program, package) in ETCD {
            self.etcd.build(&into.join(program), "-s -w", package)?;
        }
        // With a slash at its end it is a directory to Go, and each program gets its own name.
        self.kubernetes.build(&into.join(""), &stamped(&self.kubernetes.version), "tool")?;
        progress("kube", &format!("built {}", self.name()));
        Ok(())
    }
}

/// Gives the linker's flags by which a program of Kubernetes knows its version: `go build` alone leaves
/// it at `v0.0.0`.
fn stamped(version: &str) -> String {
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    format!(
        "-s -w -X {STAMP}.gitVersion=v{version} -X {STAMP}.gitMajor={major} \
         -X {STAMP}.gitMinor={minor} -X {STAMP}.gitTreeState=clean"
    )
}

/// Gives the directory of the cache.
fn home(settings: &Settings) -> Result<PathBuf, Fault> {
    if let Some(home) = &settings.cache {
        return Ok(home.clone());
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let caches = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let caches = caches.or_else(|| Some(variable("HOME")?.join(".cache")));
    let unknown = "neither XDG_CACHE_HOME nor HOME is set: say --cache DIRECTORY".to_owned();
    Ok(caches.ok_or(Fault::Wrong(unknown))?.join("spiderpool-kube"))
}

/// Waits until nobody else builds, and keeps others from it as long as the file is open.
fn lock(home: &Path) -> Result<File, Fault> {
    std::fs::create_dir_all(home).map_err(Fault::file("create", home))?;
    let path = home.join("lock");
    let file = File::create(&path).map_err(Fault::file("create", &path))?;
    file.lock().map_err(Fault::file("lock", &path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_go_mod() {
        let text = "module m\n\nrequire k8s.io/kubernetes v1.36.3\n\nrequire (\n\
                    \tgo.etcd.io/etcd/server/v3 v3.6.16 // indirect\n)\n";
        assert_eq!(required_version(text, "k8s.io/kubernetes"), Some("1.36.3"));
        assert_eq!(required_version(text, "go.etcd.io/etcd/server/v3"), Some("3.6.16"));
        assert_eq!(required_version(text, "k8s.io/kube"), None);
        let modules = Workspace::open().unwrap().root.join(MODULES);
        let minor = |version| Plan::read(&modules, version).unwrap().kubernetes.version;
        assert!(minor(Version::Oldest).starts_with("1.32."), "the oldest supported Kubernetes");
        assert!(minor(Version::Newest) > minor(Version::Oldest));
    }

    #[test]
    fn the_server_is_told_its_version() {
        let flags = stamped("1.36.3");
        for flag in ["version.gitVersion=v1.36.3 ", "version.gitMajor=1 ", "version.gitMinor=36 "] {
            assert!(flags.contains(flag), "{flags}");
        }
    }

    #[test]
    fn what_is_not_whole_is_built() {
        let cache = tempfile::tempdir().unwrap();
        let place = cache.path().join("kubernetes-1");
        let broken = complete(&place, |part| {
            std::fs::write(part.join("half"), "").unwrap();
            Err(Fault::Wrong("no network".to_owned()))
        });
        assert!(broken.is_err() && !place.exists());
        let write = |part: &Path| {
            assert!(!part.join("half").exists());
            std::fs::write(part.join("etcd"), "").map_err(Fault::file("write", part))
        };
        complete(&place, write).unwrap();
        assert!(place.join("etcd").is_file());
        complete(&place, |_| Err(Fault::Wrong("built twice".to_owned()))).unwrap();
    }
}
