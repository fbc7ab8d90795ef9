//! All that wishes are made of, gathered once, and the whole of an intent.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::mode::{Standing, is_founder, standing};
use super::node::{Node, node};
use super::pair::{Ends, ends};
use super::tune::Tuning;
use super::{
    Configuration, Founder, Intended, Intent, Mode, Note, POD_END, Record, Refusal, Style,
    Topology, Wish,
};
use super::{
    before, filter, interface, leftover, moved, natural, pair, reply, retire, settle, table,
    to_node, to_pod, tune,
};
use crate::address::Family;
use crate::net::{Address, Link, LinkName, Route};

/// What is recorded of a pod.
#[derive(Debug)]
pub(super) struct Records<'a> {
    /// An earlier record of the attachment in question.
    pub(super) own: Option<&'a Record>,
    /// Those of the pod's other attachments, by interface.
    pub(super) others: Vec<&'a Record>,
}

impl<'a> Records<'a> {
    fn of(topology: &'a Topology) -> Result<Self, Refusal> {
        let mut of_pod: Vec<&Record> = topology
            .attachments
            .iter()
            .filter(|record| record.container == topology.container)
            .collect();
        if let Some(strange) = of_pod.iter().find(|record| record.format != Record::FORMAT) {
            let (interface, format) = (strange.interface.clone(), strange.format);
            return Err(Refusal::BadFormat { interface, format });
        }
        of_pod.sort_by(|one, other| one.interface.cmp(&other.interface));
        let (own, others): (Vec<_>, Vec<_>) =
            of_pod.into_iter().partition(|record| record.interface == topology.interface);
        Ok(Self { own: own.first().copied(), others })
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Record> + '_ {
        self.own.into_iter().chain(self.others.iter().copied())
    }

    /// Whether a pair of ours is recorded.
    pub(super) fn any_underlay(&self) -> bool {
        self.all().any(|record| record.style == Style::Underlay)
    }
}

/// All that wishes are made of.
#[derive(Debug)]
pub(super) struct Situation<'a> {
    pub(super) topology: &'a Topology,
    pub(super) configuration: &'a Configuration,
    pub(super) records: Records<'a>,
    pub(super) standing: Standing,
    /// The attachment by whose configuration what is shared is made.
    pub(super) founder: Option<Founder>,
    pub(super) ends: Ends,
    /// The interface itself.
    pub(super) link: &'a Link,
    /// The interface's usable addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// The families of those.
    pub(super) families: Vec<Family>,
    /// The families of all attachments' addresses.
    pub(super) shared_families: Vec<Family>,
    pub(super) node: Node,
    /// The address from which the pod speaks to its node: the default interface's first of IPv4. IPv6
    /// chooses by itself: a source given with a route would hold back addresses that come later.
    pub(super) source: Option<IpAddr>,
    pub(super) table: u32,
    /// The main table as it would be without any coordination.
    pub(super) natural: BTreeSet<Route>,
    /// What other attachments moved out of it.
    pub(super) parts: Vec<Route>,
}

impl<'a> Situation<'a> {
    fn of(topology: &'a Topology, configuration: &'a Configuration) -> Result<Self, Refusal> {
        let records = Records::of(topology)?;
        let name = &topology.interface;
        let link = topology.scene.pod.links.get(name);
        let link = link.ok_or_else(|| Refusal::NoInterface { interface: name.clone() })?;
        if name.as_str() == POD_END {
            return Err(Refusal::NameReserved { interface: name.clone() });
        }
        let addresses = usable(topology, name);
        if addresses.is_empty() {
            return Err(Refusal::NoAddresses { interface: name.clone() });
        }
        let standing = standing(topology, configuration, &records)?;
        let ends = ends(topology, configuration, &records, standing)?;
        let families = families(&addresses);
        let shared_families = shared_families(topology, &records);
        let node = node(topology, &records, &shared_families);
        let source = usable(topology, &configuration.default_nic);
        let source = source.into_iter().find(|address| Family::of(*address) == Family::V4);
        let table = table::own(topology, &records, standing)?;
        let natural = natural::main_routes(&topology.scene.pod, &records);
        let parts = natural::parts(&topology.scene.pod, &records.others);
        let mut situation = Self {
            topology,
            configuration,
            records,
            standing,
            founder: None,
            ends,
            link,
            addresses,
            families,
            shared_families,
            node,
            source,
            table,
            natural,
            parts,
        };
        situation.founder = situation.find_founder();
        situation.refuse_small_mtu()?;
        Ok(situation)
    }

    fn find_founder(&self) -> Option<Founder> {
        if self.standing.is_first {
            return Some(Founder {
                interface: self.topology.interface.clone(),
                configuration: self.configuration.clone(),
                keeper: tune::keeper(self),
            });
        }
        let others = &self.records.others;
        let first = others.iter().copied().filter(|record| is_founder(record));
        let rest = self.records.own.into_iter().chain(others.iter().copied());
        first.chain(rest).find_map(|record| record.founder.clone())
    }

    /// What the pod's first attachment was configured with, or this one where nothing is known of it.
    pub(super) fn shared_configuration(&self) -> &Configuration {
        self.founder.as_ref().map_or(self.configuration, |founder| &founder.configuration)
    }

    /// The source of a route of a family.
    pub(super) fn source_for(&self, family: Family) -> Option<IpAddr> {
        self.source.filter(|source| Family::of(*source) == family)
    }

    /// Whether the node runs IPv6 at all: its settings do not exist otherwise.
    pub(super) fn has_host_v6(&self) -> bool {
        self.topology.scene.host.addresses.iter().any(|address| address.family() == Family::V6)
    }

    fn refuse_small_mtu(&self) -> Result<(), Refusal> {
        let mtu = self.shared_configuration().veth_mtu.bytes();
        let is_ours = self.standing.style == Style::Underlay && self.ends.foreign_mtu.is_none();
        if is_ours && mtu < 1280 && self.shared_families.contains(&Family::V6) {
            return Err(Refusal::SmallMtu { mtu });
        }
        Ok(())
    }
}

/// The usable addresses of a link of the pod, IPv4 and primary ones first.
pub(super) fn usable(topology: &Topology, link: &LinkName) -> Vec<IpAddr> {
    let is_usable = |address: &&Address| {
        address.device == *link && address.is_usable() && !address.flags.has_dad_failed
    };
    let mut found: Vec<&Address> = topology.scene.pod.addresses.iter().filter(is_usable).collect();
    found.sort_by_key(|address| {
        let is_passing = !address.flags.is_permanent;
        (address.family(), address.flags.is_secondary, is_passing, address.net.addr())
    });
    let mut addresses: Vec<IpAddr> = found.into_iter().map(|address| address.net.addr()).collect();
    addresses.dedup();
    addresses
}

fn families(addresses: &[IpAddr]) -> Vec<Family> {
    let has = |family| addresses.iter().any(|address| Family::of(*address) == family);
    Family::BOTH.into_iter().filter(|family| has(*family)).collect()
}

fn shared_families(topology: &Topology, records: &Records<'_>) -> Vec<Family> {
    let links = records.others.iter().map(|record| &record.interface);
    let addresses: Vec<IpAddr> =
        links.chain([&topology.interface]).flat_map(|link| usable(topology, link)).collect();
    families(&addresses)
}

/// What an attachment needs.
///
/// An earlier record of the attachment among [`Topology::attachments`] keeps its table, its gateway and
/// what was there before; what it wanted and this does not is wished away. The same call with everything
/// in place asks for nothing (`once_applied_nothing_is_left_to_do`).
///
/// # Errors
///
/// [`Refusal`], with what to change.
pub fn intend(topology: &Topology, configuration: &Configuration) -> Result<Intended, Refusal> {
    if configuration.mode == Mode::Disabled {
        let records = Records::of(topology)?;
        return Ok(retire::replaced(topology, &records, disabled(topology, configuration)));
    }
    let situation = Situation::of(topology, configuration)?;
    let tuning = tune::tune(&situation)?;
    let (wishes, mut notes) = wishes(&situation, &tuning)?;
    let (wishes, more) = settle::settle(wishes, &situation);
    notes.extend(tuning.notes.iter().cloned());
    notes.extend(more);
    notes.sort();
    notes.dedup();
    let record = record(&situation, tuning, &wishes);
    let intended = Intended { intent: Intent { wishes }, record, notes };
    Ok(retire::replaced(topology, &situation.records, intended))
}

/// What an attachment needs as things are, in place of what it was given: for a repair, and when the
/// node's addresses have changed. It keeps the recorded configuration.
///
/// # Errors
///
/// [`Refusal`], with what to change.
pub fn renew(topology: &Topology, record: &Record) -> Result<Intended, Refusal> {
    let mut topology = topology.clone();
    topology.container.clone_from(&record.container);
    topology.interface.clone_from(&record.interface);
    topology
        .attachments
        .retain(|other| other.interface != record.interface || other.container != record.container);
    topology.attachments.push(record.clone());
    intend(&topology, &record.configuration)
}

/// Every wish in the order in which people read them, what is shared first.
fn wishes(situation: &Situation<'_>, tuning: &Tuning) -> Result<(Vec<Wish>, Vec<Note>), Refusal> {
    let mut notes = Vec::new();
    let mut wishes = pair::wishes(situation);
    wishes.extend(to_node::shared(situation, &mut notes));
    wishes.extend(reply::wishes(situation));
    wishes.extend(tune::shared(situation));
    wishes.extend(interface::wishes(situation)?);
    wishes.extend(filter::wishes(situation, &mut notes));
    wishes.extend(leftover::wishes(situation));
    wishes.extend(to_pod::wishes(situation));
    wishes.extend(to_node::own(situation, &mut notes));
    wishes.extend(tuning.wishes.iter().cloned());
    wishes.extend(interface::policy_routes(situation, tuning.home, &mut notes));
    Ok((wishes, notes))
}

fn record(situation: &Situation<'_>, tuning: Tuning, wishes: &[Wish]) -> Record {
    let before = before::before(wishes, situation, tuning.displaced.is_some());
    let lasting = wishes.iter().filter(|wish| !moved::is_rest(wish)).cloned().collect();
    Record {
        format: Record::FORMAT,
        container: situation.topology.container.clone(),
        interface: situation.topology.interface.clone(),
        configuration: situation.configuration.clone(),
        style: situation.standing.style,
        founder: situation.founder.clone(),
        intent: Intent { wishes: lasting },
        table: situation.table,
        gateways: situation.node.gateways.clone(),
        keeper: tuning.keeper,
        displaced: tuning.displaced,
        before,
    }
}

/// An attachment that asks for nothing.
fn disabled(topology: &Topology, configuration: &Configuration) -> Intended {
    let record = Record {
        format: Record::FORMAT,
        container: topology.container.clone(),
        interface: topology.interface.clone(),
        configuration: configuration.clone(),
        style: Style::Disabled,
        founder: None,
        intent: Intent::default(),
        table: 0,
        gateways: std::collections::BTreeMap::new(),
        keeper: None,
        displaced: None,
        before: Vec::new(),
    };
    Intended { intent: Intent::default(), record, notes: Vec::new() }
}
