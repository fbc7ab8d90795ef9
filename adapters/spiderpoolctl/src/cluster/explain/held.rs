//! What a pod holds, and whether block, endpoint and pod agree about it.

use crate::cluster::Cluster;
use crate::cluster::state::State;
use crate::failure::Failure;
use crate::session::{Colour, Session};
use crate::table::Table;
use serde::Serialize;
use serde_json::Value;
use spiderpool_core::command::Place;
use spiderpool_core::owner::{Owner, Stage};
use spiderpool_core::slots::{Held, Slot};
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::wire;
use spiderpool_kube::cluster::workload::Pod;
use std::net::IpAddr;

/// One address that a pod holds; the names of the fields are a promise.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Holding {
    pub(super) interface: String,
    address: IpAddr,
    pool: String,
    block: String,
    slot: u8,
    generation: u64,
    stage: Stage,
    node: String,
    container: String,
    /// What does not agree; empty when all do.
    disagreements: Vec<String>,
}

/// What is compared with a slot.
struct Witnesses<'a> {
    pod: &'a Pod,
    /// The endpoint: its named slots, what it tells of the pod, and the pod's UID that it says.
    endpoint: Option<(Vec<Place>, Vec<IpAddr>, String)>,
    key: EndpointKey,
    is_static: bool,
}

/// The slots of a pod's owner.
pub(super) fn holdings(
    cluster: &Cluster,
    state: &State,
    pod: &Pod,
    owner: &Owner,
) -> Result<Vec<Holding>, Failure> {
    let witnesses = witnesses(cluster, pod, owner)?;
    let mut holdings = Vec::new();
    for (key, (body, _)) in &state.blocks {
        for (slot, held) in &body.sheet.slots {
            let Slot::Allocated(held) = held else { continue };
            if held.holder.owner != *owner {
                continue;
            }
            let place = Place { space: key.space.clone(), address: key.address(*slot) };
            holdings.push(Holding {
                interface: held.placement.attachment.to_string(),
                address: place.address,
                pool: held.placement.pool.to_string(),
                block: wire::block_name(key),
                slot: *slot,
                generation: held.generation,
                stage: held.stage,
                node: held.holder.node.to_string(),
                container: text(held.holder.container.as_ref()),
                disagreements: witnesses.disagreements(&place, held),
            });
        }
    }
    holdings.sort_by(|one, other| {
        (&one.interface, one.address).cmp(&(&other.interface, other.address))
    });
    Ok(holdings)
}

fn text(name: Option<&spiderpool_core::name::Name>) -> String {
    name.map(ToString::to_string).unwrap_or_default()
}

fn witnesses<'a>(cluster: &Cluster, pod: &'a Pod, owner: &Owner) -> Result<Witnesses<'a>, Failure> {
    let pod_key = EndpointKey { namespace: pod.namespace.clone(), name: pod.name.clone() };
    let identity = crate::cluster::pods::identity_of(owner.as_str());
    let key = identity.clone().unwrap_or(pod_key);
    let read = cluster.endpoint_json(&key);
    let json = read.map_err(|fault| fault.tell(&format!("cannot read endpoint {key}")))?;
    let endpoint = json.map(|json| {
        let object = wire::lift(
            &spiderpool_kube::cluster::object::Key::Endpoint(key.clone()),
            &json,
            crate::cluster::AGENT_NAMESPACE,
        );
        let slots = object.body.endpoint().map(|endpoint| endpoint.slots.clone());
        let places = slots.into_iter().flatten().map(|slot| slot.place).collect();
        let told = crate::cluster::state::told_ips(&json).into_iter().map(|(_, address)| address);
        let uid = json.pointer("/status/current/uid").and_then(Value::as_str).unwrap_or_default();
        (places, told.collect(), uid.to_owned())
    });
    Ok(Witnesses { pod, endpoint, key, is_static: identity.is_some() })
}

impl Witnesses<'_> {
    fn disagreements(&self, place: &Place, held: &Held) -> Vec<String> {
        let mut found = Vec::new();
        let address = place.address;
        if held.holder.pod_uid.as_ref().is_some_and(|uid| !self.pod.is(uid)) {
            found.push(format!(
                "the slot is of another pod of that name, {}",
                text(held.holder.pod_uid.as_ref())
            ));
        }
        if self.pod.node.as_ref().is_some_and(|node| *node != held.holder.node) {
            found.push(format!("the slot is of node {}", held.holder.node));
        }
        match &self.endpoint {
            None => found.push(format!("there is no endpoint {}", self.key)),
            Some((places, _, _)) if self.is_static && !places.contains(place) => {
                found.push(format!("endpoint {} does not name it", self.key));
            }
            Some((_, told, uid)) => {
                if !self.pod.is(uid) {
                    found.push(format!("endpoint {} is of another pod", self.key));
                }
                if !told.is_empty() && !told.contains(&address) {
                    found.push(format!("endpoint {} does not tell it", self.key));
                }
            }
        }
        let shown =
            self.pod.status.as_ref().map(|status| status.ips.as_slice()).unwrap_or_default();
        let is_first = *held.placement.attachment == *"eth0";
        if is_first && !shown.is_empty() && !shown.contains(&address) {
            found.push("the pod's status does not show it".to_owned());
        }
        found
    }
}

/// A table, and what does not agree below it.
pub(super) fn print(session: &Session, holdings: &[Holding]) -> String {
    let head =
        ["ADDRESS", "INTERFACE", "POOL", "BLOCK", "SLOT", "GENERATION", "STAGE", "NODE", "AGREE"];
    let mut table = Table::new(&head);
    for holding in holdings {
        let agree = if holding.disagreements.is_empty() {
            session.paint(Colour::Green, "yes")
        } else {
            session.paint(Colour::Red, "no")
        };
        table.row([
            holding.address.to_string(),
            holding.interface.clone(),
            holding.pool.clone(),
            holding.block.clone(),
            holding.slot.to_string(),
            holding.generation.to_string(),
            format!("{:?}", holding.stage).to_lowercase(),
            holding.node.clone(),
            agree,
        ]);
    }
    let mut text = format!("it holds\n{}", table.print(2));
    for holding in holdings {
        for why in &holding.disagreements {
            text.push_str(&format!("  {}: {why}\n", holding.address));
        }
    }
    text
}
