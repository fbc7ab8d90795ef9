//! What the API server holds: blocks' slots, endpoints, events.

use crate::pod::Pod;
use crate::room::{admin, eventually, list, read};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The group of Spiderpool's objects.
pub(crate) const GROUP: &str = "/apis/spiderpool.spidernet.io/v2beta1";

/// An allocated slot of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) address: IpAddr,
    pub(crate) owner: String,
    pub(crate) pod_uid: String,
    pub(crate) container: String,
    pub(crate) node: String,
    pub(crate) pool: String,
    pub(crate) interface: String,
}

/// Every allocated slot of all blocks.
pub(crate) fn slots() -> Vec<Slot> {
    let blocks = list(&format!("{GROUP}/spiderblocks"));
    let mut slots = Vec::new();
    for spec in blocks.iter().map(|block| &block["spec"]) {
        let first: IpAddr = spec["first"].as_str().unwrap().parse().unwrap();
        for (number, slot) in spec["slots"].as_object().into_iter().flatten() {
            if slot["state"] == "Allocated" {
                slots.push(lift(first, number.parse().unwrap(), slot));
            }
        }
    }
    slots
}

fn lift(first: IpAddr, number: u8, slot: &Value) -> Slot {
    let text = |key: &str| slot[key].as_str().unwrap_or_default().to_owned();
    let address = match first {
        IpAddr::V4(first) => Ipv4Addr::from(u32::from(first) + u32::from(number)).into(),
        IpAddr::V6(first) => Ipv6Addr::from(u128::from(first) + u128::from(number)).into(),
    };
    Slot {
        address,
        owner: text("owner"),
        pod_uid: text("podUID"),
        container: text("containerID"),
        node: text("node"),
        pool: text("pool"),
        interface: text("interface"),
    }
}

/// What a pod has.
pub(crate) fn slots_of(pod: &Pod) -> Vec<Slot> {
    slots().into_iter().filter(|slot| slot.pod_uid == pod.uid).collect()
}

/// What is given out of a pool.
pub(crate) fn slots_in(pool: &str) -> Vec<Slot> {
    slots().into_iter().filter(|slot| slot.pool == pool).collect()
}

/// The endpoint of a name, once it is that of the pod.
pub(crate) fn endpoint(pod: &Pod) -> Value {
    let path = format!("{GROUP}/namespaces/{}/spiderendpoints/{}", pod.namespace, pod.name);
    eventually(&format!("the endpoint of {}", pod.name), || {
        read(&path).filter(|endpoint| endpoint["status"]["current"]["uid"] == *pod.uid)
    })
}

/// What a pod's endpoint says of an interface, once it says so.
pub(crate) fn endpoint_nic(pod: &Pod, nic: &str) -> Value {
    eventually(&format!("{nic} in the endpoint of {}", pod.name), || {
        let endpoint = endpoint(pod);
        let ips = endpoint["status"]["current"]["ips"].as_array()?.clone();
        ips.into_iter().find(|ip| ip["interface"] == nic)
    })
}

/// The text of an event on a pod, once there is one with the reason and a part of the text.
pub(crate) fn event(pod: &Pod, reason: &str, part: &str) -> String {
    let selector = format!("fieldSelector=involvedObject.uid%3D{}", pod.uid);
    let path = format!("/api/v1/namespaces/{}/events?{selector}", pod.namespace);
    eventually(&format!("an event {reason} on {} with `{part}`", pod.name), || {
        let events = list(&path);
        let mut texts = events.iter().filter(|event| event["reason"] == reason);
        texts
            .find_map(|event| event["message"].as_str().filter(|text| text.contains(part)))
            .map(str::to_owned)
    })
}

/// What the server says to a write that it refuses.
pub(crate) fn refusal(method: &str, path: &str, body: &Value) -> String {
    let reply = admin().send(method, path, Some(body)).unwrap();
    assert!(!reply.is_well(), "{method} {path} was taken: {}", reply.text);
    reply.json()["message"].as_str().unwrap_or_default().to_owned()
}
