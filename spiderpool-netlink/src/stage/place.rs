//! One namespace of a stage: its sockets, and which links were seen in it.

use std::collections::BTreeMap;

use spiderpool_core::net::{Link, LinkName, Marking, Observed, Sysctl};

use crate::fault::NetlinkFault;
use crate::focus::Wanted;
use crate::namespace::Namespace;
use crate::netfilter::{NetfilterSocket, observe_marks};
use crate::session::Session;
use crate::sysctl;
use crate::trial::Way;

/// One namespace of a stage.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) namespace: Namespace,
    pub(super) session: Session,
    netfilter: Option<NetfilterSocket>,
    /// The links as they were when the namespace was observed.
    seen: BTreeMap<LinkName, Identity>,
    /// The links whose names this plan has resolved.
    resolved: BTreeMap<LinkName, u32>,
}

/// What makes a link the one that was looked at: an index is not given again before the kernel has
/// counted through all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    index: u32,
    kind: String,
}

impl Identity {
    fn of(link: &Link) -> Self {
        Self { index: link.index, kind: link.kind.name().to_owned() }
    }

    fn told(&self) -> String {
        match self.kind.as_str() {
            "" => format!("number {}", self.index),
            kind => format!("number {}, a {kind}", self.index),
        }
    }
}

impl Place {
    pub(super) fn open(namespace: &Namespace) -> Result<Self, NetlinkFault> {
        let held = namespace
            .try_clone()
            .map_err(|bad| NetlinkFault::NotInside { reason: bad.to_string() })?;
        Ok(Self {
            session: held.session()?,
            namespace: held,
            netfilter: None,
            seen: BTreeMap::new(),
            resolved: BTreeMap::new(),
        })
    }

    pub(super) fn round_trips(&self) -> u32 {
        self.session.socket.round_trips()
    }

    pub(super) fn observe(&mut self, wanted: &Wanted) -> Result<Observed, NetlinkFault> {
        let mut observed = self.session.observe(wanted)?;
        for name in &wanted.functions {
            let Some(link) = observed.links.get_mut(name) else { continue };
            link.functions = self.session.functions(link.index)?;
        }
        observed.sysctls = self.sysctls(wanted)?;
        if wanted.marks {
            observed.marking = self.marking()?;
        }
        let identities = observed.links.values();
        self.seen = identities.map(|link| (link.name.clone(), Identity::of(link))).collect();
        Ok(observed)
    }

    fn sysctls(&self, wanted: &Wanted) -> Result<BTreeMap<Sysctl, i64>, NetlinkFault> {
        if wanted.sysctls.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.namespace.inside(|| {
            let mut values = BTreeMap::new();
            for wanted in &wanted.sysctls {
                values.extend(sysctl::read(wanted)?.map(|value| (wanted.clone(), value)));
            }
            Ok(values)
        })
    }

    pub(super) fn marking(&mut self) -> Result<Marking, NetlinkFault> {
        if self.netfilter.is_none() {
            self.netfilter = self.namespace.inside(NetfilterSocket::here_if_any)?;
        }
        match &mut self.netfilter {
            Some(socket) => observe_marks(socket),
            None => Ok(Marking::Absent),
        }
    }

    pub(super) fn netfilter(&mut self) -> Result<&mut NetfilterSocket, NetlinkFault> {
        match &mut self.netfilter {
            Some(socket) => Ok(socket),
            none => Ok(none.insert(self.namespace.inside(NetfilterSocket::here)?)),
        }
    }

    pub(super) fn sysctl(&self, which: &Sysctl) -> Result<Option<i64>, NetlinkFault> {
        self.namespace.inside(|| sysctl::read(which))
    }

    pub(super) fn set_sysctl(
        &self,
        which: &Sysctl,
        value: i64,
        way: Way,
    ) -> Result<(), NetlinkFault> {
        self.namespace.inside(|| sysctl::set(which, value, way))
    }

    /// The index of a link, which then stands for it until the plan changes its name or place.
    pub(super) fn index(&mut self, subject: &str, name: &LinkName) -> Result<u32, NetlinkFault> {
        if let Some(index) = self.resolved.get(name) {
            return Ok(*index);
        }
        let link = self.session.link(name)?.ok_or_else(|| NetlinkFault::NoLink {
            subject: subject.to_owned(),
            name: name.to_string(),
        })?;
        let found = Identity::of(&link);
        if let Some(expected) = self.seen.get(name).filter(|expected| **expected != found) {
            return Err(NetlinkFault::OtherLink {
                subject: subject.to_owned(),
                name: name.to_string(),
                difference: format!("became {} from {}", found.told(), expected.told()),
            });
        }
        self.resolved.insert(name.clone(), found.index);
        Ok(found.index)
    }

    /// A link of this name was made, renamed to, or moved here by us: it is another than was seen.
    pub(super) fn expect_anew(&mut self, name: &LinkName) {
        self.seen.remove(name);
        self.resolved.remove(name);
    }

    /// Links went away, perhaps others along with one.
    pub(super) fn forget_indices(&mut self) {
        self.resolved.clear();
    }
}
