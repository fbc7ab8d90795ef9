//! The node's own settings, made fit for underlay networks when `tuneSysctlConfig` is set.
//!
//! The reference's list, with two differences: a neighbour table that is larger already stays so, and where
//! IPv6 forwarding would silence router advertisements that an interface lives by, that is told.
//!
//! Invariants:
//! 1. What is so already is not written (`what_is_so_stays`).
//! 2. A setting that this kernel does not have, or that cannot be written, hinders no other
//!    (`what_cannot_be_set_is_told`).

use crate::conf::Families;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// One setting, by its path under `/proc/sys`.
struct Wanted {
    path: &'static str,
    value: u64,
    /// Whether a larger value is as good.
    at_least: bool,
    v4: bool,
}

const WANTED: [Wanted; 6] = [
    Wanted { path: "net/ipv4/neigh/default/gc_thresh3", value: 28160, at_least: true, v4: true },
    Wanted { path: "net/ipv6/neigh/default/gc_thresh3", value: 28160, at_least: true, v4: false },
    Wanted { path: "net/ipv4/conf/all/arp_notify", value: 1, at_least: false, v4: true },
    Wanted { path: "net/ipv4/conf/all/forwarding", value: 1, at_least: false, v4: true },
    Wanted { path: "net/ipv6/conf/all/forwarding", value: 1, at_least: false, v4: false },
    Wanted { path: "net/ipv4/conf/all/rp_filter", value: 0, at_least: false, v4: true },
];

/// What became of the settings, in the order of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuned {
    /// Those that were written: path, what was there, and what is.
    pub set: Vec<(&'static str, String, u64)>,
    /// What should be known.
    pub remarks: Vec<String>,
}

/// Sets what is not so yet, under `root` (`/proc/sys`).
#[must_use]
pub fn tune(root: &Path, families: Families) -> Tuned {
    let mut tuned = Tuned::default();
    for wanted in &WANTED {
        if if wanted.v4 { families.v4 } else { families.v6 } {
            set(root, wanted, &mut tuned);
        }
    }
    tuned
}

fn set(root: &Path, wanted: &Wanted, tuned: &mut Tuned) {
    let path = root.join(wanted.path);
    let there = match fs::read_to_string(&path) {
        Ok(there) => there.trim().to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            tuned.remarks.push(format!("this kernel has no `{}`", wanted.path));
            return;
        }
        Err(error) => {
            tuned.remarks.push(format!("`{}` cannot be read: {error}", wanted.path));
            return;
        }
    };
    let is_so = there
        .parse::<u64>()
        .is_ok_and(|there| there == wanted.value || (wanted.at_least && there > wanted.value));
    if is_so {
        return;
    }
    if wanted.path == "net/ipv6/conf/all/forwarding" {
        tuned.remarks.extend(listeners(root));
    }
    match fs::write(&path, wanted.value.to_string()) {
        Ok(()) => tuned.set.push((wanted.path, there, wanted.value)),
        Err(error) => {
            let Wanted { path, value, .. } = wanted;
            tuned.remarks.push(format!(
                "`{path}` is {there} and cannot be set to {value}: {error}; does the agent run privileged?"
            ));
        }
    }
}

/// Interfaces that stop listening to routers once the node forwards (`accept_ra` 1: "accept if forwarding
/// is disabled", Linux `Documentation/networking/ip-sysctl.rst`).
fn listeners(root: &Path) -> Option<String> {
    let dir = fs::read_dir(root.join("net/ipv6/conf")).ok()?;
    let mut names: Vec<String> = dir
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !["all", "default", "lo"].contains(&name.as_str()))
        .filter(|name| {
            let path = root.join("net/ipv6/conf").join(name).join("accept_ra");
            fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
        })
        .collect();
    names.sort_unstable();
    (!names.is_empty()).then(|| {
        format!(
            "IPv6 forwarding goes on, and {} no longer listen to router advertisements; where the node has its default route from them, set accept_ra to 2",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc(values: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, value) in values {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        dir
    }

    const BOTH: Families = Families { v4: true, v6: true };

    #[test]
    fn what_is_so_stays() {
        let dir = proc(&[
            ("net/ipv4/neigh/default/gc_thresh3", "1024\n"),
            ("net/ipv6/neigh/default/gc_thresh3", "65536\n"),
            ("net/ipv4/conf/all/arp_notify", "1\n"),
            ("net/ipv4/conf/all/forwarding", "0\n"),
            ("net/ipv6/conf/all/forwarding", "0\n"),
            ("net/ipv4/conf/all/rp_filter", "2\n"),
            ("net/ipv6/conf/eth0/accept_ra", "1\n"),
            ("net/ipv6/conf/eth1/accept_ra", "2\n"),
        ]);
        let tuned = tune(dir.path(), BOTH);
        let paths: Vec<_> =
            tuned.set.iter().map(|(path, was, is)| (*path, was.as_str(), *is)).collect();
        assert_eq!(
            paths,
            [
                ("net/ipv4/neigh/default/gc_thresh3", "1024", 28160),
                ("net/ipv4/conf/all/forwarding", "0", 1),
                ("net/ipv6/conf/all/forwarding", "0", 1),
                ("net/ipv4/conf/all/rp_filter", "2", 0),
            ]
        );
        assert!(tuned.remarks[0].contains("and eth0 no longer listen"), "{:?}", tuned.remarks);
        assert_eq!(tune(dir.path(), BOTH), Tuned::default());
    }

    #[test]
    fn a_family_that_is_off_is_left_alone() {
        let dir = proc(&[("net/ipv6/conf/all/forwarding", "0")]);
        let tuned = tune(dir.path(), Families { v4: false, v6: false });
        assert_eq!(tuned, Tuned::default());
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        let dir = proc(&[("net/ipv4/conf/all/rp_filter", "1")]);
        fs::create_dir_all(dir.path().join("net/ipv4/conf/all/arp_notify")).unwrap();
        let tuned = tune(dir.path(), Families { v4: true, v6: false });
        assert_eq!(tuned.set, [("net/ipv4/conf/all/rp_filter", "1".to_owned(), 0)]);
        assert_eq!(tuned.remarks.len(), 3, "{:?}", tuned.remarks);
    }
}
