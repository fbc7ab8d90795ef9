//! How pod and node are joined, and whether this attachment is the first.
//!
//! Decided from what is recorded, from the names of links and from their kinds; never by counting.

use super::situation::Records;
use super::{Configuration, Mode, POD_END, Record, Refusal, Style, Topology};
use crate::net::{Link, LinkKind};

/// What an attachment is among those of its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// How pod and node are joined.
    pub(super) style: Style,
    /// Whether what all attachments share is made by this one's configuration.
    pub(super) is_first: bool,
}

/// The standing of the topology's interface; [`Mode::Disabled`] has been dealt with.
pub(super) fn standing(
    topology: &Topology,
    configuration: &Configuration,
    records: &Records<'_>,
) -> Result<Standing, Refusal> {
    if let Some(standing) = recorded(configuration.mode, records) {
        return Ok(standing);
    }
    let style = match configuration.mode {
        Mode::Underlay => Style::Underlay,
        Mode::Overlay => Style::Overlay,
        Mode::Disabled => Style::Disabled,
        Mode::Auto => guess(topology, configuration, records),
    };
    for_all_alike(topology, records, style)?;
    match style {
        Style::Overlay => overlay(topology, configuration, records),
        Style::Underlay | Style::Disabled => underlay(topology, configuration, records),
    }
}

/// What an earlier record of this attachment says, unless the configuration has come to say otherwise.
fn recorded(mode: Mode, records: &Records<'_>) -> Option<Standing> {
    let own = records.own?;
    let fits = match mode {
        Mode::Auto => own.style != Style::Disabled,
        Mode::Underlay => own.style == Style::Underlay,
        Mode::Overlay => own.style == Style::Overlay,
        Mode::Disabled => false,
    };
    fits.then(|| Standing { style: own.style, is_first: is_founder(own) })
}

/// Whether a record is that of its pod's first attachment.
pub(super) fn is_founder(record: &Record) -> bool {
    record.founder.as_ref().is_some_and(|founder| founder.interface == record.interface)
}

fn guess(topology: &Topology, configuration: &Configuration, records: &Records<'_>) -> Style {
    let is_default = topology.interface == configuration.default_nic;
    if is_default || has_pair(topology, records) { Style::Underlay } else { Style::Overlay }
}

/// Whether a pair of ours joins the pod to its node, or should.
fn has_pair(topology: &Topology, records: &Records<'_>) -> bool {
    pair_end(topology).is_some_and(|link| link.kind == LinkKind::Veth)
        || records.others.iter().any(|record| record.style == Style::Underlay)
}

fn pair_end(topology: &Topology) -> Option<&Link> {
    topology.scene.pod.links.values().find(|link| link.name.as_str() == POD_END)
}

fn for_all_alike(topology: &Topology, records: &Records<'_>, style: Style) -> Result<(), Refusal> {
    let unlike = |record: &&&Record| record.style != style && record.style != Style::Disabled;
    match records.others.iter().find(unlike) {
        Some(other) => Err(Refusal::TwoStyles {
            interface: topology.interface.clone(),
            other: other.interface.clone(),
            style: other.style,
        }),
        None => Ok(()),
    }
}

fn underlay(
    topology: &Topology,
    configuration: &Configuration,
    records: &Records<'_>,
) -> Result<Standing, Refusal> {
    let is_first = topology.interface == configuration.default_nic;
    if is_first || has_pair(topology, records) {
        return Ok(Standing { style: Style::Underlay, is_first });
    }
    Err(Refusal::NoPair {
        interface: topology.interface.clone(),
        default_nic: configuration.default_nic.clone(),
    })
}

fn overlay(
    topology: &Topology,
    configuration: &Configuration,
    records: &Records<'_>,
) -> Result<Standing, Refusal> {
    let refused =
        |reason: String| Refusal::NotOverlay { interface: topology.interface.clone(), reason };
    if topology.interface == configuration.default_nic {
        return Err(refused("it is the pod's first interface".to_owned()));
    }
    if pair_end(topology).is_some_and(|link| link.kind == LinkKind::Veth) {
        return Err(refused(format!("the pair `{POD_END}` joins the pod to its node already")));
    }
    let default_nic = topology.scene.pod.links.get(&configuration.default_nic);
    let is_guess = configuration.mode == Mode::Auto;
    if is_guess && default_nic.is_some_and(|link| link.kind != LinkKind::Veth) {
        return Err(Refusal::NoPair {
            interface: topology.interface.clone(),
            default_nic: configuration.default_nic.clone(),
        });
    }
    let is_first = !records.others.iter().any(|record| record.style == Style::Overlay);
    Ok(Standing { style: Style::Overlay, is_first })
}
