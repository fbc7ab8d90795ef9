//! What a VM is made of, out of Debian's packages.
//!
//! Owns the choice of packages and their unpacking. `vm` calls it. Nothing is installed: packages are
//! downloaded and unpacked below the cache, so neither root nor a particular system is needed, only
//! apt's package lists. Invariant: what apt-get and apt-cache print is read strictly: a line that is
//! not understood names no package (`packages_are_read_from_what_apt_prints`).

use std::path::Path;

use super::kit::{Cache, Kit};
use super::{Settings, unpack};
use crate::call::{Call, Fault};
use crate::prerequisites;
use crate::steps::progress;

/// The emulator's package; what it needs beside it depends on what is installed.
const QEMU: &str = "qemu-system-x86";

/// Brings the cache up to date and gives what it holds for the kernel of the settings.
///
/// # Errors
/// When no package list knows the kernel and the cache does not hold it either, or a package cannot be
/// downloaded or unpacked.
pub(crate) fn fetch(settings: &Settings) -> Result<Kit, Fault> {
    let cache = Cache::open(settings)?;
    let packages = settings.kernels();
    let _lock = cache.lock()?;
    let Some((package, kernel)) = newest(&packages)? else {
        let unknown = || {
            let packages = packages.join(" nor ");
            Fault::Wrong(format!("apt knows no package {packages}: run `apt-get update`"))
        };
        return cache.find(&packages).ok_or_else(unknown);
    };
    let kit = cache.place(&kernel);
    if !kit.is_whole() {
        download(&cache, &kit)?;
    }
    cache.remember(&package, &kit)?;
    Ok(kit)
}

/// Gives the first package that apt knows, and the version of the kernel that it leads to.
fn newest(packages: &[String]) -> Result<Option<(String, String)>, Fault> {
    let known = || -> Result<_, Fault> {
        for package in packages {
            let (_, listing, _) = Call::new("apt-cache").args(["depends", package]).capture()?;
            let version = |name: &str| Some(name.strip_prefix("linux-image-")?.to_owned());
            let version = depends(&listing).into_iter().find_map(|name| version(&name));
            if let Some(version) = version {
                return Ok(Some((package.clone(), version)));
            }
        }
        Ok(None)
    };
    match known()? {
        None if prerequisites::is_root() => {
            apt().args(["update", "--quiet"]).run()?;
            known()
        }
        found => Ok(found),
    }
}

fn apt() -> Call {
    // The user that apt-get would become cannot write to the cache.
    Call::new("apt-get").args(["--option", "APT::Sandbox::User=root"])
}

fn download(cache: &Cache, kit: &Kit) -> Result<(), Fault> {
    let packages = packages(&kit.kernel)?;
    progress("vm", &format!("downloading {} packages for {}", packages.len(), kit.kernel));
    let part = cache.place("part");
    if part.home.exists() {
        std::fs::remove_dir_all(&part.home).map_err(Fault::file("delete", &part.home))?;
    }
    let archives = part.home.join("archives");
    std::fs::create_dir_all(&archives).map_err(Fault::file("create", &archives))?;
    apt().args(["download", "--quiet"]).args(packages).dir(&archives).output()?;
    for entry in std::fs::read_dir(&archives).map_err(Fault::file("read", &archives))? {
        let entry = entry.map_err(Fault::file("read", &archives))?;
        Call::new("dpkg").arg("--extract").arg(entry.path()).arg(part.root()).output()?;
    }
    std::fs::remove_dir_all(&archives).map_err(Fault::file("delete", &archives))?;
    let unpacked = Kit { kernel: kit.kernel.clone(), ..part };
    let image = unpacked.root().join("boot").join(format!("vmlinuz-{}", kit.kernel));
    unpack::kernel(&image, &unpacked.vmlinux())?;
    relocate(&unpacked.headers().join("Makefile"), &kit.root())?;
    if kit.home.exists() {
        std::fs::remove_dir_all(&kit.home).map_err(Fault::file("delete", &kit.home))?;
    }
    std::fs::rename(&unpacked.home, &kit.home).map_err(Fault::file("rename", &kit.home))
}

/// Lets the headers' Makefile find the headers that all flavours share where they are to be.
fn relocate(makefile: &Path, root: &Path) -> Result<(), Fault> {
    let text = std::fs::read_to_string(makefile).map_err(Fault::file("read", makefile))?;
    let text = text.replace("include /usr/src/", &format!("include {}/usr/src/", root.display()));
    std::fs::write(makefile, text).map_err(Fault::file("write", makefile))
}

/// Gives the packages of that kernel, its headers, busybox, and what of QEMU is not installed.
fn packages(kernel: &str) -> Result<Vec<String>, Fault> {
    let headers = format!("linux-headers-{kernel}");
    let listing = Call::new("apt-cache").args(["depends", &headers]).output()?;
    let is_part = |name: &String| {
        ["linux-headers-", "linux-kbuild-", "linux-compiler-"]
            .iter()
            .any(|part| name.starts_with(part))
    };
    let mut packages = vec![format!("linux-image-{kernel}"), headers, "busybox-static".to_owned()];
    packages.extend(depends(&listing).into_iter().filter(is_part));
    let simulated = Call::new("apt-get")
        .args(["install", "--simulate", "--no-install-recommends", QEMU])
        .output()?;
    packages.extend(installs(&simulated));
    packages.sort();
    packages.dedup();
    Ok(packages)
}

/// Gives the packages that `apt-cache depends` names as dependencies without an alternative.
fn depends(listing: &str) -> Vec<String> {
    let name = |line: &str| Some(line.trim_start().strip_prefix("Depends: ")?.trim().to_owned());
    listing.lines().filter_map(name).filter(|name| !name.starts_with('<')).collect()
}

/// Gives the packages that a simulated `apt-get install` would install.
fn installs(simulated: &str) -> Vec<String> {
    let name = |line: &str| Some(line.strip_prefix("Inst ")?.split(' ').next()?.to_owned());
    simulated.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_what_apt_prints() {
        let listing = "linux-image-amd64\n  Depends: linux-image-6.1.0-1-amd64\n\
                       \x20|Depends: linux-a\n  Depends: <virtual>\n  Recommends: firmware\n";
        assert_eq!(depends(listing), ["linux-image-6.1.0-1-amd64"]);
        let simulated = "Reading package lists...\nInst liba [1] (2 Debian:12 [amd64])\n\
                         Inst qemu (7.2 Debian:12)\nConf liba (2 Debian:12)\n";
        assert_eq!(installs(simulated), ["liba", "qemu"]);
    }
}
