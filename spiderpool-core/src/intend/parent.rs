//! What the parents of pods' interfaces should be: a link, a VLAN on it, a bond of several.
//!
//! Called by `ifacer` before macvlan, ipvlan or vlan make a pod's interface. Parents belong to the
//! node: what is wished for is ensured, and stays when the pods are gone. What is there and is somebody
//! else's is refused, never changed: a link of another kind, a VLAN of another number, a bond with other
//! ports, a port that carries the node's own addresses. Invariants:
//!
//! 1. A VLAN's number may repeat on another parent, and not on the same one
//!    (`vlan_numbers_may_repeat_on_other_parents`, `a_number_under_another_name_is_refused`).
//! 2. A half-built bond is completed, and a whole one is left alone (`a_half_built_bond_is_completed`).
//! 3. What carries the node's addresses is not enslaved (`what_the_node_lives_on_is_not_enslaved`).
//! 4. Every wish is the node's: no pod's end undoes it (`every_wish_is_the_nodes`).

mod bond;
mod refusal;
#[cfg(test)]
mod tests;
mod vlan;

pub use refusal::ParentRefusal;

use std::collections::BTreeSet;

use super::{Intent, Reason, Tenure, Want, Wish};
use crate::net::{Bond, Link, LinkName, Observed, Side, Vlan};
use crate::plan::LinkChange;

/// What pods' interfaces should rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentConfiguration {
    /// The links that are there already: one, or the ports of a bond.
    pub interfaces: Vec<LinkName>,
    /// The bond of several interfaces. One interface is used as it is.
    pub bond: Option<ParentBond>,
    /// The VLAN on the interface or the bond; it is named `<parent>.<number>`.
    pub vlan: Option<Vlan>,
    /// The maximum transmission unit of what pods' interfaces rest on, in bytes; none for the kernel's
    /// choice.
    pub mtu: Option<u32>,
    /// What becomes of the node's addresses on a port to be.
    pub addresses: NodeAddresses,
}

/// The bond of several interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentBond {
    /// Its name.
    pub name: LinkName,
    /// Its options, the mode among them.
    pub options: Bond,
}

/// What becomes of a link that carries the node's addresses, or something that does, when it is to
/// become a port: a port's own addresses and routes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeAddresses {
    /// The bond is refused.
    #[default]
    Keep,
    /// They are given up.
    GiveUp,
}

/// What pods' interfaces rest on, and what should be so for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parents {
    /// What should be so of the node.
    pub intent: Intent,
    /// The link that pods' interfaces rest on.
    pub top: LinkName,
    /// All links that were spoken of, the lowest first.
    pub links: Vec<LinkName>,
}

/// What the node's namespace should hold so that pods' interfaces have their parent.
///
/// # Errors
///
/// [`ParentRefusal`]: the configuration contradicts itself, something that is not ours is in the way,
/// or the node would lose its addresses.
///
/// # Examples
///
/// ```
/// use spiderpool_core::intend::{NodeAddresses, ParentConfiguration, ParentRefusal, parents};
/// use spiderpool_core::net::{LinkName, Observed};
///
/// let configuration = ParentConfiguration {
///     interfaces: vec![LinkName::new("eth1")?, LinkName::new("eth2")?],
///     bond: None,
///     vlan: None,
///     mtu: None,
///     addresses: NodeAddresses::Keep,
/// };
/// let refusal = parents(&Observed::default(), &configuration).unwrap_err();
/// assert!(matches!(refusal, ParentRefusal::NoBond { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parents(
    host: &Observed,
    configuration: &ParentConfiguration,
) -> Result<Parents, ParentRefusal> {
    let interfaces = &configuration.interfaces;
    refuse_repetition(interfaces)?;
    let mut draft = Draft { host, wishes: Vec::new(), links: Vec::new() };
    let top_mtu = configuration.mtu.filter(|_| configuration.vlan.is_none());
    let base = match (interfaces.as_slice(), &configuration.bond) {
        ([], _) => return Err(ParentRefusal::NoInterface),
        ([only], _) => plain(&mut draft, only, top_mtu)?,
        (_, Some(bond)) => bond::wish(&mut draft, bond, configuration)?,
        (_, None) => return Err(ParentRefusal::NoBond { interfaces: names(interfaces) }),
    };
    let top = match configuration.vlan {
        Some(vlan) => vlan::wish(&mut draft, &base, vlan, configuration.mtu)?,
        None => base,
    };
    Ok(Parents { intent: Intent { wishes: draft.wishes }, top, links: draft.links })
}

/// Wishes in the making.
struct Draft<'a> {
    host: &'a Observed,
    wishes: Vec<Wish>,
    links: Vec<LinkName>,
}

impl Draft<'_> {
    fn wish(&mut self, want: Want) {
        self.wishes.push(Wish {
            side: Side::Host,
            want,
            tenure: Tenure::Node,
            reason: Reason::ParentInterface,
        });
    }

    fn set(&mut self, link: &LinkName, change: LinkChange) {
        self.wish(Want::Setting { link: link.clone(), change });
    }

    fn named(&self, name: &LinkName) -> Result<&Link, ParentRefusal> {
        let link = self.host.links.get(name);
        link.ok_or_else(|| ParentRefusal::NoLink {
            name: name.clone(),
            there: names(self.host.links.keys()),
        })
    }
}

fn refuse_repetition(interfaces: &[LinkName]) -> Result<(), ParentRefusal> {
    let mut seen = BTreeSet::new();
    match interfaces.iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(ParentRefusal::Repeated { name: name.clone() }),
        None => Ok(()),
    }
}

/// A link as it is, set up: pods' interfaces on a link that is down reach nobody.
fn plain(
    draft: &mut Draft<'_>,
    name: &LinkName,
    mtu: Option<u32>,
) -> Result<LinkName, ParentRefusal> {
    let link = draft.named(name)?;
    // Others than pods use it, and its driver has limits: only what was made for pods is resized.
    if let Some(mtu) = mtu.filter(|mtu| *mtu > link.mtu) {
        return Err(ParentRefusal::LargeMtu { mtu, parent: name.clone(), most: link.mtu });
    }
    draft.set(name, LinkChange::Up(true));
    draft.links.push(name.clone());
    Ok(name.clone())
}

fn names<'a>(names: impl IntoIterator<Item = &'a LinkName>) -> String {
    names.into_iter().map(LinkName::as_str).collect::<Vec<_>>().join(", ")
}
