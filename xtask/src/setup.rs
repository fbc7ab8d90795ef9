//! `cargo xtask setup`: installs what the tests need.
//!
//! Owns the list of Debian packages and the sign by which each is known to be there. Developers call
//! it, and `ci`. It says what it does, does it only as root, and does nothing when nothing is missing.

use std::path::Path;

use crate::call::{Call, Fault};
use crate::prerequisites::{self, BUSYBOX, CNI_PLUGINS};
use crate::steps::progress;
use crate::workspace::Workspace;

/// A Debian package and how to see that it is there.
struct Package {
    name: &'static str,
    purpose: &'static str,
    is_there: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    package("iproute2", "network namespaces and links", || has("ip")),
    package("iputils-ping", "reachability between pods", || has("ping")),
    package("util-linux", "namespaces of the runtimes under test", || has("nsenter")),
    package("nftables", "packet filter of the bridge plugin", || has("nft")),
    package("iptables", "packet filter of podman's plugins", || has("iptables")),
    package("containernetworking-plugins", "macvlan, bridge, ptp, host-local", has_plugins),
    package("podman", "a real CNI client", || has("podman")),
    package("runc", "podman's OCI runtime", || has("runc")),
    package("busybox-static", "the image of the test containers", has_busybox),
    package("strace", "recorded writes of the crash tests", || has("strace")),
    package("g++", "libFuzzer", || has("g++")),
    package("make", "kernel modules of the test VM", || has("make")),
    package("xz-utils", "the test VM's kernel", || has("xz")),
    package("golang-go", "the client on libcni, and Kubernetes", || has("go")),
];

const fn package(name: &'static str, purpose: &'static str, is_there: fn() -> bool) -> Package {
    Package { name, purpose, is_there }
}

fn has(program: &str) -> bool {
    prerequisites::find(program).is_some()
}

fn has_plugins() -> bool {
    Path::new(CNI_PLUGINS).join("host-local").is_file()
}

fn has_busybox() -> bool {
    prerequisites::is_static(Path::new(BUSYBOX))
}

/// Installs the packages that are missing; `false` when some are and this process is not root.
///
/// # Errors
/// When apt-get fails.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, Fault> {
    let is_well = provide(PACKAGES.iter())?;
    for (tier, module) in [("go client", "tests/libcni"), ("kube", "tests/kube-tools/newest")] {
        if let Err(reason) = prerequisites::go(&workspace.root.join(module)) {
            progress("setup", &format!("the tier `{tier}` will be skipped: {reason}"));
        }
    }
    Ok(is_well)
}

/// Installs those of the named packages that are missing, without a word when none is; `false` when
/// some are and this process is not root.
///
/// # Errors
/// When apt-get fails.
pub(crate) fn ensure(names: &[&str]) -> Result<bool, Fault> {
    let is_wanted = |package: &&Package| names.contains(&package.name);
    if PACKAGES.iter().filter(is_wanted).all(|package| (package.is_there)()) {
        return Ok(true);
    }
    provide(PACKAGES.iter().filter(is_wanted))
}

fn provide<'a>(wanted: impl Iterator<Item = &'a Package>) -> Result<bool, Fault> {
    let missing: Vec<&Package> = wanted.filter(|package| !(package.is_there)()).collect();
    for package in &missing {
        progress("setup", &format!("{} is missing ({})", package.name, package.purpose));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    match names.as_slice() {
        [] => {
            progress("setup", "nothing is missing");
            Ok(true)
        }
        names if prerequisites::is_root() => {
            install(names)?;
            Ok(true)
        }
        names => {
            let names = names.join(" ");
            progress("setup", &format!("not root; run: apt-get install --yes {names}"));
            Ok(false)
        }
    }
}

fn install(names: &[&str]) -> Result<(), Fault> {
    let apt = || Call::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    for call in [
        apt().args(["update", "--quiet"]),
        apt().args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(names),
    ] {
        progress("setup", &call.line());
        call.run()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_listed_once() {
        let mut names: Vec<&str> = PACKAGES.iter().map(|package| package.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PACKAGES.len());
    }
}
