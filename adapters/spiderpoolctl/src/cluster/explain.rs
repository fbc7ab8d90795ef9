//! `explain pod`: what a live pod asks for, what is weighed for it, and what it has.
//!
//! The request is the one that the node's agent makes of the pod, its namespace, its node and the
//! configurations of its networks; what lies on the node alone is given by arguments.
//!
//! Invariants:
//! 1. What is decided is decided by the core on a copy (`tests/kube`: `looking_changes_nothing`).
//! 2. The request is lifted by the code that the agent has (`spiderpool_kube::cluster::request`).

mod held;
mod site;

use super::Cluster;
use super::state::Extent;
use crate::copy::Copy;
use crate::failure::{Exit, Failure};
use crate::listing::parse_name;
use crate::request::RequestArgs;
use crate::session::Session;
use crate::shortlist;
use held::Holding;
use serde::Serialize;
use site::Site;
use spiderpool_core::command::{Allocated, Answer, Command};
use spiderpool_core::decide;
use spiderpool_core::refusal::Shortlist;
use spiderpool_core::request::Request;
use spiderpool_kube::cluster::workload::Pod;

/// The answer; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained {
    pod: String,
    uid: String,
    node: Option<String>,
    /// Whose its addresses are.
    owner: String,
    /// Kind and name of each controller, from the pod's own on.
    workload: String,
    /// Why it gets no address whatever the pools have, if that is so.
    refused: Option<String>,
    /// What it holds.
    holdings: Vec<Holding>,
    interfaces: Vec<Interface>,
    /// What could not be taken into account.
    notes: Vec<String>,
}

/// One interface that has no address yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    interface: String,
    network: String,
    /// What is not known and would have a say.
    note: Option<String>,
    granted: Option<Allocated>,
    refusal: Option<String>,
    shortlist: Option<Shortlist>,
}

/// Explains a pod that exists, given as `namespace/name`.
pub(crate) fn explain(
    session: &Session,
    cluster: &Cluster,
    (pod, args): (&str, &RequestArgs),
) -> Result<Exit, Failure> {
    let Some((namespace, name)) = pod.split_once('/') else {
        return Err(Failure::bad(format!("`{pod}` is not a pod")).try_this("write NAMESPACE/NAME"));
    };
    let (namespace, name) = (parse_name("namespace", namespace)?, parse_name("pod", name)?);
    let pod = cluster.live_pod(&namespace, &name)?;
    let state = cluster.state(session, Extent::Addresses)?;
    state.warn(session);
    let view = state.view();
    let site = Site::read(cluster, &pod, (args, &view))?;
    let owner = site.owner(&pod)?;
    let holdings = held::holdings(cluster, &state, &pod, &owner)?;
    let mut explained = Explained {
        pod: format!("{namespace}/{name}"),
        uid: pod.uid.to_string(),
        node: pod.node.as_ref().map(ToString::to_string),
        owner: owner.to_string(),
        workload: site.workload.clone(),
        refused: refused(&pod),
        holdings,
        interfaces: Vec::new(),
        notes: site.notes.clone(),
    };
    if explained.refused.is_none() {
        explained.interfaces =
            weigh_all(session, &mut Copy { view }, &pod, &site, &explained.holdings)?;
    }
    let is_well = explained.refused.is_none()
        && explained.interfaces.iter().all(|interface| interface.granted.is_some());
    session.show(&explained, || print(session, &explained))?;
    Ok(if is_well { Exit::Done } else { Exit::Refused })
}

impl Cluster {
    fn live_pod(&self, namespace: &str, name: &str) -> Result<Pod, Failure> {
        let read = self.core(("pods", "pod"), Some(namespace), name)?;
        let json = read.ok_or_else(|| {
            Failure::bad(format!("there is no pod {namespace}/{name}"))
                .try_this("for one that does not exist yet, describe it: explain --pool …")
        })?;
        spiderpool_kube::cluster::workload::lift_pod(&json).map_err(|bad| {
            Failure::world(format!("pod {namespace}/{name} cannot be read")).because(&bad)
        })
    }
}

/// What an ADD of the pod is told before any pool is looked at.
fn refused(pod: &Pod) -> Option<String> {
    if pod.status.as_ref().is_some_and(|status| status.host_network) {
        return Some("it shares its node's network, and asks for no address".to_owned());
    }
    (!pod.is_alive())
        .then(|| "it is on its way out or has finished: it gets no address any more".to_owned())
}

/// Weighs every interface that has no address yet, as one ADD after the other.
fn weigh_all(
    session: &Session,
    copy: &mut Copy,
    pod: &Pod,
    site: &Site,
    holdings: &[Holding],
) -> Result<Vec<Interface>, Failure> {
    let mut interfaces = Vec::new();
    for interface in site.interfaces() {
        if holdings.iter().any(|holding| holding.interface == interface) {
            continue;
        }
        let interface = interface.to_owned();
        let request = match site.request(pod, &interface)? {
            Ok(request) => request,
            Err(why) => {
                let (granted, network, shortlist) = (None, String::new(), None);
                let refusal = Some(why);
                let note = None;
                interfaces.push(Interface {
                    interface,
                    network,
                    note,
                    granted,
                    refusal,
                    shortlist,
                });
                continue;
            }
        };
        let network = request.network.to_string();
        let note = site.unknown(&interface, &request.sources).map(str::to_owned);
        let shortlist = decide::explain(&copy.view, &request, session.moment()).ok();
        let (granted, refusal) = grant(session, copy, request)?;
        interfaces.push(Interface { interface, network, note, granted, refusal, shortlist });
    }
    Ok(interfaces)
}

fn grant(
    session: &Session,
    copy: &mut Copy,
    request: Request,
) -> Result<(Option<Allocated>, Option<String>), Failure> {
    Ok(match copy.run(&Command::Allocate(request), session.moment())? {
        Ok(Answer::Allocated(allocated)) if allocated.addresses.is_empty() => {
            (None, Some("no pool is named for it".to_owned()))
        }
        Ok(Answer::Allocated(allocated)) => (Some(allocated), None),
        Ok(_) => (None, Some("bug: the answer is of another kind".to_owned())),
        Err(refusal) => (None, Some(crate::copy::told(&refusal))),
    })
}

fn print(session: &Session, explained: &Explained) -> String {
    let Explained { pod, uid, node, owner, workload, refused, holdings, interfaces, notes } =
        explained;
    let node = node.as_deref().unwrap_or("none yet");
    let mut text = format!(
        "pod {pod}, UID {uid}, on node {node}\ncontrolled by {workload}; its addresses belong to {owner}\n"
    );
    text.extend(notes.iter().map(|note| format!("note: {note}\n")));
    if holdings.is_empty() {
        text.push_str("it holds no address\n");
    } else {
        text.push_str(&held::print(session, holdings));
    }
    if let Some(refused) = refused {
        text.push_str(&format!("{refused}\n"));
    }
    for Interface { interface, network, note, granted, refusal, shortlist } in interfaces {
        let verb = if granted.is_some() { "would get its addresses" } else { "would be refused" };
        let of = if network.is_empty() { String::new() } else { format!(" of network {network}") };
        text.push_str(&format!("interface {interface}{of} {verb}\n"));
        text.extend(note.iter().map(|note| format!("note: {note}\n")));
        match (shortlist, refusal) {
            (Some(shortlist), _) => text.push_str(&shortlist::print(session, shortlist)),
            (None, Some(refusal)) => text.push_str(&format!("  {refusal}\n")),
            (None, None) => {}
        }
        if let Some(granted) = granted {
            text.push_str(&crate::command::explain::allocated(granted));
        }
    }
    text
}
