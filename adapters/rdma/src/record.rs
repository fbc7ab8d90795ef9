//! What was moved for an attachment: one file each, written before anything moves.
//!
//! The directory, the file's name and its first fields are the reference's, so that a pod that the
//! reference attached is given back after an upgrade. Invariants:
//!
//! 1. A record is whole or not there: it is written beside and renamed (`a_record_is_read_as_written`).
//! 2. A record of the reference is read (`a_record_of_the_reference_is_read`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// What was moved for one attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The format: `1.0` is the reference's, `1.1` has `devices` and `netns`.
    pub(crate) version: String,
    /// The PCI address or auxiliary device.
    #[serde(rename = "deviceID", default)]
    pub(crate) device: String,
    /// The first device's name on the host, which the reference reads.
    #[serde(default)]
    pub(crate) sandbox_rdma_dev_name: String,
    /// The first device's name in the pod, which the reference reads.
    #[serde(default)]
    pub(crate) container_rdma_dev_name: String,
    /// Every device.
    #[serde(default)]
    pub(crate) devices: Vec<Moved>,
    /// The pod's namespace, for GC, which is not told.
    #[serde(default)]
    pub(crate) netns: String,
    /// The attachment, for GC.
    #[serde(default)]
    pub(crate) container: String,
    /// The attachment, for GC.
    #[serde(default)]
    pub(crate) interface: String,
}

/// One device that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Moved {
    /// Its name on the host.
    pub(crate) host_name: String,
    /// Its name in the pod.
    pub(crate) pod_name: String,
}

impl Record {
    /// Every device, the reference's single one included.
    pub(crate) fn moved(&self) -> Vec<Moved> {
        if !self.devices.is_empty() {
            return self.devices.clone();
        }
        let (host_name, pod_name) =
            (self.sandbox_rdma_dev_name.clone(), self.container_rdma_dev_name.clone());
        // The reference's names: the sandbox is the host to it in one release, the pod in another.
        [Moved { host_name, pod_name }]
            .into_iter()
            .filter(|one| !one.host_name.is_empty())
            .collect()
    }
}

/// Which attachment a record is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attachment<'a> {
    /// The network's name.
    pub(crate) network: &'a str,
    /// The container's id.
    pub(crate) container: &'a str,
    /// The interface's name.
    pub(crate) interface: &'a str,
}

/// The directory of records, held by this process alone.
#[derive(Debug)]
pub(crate) struct Records {
    directory: PathBuf,
    _turn: Flock<File>,
}

impl Records {
    /// Opens the directory, makes it if need be, and waits for its turn.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(directory.join(".lock"))?;
        let turn = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        Ok(Self { directory: directory.to_owned(), _turn: turn })
    }

    fn path(&self, of: Attachment<'_>) -> PathBuf {
        self.directory.join(format!("{}-{}-{}", of.network, of.container, of.interface))
    }

    /// The record of an attachment, if there is one.
    pub(crate) fn read(&self, of: Attachment<'_>) -> io::Result<Option<Record>> {
        read(&self.path(of))
    }

    /// Writes a record, in place of an earlier one.
    pub(crate) fn write(&self, of: Attachment<'_>, record: &Record) -> io::Result<()> {
        let path = self.path(of);
        let beside = self.directory.join(format!(".{}.new", of.container));
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        fs::rename(beside, path)
    }

    /// Removes a record; there may be none.
    pub(crate) fn remove(&self, of: Attachment<'_>) -> io::Result<()> {
        match fs::remove_file(self.path(of)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The records of a network that this plugin wrote, sorted by file name.
    pub(crate) fn of_network(&self, network: &str) -> io::Result<Vec<Record>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            paths.push(entry?.path());
        }
        paths.sort();
        let mut records = Vec::new();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            if let Some(record) = read(&path)?
                && name == format!("{network}-{}-{}", record.container, record.interface)
            {
                records.push(record);
            }
        }
        Ok(records)
    }
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Attachment<'static> =
        Attachment { network: "roce", container: "c0ffee", interface: "net1" };

    fn record() -> Record {
        let moved = Moved { host_name: "mlx5_2".into(), pod_name: "mlx5_2_1".into() };
        Record {
            version: "1.1".into(),
            device: "0000:3b:00.2".into(),
            sandbox_rdma_dev_name: moved.host_name.clone(),
            container_rdma_dev_name: moved.pod_name.clone(),
            devices: vec![moved],
            netns: "/run/netns/pod".into(),
            container: OF.container.into(),
            interface: OF.interface.into(),
        }
    }

    #[test]
    fn a_record_is_read_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        assert_eq!(records.read(OF).unwrap(), None);
        records.write(OF, &record()).unwrap();
        assert_eq!(records.read(OF).unwrap(), Some(record()));
        assert_eq!(records.of_network("roce").unwrap(), [record()]);
        assert_eq!(records.of_network("other").unwrap(), []);
        records.remove(OF).unwrap();
        records.remove(OF).unwrap();
        assert_eq!(records.read(OF).unwrap(), None);
    }

    #[test]
    fn a_record_of_the_reference_is_read() {
        let text = r#"{"version":"1.0","deviceID":"0000:3b:00.2",
            "sandboxRdmaDevName":"mlx5_2","containerRdmaDevName":"mlx5_2"}"#;
        let read: Record = serde_json::from_str(text).unwrap();
        let moved = Moved { host_name: "mlx5_2".into(), pod_name: "mlx5_2".into() };
        assert_eq!(read.moved(), [moved]);
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        fs::write(directory.path().join("roce-c0ffee-net1"), "{").unwrap();
        assert!(records.read(OF).is_err());
    }
}
