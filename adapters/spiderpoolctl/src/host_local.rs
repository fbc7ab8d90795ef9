//! The directory in which the CNI plugin `host-local` keeps its allocations.
//!
//! Read by `import`. The layout (`plugins/ipam/host-local/backend/disk`): `DIR/NETWORK/ADDRESS` holds
//! the container id and, on the next line after CR LF, the interface; `last_reserved_ip.N` and `lock`
//! hold no allocation. Windows-safe names have `_` for `:`. A crash may leave an empty file behind,
//! which belongs to nobody. Invariant: every file is accounted for (`every_file_is_accounted_for`).

use crate::failure::Failure;
use serde::Serialize;
use spiderpool_core::name::Name;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// An address that a container has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lease {
    pub(crate) network: Name,
    pub(crate) address: IpAddr,
    pub(crate) container: Name,
    pub(crate) interface: Name,
    /// Whether the file named no interface, as those of early versions do not.
    pub(crate) interface_assumed: bool,
}

/// A file that is no allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Oddity {
    /// Relative to the directory.
    pub(crate) file: String,
    pub(crate) why: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leases {
    pub(crate) leases: Vec<Lease>,
    pub(crate) oddities: Vec<Oddity>,
}

/// The interface of files that name none: what every runtime calls the first one.
const ASSUMED: &str = "eth0";

/// Reads a directory of networks; with `only`, that network alone.
pub(crate) fn read(dir: &Path, only: Option<&str>) -> Result<Leases, Failure> {
    let mut found = Leases::default();
    for (network, path) in list(dir)? {
        if only.is_some_and(|only| only != network) {
            continue;
        }
        if !path.is_dir() {
            found.odd(&network, "lies beside the networks, where no allocation is kept");
            continue;
        }
        let Ok(name) = Name::new(&network) else {
            found.odd(&network, "is no name of a network");
            continue;
        };
        for (file, path) in list(&path)? {
            let label = format!("{network}/{file}");
            if file == "lock" || file.starts_with("last_reserved_ip.") {
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) => found.file(&name, &label, &file, &bytes),
                Err(error) => found.odd(&label, &format!("cannot be read: {error}")),
            }
        }
    }
    found.leases.sort();
    Ok(found)
}

/// The entries of a directory, by name.
fn list(dir: &Path) -> Result<Vec<(String, std::path::PathBuf)>, Failure> {
    let fault = |error: &io::Error| {
        Failure::bad(format!("cannot list `{}`", dir.display()))
            .because(error)
            .try_this("give the directory that host-local was configured with as dataDir; its default is /var/lib/cni/networks")
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| fault(&error))? {
        let entry = entry.map_err(|error| fault(&error))?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    entries.sort();
    Ok(entries)
}

impl Leases {
    fn odd(&mut self, file: &str, why: &str) {
        self.oddities.push(Oddity { file: file.to_owned(), why: why.to_owned() });
    }

    fn file(&mut self, network: &Name, label: &str, file: &str, bytes: &[u8]) {
        let address = file.parse().or_else(|_| file.replace('_', ":").parse::<IpAddr>());
        let Ok(address) = address else {
            return self.odd(label, "has no address for a name");
        };
        let Ok(text) = str::from_utf8(bytes) else {
            return self.odd(label, "holds no text");
        };
        let mut lines = text.lines().map(str::trim);
        let container = lines.next().unwrap_or_default();
        if container.is_empty() {
            return self
                .odd(label, "is empty: host-local was interrupted, and nobody has the address");
        }
        let interface = lines.next().filter(|line| !line.is_empty());
        let Ok(container) = Name::new(container) else {
            return self.odd(label, "names no container");
        };
        let Ok(name) = Name::new(interface.unwrap_or(ASSUMED)) else {
            return self.odd(label, "names no interface");
        };
        let (network, interface_assumed) = (network.clone(), interface.is_none());
        self.leases.push(Lease { network, address, container, interface: name, interface_assumed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_accounted_for() {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("net");
        fs::create_dir(&net).unwrap();
        for (file, content) in [
            ("10.0.0.2", "abc\r\neth0"),
            ("fd00__2", "abc\r\neth0"),
            ("10.0.0.3", "def"),
            ("10.0.0.4", ""),
            ("10.0.0.5", " \n"),
            ("notes.txt", "x"),
            ("10.0.0.6", "two words\r\neth0"),
            ("last_reserved_ip.0", "10.0.0.3"),
            ("lock", ""),
        ] {
            fs::write(net.join(file), content).unwrap();
        }
        fs::write(net.join("10.0.0.7"), [0xff, 0xfe]).unwrap();
        fs::write(dir.path().join("stray"), "x").unwrap();
        let found = read(dir.path(), None).unwrap();
        let leases: Vec<_> = found
            .leases
            .iter()
            .map(|l| (l.address.to_string(), &*l.container, l.interface_assumed))
            .collect();
        assert_eq!(
            leases,
            [
                ("10.0.0.2".to_owned(), "abc", false),
                ("10.0.0.3".to_owned(), "def", true),
                ("fd00::2".to_owned(), "abc", false)
            ]
        );
        let odd: Vec<_> = found.oddities.iter().map(|odd| odd.file.as_str()).collect();
        assert_eq!(
            odd,
            [
                "net/10.0.0.4",
                "net/10.0.0.5",
                "net/10.0.0.6",
                "net/10.0.0.7",
                "net/notes.txt",
                "stray"
            ]
        );
        assert_eq!(read(dir.path(), Some("other")).unwrap(), Leases::default());
    }
}
