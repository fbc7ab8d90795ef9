//! Which pools a want may be satisfied from, in which order, and why the others may not.

use super::demand::{Names, Want};
use super::glob::{glob_matches, is_pattern};
use crate::address::Family;
use crate::definition::Scope;
use crate::label::Selector;
use crate::refusal::Verdict;
use crate::request::Request;
use crate::view::{Need, PoolEntry, View};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A candidate before it is judged: a pool, or why the text names none.
#[derive(Debug)]
pub(super) struct Nominee<'v> {
    pub(super) text: &'v str,
    pub(super) entry: Result<&'v PoolEntry, Verdict>,
}

impl Nominee<'_> {
    /// Whether both name one pool, or by one text none.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.entry, &other.entry) {
            (Ok(one), Ok(another)) => std::ptr::eq(*one, *another),
            (Err(_), Err(_)) => self.text == other.text,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        }
    }
}

/// Every candidate of a want, each pool once, in the order in which they are named; pools that a
/// pattern matches come in the order of their names.
pub(super) fn nominees<'v>(
    view: &'v View,
    want: &'v Want<'_>,
    list: &mut Vec<Nominee<'v>>,
) -> Result<(), Need> {
    match &want.names {
        Names::Held(pool) => list.push(nominee(view, pool)?),
        Names::Defaults => {
            let family = want.demand.family;
            let defaults = view
                .pools()?
                .filter(|entry| entry.pool.is_default() && entry.pool.family() == family);
            list.extend(
                defaults.map(|entry| Nominee { text: entry.pool.name(), entry: Ok(entry) }),
            );
        }
        Names::Listed(names) if names.iter().any(|name| is_pattern(name)) => {
            expand(view, want, names, list)?;
        }
        Names::Listed(names) => {
            for name in names.iter() {
                let nominee = nominee(view, name)?;
                if !list.iter().any(|earlier| earlier.is_same(&nominee)) {
                    list.push(nominee);
                }
            }
        }
    }
    Ok(())
}

fn nominee<'v>(view: &'v View, name: &'v str) -> Result<Nominee<'v>, Need> {
    Ok(Nominee { text: name, entry: view.pool(name)?.ok_or(Verdict::Missing) })
}

fn expand<'v>(
    view: &'v View,
    want: &'v Want<'_>,
    names: &'v [String],
    list: &mut Vec<Nominee<'v>>,
) -> Result<(), Need> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !is_pattern(name) {
            if seen.insert(name.as_str()) {
                list.push(nominee(view, name)?);
            }
            continue;
        }
        if glob_matches(name, "").is_err() {
            list.push(Nominee { text: name, entry: Err(Verdict::BadPattern) });
            continue;
        }
        let family = want.demand.family;
        let matching = (view.pools()?).filter(|entry| {
            entry.pool.family() == family && glob_matches(name, entry.pool.name()) == Ok(true)
        });
        let mut any = false;
        for entry in matching {
            any = true;
            if seen.insert(entry.pool.name()) {
                list.push(Nominee { text: entry.pool.name(), entry: Ok(entry) });
            }
        }
        if !any {
            list.push(Nominee { text: name, entry: Err(Verdict::NoMatch) });
        }
    }
    Ok(())
}

/// Puts pools that are tied to something before those that serve anybody; equals keep their order.
pub(super) fn rank(entry: &PoolEntry) -> Reverse<[bool; 6]> {
    let Scope { pods, namespaces, namespace_names, nodes, node_names, networks } =
        entry.pool.scope();
    Reverse([
        pods.is_some(),
        !node_names.is_empty(),
        nodes.is_some(),
        !namespace_names.is_empty(),
        namespaces.is_some(),
        !networks.is_empty(),
    ])
}

/// Why a pool may not be used for a want, whatever it has free. On the hot path nobody asks for the
/// text, so it is made by [`Objection::verdict`] alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Objection<'v> {
    Deleting,
    Disabled,
    OtherFamily,
    SwitchedOff(Family),
    NodeName(&'v str),
    NodeAffinity(&'v Selector),
    NamespaceName(&'v str),
    NamespaceAffinity(&'v Selector),
    PodAffinity(&'v Selector),
    NetworkUnknown,
    Network(&'v str),
    Master,
}

impl Objection<'_> {
    /// What a shortlist says of it.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Deleting => Verdict::Deleting,
            Self::Disabled => Verdict::Disabled,
            Self::OtherFamily => Verdict::OtherFamily,
            Self::SwitchedOff(family) => Verdict::SwitchedOff { family },
            Self::NodeName(node) => Verdict::NodeName { node: node.to_owned() },
            Self::NodeAffinity(selector) => {
                Verdict::NodeAffinity { selector: selector.to_string() }
            }
            Self::NamespaceName(namespace) => {
                Verdict::NamespaceName { namespace: namespace.to_owned() }
            }
            Self::NamespaceAffinity(selector) => {
                Verdict::NamespaceAffinity { selector: selector.to_string() }
            }
            Self::PodAffinity(selector) => Verdict::PodAffinity { selector: selector.to_string() },
            Self::NetworkUnknown => Verdict::NetworkUnknown,
            Self::Network(network) => Verdict::Network { network: network.to_owned() },
            Self::Master => Verdict::Master,
        }
    }
}

/// The first rule that leaves a pool out, if one does.
pub(super) fn objection<'v>(
    entry: &'v PoolEntry,
    want: &Want<'_>,
    request: &'v Request,
) -> Option<Objection<'v>> {
    let pool = &entry.pool;
    if pool.is_deleting() {
        return Some(Objection::Deleting);
    }
    if pool.is_disabled() {
        return Some(Objection::Disabled);
    }
    if pool.family() != want.demand.family {
        return Some(Objection::OtherFamily);
    }
    let scope = pool.scope();
    node_objection(scope, request)
        .or_else(|| namespace_objection(scope, request))
        .or_else(|| pod_objection(scope, request))
        .or_else(|| network_objection(scope, want, request))
        .or_else(|| master_objection(entry, request))
}

fn node_objection<'v>(scope: &'v Scope, request: &'v Request) -> Option<Objection<'v>> {
    let node = &request.holder.node;
    if !scope.node_names.is_empty() {
        let listed = scope.node_names.iter().any(|name| **name == **node);
        return (!listed).then_some(Objection::NodeName(node));
    }
    let selector = scope.nodes.as_ref()?;
    (!selector.matches(&request.subject.node_labels)).then_some(Objection::NodeAffinity(selector))
}

fn namespace_objection<'v>(scope: &'v Scope, request: &'v Request) -> Option<Objection<'v>> {
    let subject = &request.subject;
    if !scope.namespace_names.is_empty() {
        let listed = scope.namespace_names.contains(&subject.namespace);
        return (!listed).then_some(Objection::NamespaceName(&subject.namespace));
    }
    let selector = scope.namespaces.as_ref()?;
    (!selector.matches(&subject.namespace_labels)).then_some(Objection::NamespaceAffinity(selector))
}

fn pod_objection<'v>(scope: &'v Scope, request: &Request) -> Option<Objection<'v>> {
    let selector = scope.pods.as_ref()?;
    (!selector.matches(&request.subject.pod_labels)).then_some(Objection::PodAffinity(selector))
}

fn network_objection<'v>(
    scope: &Scope,
    want: &Want<'_>,
    request: &'v Request,
) -> Option<Objection<'v>> {
    if scope.networks.is_empty() {
        return None;
    }
    let Some(network) = request.subject.networks.get(&*want.demand.attachment) else {
        return Some(Objection::NetworkUnknown);
    };
    let listed = scope.networks.contains(network);
    (!listed).then_some(Objection::Network(network))
}

/// A pool that is tied to the network has been matched by that already.
fn master_objection<'v>(entry: &PoolEntry, request: &Request) -> Option<Objection<'v>> {
    if !entry.pool.scope().networks.is_empty() {
        return None;
    }
    let addresses = request.master.as_ref()?;
    let prefix = entry.pool.prefix();
    (!addresses.iter().any(|address| prefix.contains(address))).then_some(Objection::Master)
}
