//! What the cluster says about a pod's networks: its own CIDRs and the administrator's choices.
//!
//! ADD asks, once; DEL, CHECK and GC never do, since they go by what ADD wrote down
//! (`del_asks_nobody` in `tests/lifecycle.rs`). On a cluster's node the agent is asked over its socket, on
//! a host without a cluster nobody ([`source`]). Invariant: what the network's own configuration says goes
//! before what the cluster says, key by key (`the_configuration_goes_before_the_cluster`).

use crate::conf::{Conf, Draft};
use spiderpool_agent_api::message::{CoordinatorConfig, PodQuery};
use spiderpool_agent_api::{Client, SOCKET};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;
use thiserror::Error;

/// The pod that is asked about, as far as the runtime says who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodName {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: Option<String>,
    /// `K8S_POD_NAME`.
    pub name: Option<String>,
}

/// Whoever knows the cluster.
pub trait Facts {
    /// What the cluster says about a pod.
    ///
    /// # Errors
    /// [`FactsFault`] when it cannot be asked, or does not know.
    fn of_pod(&self, pod: &PodName) -> Result<Draft, FactsFault>;
}

/// The cluster's facts cannot be had; trying again may help (CNI code 11).
#[derive(Debug, Error)]
#[error("the cluster's facts about pod `{pod}` cannot be had from {from}")]
pub struct FactsFault {
    /// The pod.
    pub pod: String,
    /// Who was asked.
    pub from: &'static str,
    /// What happened.
    pub source: Box<dyn Error + Send + Sync>,
}

/// A node without a cluster: the facts are what the configuration itself says, and the reference's
/// default where it is silent.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What the configuration says.
    pub said: Draft,
}

/// The agent of a cluster's node: what the cluster says where the configuration is silent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What the configuration says.
    pub said: Draft,
    /// The way to the agent.
    pub client: Client,
}

/// Whom a configuration means; no exchange with it lasts beyond `until`.
#[must_use]
pub fn source(conf: &Conf, until: Instant) -> Box<dyn Facts> {
    let said = conf.draft.clone();
    match socket(conf) {
        Some(socket) => Box::new(Agent { said, client: Client::new(socket, until) }),
        None => Box::new(Configured { said }),
    }
}

/// The agent's socket: the configured one, or where nothing is said the reference's, if its directory is
/// there. A node whose agent is away for a moment is no host without a cluster: pods that were attached
/// without the cluster's facts would stay so.
#[must_use]
pub fn socket(conf: &Conf) -> Option<PathBuf> {
    let is_of_cluster = || Path::new(SOCKET).parent().is_some_and(Path::exists);
    conf.socket.clone().or_else(|| is_of_cluster().then(|| PathBuf::from(SOCKET)))
}

impl Facts for Agent {
    fn of_pod(&self, pod: &PodName) -> Result<Draft, FactsFault> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (namespace, name) = (text(&pod.namespace), text(&pod.name));
        let fault = |source| FactsFault {
            pod: format!("{namespace}/{name}"),
            from: "the agent of this node",
            source,
        };
        let config = self.client.coordinator_config(&PodQuery::of(&namespace, &name));
        let config = config.map_err(|error| fault(error.into()))?;
        let cluster = lift(&config).map_err(fault)?;
        Ok(self.said.clone().over(cluster))
    }
}

/// What the agent says; numbers that the reference takes for unset are unsaid.
fn lift(config: &CoordinatorConfig) -> Result<Draft, Box<dyn Error + Send + Sync>> {
    let positive = |number: Option<i64>| number.filter(|number| *number > 0);
    let config = CoordinatorConfig {
        host_rule_table: positive(config.host_rule_table),
        veth_mtu: positive(config.veth_mtu),
        ..config.clone()
    };
    Draft::of_agent(&serde_json::to_value(config)?)
}

impl Facts for Configured {
    fn of_pod(&self, _: &PodName) -> Result<Draft, FactsFault> {
        Ok(self.said.clone().over(defaults()))
    }
}

/// The default of the reference's chart: it lets pods reach a DNS cache of their node.
fn defaults() -> Draft {
    let local = "169.254.0.0/16".parse().ok();
    Draft { hijacked: local.map(|net| vec![net]), ..Draft::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::intend::{HostTable, Mode, RpFilter, Setting, VethMtu};

    fn lifted(body: &str) -> Result<Draft, Box<dyn Error + Send + Sync>> {
        lift(&spiderpool_agent_api::read(body.as_bytes()).unwrap())
    }

    #[test]
    fn what_the_agent_says_is_read() {
        let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
        let told = lifted(
            r#"{"mode": "overlay", "overlayPodCIDR": ["10.244.0.0/16"], "serviceCIDR": ["10.96.0.0/12"],
                "tunePodRoutes": false, "hijackCIDR": ["169.254.20.10"], "podMACPrefix": "0a:1b",
                "policyRoutes": [{"dst": "10.9.0.0/16", "gw": "10.6.0.1"}], "podDefaultRouteNIC": "net1",
                "hostRuleTable": 600, "podRPFilter": 2, "txQueueLen": 2000, "vethMTU": 9000,
                "vethLinkAddress": "169.254.100.1", "apiVersion": 7, "future": 1}"#,
        )
        .unwrap();
        assert_eq!((told.mode, told.tunes_routes), (Some(Mode::Overlay), Some(false)));
        assert_eq!(told.pods, Some(vec![net("10.244.0.0/16")]));
        assert_eq!(told.services, Some(vec![net("10.96.0.0/12")]));
        assert_eq!(told.hijacked, Some(vec![net("169.254.20.10/32")]));
        assert_eq!(told.default_route.as_ref().map(|nic| nic.as_str()), Some("net1"));
        assert_eq!(told.host_table, HostTable::try_from(600).ok());
        assert_eq!(told.rp_filter, Some(Setting::Set(RpFilter::Loose)));
        assert_eq!(told.tx_queue_length, Some(Setting::Set(2000)));
        assert_eq!(told.veth_mtu, VethMtu::try_from(9000).ok());
        assert_eq!(told.policy_routes.map(|routes| routes.len()), Some(1));
        assert!(told.mac_prefix.is_some() && told.veth_address.is_some());
    }

    #[test]
    fn what_the_reference_takes_for_unset_is_unsaid() {
        let told = lifted(
            r#"{"mode": "auto", "overlayPodCIDR": [], "serviceCIDR": null, "tunePodRoutes": null,
                "hostRuleTable": 0, "vethMTU": 0, "podMACPrefix": "", "hijackCIDR": []}"#,
        );
        assert_eq!(told.unwrap(), Draft { mode: Some(Mode::Auto), ..Draft::default() });
    }

    #[test]
    fn a_mistake_of_the_cluster_is_named_by_its_key() {
        for (key, value) in [("mode", r#""on""#), ("serviceCIDR", r#"["10.96.0.0/33"]"#)] {
            let rest = if key == "mode" { String::new() } else { r#""mode": "auto", "#.to_owned() };
            let told = lifted(&format!(r#"{{{rest}"{key}": {value}}}"#)).unwrap_err().to_string();
            assert!(told.contains(key), "{told}");
        }
    }

    #[test]
    fn the_configuration_goes_before_the_cluster() {
        let said = Draft { mode: Some(Mode::Underlay), ..Draft::default() };
        let cluster = lifted(r#"{"mode": "overlay", "hostRuleTable": 600}"#).unwrap();
        let both = said.over(cluster);
        assert_eq!(
            (both.mode, both.host_table),
            (Some(Mode::Underlay), HostTable::try_from(600).ok())
        );
        // Nothing is hijacked that the cluster does not name: its own object has the default.
        assert_eq!(both.hijacked, None);
    }
}
