//! How an attachment, or a part of it, is taken back.
//!
//! What only it needed goes, what it moved or changed comes back, and what other attachments of the pod
//! still want stays.

use std::mem::discriminant;

use super::before::speaks_of;
use super::natural::{parts, remaining, without};
use super::pair::host_end;
use super::settle::{is_same, key};
use super::situation::Records;
use super::{Intended, Intent, Reason, Record, Tenure, Topology, Want, Wish};
use crate::net::{
    Link, LinkKind, LinkName, Marking, NeighbourState, Object, Observed, Route, RouteProtocol,
    Scene, Side, Sysctl, SysctlPlace,
};
use crate::plan::LinkChange;

/// What takes an attachment back.
///
/// `others` are the records of the pod's other attachments. `scene` may lack the pod, and any link: what
/// is gone is not wished back. What is the node's stays. Where the first attachment goes and others stay,
/// [`renew`](super::renew) those: what they share may have spoken from an address that went with it.
#[must_use]
pub fn withdraw(record: &Record, others: &[Record], scene: &Scene) -> Intent {
    let others: Vec<&Record> = others.iter().filter(|other| is_beside(record, other)).collect();
    let stay = Stay { others, new: &[], leaving: Some(&record.interface), scene };
    let wishes = retired(&record.intent.wishes, &record.before, &stay);
    Intent { wishes }
}

fn is_beside(record: &Record, other: &Record) -> bool {
    other.container == record.container && other.interface != record.interface
}

/// What takes an attachment back of which there is no record: whatever carries our mark and nobody wants,
/// and, with no other attachment left, the pair.
///
/// A default route that was moved stays where it is: nobody knows whose it was.
#[must_use]
pub fn withdraw_unrecorded(container: &str, others: &[Record], scene: &Scene) -> Intent {
    let others: Vec<&Record> = others.iter().filter(|other| other.container == container).collect();
    let stay = Stay { others, new: &[], leaving: None, scene };
    let mut wants: Vec<(Side, Want)> = ours(&scene.pod).map(|want| (Side::Pod, want)).collect();
    if let Marking::Present(marks) = &scene.pod.marking
        && !stay.is_wanted(Side::Pod, &Want::Marks(marks.clone()))
    {
        wants.push((Side::Pod, Want::NoMarks));
    }
    if stay.others.is_empty()
        && let Ok(name) = host_end(container)
        && scene.host.links.get(&name).is_some_and(|link| link.kind == LinkKind::Veth)
    {
        wants.push((Side::Host, Want::NoLink(name)));
    }
    let wishes = wants
        .into_iter()
        .filter(|(side, want)| positive(want).is_none_or(|want| !stay.is_wanted(*side, &want)))
        .map(|(side, want)| gone(side, want, Tenure::Attachment));
    Intent { wishes: wishes.collect() }
}

/// An intent in place of what an earlier record of the attachment wanted.
pub(super) fn replaced(
    topology: &Topology,
    records: &Records<'_>,
    mut intended: Intended,
) -> Intended {
    let Some(own) = records.own else { return intended };
    let new = intended.intent.wishes.clone();
    let new = new.as_slice();
    let others = records.others.clone();
    let stay = Stay { others, new, leaving: None, scene: &topology.scene };
    let dropped: Vec<Wish> =
        own.intent.wishes.iter().filter(|wish| !new.contains(wish)).cloned().collect();
    let kept = &intended.record.before;
    let is_dropped = |before: &&(Side, Object)| {
        !is_still_changed(before.0, &before.1, new) && !kept.contains(before)
    };
    let back: Vec<(Side, Object)> = own.before.iter().filter(is_dropped).cloned().collect();
    let mut wishes = retired(&dropped, &back, &stay);
    wishes.retain(|wish| !new.iter().any(|other| is_about_same(wish, other)));
    wishes.extend(new.iter().cloned());
    intended.intent = Intent { wishes };
    let known = &mut intended.record.before;
    for (side, object) in &own.before {
        let is_setting = matches!(object, Object::Link(_) | Object::Sysctl(..));
        let is_kept = is_setting && is_still_changed(*side, object, new);
        if is_kept && !known.contains(&(*side, object.clone())) {
            known.push((*side, object.clone()));
        }
    }
    intended
}

/// Whether wishes still change what an object says was before.
fn is_still_changed(side: Side, object: &Object, new: &[Wish]) -> bool {
    new.iter().filter(|wish| wish.side == side).any(|wish| match (object, &wish.want) {
        (Object::Route(old), Want::NoRoute(route)) => old == route,
        (Object::Sysctl(old, _), Want::Sysctl(sysctl, _)) => old == sysctl,
        (Object::Link(old), Want::Setting { link, .. }) => old.name == *link,
        _ => false,
    })
}

/// Whether a wish to go back is overruled by a new wish: a neighbour is replaced in place, and so are the
/// marks, a link and a setting.
fn is_about_same(less: &Wish, more: &Wish) -> bool {
    less.side == more.side
        && match (&less.want, &more.want) {
            (Want::NoNeighbour(old), Want::Neighbour(new)) => {
                (&old.device, old.address) == (&new.device, new.address)
            }
            (Want::NoLink(old), Want::Link(new)) => *old == new.name,
            (Want::NoMarks, Want::Marks(_)) => true,
            (Want::Sysctl(old, _), Want::Sysctl(new, _)) => old == new,
            (
                Want::Setting { link, change },
                Want::Setting { link: new_link, change: new_change },
            ) => link == new_link && discriminant(change) == discriminant(new_change),
            (Want::NoRoute(old), Want::NoRoute(new)) => old == new,
            (Want::NoRoute(old), Want::Route(new)) => old == new,
            (Want::NoRule(old), Want::Rule(new)) => old == new,
            (Want::NoAddress(old), Want::Address(new)) => old == new,
            _ => false,
        }
}

/// What must stay while something else goes.
#[derive(Debug)]
struct Stay<'a> {
    others: Vec<&'a Record>,
    /// What the attachment itself wants from here on.
    new: &'a [Wish],
    /// The interface that goes.
    leaving: Option<&'a LinkName>,
    scene: &'a Scene,
}

impl Stay<'_> {
    /// All wishes that are to hold.
    fn wishes(&self) -> impl Iterator<Item = &Wish> + '_ {
        self.others.iter().flat_map(|record| &record.intent.wishes).chain(self.new)
    }

    fn is_wanted(&self, side: Side, want: &Want) -> bool {
        self.wishes().any(|wish| wish.side == side && wish.want == *want)
    }

    /// Whether a new wish cannot be had while an old route stays, although another attachment that has
    /// not been renewed wants it.
    fn is_in_way(&self, side: Side, want: &Want) -> bool {
        let Want::Route(old) = want else { return false };
        self.new.iter().any(|wish| is_other_there(wish, side, old))
    }

    /// Whether an object is a route by the leaving interface alone, which is gone soon.
    fn goes_along(&self, object: &Object) -> bool {
        let Object::Route(route) = object else { return false };
        let mut hops = route.hops.iter();
        let pod = &self.scene.pod;
        self.leaving.is_some()
            && hops.all(|hop| {
                let device = hop.device.as_ref();
                device == self.leaving || device.is_some_and(|name| !pod.links.contains_key(name))
            })
    }

    /// Whether nobody wants a route away or another one at its place.
    fn lets_return(&self, side: Side, route: &Route) -> bool {
        let is_unwanted = self.is_wanted(side, &Want::NoRoute(route.clone()));
        !is_unwanted && !self.wishes().any(|wish| is_other_there(wish, side, route))
    }
}

/// Whether a wish is for another route at a route's place.
fn is_other_there(wish: &Wish, side: Side, route: &Route) -> bool {
    let Want::Route(other) = &wish.want else { return false };
    wish.side == side && key(side, other) == key(side, route) && !is_same(other, route)
}

/// The old wishes undone and what was before put back, but for what stays.
fn retired(old: &[Wish], before: &[(Side, Object)], stay: &Stay<'_>) -> Vec<Wish> {
    let ends = old.iter().rev().filter(|wish| wish.tenure != Tenure::Node).filter(|wish| {
        let is_kept =
            stay.is_wanted(wish.side, &wish.want) && !stay.is_in_way(wish.side, &wish.want);
        !is_kept && !was_there(wish, before)
    });
    let mut wishes: Vec<Wish> =
        ends.filter_map(|wish| Some(gone(wish.side, negative(&wish.want)?, wish.tenure))).collect();
    let mut back: Vec<&(Side, Object)> = before.iter().rev().collect();
    back.sort_by_key(|(_, object)| stay.goes_along(object));
    for (side, object) in back {
        let wants = if let Object::Route(route) = object {
            returned_route(*side, route, &wishes, stay)
        } else {
            returned(*side, object, old, stay)
        };
        wishes.extend(wants.into_iter().map(|want| gone(*side, want, Tenure::Attachment)));
    }
    wishes
}

/// What puts a route back, as far as its links are there.
///
/// What others moved of it stays where it is. A route is added where no other is, so a part of this one
/// makes room, and so does one of the leaving interface's, which goes with its link anyway. Any other one
/// stays, and the old one does not come back beside it: the kernel would ask
/// whichever came last.
fn returned_route(side: Side, route: &Route, going: &[Wish], stay: &Stay<'_>) -> Vec<Want> {
    let observed = stay.scene.side(side);
    let back = remaining(observed, route)
        .and_then(|back| without(&back, &parts(observed, &stay.others)))
        .filter(|back| stay.lets_return(side, route) && stay.lets_return(side, back));
    let Some(back) = back else { return Vec::new() };
    let goes = |other: &Route| {
        let want = Want::NoRoute(other.clone());
        going.iter().chain(stay.new).any(|wish| wish.side == side && wish.want == want)
    };
    let in_way: Vec<&Route> = observed
        .routes
        .iter()
        .filter(|other| key(side, other) == key(side, &back) && !is_same(other, &back))
        .filter(|other| !goes(other))
        .collect();
    let makes_room = |other: &&Route| {
        let mut hops = other.hops.iter();
        hops.all(|hop| {
            hop.device.as_ref().is_some_and(|device| Some(device) == stay.leaving)
                || back
                    .hops
                    .iter()
                    .any(|own| own.device == hop.device && own.gateway == hop.gateway)
        })
    };
    let is_contested = going.iter().any(|wish| is_other_there(wish, side, &back));
    if is_contested || !in_way.iter().all(makes_room) {
        return Vec::new();
    }
    let room = in_way.into_iter().cloned().map(Want::NoRoute);
    room.chain([Want::Route(back)]).collect()
}

fn gone(side: Side, want: Want, tenure: Tenure) -> Wish {
    Wish { side, want, tenure, reason: Reason::Restored }
}

/// Whether somebody else had made a thing just so before it was wished.
fn was_there(wish: &Wish, before: &[(Side, Object)]) -> bool {
    before.iter().any(|(side, object)| {
        *side == wish.side
            && match (object, &wish.want) {
                (Object::Route(other), Want::Route(route)) => is_same(other, route),
                (Object::Rule(other), Want::Rule(rule)) => {
                    let protocol = rule.protocol;
                    crate::net::Rule { protocol, ..other.clone() } == *rule
                }
                _ => false,
            }
    })
}

/// The opposite of wanting a thing; settings have none, they are put back.
fn negative(want: &Want) -> Option<Want> {
    match want.clone() {
        Want::Link(link) => Some(Want::NoLink(link.name)),
        Want::Address(address) => Some(Want::NoAddress(address)),
        Want::Neighbour(neighbour) => Some(Want::NoNeighbour(neighbour)),
        Want::Route(route) => Some(Want::NoRoute(route)),
        Want::Rule(rule) => Some(Want::NoRule(rule)),
        Want::Marks(_) => Some(Want::NoMarks),
        Want::Setting { .. }
        | Want::Sysctl(..)
        | Want::NoLink(_)
        | Want::NoAddress(_)
        | Want::NoNeighbour(_)
        | Want::NoRoute(_)
        | Want::NoRule(_)
        | Want::NoMarks => None,
    }
}

fn positive(want: &Want) -> Option<Want> {
    match want.clone() {
        Want::NoAddress(address) => Some(Want::Address(address)),
        Want::NoNeighbour(neighbour) => Some(Want::Neighbour(neighbour)),
        Want::NoRoute(route) => Some(Want::Route(route)),
        Want::NoRule(rule) => Some(Want::Rule(rule)),
        Want::Link(_)
        | Want::Setting { .. }
        | Want::Address(_)
        | Want::Neighbour(_)
        | Want::Route(_)
        | Want::Rule(_)
        | Want::Sysctl(..)
        | Want::Marks(_)
        | Want::NoLink(_)
        | Want::NoMarks => None,
    }
}

/// What puts an object back that is no route.
fn returned(side: Side, object: &Object, old: &[Wish], stay: &Stay<'_>) -> Vec<Want> {
    match object {
        Object::Rule(rule) => vec![Want::Rule(rule.clone())],
        Object::Sysctl(sysctl, value) if can_reset(side, sysctl, stay) => {
            vec![Want::Sysctl(sysctl.clone(), *value)]
        }
        Object::Link(link) if stay.scene.side(side).links.contains_key(&link.name) => {
            let own = old.iter().filter(|wish| wish.side == side);
            own.filter_map(|wish| as_before(&wish.want, link)).collect()
        }
        Object::Route(_)
        | Object::Sysctl(..)
        | Object::Link(_)
        | Object::Address(_)
        | Object::Neighbour(_)
        | Object::Marks(_) => Vec::new(),
    }
}

fn can_reset(side: Side, sysctl: &Sysctl, stay: &Stay<'_>) -> bool {
    let is_there = match &sysctl.place {
        SysctlPlace::All | SysctlPlace::Default => !stay.scene.side(side).links.is_empty(),
        SysctlPlace::Link(name) => stay.scene.side(side).links.contains_key(name),
    };
    is_there && !stay.others.iter().any(|record| speaks_of(record, side, sysctl))
}

/// The setting of a link that a wish changed, as it was.
fn as_before(want: &Want, link: &Link) -> Option<Want> {
    let Want::Setting { link: name, change } = want else { return None };
    let change = match change {
        LinkChange::Up(_) => LinkChange::Up(link.is_up),
        LinkChange::Mac(_) => LinkChange::Mac(link.mac.clone()?),
        LinkChange::TxQueueLength(_) => LinkChange::TxQueueLength(link.tx_queue_length),
        LinkChange::Mtu(_) => LinkChange::Mtu(link.mtu),
        LinkChange::Name(_)
        | LinkChange::Controller(_)
        | LinkChange::Alias(_)
        | LinkChange::Bond(_) => return None,
    };
    (*name == link.name).then(|| Want::Setting { link: name.clone(), change })
}

/// All that carries our mark in a pod.
fn ours(pod: &Observed) -> impl Iterator<Item = Want> + '_ {
    let rules = pod.rules.iter().filter(|rule| rule.protocol == RouteProtocol::OURS);
    let routes = pod.routes.iter().filter(|route| route.protocol == RouteProtocol::OURS);
    let neighbours = pod.neighbours.iter().filter(|neighbour| {
        neighbour.protocol == RouteProtocol::OURS && neighbour.state == NeighbourState::Permanent
    });
    rules
        .cloned()
        .map(Want::NoRule)
        .chain(routes.cloned().map(Want::NoRoute))
        .chain(neighbours.cloned().map(Want::NoNeighbour))
}
