//! Sysctls of the calling thread's network namespace, over `/proc/sys`.
//!
//! Called by [`stage`](crate::stage) on a thread inside the namespace: which namespace a file below
//! `/proc/sys/net` speaks of is decided by the thread that opens it. A value is written only if another
//! is there, and read back (`sysctls_are_set_and_read_back`).

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use spiderpool_core::net::Sysctl;

use crate::fault::{Errno, NetlinkFault};
use crate::trial::{self, Way};

/// The value of a setting; none if there is no such setting.
pub(crate) fn read(sysctl: &Sysctl) -> Result<Option<i64>, NetlinkFault> {
    let subject = format!("read sysctl `{sysctl}`");
    match text_of(sysctl) {
        Ok(text) => number(&text).map(Some).ok_or_else(|| NetlinkFault::Unreadable {
            subject,
            reason: format!("{:?} is no number", text.trim_end()),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file(subject, "reading", sysctl, &error)),
    }
}

/// Sets a setting, unless it has that value already.
pub(crate) fn set(sysctl: &Sysctl, value: i64, way: Way) -> Result<(), NetlinkFault> {
    let subject = format!("set sysctl `{sysctl}` to {value}");
    let reading = |error| file(subject.clone(), "reading", sysctl, &error);
    if number(&text_of(sysctl).map_err(reading)?) == Some(value) {
        return Ok(());
    }
    trial::change(&subject, way, || {
        write(sysctl, value).map_err(|error| file(subject.clone(), "writing", sysctl, &error))
    })?;
    let found = number(&text_of(sysctl).map_err(reading)?);
    if found == Some(value) {
        return Ok(());
    }
    Err(NetlinkFault::NotKept { subject, path: sysctl.path(), written: value, found })
}

fn place(sysctl: &Sysctl) -> PathBuf {
    PathBuf::from("/proc/sys").join(sysctl.path())
}

fn text_of(sysctl: &Sysctl) -> io::Result<String> {
    let mut text = String::new();
    OpenOptions::new().read(true).open(place(sysctl))?.read_to_string(&mut text)?;
    Ok(text)
}

fn write(sysctl: &Sysctl, value: i64) -> io::Result<()> {
    // One write: the kernel takes each as a value of its own.
    OpenOptions::new().write(true).open(place(sysctl))?.write_all(value.to_string().as_bytes())
}

fn number(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

fn file(subject: String, doing: &'static str, sysctl: &Sysctl, error: &io::Error) -> NetlinkFault {
    NetlinkFault::File { subject, doing, path: sysctl.path(), errno: Errno::of(error) }
}

#[cfg(test)]
mod tests {
    use spiderpool_core::address::Family;
    use spiderpool_core::net::{LinkName, SysctlName};

    use super::*;

    #[test]
    fn what_is_not_there_is_not_read_and_cannot_be_set() {
        let name = LinkName::new("sp-no-such-link").unwrap();
        let missing = Sysctl::link(Family::V4, name, SysctlName::ArpNotify);
        assert_eq!(read(&missing), Ok(None));
        let fault = set(&missing, 1, Way::Forth).unwrap_err();
        assert_eq!(fault.errno(), Some(Errno::ENOENT));
        assert!(fault.to_string().contains("is there such a link"), "{fault}");
    }
}
