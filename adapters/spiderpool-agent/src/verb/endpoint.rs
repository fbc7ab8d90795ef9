//! `GET /workloadendpoint`: what a pod's NICs have, as its `SpiderEndpoint` says.

use super::key;
use crate::agent::Agent;
use crate::failure::Failure;
use serde_json::Value;
use spiderpool_agent_api::message::{InterfaceStatus, PodQuery, WorkloadEndpointStatus};
use spiderpool_agent_api::{ApiVersion, reason, status};

pub(crate) async fn run(agent: &Agent, query: PodQuery) -> Result<WorkloadEndpointStatus, Failure> {
    let found = match key(&query.pod_namespace, &query.pod_name)? {
        Some(key) => agent.facts.endpoint(&key).await?,
        None => None,
    };
    let Some(endpoint) = found else {
        let told = format!("pod {}/{} has no endpoint", query.pod_namespace, query.pod_name);
        return Err(Failure::new(reason::NOT_FOUND, 101, told).with_status(status::NOT_FOUND));
    };
    Ok(WorkloadEndpointStatus { interfaces: lower(&endpoint), api_version: ApiVersion::CURRENT })
}

fn lower(endpoint: &Value) -> Vec<InterfaceStatus> {
    let ips = endpoint.pointer("/status/current/ips").and_then(Value::as_array);
    let nic = |ip: &Value| {
        let text = |key: &str| {
            ip.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        InterfaceStatus {
            interface: text("interface").unwrap_or_default(),
            ipv4: text("ipv4"),
            ipv6: text("ipv6"),
            vlan: ip.get("vlan").and_then(Value::as_i64).unwrap_or(0),
            mac: text("mac"),
        }
    };
    ips.into_iter().flatten().map(nic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_interface_is_told() {
        let endpoint = json!({"status": {"current": {"ips": [
            {"interface": "eth0", "ipv4": "10.6.0.1/24", "ipv6": "", "vlan": 100},
            {"interface": "net1", "ipv6": "fd00::1/64"},
        ]}}});
        let told = serde_json::to_value(lower(&endpoint)).unwrap();
        assert_eq!(
            told,
            json!([{"interface": "eth0", "ipv4": "10.6.0.1/24", "vlan": 100},
                {"interface": "net1", "ipv6": "fd00::1/64"}])
        );
        assert!(lower(&json!({})).is_empty());
    }
}
