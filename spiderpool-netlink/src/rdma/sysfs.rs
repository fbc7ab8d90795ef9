//! Which RDMA devices a PCI or auxiliary device has, and which device a hardware address leads to.
//!
//! Sysfs shows the RDMA devices of the namespace in which it was mounted. Called by the `rdma` plugin in
//! the host's namespace, before a device moves. Invariant: a name that is a path is refused
//! (`names_that_are_paths_are_refused`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::Errno;

/// Where a sysfs is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysfs {
    /// The mount point, `/sys` on every system.
    pub root: PathBuf,
}

impl Default for Sysfs {
    fn default() -> Self {
        Self { root: "/sys".into() }
    }
}

/// Why no device could be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDevice {
    /// The text names no device of a bus.
    #[error(
        "`{given}` can be no device's name; give a PCI address such as 0000:3b:02.1, or an auxiliary device such as mlx5_core.sf.4"
    )]
    Name {
        /// What was given.
        given: String,
    },
    /// Neither bus has it.
    #[error(
        "there is no device `{given}` on the PCI or the auxiliary bus of this node; is it the node that was scheduled?"
    )]
    Missing {
        /// What was given.
        given: String,
    },
    /// Sysfs cannot be read.
    #[error("cannot read `{path}`: {errno}; is sysfs mounted?")]
    Unreadable {
        /// What was read.
        path: String,
        /// Why not.
        errno: Errno,
    },
}

/// Buses, and where a device of each has its RDMA devices.
const BUSES: [&str; 2] = ["pci", "auxiliary"];

impl Sysfs {
    /// The names of the RDMA devices of a PCI or auxiliary device, sorted; none for one without RDMA.
    ///
    /// # Errors
    ///
    /// [`BadDevice`].
    pub fn rdma_devices(&self, device: &str) -> Result<Vec<String>, BadDevice> {
        let directory = self.device(device)?;
        let own = names(&directory.join("infiniband"))?;
        // A subfunction's RDMA device hangs on an auxiliary child, named after the driver.
        if !own.is_empty() {
            return Ok(own);
        }
        let mut of_children = Vec::new();
        for child in names(&directory)? {
            if child.contains(".rdma.") {
                of_children.extend(names(&directory.join(child).join("infiniband"))?);
            }
        }
        of_children.sort();
        Ok(of_children)
    }

    /// The PCI addresses of all virtual functions whose network device is called `name`, sorted.
    ///
    /// # Errors
    ///
    /// [`BadDevice::Unreadable`].
    pub fn functions_with_netdev(&self, name: &str) -> Result<Vec<String>, BadDevice> {
        let all = self.root.join("bus/pci/devices");
        let mut found = Vec::new();
        for device in names(&all)? {
            if names(&all.join(&device).join("net"))?.iter().any(|netdev| netdev == name) {
                found.push(device);
            }
        }
        Ok(found)
    }

    /// The PCI address of a physical function's virtual function, if it has that one.
    #[must_use]
    pub fn function_of(&self, physical: &str, number: u32) -> Option<String> {
        let link =
            self.root.join("class/net").join(physical).join(format!("device/virtfn{number}"));
        let target = fs::read_link(link).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    fn device(&self, given: &str) -> Result<PathBuf, BadDevice> {
        if given.is_empty() || given.starts_with('.') || given.contains(['/', '\0']) {
            return Err(BadDevice::Name { given: given.into() });
        }
        let places = BUSES.map(|bus| self.root.join("bus").join(bus).join("devices").join(given));
        let found = places.into_iter().find(|place| place.exists());
        found.ok_or_else(|| BadDevice::Missing { given: given.into() })
    }
}

/// The names in a directory, sorted; none where there is no directory.
fn names(directory: &Path) -> Result<Vec<String>, BadDevice> {
    let failed = |error: &io::Error| BadDevice::Unreadable {
        path: directory.display().to_string(),
        errno: Errno::of(error),
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(&error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| failed(&error))?.file_name();
        names.extend(name.to_str().map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs with a PCI function that has one RDMA device, one with two, and a subfunction.
    fn tree() -> (tempfile::TempDir, Sysfs) {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            "bus/pci/devices/0000:3b:00.2/infiniband/mlx5_2",
            "bus/pci/devices/0000:3b:00.2/net/ens1v0",
            "bus/pci/devices/0000:3b:00.3/infiniband/mlx5_4",
            "bus/pci/devices/0000:3b:00.3/infiniband/mlx5_3",
            "bus/pci/devices/0000:3b:00.4/net/ens2",
            "bus/auxiliary/devices/mlx5_core.sf.4/mlx5_core.rdma.4/infiniband/mlx5_9",
        ] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        let sysfs = Sysfs { root: directory.path().into() };
        (directory, sysfs)
    }

    #[test]
    fn devices_are_found_on_both_buses() {
        let (_directory, sysfs) = tree();
        let check = |device: &str, expected: &[&str]| {
            assert_eq!(sysfs.rdma_devices(device).unwrap(), expected, "{device}");
        };
        check("0000:3b:00.2", &["mlx5_2"]);
        check("0000:3b:00.3", &["mlx5_3", "mlx5_4"]);
        check("0000:3b:00.4", &[]);
        check("mlx5_core.sf.4", &["mlx5_9"]);
        assert_eq!(sysfs.functions_with_netdev("ens1v0").unwrap(), ["0000:3b:00.2"]);
    }

    #[test]
    fn names_that_are_paths_are_refused() {
        let (_directory, sysfs) = tree();
        for given in ["", "..", "../../etc", "a/b", "a\0b"] {
            let refused = sysfs.rdma_devices(given).unwrap_err();
            assert_eq!(refused, BadDevice::Name { given: given.into() });
        }
        let missing = BadDevice::Missing { given: "0000:00:00.0".into() };
        assert_eq!(sysfs.rdma_devices("0000:00:00.0").unwrap_err(), missing);
    }
}
