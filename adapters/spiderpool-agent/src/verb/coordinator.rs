//! What the cluster says about a pod's networks, for the coordinator plugin.
//!
//! Invariants:
//! 1. Nothing that an object leaves out is made up here, but `tunePodRoutes`, which older plugins want
//!    (`what_is_unsaid_stays_unsaid`).
//! 2. An object that has not been synchronised is told, with its own reason
//!    (`a_coordinator_that_is_not_ready_says_why`).

use super::key;
use crate::agent::Agent;
use crate::facts::Freshness;
use crate::failure::Failure;
use serde_json::Value;
use spiderpool_agent_api::ApiVersion;
use spiderpool_agent_api::message::{CoordinatorConfig, PodQuery, PolicyRoute};

/// The pod's annotation that names the interface of its default route.
const DEFAULT_ROUTE_NIC: &str = "ipam.spidernet.io/default-route-nic";

/// The object that counts where there are several.
const DEFAULT: &str = "default";

pub(crate) async fn run(agent: &Agent, query: PodQuery) -> Result<CoordinatorConfig, Failure> {
    let objects = agent.facts.coordinators().await?;
    let mut config = choose(&objects).and_then(lower)?;
    let Some(key) = key(&query.pod_namespace, &query.pod_name)? else { return Ok(config) };
    let pod = match agent.facts.pod(&key, Freshness::Cached).await? {
        None => agent.facts.pod(&key, Freshness::Live).await?,
        found => found,
    };
    let Some(pod) = pod else {
        return Err(Failure::refused(format!("there is no pod {key}")));
    };
    let nic = pod.annotations.get(DEFAULT_ROUTE_NIC).filter(|nic| !nic.is_empty());
    if let Some(nic) = nic {
        config.pod_default_route_nic = Some(nic.clone());
    }
    Ok(config)
}

/// The object of that name, or the only one; of several the first by name.
fn choose(objects: &[Value]) -> Result<&Value, Failure> {
    let default = objects.iter().find(|object| name(object) == DEFAULT);
    default.or_else(|| objects.iter().min_by_key(|object| name(object))).ok_or_else(|| {
        Failure::not_ready("coordinator config not found: there is no SpiderCoordinator")
    })
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn lower(object: &Value) -> Result<CoordinatorConfig, Failure> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str);
    let phase = text("/status/phase").unwrap_or_default();
    if phase != "Synced" {
        let name = name(object);
        let why = text("/status/reason").filter(|why| !why.is_empty());
        let why = why.unwrap_or("the controller has not looked at it yet");
        return Err(Failure::not_ready(format!("spidercoordinator: {name} no ready: {why}")));
    }
    let given = |path: &str| text(path).filter(|text| !text.is_empty()).map(str::to_owned);
    let list = |path: &str| {
        let items = object.pointer(path).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let number = |path: &str| object.pointer(path).and_then(Value::as_i64);
    Ok(CoordinatorConfig {
        mode: given("/spec/mode").unwrap_or_else(|| "auto".to_owned()),
        overlay_pod_cidr: list("/status/overlayPodCIDR"),
        service_cidr: list("/status/serviceCIDR"),
        tune_pod_routes: object
            .pointer("/spec/tunePodRoutes")
            .and_then(Value::as_bool)
            .or(Some(true)),
        hijack_cidr: list("/spec/hijackCIDR"),
        policy_routes: routes(object),
        pod_mac_prefix: given("/spec/podMACPrefix"),
        pod_default_route_nic: given("/spec/podDefaultRouteNIC"),
        host_rule_table: number("/spec/hostRuleTable"),
        pod_rp_filter: number("/spec/podRPFilter"),
        tx_queue_len: number("/spec/txQueueLen"),
        veth_link_address: given("/spec/vethLinkAddress"),
        veth_mtu: number("/spec/vethMTU"),
        api_version: ApiVersion::CURRENT,
    })
}

fn routes(object: &Value) -> Vec<PolicyRoute> {
    let routes = object.pointer("/spec/policyRoutes").and_then(Value::as_array);
    let part = |route: &Value, key: &str| {
        route.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let routes = routes.into_iter().flatten();
    routes.map(|route| PolicyRoute { dst: part(route, "dst"), gw: part(route, "gw") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_unsaid_stays_unsaid() {
        let bare = json!({"metadata": {"name": "x"}, "status": {"phase": "Synced"}});
        let config = lower(&bare).unwrap();
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(
            written,
            json!({"mode": "auto", "overlayPodCIDR": [], "serviceCIDR": [], "hijackCIDR": [],
                "tunePodRoutes": true, "apiVersion": 2})
        );
    }

    #[test]
    fn everything_is_handed_on() {
        let full = json!({
            "metadata": {"name": "default"},
            "spec": {"mode": "underlay", "hijackCIDR": ["169.254.0.0/16"], "tunePodRoutes": false,
                "policyRoutes": [{"dst": "10.9.0.0/16", "gw": "10.6.0.1"}], "podMACPrefix": "0a:1b",
                "podDefaultRouteNIC": "net1", "hostRuleTable": 501, "podRPFilter": 2,
                "txQueueLen": 9, "vethLinkAddress": "169.254.100.1", "vethMTU": 1400},
            "status": {"phase": "Synced", "overlayPodCIDR": ["10.244.0.0/16"], "serviceCIDR": ["10.96.0.0/12"]},
        });
        let other = json!({"metadata": {"name": "a"}});
        let objects = [other, full];
        let config = lower(choose(&objects).unwrap()).unwrap();
        assert_eq!((config.mode.as_str(), config.tune_pod_routes), ("underlay", Some(false)));
        assert_eq!((config.host_rule_table, config.pod_rp_filter), (Some(501), Some(2)));
        assert_eq!((config.tx_queue_len, config.veth_mtu), (Some(9), Some(1400)));
        assert_eq!(config.policy_routes[0].gw, "10.6.0.1");
        assert_eq!(config.pod_default_route_nic.as_deref(), Some("net1"));
    }

    #[test]
    fn a_coordinator_that_is_not_ready_says_why() {
        let object = json!({"metadata": {"name": "default"},
            "status": {"phase": "NotReady", "reason": "no kubeadm-config"}});
        let told = lower(&object).unwrap_err().body.message;
        assert_eq!(told, "spidercoordinator: default no ready: no kubeadm-config");
        assert!(choose(&[]).unwrap_err().body.message.starts_with("coordinator config not found"));
    }
}
