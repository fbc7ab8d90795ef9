//! Pods, nodes, owners and networks of the cluster, as far as addresses are concerned.

use super::api::{Progress, kind_path};
use super::fault::Fault;
use super::{AGENT_NAMESPACE, Cluster};
use crate::failure::Failure;
use crate::session::Session;
use serde_json::Value;
use spiderpool_core::address::Family;
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::object::EndpointKey;
use spiderpool_kube::cluster::reclaim::{NodeState, lift_node};
use spiderpool_kube::cluster::workload::{
    Known, Lookup, Pod, Reading, Records, Step, Switches, Validity, Walk, Workload, judge,
    lift_machine, lift_ordinals, lift_pod,
};
use std::collections::BTreeMap;

/// The steps from a pod to its workload, and the reads that tell whether an identity stands, are few.
const STEPS_MAX: u32 = 8;

impl Cluster {
    /// The pods that a field selector admits; empty for all.
    pub(super) fn pods(&self, session: &Session, fields: &str) -> Result<Vec<Pod>, Failure> {
        let mut pods = Vec::new();
        let mut progress = Progress::of(session, "pods");
        self.each(&kind_path("v1", None, "pods"), ("", fields), &mut progress, |json| {
            pods.extend(lift_pod(&json).ok());
        })
        .map_err(|fault| fault.tell("cannot list pods"))?;
        Ok(pods)
    }

    /// Every node, and how it is.
    pub(super) fn nodes(&self, session: &Session) -> Result<BTreeMap<Name, NodeState>, Failure> {
        let mut nodes = BTreeMap::new();
        let mut progress = Progress::of(session, "nodes");
        self.each(&kind_path("v1", None, "nodes"), ("", ""), &mut progress, |json| {
            let name = json.pointer("/metadata/name").and_then(Value::as_str);
            let name = name.and_then(|name| Name::new(name).ok());
            nodes.extend(name.map(|name| (name, lift_node(&json))));
        })
        .map_err(|fault| fault.tell("cannot list nodes"))?;
        Ok(nodes)
    }

    /// One object of the core API; `namespace` is `None` for one of the cluster.
    pub(super) fn core(
        &self,
        (plural, noun): (&str, &str),
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, Failure> {
        let read = self.read(&kind_path("v1", namespace, plural), name);
        read.map_err(|fault| fault.tell(&format!("cannot read {noun} {name}")))
    }

    /// An owner or what makes an identity's pods. A kind that is not installed has no objects.
    fn object(&self, reading: &Reading, whole: bool) -> Result<Option<Value>, Fault> {
        let Reading { api_version, kind, namespace, name, .. } = reading;
        let plural = format!("{}s", kind.to_lowercase());
        let path = kind_path(api_version, Some(namespace), &plural);
        let read = if whole { self.read(&path, name) } else { self.read_meta(&path, name) };
        match read {
            Err(Fault::NoKind) => Ok(None),
            read => read,
        }
    }

    /// What controls a pod in the end; the error is why that cannot be told.
    pub(super) fn workload(&self, pod: &Pod) -> Result<Result<Workload, String>, Failure> {
        let mut walk = Walk::new(pod);
        for _ in 0..STEPS_MAX {
            let reading = match walk.step() {
                Step::Found(workload) => return Ok(Ok(workload)),
                Step::Need(reading) => reading,
            };
            let doing = format!("cannot read {} {}", reading.kind, reading.name);
            let read = match self.object(&reading, false) {
                Err(Fault::Refused { code: 403, why, .. }) => return Ok(Err(why)),
                read => read.map_err(|fault| fault.tell(&doing))?,
            };
            let known = match read.as_ref().map(Known::lift).transpose() {
                Ok(known) => known,
                Err(bad) => return Ok(Err(bad.to_string())),
            };
            if let Err(fault) = walk.take(known.as_ref()) {
                return Ok(Err(fault.to_string()));
            }
        }
        Ok(Err("its owners do not come to an end".to_owned()))
    }

    /// Whether something still makes pods of a static identity.
    pub(super) fn stands(&self, key: &EndpointKey) -> Result<bool, Failure> {
        let mut records = Records::default();
        for _ in 0..STEPS_MAX {
            let reading = match judge(None, key, &records) {
                Validity::Valid => return Ok(true),
                Validity::Invalid => return Ok(false),
                Validity::Need(reading) => reading,
            };
            let doing = format!("cannot read {} {}", reading.kind, reading.name);
            let read = self.object(&reading, true).map_err(|fault| fault.tell(&doing))?;
            match reading.kind.as_str() {
                "StatefulSet" => records.stateful_set = found(read.as_ref().map(lift_ordinals)),
                "VirtualMachineInstance" => {
                    records.instance = found(read.as_ref().map(lift_machine))
                }
                _ => records.machine = found(read.as_ref().map(lift_machine)),
            }
        }
        // What cannot be told stands.
        Ok(true)
    }

    /// The configuration of the agents, as far as it decides whose addresses are and which families are
    /// given: the config map `spiderpool-conf`, or what its chart sets; then it is noted why.
    pub(super) fn agents(&self, notes: &mut Vec<String>) -> Result<Agents, Failure> {
        let path = kind_path("v1", Some(AGENT_NAMESPACE), "configmaps");
        let map = match self.read(&path, "spiderpool-conf") {
            Err(Fault::Refused { code: 403, why, .. }) => {
                notes
                    .push(format!("the agents' configuration is taken to be the usual one: {why}"));
                None
            }
            read => read.map_err(|fault| fault.tell("cannot read config map spiderpool-conf"))?,
        };
        let data = |key: &str| {
            let text = map.as_ref()?.pointer(&format!("/data/{key}"))?.as_str()?;
            Some(text.to_owned())
        };
        let conf = data("conf.yml").unwrap_or_default();
        let mut agents = Agents::read(&conf).map_err(|why| {
            Failure::bad(format!(
                "the config map {AGENT_NAMESPACE}/spiderpool-conf cannot be read: {why}"
            ))
        })?;
        agents.network = data("clusterNetwork").filter(|network| !network.is_empty());
        Ok(agents)
    }
}

fn found<T>(read: Option<T>) -> Lookup<T> {
    read.map_or(Lookup::Absent, Lookup::Found)
}

/// What of the agents' configuration matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agents {
    /// Which identities outlive their pods.
    pub(super) switches: Switches,
    /// The family that is given when the other one is switched off.
    pub(super) only: Option<Family>,
    /// The network of a pod's first interface.
    pub(super) network: Option<String>,
}

impl Agents {
    fn read(conf: &str) -> Result<Self, String> {
        let value: Value = if conf.trim().is_empty() {
            Value::Null
        } else {
            serde_saphyr::from_str(conf).map_err(|error| error.to_string())?
        };
        let is_on = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(true);
        Ok(Self {
            switches: Switches {
                stateful_sets: is_on("enableStatefulSet"),
                virtual_machines: is_on("enableKubevirtStaticIP"),
            },
            only: match (is_on("enableIPv4"), is_on("enableIPv6")) {
                (true, false) => Some(Family::V4),
                (false, true) => Some(Family::V6),
                // An agent refuses a configuration with neither, and goes on with the one before.
                (true, true) | (false, false) => None,
            },
            network: None,
        })
    }
}

/// The identity in an owner's text: `identity/NAMESPACE/NAME`.
pub(super) fn identity_of(owner: &str) -> Option<EndpointKey> {
    let (namespace, name) = owner.strip_prefix("identity/")?.split_once('/')?;
    Some(EndpointKey { namespace: Name::new(namespace).ok()?, name: Name::new(name).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_configuration_defaults_to_the_charts() {
        let read = Agents::read("").unwrap();
        assert!(read.switches.stateful_sets && read.only.is_none());
        let read = Agents::read("enableStatefulSet: false\nenableIPv6: false\n").unwrap();
        assert!(!read.switches.stateful_sets && read.only == Some(Family::V4));
        assert!(Agents::read("enable: [").is_err());
    }

    #[test]
    fn identities_are_read_from_owners() {
        assert_eq!(identity_of("identity/default/web-0").unwrap().to_string(), "default/web-0");
        assert!(identity_of("pod/5b4c").is_none() && identity_of("identity/alone").is_none());
    }
}
