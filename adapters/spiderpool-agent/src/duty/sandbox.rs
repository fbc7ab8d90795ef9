//! Whether anything of a container is left on this node: the word of the node before an address of a
//! vanished pod is given to another.
//!
//! Absence in the API is not absence on the node: a pod that was deleted by force may still run. Two things
//! are looked at: the coordinator's record of the container, which remembers its namespace; and, for whoever
//! has none, whether any namespace of this node has the address.
//!
//! Invariant: what cannot be known counts as left (`what_cannot_be_looked_at_is_left`).

use crate::book::Page;
use crate::log::chain;
use spiderpool_core::name::Name;
use spiderpool_host::attachment::{Entry, Records};
use spiderpool_netlink::{Namespace, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Whoever can look.
pub trait Sandboxes: Send + Sync + 'static {
    /// Those of the containers that something is left of. May block.
    fn left(&self, containers: &BTreeMap<Name, Page>) -> BTreeSet<Name>;
}

/// This node.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where the coordinator keeps its records.
    pub records: PathBuf,
    /// Where runtimes keep the files of network namespaces.
    pub namespaces: PathBuf,
}

impl Sandboxes for Host {
    fn left(&self, containers: &BTreeMap<Name, Page>) -> BTreeSet<Name> {
        let records = Records::at(&self.records);
        let mut left = BTreeSet::new();
        let mut unrecorded = Vec::new();
        for (container, page) in containers {
            match recorded(&records, container) {
                Some(true) => drop(left.insert(container.clone())),
                Some(false) => {}
                None => unrecorded.push((container, page)),
            }
        }
        if unrecorded.is_empty() {
            return left;
        }
        match addresses(&self.namespaces) {
            Ok(present) => left.extend(
                unrecorded
                    .into_iter()
                    .filter(|(_, page)| page.places.iter().any(|p| present.contains(&p.address)))
                    .map(|(container, _)| container.clone()),
            ),
            Err(why) => {
                tracing::warn!(
                    why,
                    "the node's namespaces cannot be looked at, so nothing of vanished pods is taken back"
                );
                left.extend(unrecorded.into_iter().map(|(container, _)| container.clone()));
            }
        }
        left
    }
}

/// Whether something is left of a container, as its records say; `None` where they do not.
fn recorded(records: &Records, container: &Name) -> Option<bool> {
    let entries = records.of_container(container).ok()?;
    let verdicts = entries.iter().map(|entry| match entry {
        Entry::Kept(kept) => kept.witness.as_ref().map(|witness| witness.judge()),
        Entry::Unreadable { .. } => None,
    });
    let verdicts: Option<Vec<Verdict>> = verdicts.collect();
    let verdicts = verdicts.filter(|all| !all.is_empty())?;
    Some(!verdicts.iter().all(|verdict| matches!(verdict, Verdict::Gone { .. })))
}

/// Every address of every named namespace of this node.
fn addresses(dir: &Path) -> Result<BTreeSet<IpAddr>, String> {
    let told = |error: &std::io::Error| format!("{}: {error}", dir.display());
    let mut present = BTreeSet::new();
    for entry in std::fs::read_dir(dir).map_err(|error| told(&error))? {
        let path = entry.map_err(|error| told(&error))?.path();
        // A file that is no namespace any more is what a runtime leaves when it is killed.
        let Ok(namespace) = Namespace::by_path(&path) else { continue };
        let found = namespace.run(|session| session.addresses());
        let found = found.map_err(|fault| format!("{}: {}", path.display(), chain(&fault)))?;
        present.extend(found.iter().map(|address| address.net.addr()));
    }
    Ok(present)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::command::Place;

    #[test]
    fn what_cannot_be_looked_at_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let name = |text: &str| Name::new(text).unwrap();
        let place = Place { space: name("default"), address: [10, 6, 0, 1].into() };
        let page = Page { pod_uid: None, places: [place].into() };
        let containers: BTreeMap<_, _> = [(name("c1"), page)].into();
        let host = |namespaces: &str| Host {
            records: dir.path().join("records"),
            namespaces: dir.path().join(namespaces),
        };
        assert_eq!(host("none").left(&containers).len(), 1);
        // A directory without a namespace in it says that nobody has the address.
        std::fs::create_dir(dir.path().join("netns")).unwrap();
        std::fs::write(dir.path().join("netns/cni-stale"), "").unwrap();
        assert!(host("netns").left(&containers).is_empty());
        // A record that cannot be read says nothing either way.
        let pod = dir.path().join("records/pods/c1");
        std::fs::create_dir_all(&pod).unwrap();
        std::fs::write(pod.join("eth0.json"), "{").unwrap();
        assert!(host("netns").left(&containers).is_empty());
        assert_eq!(host("none").left(&containers).len(), 1);
    }
}
