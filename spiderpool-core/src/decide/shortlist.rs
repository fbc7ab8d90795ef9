//! Which pools a want may be satisfied from, in which order, and why the others may not.

use super::demand::{Names, Want};
use super::glob::{glob_matches, is_pattern};
use crate::definition::Scope;
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
            let defaults = view.pools()?.filter(|entry| entry.pool.is_default() && entry.pool.family() == family);
            list.extend(defaults.map(|entry| Nominee { text: entry.pool.name(), entry: Ok(entry) }));
        }
        Names::Listed(names) if names.iter().any(|name| is_pattern(name)) => {
            expand(view, want, names, list)?;
        }
        Names::Listed(names) => {
            for (at, name) in names.iter().enumerate() {
                if names.iter().take(at).all(|earlier| earlier != name) {
                    list.push(nominee(view, name)?);
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
        let matching = (view.pools()?)
            .filter(|entry| entry.pool.family() == family && glob_matches(name, entry.pool.name()) == Ok(true));
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
    let Scope { pods, namespaces, namespace_names, nodes, node_names, networks } = entry.pool.scope();
    Reverse([
        pods.is_some(),
        !node_names.is_empty(),
        nodes.is_some(),
        !namespace_names.is_empty(),
        namespaces.is_some(),
        !networks.is_empty(),
    ])
}

/// Why a pool may not be used for a want, whatever it has free.
pub(super) fn objection(entry: &PoolEntry, want: &Want<'_>, request: &Request) -> Option<Verdict> {
    let pool = &entry.pool;
    if pool.is_deleting() {
        return Some(Verdict::Deleting);
    }
    if pool.is_disabled() {
        return Some(Verdict::Disabled);
    }
    if pool.family() != want.demand.family {
        return Some(Verdict::OtherFamily);
    }
    let scope = pool.scope();
    node_objection(scope, request)
        .or_else(|| namespace_objection(scope, request))
        .or_else(|| pod_objection(scope, request))
        .or_else(|| network_objection(scope, want, request))
        .or_else(|| master_objection(entry, request))
}

fn node_objection(scope: &Scope, request: &Request) -> Option<Verdict> {
    let node = &request.holder.node;
    if !scope.node_names.is_empty() {
        let listed = scope.node_names.iter().any(|name| **name == **node);
        return (!listed).then(|| Verdict::NodeName { node: node.to_string() });
    }
    let selector = scope.nodes.as_ref()?;
    (!selector.matches(&request.subject.node_labels))
        .then(|| Verdict::NodeAffinity { selector: selector.to_string() })
}

fn namespace_objection(scope: &Scope, request: &Request) -> Option<Verdict> {
    let subject = &request.subject;
    if !scope.namespace_names.is_empty() {
        let namespace = subject.namespace.clone();
        let listed = scope.namespace_names.contains(&namespace);
        return (!listed).then_some(Verdict::NamespaceName { namespace });
    }
    let selector = scope.namespaces.as_ref()?;
    (!selector.matches(&subject.namespace_labels))
        .then(|| Verdict::NamespaceAffinity { selector: selector.to_string() })
}

fn pod_objection(scope: &Scope, request: &Request) -> Option<Verdict> {
    let selector = scope.pods.as_ref()?;
    (!selector.matches(&request.subject.pod_labels))
        .then(|| Verdict::PodAffinity { selector: selector.to_string() })
}

fn network_objection(scope: &Scope, want: &Want<'_>, request: &Request) -> Option<Verdict> {
    if scope.networks.is_empty() {
        return None;
    }
    let Some(network) = request.subject.networks.get(&*want.demand.attachment) else {
        return Some(Verdict::NetworkUnknown);
    };
    let listed = scope.networks.contains(network);
    (!listed).then(|| Verdict::Network { network: network.clone() })
}

/// A pool that is tied to the network has been matched by that already.
fn master_objection(entry: &PoolEntry, request: &Request) -> Option<Verdict> {
    if !entry.pool.scope().networks.is_empty() {
        return None;
    }
    let addresses = request.master.as_ref()?;
    let prefix = entry.pool.prefix();
    (!addresses.iter().any(|address| prefix.contains(address))).then_some(Verdict::Master)
}
