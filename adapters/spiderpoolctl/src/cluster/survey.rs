//! `audit` of a whole cluster: the core's audit on its view, and [`super::finding`].

use super::Cluster;
use super::finding::{self, EndpointSeen, Finding, PodSeen, Scene, Weight, listed_in};
use super::state::{Extent, State};
use crate::copy::incomplete;
use crate::failure::{Exit, Failure};
use crate::session::{Colour, Session};
use crate::table::{Table, counted};
use serde::Serialize;
use spiderpool_core::audit::{self, Severity, Violation};
use spiderpool_core::name::Name;
use spiderpool_core::view::View;
use spiderpool_kube::cluster::reclaim::NodeState;
use spiderpool_kube::cluster::workload::Pod;
use std::collections::{BTreeMap, BTreeSet};

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Audited {
    allocations: u64,
    blocks: u64,
    pods: usize,
    findings: Vec<Told>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    severity: Weight,
    what: String,
    /// Of the rules that hold on every store.
    violation: Option<Violation>,
    /// Of those that only a cluster has.
    finding: Option<Finding>,
}

/// Looks for everything that is wrong, and mends nothing.
pub(crate) fn audit(session: &Session, cluster: &Cluster) -> Result<Exit, Failure> {
    let state = cluster.state(session, Extent::Everything)?;
    // Pods are read after the blocks: a pod that is made in between is seen, and none is missed.
    let pods = cluster.pods(session, "")?;
    let nodes = cluster.nodes(session)?;
    let audited = judge(&state, &pods, &nodes)?;
    session.show(&audited, || print(session, &audited))?;
    Ok(match audited.findings.iter().map(|told| told.severity).max() {
        None | Some(Weight::Note) => Exit::Done,
        Some(Weight::Leak) => Exit::Leaks,
        Some(Weight::Broken) => Exit::Broken,
    })
}

fn judge(
    state: &State,
    pods: &[Pod],
    nodes: &BTreeMap<Name, NodeState>,
) -> Result<Audited, Failure> {
    let view = state.view();
    let core = audit::audit(&view).map_err(|need| incomplete(&need))?;
    let findings = finding::findings(&scene(state, &view, pods, nodes));
    let rules = core.violations.iter().map(|violation| Told {
        severity: match violation.severity() {
            Severity::Leak => Weight::Leak,
            Severity::Broken => Weight::Broken,
        },
        what: violation.to_string(),
        violation: Some(violation.clone()),
        finding: None,
    });
    let cluster = findings.into_iter().map(|finding| Told {
        severity: finding.weight(),
        what: finding.to_string(),
        violation: None,
        finding: Some(finding),
    });
    let mut findings: Vec<_> = rules.chain(cluster).collect();
    findings.sort_by_key(|told| std::cmp::Reverse(told.severity));
    Ok(Audited { allocations: core.allocations, blocks: core.blocks, pods: pods.len(), findings })
}

fn scene<'a>(
    state: &'a State,
    view: &'a View,
    pods: &[Pod],
    nodes: &BTreeMap<Name, NodeState>,
) -> Scene<'a> {
    let seen = |pod: &Pod| {
        let key = spiderpool_kube::cluster::object::EndpointKey {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
        };
        (pod.uid_on_node(), PodSeen { key, alive: pod.is_alive() })
    };
    let endpoints = state.endpoints.iter().map(|(key, told)| {
        let seen = EndpointSeen {
            pod_uid: told.endpoint.facts.pod_uid.clone(),
            slots: told.endpoint.slots.clone(),
            ips: told.ips.clone(),
        };
        (key.clone(), seen)
    });
    let ready: BTreeSet<Name> = nodes
        .iter()
        .filter(|(_, state)| **state == NodeState::Ready)
        .map(|(name, _)| name.clone())
        .collect();
    let listed = state.indexes.iter().flat_map(|(key, index)| listed_in(key, &index.blocks));
    Scene {
        view,
        blocks: state
            .blocks
            .iter()
            .map(|(key, (body, _))| (key, (&body.sheet, body.listed)))
            .collect(),
        listed: listed.collect(),
        pools: state
            .pools
            .iter()
            .map(|(name, facts)| (name, (&facts.engine, facts.deleting)))
            .collect(),
        endpoints: endpoints.collect(),
        pods: pods.iter().map(seen).collect(),
        recovery: state.ledger.recovery.as_ref(),
        ready,
        unreadable: &state.unreadable,
    }
}

fn print(session: &Session, audited: &Audited) -> String {
    let mut text = format!(
        "{} in {}, {}\n",
        counted(audited.allocations, "allocation"),
        counted(audited.blocks, "block"),
        counted(audited.pods, "pod")
    );
    if audited.findings.is_empty() {
        return text + &session.paint(Colour::Green, "nothing found") + "\n";
    }
    let mut table = Table::new(&["SEVERITY", "WHAT"]);
    for told in &audited.findings {
        let severity = match told.severity {
            Weight::Note => "note".to_owned(),
            Weight::Leak => session.paint(Colour::Yellow, "leak"),
            Weight::Broken => session.paint(Colour::Red, "broken"),
        };
        table.row([severity, told.what.clone()]);
    }
    text.push_str(&table.print(0));
    text
}
