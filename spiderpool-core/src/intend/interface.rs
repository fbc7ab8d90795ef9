//! The interface itself: up, with its hardware address, its queue and its IPv6, and the user's routes.

use std::net::IpAddr;

use super::situation::Situation;
use super::{MacPrefix, Note, Reason, Refusal, Setting, Style, Tenure, Want, Wish};
use crate::address::Family;
use crate::net::{HardwareAddress, Link, LinkKind, LinkName, Route, Side, Sysctl, SysctlName};
use crate::plan::LinkChange;

/// The interface can be used.
pub(super) fn wishes(situation: &Situation<'_>) -> Result<Vec<Wish>, Refusal> {
    let link = &situation.topology.interface;
    let mut wants = Vec::new();
    let mut change = |change| wants.push(Want::Setting { link: link.clone(), change });
    if let Some(prefix) = situation.configuration.mac_prefix {
        change(LinkChange::Mac(fixed_mac(situation.link, prefix, &situation.addresses)?));
    }
    if let Setting::Set(length) = situation.configuration.tx_queue_length {
        change(LinkChange::TxQueueLength(length));
    }
    change(LinkChange::Up(true));
    let mut wishes: Vec<Wish> =
        wants.into_iter().map(|want| pod(want, Tenure::Attachment, Reason::Interface)).collect();
    if situation.families.contains(&Family::V6) {
        wishes.push(pod(enabled_v6(link), Tenure::Attachment, Reason::Interface));
    }
    if situation.shared_families.contains(&Family::V6) {
        let all = Sysctl::all(Family::V6, SysctlName::DisableIpv6);
        wishes.push(pod(Want::Sysctl(all, 0), Tenure::Pod, Reason::Interface));
        if situation.standing.style == Style::Underlay {
            let way = enabled_v6(&situation.ends.pod.link);
            wishes.push(pod(way, Tenure::Pod, Reason::Pair));
        }
    }
    Ok(wishes)
}

fn pod(want: Want, tenure: Tenure, reason: Reason) -> Wish {
    Wish { side: Side::Pod, want, tenure, reason }
}

fn enabled_v6(link: &LinkName) -> Want {
    Want::Sysctl(Sysctl::link(Family::V6, link.clone(), SysctlName::DisableIpv6), 0)
}

/// The prefix and the last four bytes of the interface's first address, IPv4 before IPv6.
fn fixed_mac(
    link: &Link,
    prefix: MacPrefix,
    addresses: &[IpAddr],
) -> Result<HardwareAddress, Refusal> {
    let refused = |reason| Refusal::FixedMac { interface: link.name.clone(), reason };
    if matches!(link.kind, LinkKind::Ipvlan(_)) {
        return Err(refused("an ipvlan has the hardware address of its parent"));
    }
    if link.mac.as_ref().is_none_or(|mac| mac.0.len() != 6) {
        return Err(refused("it has no Ethernet address"));
    }
    let first = addresses.first().ok_or_else(|| refused("it has no address to make one of"))?;
    let tail = match first {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    Ok(HardwareAddress(prefix.bytes().into_iter().chain(tail).collect()))
}

/// The user's routes, in the table in which packets from the interface are looked up.
pub(super) fn policy_routes(
    situation: &Situation<'_>,
    table: u32,
    notes: &mut Vec<Note>,
) -> Vec<Wish> {
    let interface = &situation.topology.interface;
    let mut wishes = Vec::new();
    for route in &situation.configuration.policy_routes {
        let (destination, gateway) = (route.destination(), route.gateway());
        if situation.families.contains(&Family::of(gateway)) {
            let route = Route::via(destination, table, gateway, interface.clone());
            wishes.push(pod(Want::Route(route), Tenure::Attachment, Reason::PolicyRoute));
        } else {
            let interface = interface.clone();
            notes.push(Note::PolicyRouteSkipped { destination, interface });
        }
    }
    wishes
}
