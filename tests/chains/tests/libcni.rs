//! Chains through libcni itself: the library passes results along, keeps them for CHECK and DEL, and
//! takes everything back.

#![cfg(test)]

use serde_json::Value;
use spiderpool_chains::client::{Said, perform};
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::{Lab, promise};
use std::net::IpAddr;

fn addresses(said: &Said) -> Vec<IpAddr> {
    assert!(said.is_well, "{said:?}");
    let ips = said.json["ips"].as_array().unwrap();
    let text = |ip: &Value| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    ips.iter().map(|ip| text(ip).parse().unwrap()).collect()
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root and Go"]
fn an_underlay_pod_lives_by_libcni() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let pod = lab.pod();
    let networks = [0, 1].map(|net| lab.underlay(net).in_cluster());
    let nics = [("eth0", &networks[0]), ("net1", &networks[1])];
    let all: Vec<IpAddr> = nics
        .iter()
        .flat_map(|(nic, network)| addresses(&perform(&lab, &pod, nic, network, "add")))
        .collect();
    assert_eq!(all.len(), 4);
    promise::all(&lab, &pod, &all);
    for (nic, network) in nics {
        let said = perform(&lab, &pod, nic, network, "check");
        assert!(said.is_well, "{said:?}");
    }
    pod.room.ip("rule del priority 1000");
    let said = perform(&lab, &pod, "eth0", &networks[0], "check");
    assert!(!said.is_well && said.json["code"] == 104, "{said:?}");
    assert!(said.json["details"].as_str().unwrap().contains("ip rule add"), "{said:?}");
    for (nic, network) in nics.iter().rev() {
        for _ in 0..2 {
            let said = perform(&lab, &pod, nic, network, "del");
            assert!(said.is_well, "{said:?}");
        }
    }
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    before.comes_back_in(&lab.node);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root and Go"]
fn a_mixed_pod_lives_by_libcni_in_an_older_version() {
    let lab = Lab::new();
    let pod = lab.pod();
    let networks = [lab.overlay("bridge"), lab.underlay(0).in_cluster()];
    let networks = networks.map(|network| network.version("0.4.0"));
    let eth0 = addresses(&perform(&lab, &pod, "eth0", &networks[0], "add"));
    let net1 = addresses(&perform(&lab, &pod, "net1", &networks[1], "add"));
    promise::node_to_pod(&lab, &pod, &[eth0.clone(), net1.clone()].concat());
    promise::answers_outside(&lab, &pod, &net1);
    promise::node_port_keeps_clients(&lab, &pod, &eth0);
    for (nic, network) in [("net1", &networks[1]), ("eth0", &networks[0])] {
        let said = perform(&lab, &pod, nic, network, "check");
        assert!(said.is_well, "{said:?}");
        let said = perform(&lab, &pod, nic, network, "del");
        assert!(said.is_well, "{said:?}");
    }
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
}
