//! What a VM is made of, in a cache outside the tree.
//!
//! Owns the cache's layout: `KERNEL/` for each kernel version with the unpacked packages (`root`) and
//! the uncompressed kernel (`vmlinux`); a file named after the package that was asked for, with the
//! version that it led to; and `lock`, which whoever writes holds. `fetch` fills it, the rest of `vm`
//! reads it. Invariant: a version's directory gets its name when it is whole, so what is there can be
//! used (`a_kit_is_found_when_it_is_whole`).

use std::fs::File;
use std::path::PathBuf;

use super::Settings;
use crate::call::{Call, Fault};
use crate::prerequisites;

/// The emulator, by its name in a `bin`.
const QEMU: &str = "qemu-system-x86_64";

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Its directory.
    pub(crate) home: PathBuf,
}

/// A kernel with all that it takes to boot it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kit {
    /// The kernel's version as `uname -r` gives it.
    pub(crate) kernel: String,
    /// The version's directory in the cache.
    pub(crate) home: PathBuf,
}

impl Cache {
    /// Gives the cache that the settings name, or the user's own.
    ///
    /// # Errors
    /// When neither the settings nor the environment say where.
    pub(crate) fn open(settings: &Settings) -> Result<Self, Fault> {
        if let Some(home) = &settings.cache {
            return Ok(Self { home: home.clone() });
        }
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        let caches = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        let caches = caches.or_else(|| Some(variable("HOME")?.join(".cache")));
        let unknown = "neither XDG_CACHE_HOME nor HOME is set: say --cache DIRECTORY".to_owned();
        let caches = caches.ok_or(Fault::Wrong(unknown))?;
        Ok(Self { home: caches.join("spiderpool-vm") })
    }

    /// Waits until nobody else writes, and keeps others from writing as long as the file is open.
    ///
    /// # Errors
    /// When the cache cannot be made or locked.
    pub(crate) fn lock(&self) -> Result<File, Fault> {
        std::fs::create_dir_all(&self.home).map_err(Fault::file("create", &self.home))?;
        let path = self.home.join("lock");
        let file = File::create(&path).map_err(Fault::file("create", &path))?;
        file.lock().map_err(Fault::file("lock", &path))?;
        Ok(file)
    }

    /// Gives the place of a kernel version, whether there is anything or not.
    pub(crate) fn place(&self, kernel: &str) -> Kit {
        Kit { kernel: kernel.to_owned(), home: self.home.join(kernel) }
    }

    /// Gives the kit of the first of these packages that was fetched.
    pub(crate) fn find(&self, packages: &[String]) -> Option<Kit> {
        let fetched = |package: &String| {
            let kernel = std::fs::read_to_string(self.record(package)).ok()?;
            Some(self.place(kernel.trim())).filter(Kit::is_whole)
        };
        packages.iter().find_map(fetched)
    }

    /// Remembers which version a package led to, and deletes the one that it led to before.
    ///
    /// # Errors
    /// When a file cannot be written or deleted.
    pub(crate) fn remember(&self, package: &str, kit: &Kit) -> Result<(), Fault> {
        let record = self.record(package);
        let before = std::fs::read_to_string(&record).unwrap_or_default();
        std::fs::write(&record, &kit.kernel).map_err(Fault::file("write", &record))?;
        let old = self.home.join(before.trim());
        if before.trim().is_empty() || before.trim() == kit.kernel || !old.is_dir() {
            return Ok(());
        }
        std::fs::remove_dir_all(&old).map_err(Fault::file("delete", &old))
    }

    fn record(&self, package: &str) -> PathBuf {
        self.home.join(format!("{package}.version"))
    }
}

impl Kit {
    /// Whether all is there.
    pub(crate) fn is_whole(&self) -> bool {
        let files = [self.vmlinux(), self.busybox(), self.headers().join("Makefile")];
        files.iter().all(|file| file.is_file()) && self.emulator().is_some()
    }

    /// Gives the root of the unpacked packages.
    pub(crate) fn root(&self) -> PathBuf {
        self.home.join("root")
    }

    /// Gives the uncompressed kernel.
    pub(crate) fn vmlinux(&self) -> PathBuf {
        self.home.join("vmlinux")
    }

    /// Gives the statically linked busybox.
    pub(crate) fn busybox(&self) -> PathBuf {
        self.root().join("bin/busybox")
    }

    /// Gives the directory in which modules for this kernel are built.
    pub(crate) fn headers(&self) -> PathBuf {
        self.root().join("usr/src").join(format!("linux-headers-{}", self.kernel))
    }

    /// Gives the kernel's own modules.
    pub(crate) fn modules(&self) -> PathBuf {
        self.root().join("lib/modules").join(&self.kernel).join("kernel")
    }

    /// Gives a call of the emulator with its libraries and its firmware: the fetched one, or else the
    /// installed one.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn qemu(&self) -> Result<Call, Fault> {
        let missing = || Fault::Wrong(format!("{QEMU} is missing: run `cargo xtask vm fetch`"));
        let emulator = self.emulator().ok_or_else(missing)?;
        let mut call = Call::new(&emulator);
        if !emulator.starts_with(&self.home) {
            return Ok(call);
        }
        let root = self.root();
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            call = call.arg("-L").arg(root.join(firmware));
        }
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
        let libraries = std::env::join_paths(libraries.map(|path| root.join(path)));
        let unusable = |_| Fault::Wrong(format!("{} must not contain `:`", root.display()));
        Ok(call.env("LD_LIBRARY_PATH", libraries.map_err(unusable)?))
    }

    fn emulator(&self) -> Option<PathBuf> {
        let fetched = self.root().join("usr/bin").join(QEMU);
        if fetched.is_file() { Some(fetched) } else { prerequisites::find(QEMU) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn write(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    #[test]
    fn a_kit_is_found_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { home: directory.path().to_path_buf() };
        let packages = ["linux-a".to_owned(), "linux-b".to_owned()];
        let kit = cache.place("6.1.0-1-amd64");
        cache.remember("linux-b", &kit).unwrap();
        assert_eq!(cache.find(&packages), None);
        let emulator = kit.root().join("usr/bin").join(QEMU);
        for file in [kit.vmlinux(), kit.busybox(), kit.headers().join("Makefile"), emulator] {
            assert_eq!(cache.find(&packages), None);
            write(&file);
        }
        assert_eq!(cache.find(&packages), Some(kit));
    }

    #[test]
    fn a_version_that_nothing_leads_to_goes() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { home: directory.path().to_path_buf() };
        let (old, new) = (cache.place("6.1.0-1-amd64"), cache.place("6.1.0-2-amd64"));
        for kit in [&old, &new, &new] {
            write(&kit.vmlinux());
            cache.remember("linux-a", kit).unwrap();
        }
        assert!(!old.home.exists() && new.home.exists());
    }
}
