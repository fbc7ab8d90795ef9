//! What one test has for itself: a namespace, pools of prefixes that nobody else has, and a kubelet.
//!
//! [`Stage::settle`] plays scheduler and kubelet for the namespace: it binds pods, sends ADD for each of
//! their interfaces, and again when that failed, writes their status, and ends those that are to go.

use crate::pod::{Answer, Pod, addresses};
use crate::room::{NODES, admin, create, eventually, list, patch};
use crate::seen::GROUP;
use serde_json::{Value, json};
use spiderpool_agent_api::message::IpamAddResponse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

/// The annotations by which pods name pools.
pub(crate) const IPPOOL: &str = "ipam.spidernet.io/ippool";
pub(crate) const IPPOOLS: &str = "ipam.spidernet.io/ippools";

/// Annotations of an object.
pub(crate) type Notes<'a> = &'a [(&'a str, String)];

/// Prefixes that nobody has had: the third byte of `10.77.x.0/24`, the fourth group of `fd00:77::/64`s.
static PREFIXES: AtomicU8 = AtomicU8::new(1);

/// A pool, with the network part of its addresses.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) name: String,
    /// `10.77.3.` or `fd00:77:0:3::`: what precedes the last part of an address.
    pub(crate) base: String,
    pub(crate) subnet: String,
}

impl Pool {
    pub(crate) fn path(&self) -> String {
        format!("{GROUP}/spiderippools/{}", self.name)
    }

    /// An address of it, with the length of its prefix.
    pub(crate) fn at(&self, last: &str) -> String {
        let length = self.subnet.rsplit('/').next().unwrap_or_default();
        format!("{}{last}/{length}", self.base)
    }

    pub(crate) fn has(&self, address: &str) -> bool {
        address.starts_with(&self.base)
    }
}

/// Pools of IPv4, as `ippool` and the items of `ippools` list them.
pub(crate) fn v4(pools: &[&Pool]) -> Value {
    json!({"ipv4": names(pools)})
}

pub(crate) fn names(pools: &[&Pool]) -> Vec<String> {
    pools.iter().map(|pool| pool.name.clone()).collect()
}

/// A namespace with a kubelet for its pods.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) namespace: String,
    /// The interfaces of each pod, in the order in which they are attached.
    pub(crate) nics: Vec<&'static str>,
    /// What each pod that lives was answered, by UID.
    running: BTreeMap<String, (Pod, Vec<IpamAddResponse>)>,
    bound: usize,
}

impl Stage {
    pub(crate) fn open(namespace: &str) -> Self {
        Self::annotated(namespace, &[], &[])
    }

    /// A namespace with labels and annotations.
    pub(crate) fn annotated(namespace: &str, labels: Notes<'_>, notes: Notes<'_>) -> Self {
        let metadata = json!({"name": namespace, "labels": map(labels), "annotations": map(notes)});
        create("/api/v1/namespaces", &json!({"metadata": metadata}));
        let running = BTreeMap::new();
        Self { namespace: namespace.to_owned(), nics: vec!["eth0"], running, bound: 0 }
    }

    /// A prefix that nobody has had.
    pub(crate) fn prefix(&self, name: &str, family: u8) -> Pool {
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        let (base, subnet) = match family {
            4 => (format!("10.77.{number}."), format!("10.77.{number}.0/24")),
            _ => (format!("fd00:77:0:{number:x}::"), format!("fd00:77:0:{number:x}::/64")),
        };
        Pool { name: format!("{}-{name}", self.namespace), base, subnet }
    }

    /// A pool of a prefix, from `.10` on; `more` goes over its spec.
    pub(crate) fn fill(&self, pool: Pool, count: u8, more: &Value) -> Pool {
        let Pool { base, subnet, .. } = &pool;
        let last = if subnet.contains(':') {
            format!("{base}{:x}", 0x0f + u16::from(count))
        } else {
            format!("{base}{}", 9 + count)
        };
        let mut spec = json!({"subnet": subnet, "ips": [format!("{base}10-{last}")]});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let object = json!({
            "apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderIPPool",
            "metadata": {"name": pool.name}, "spec": spec,
        });
        create(&format!("{GROUP}/spiderippools?fieldValidation=Strict"), &object);
        pool
    }

    /// A pool of IPv4 with so many addresses.
    pub(crate) fn pool(&self, name: &str, count: u8) -> Pool {
        self.fill(self.prefix(name, 4), count, &json!({}))
    }

    /// The same with more in its spec.
    pub(crate) fn pool_with(&self, name: &str, count: u8, more: &Value) -> Pool {
        self.fill(self.prefix(name, 4), count, more)
    }

    /// A pool of IPv6 with so many addresses.
    pub(crate) fn pool_v6(&self, name: &str, count: u8) -> Pool {
        self.fill(self.prefix(name, 6), count, &json!({}))
    }

    /// A pod on a node, with annotations; `more` goes over its metadata.
    pub(crate) fn pod_with(&self, name: &str, node: &str, notes: Notes<'_>, more: &Value) -> Pod {
        let mut object = json!({
            "metadata": {"name": name, "annotations": map(notes)},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "none"}]},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        Pod::of(&create(&self.pods(), &object))
    }

    /// A pod on the first node, with annotations.
    pub(crate) fn pod(&self, name: &str, notes: Notes<'_>) -> Pod {
        self.pod_with(name, NODES[0], notes, &json!({}))
    }

    /// A pod on the first node that names pools of IPv4.
    pub(crate) fn pod_of(&self, name: &str, pools: &[&Pool]) -> Pod {
        self.pod(name, &[(IPPOOL, v4(pools).to_string())])
    }

    /// Tells a pod to go, sends DEL for each of its interfaces, and ends it.
    pub(crate) fn end(&self, pod: &Pod) {
        let path = format!("{}/{}", self.pods(), pod.name);
        admin().call("DELETE", &path, None).unwrap();
        self.bury(pod);
    }

    fn bury(&self, pod: &Pod) {
        self.nics.iter().rev().for_each(|nic| pod.del(nic));
        let path = format!("{}/{}", self.pods(), pod.name);
        let now = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}});
        let reply = admin().send("DELETE", &path, Some(&now)).unwrap();
        assert!(reply.is_well() || [404, 409].contains(&reply.status), "{}", reply.text);
    }

    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// The path of workloads of the namespace: `deployments`.
    pub(crate) fn workloads(&self, plural: &str) -> String {
        let group = if plural == "jobs" { "batch" } else { "apps" };
        format!("/apis/{group}/v1/namespaces/{}/{plural}", self.namespace)
    }

    /// A workload with so many pods, where it has a number, that have these annotations.
    pub(crate) fn workload(&self, plural: &str, name: &str, count: u8, notes: Notes<'_>) -> Value {
        let labels = json!({"app": name});
        let mut template = json!({
            "metadata": {"labels": labels, "annotations": map(notes)},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        });
        let spec = match plural {
            "jobs" => {
                template["spec"]["restartPolicy"] = json!("Never");
                json!({"parallelism": count, "completions": count, "template": template})
            }
            "daemonsets" => json!({"selector": {"matchLabels": labels}, "template": template}),
            _ => {
                json!({"replicas": count, "selector": {"matchLabels": labels}, "template": template})
            }
        };
        let mut object = json!({"metadata": {"name": name}, "spec": spec});
        if plural == "statefulsets" {
            object["spec"]["serviceName"] = json!(name);
        }
        create(&self.workloads(plural), &object)
    }

    /// Changes the annotations of a workload's pods.
    pub(crate) fn annotate(&self, plural: &str, name: &str, notes: Notes<'_>) {
        let change = json!({"spec": {"template": {"metadata": {"annotations": map(notes)}}}});
        patch(&format!("{}/{name}", self.workloads(plural)), &change);
    }

    /// What runs: each pod with what it was answered for each interface.
    pub(crate) fn running(&self) -> impl Iterator<Item = &(Pod, Vec<IpamAddResponse>)> {
        self.running.values()
    }

    /// The pod of a name that runs.
    pub(crate) fn named(&self, name: &str) -> &(Pod, Vec<IpamAddResponse>) {
        self.running().find(|(pod, _)| pod.name == name).unwrap()
    }

    /// Works until so many pods run, no other is left, and each fits.
    pub(crate) fn settle(
        &mut self,
        what: &str,
        count: usize,
        fits: impl Fn(&Pod, &[IpamAddResponse]) -> bool,
    ) {
        let mut faults = Vec::new();
        eventually(&format!("{what} in {}", self.namespace), || {
            faults = self.work();
            let there = self.running.len() == count && faults.is_empty();
            (there && self.running().all(|(pod, replies)| fits(pod, replies))).then_some(())
        });
    }

    /// One pass over all pods; what ADDs were refused with, and a word for each pod on its way.
    pub(crate) fn work(&mut self) -> Vec<String> {
        let pods = list(&self.pods());
        let mut open = Vec::new();
        let there = |uid: &str| pods.iter().any(|json| json["metadata"]["uid"] == uid);
        let gone: Vec<_> = self.running.keys().filter(|uid| !there(uid)).cloned().collect();
        for uid in gone {
            let (pod, _) = self.running.remove(&uid).unwrap();
            self.nics.iter().rev().for_each(|nic| pod.del(nic));
        }
        for json in &pods {
            let pod = Pod::of(json);
            if json["metadata"]["deletionTimestamp"].is_string() {
                self.running.remove(&pod.uid);
                self.bury(&pod);
                open.push(format!("{} has gone", pod.name));
            } else if pod.node.is_empty() {
                self.bind(json, &pod);
                open.push(format!("{} has a node", pod.name));
            } else if !self.running.contains_key(&pod.uid) {
                open.extend(self.run(&pod).err());
            }
        }
        open
    }

    /// What a scheduler does: a `DaemonSet`'s pods say where they belong, others go round.
    fn bind(&mut self, json: &Value, pod: &Pod) {
        let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        let terms = json.pointer(required).map(|required| &required["nodeSelectorTerms"]);
        let told = terms.and_then(|terms| terms[0]["matchFields"][0]["values"][0].as_str());
        let node = told.unwrap_or(NODES[self.bound % NODES.len()]);
        self.bound += 1;
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        create(&format!("{}/{}/binding", self.pods(), pod.name), &binding);
    }

    fn run(&mut self, pod: &Pod) -> Result<(), String> {
        let replies: Vec<Answer> = self.nics.iter().map(|nic| pod.ask(&pod.request(nic))).collect();
        let replies: Result<Vec<_>, _> = replies.into_iter().collect();
        let replies = replies.map_err(|fault| fault.to_string())?;
        let bare = |text: &String| json!({"ip": text.split('/').next()});
        let ips: Vec<_> = addresses(&replies[0], self.nics[0]).iter().map(bare).collect();
        self.status(pod, &json!({
            "phase": "Running", "podIP": ips[0]["ip"], "podIPs": ips, "hostIP": "192.0.2.1",
            "hostIPs": [{"ip": "192.0.2.1"}], "conditions": [{"type": "Ready", "status": "True"}],
        }));
        self.running.insert(pod.uid.clone(), (pod.clone(), replies));
        Ok(())
    }

    /// What a kubelet says of a pod.
    pub(crate) fn status(&self, pod: &Pod, status: &Value) {
        let path = format!("{}/{}/status", self.pods(), pod.name);
        let change = json!({"metadata": {"uid": pod.uid}, "status": status});
        // A pod that was ended meanwhile needs no status.
        let reply = admin().send("PATCH", &path, Some(&change)).unwrap();
        assert!(reply.is_well() || [404, 409].contains(&reply.status), "{}", reply.text);
    }
}

fn map(notes: Notes<'_>) -> Value {
    notes.iter().map(|(key, text)| ((*key).to_owned(), json!(text))).collect()
}
