//! The reference's own list of what coordination must do, C00001 to C00024, by packets.
//!
//! Where the reference's list speaks of a cluster (a pod that does not start), the chain's ADD fails here
//! with the reason that a user would see.

#![cfg(test)]

use serde_json::json;
use spiderpool_chains::lab::{CLIENT, MANAGEMENT, NETS, OUTSIDE, SERVICES};
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::tap::Tap;
use spiderpool_chains::{Lab, Pod, promise};
use std::net::IpAddr;

/// Attaches the three underlay nets, or as many as there are names, in order.
fn wire(lab: &Lab, pod: &Pod<'_>, nics: &[&str]) -> Vec<Vec<IpAddr>> {
    let attach = |(net, nic): (usize, &&str)| pod.attach(nic, &lab.underlay(net).in_cluster());
    nics.iter().enumerate().map(attach).collect()
}

/// The default route's link in both families.
fn default_links(pod: &Pod<'_>) -> [String; 2] {
    OUTSIDE.both(CLIENT).map(|outside| pod.room.link_toward(&outside.to_string()))
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00001_underlay_pods_are_connected() {
    let lab = Lab::new();
    let (one, other) = (lab.pod(), lab.pod());
    let network = lab.underlay(0).in_cluster();
    let (mine, others) = (one.attach("eth0", &network), other.attach("eth0", &network));
    promise::all(&lab, &one, &mine);
    promise::pods_meet(&one, &other, &others);
    promise::serves(&lab, &one, &other, &others);
    promise::serves_from_afar(&lab, &one, NETS[1], &mine);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00002_overlay_pods_are_connected() {
    let lab = Lab::new();
    let (one, other) = (lab.pod(), lab.pod());
    let (overlay, underlay) = (lab.overlay("ptp"), lab.underlay(0).in_cluster());
    let attach = |pod: &Pod<'_>| (pod.attach("eth0", &overlay), pod.attach("net1", &underlay));
    let ((eth0, net1), (_, others)) = (attach(&one), attach(&other));
    promise::pod_to_node(&lab, &one, &net1);
    promise::node_to_pod(&lab, &one, &[eth0.clone(), net1.clone()].concat());
    promise::answers_outside(&lab, &one, &net1);
    promise::reaches_outside(&lab, &one, &eth0);
    promise::node_port_keeps_clients(&lab, &one, &eth0);
    promise::pods_meet(&one, &other, &others);
    promise::serves(&lab, &one, &other, &others);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00003_underlay_pods_with_two_interfaces_are_connected() {
    let lab = Lab::new();
    let (one, other) = (lab.pod(), lab.pod());
    let mine = wire(&lab, &one, &["eth0", "net1"]);
    let others = wire(&lab, &other, &["eth0", "net1"]);
    promise::all(&lab, &one, &mine.concat());
    promise::pods_meet(&one, &other, &others.concat());
    promise::serves(&lab, &one, &other, &others[0]);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00004_overlay_pods_with_two_more_interfaces_are_connected() {
    let lab = Lab::new();
    let (one, other) = (lab.pod(), lab.pod());
    let attach = |pod: &Pod<'_>| {
        let eth0 = pod.attach("eth0", &lab.overlay("ptp"));
        let net1 = pod.attach("net1", &lab.underlay(0).in_cluster());
        let net2 = pod.attach("net2", &lab.underlay(1).in_cluster());
        [eth0, net1, net2]
    };
    let ([eth0, net1, net2], [_, other1, other2]) = (attach(&one), attach(&other));
    let underlay = [net1, net2].concat();
    promise::pod_to_node(&lab, &one, &eth0);
    promise::node_to_pod(&lab, &one, &underlay);
    promise::answers_outside(&lab, &one, &underlay);
    promise::reaches_outside(&lab, &one, &eth0);
    promise::node_port_keeps_clients(&lab, &one, &eth0);
    promise::pods_meet(&one, &other, &[other1, other2].concat());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00005_the_default_route_of_an_overlay_pod_is_on_the_chosen_interface() {
    let lab = Lab::new();
    let pod = lab.pod();
    let eth0 = pod.attach("eth0", &lab.overlay("ptp"));
    let network = lab.underlay(0).in_cluster().with("podDefaultRouteNic", "net1");
    let net1 = pod.attach("net1", &network);
    assert_eq!(default_links(&pod), ["net1", "net1"]);
    for address in OUTSIDE.both(CLIENT) {
        let is_v4 = address.is_ipv4();
        assert_eq!(pod.room.source_toward(&address.to_string()), net1[usize::from(!is_v4)]);
    }
    promise::reaches_outside(&lab, &pod, &net1);
    promise::answers_outside(&lab, &pod, &net1);
    promise::node_to_pod(&lab, &pod, &[eth0.clone(), net1.clone()].concat());
    promise::node_port_keeps_clients(&lab, &pod, &eth0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00006_the_default_route_of_an_underlay_pod_is_on_the_chosen_interface() {
    let lab = Lab::new();
    let pod = lab.pod();
    let chosen = |net| lab.underlay(net).in_cluster().with("podDefaultRouteNic", "net1");
    let eth0 = pod.attach("eth0", &chosen(0));
    assert_eq!(default_links(&pod), ["eth0", "eth0"], "net1 is still to come");
    let net1 = pod.attach("net1", &chosen(1));
    assert_eq!(default_links(&pod), ["net1", "net1"]);
    promise::all(&lab, &pod, &[eth0, net1].concat());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00007_a_conflicting_address_is_found_before_the_pod_has_it() {
    let lab = Lab::new();
    let pod = lab.pod();
    let [v4, v6] = NETS[0].both(100);
    lab.peer.ip(&format!("addr add {v4}/24 dev up0"));
    // Deprecated, so that the peer goes on to speak from its own address.
    lab.peer.ip(&format!("addr add {v6}/64 dev up0 nodad preferred_lft 0"));
    let addresses =
        pod.attach("eth0", &lab.underlay(0).in_cluster().ipam("enableIPConflictDetection", true));
    assert_eq!(addresses, NETS[0].both(101));
    promise::all(&lab, &pod, &addresses);
    lab.client.reaches(v4);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00008_the_hardware_address_begins_with_the_prefix() {
    let lab = Lab::new();
    let (pod, other) = (lab.pod(), lab.pod());
    let network = lab.underlay(0).in_cluster().with("podMACPrefix", "0a:1b");
    let addresses = pod.attach("eth0", &network);
    let IpAddr::V4(v4) = addresses[0] else { panic!("{addresses:?}") };
    let [a, b, c, d] = v4.octets();
    let expected = format!("0a:1b:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
    assert_eq!(pod.mac("eth0"), expected);
    assert_eq!(pod.result("eth0")["interfaces"][0]["mac"], expected.as_str());
    other.attach("eth0", &network);
    promise::pods_meet(&other, &pod, &addresses);
    promise::all(&lab, &pod, &addresses);
    pod.check("eth0").unwrap();
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00009_a_silent_gateway_is_found_before_the_pod_runs() {
    let lab = Lab::new();
    let pod = lab.pod();
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let network = lab.underlay(0).in_cluster().ipam("enableGatewayDetection", true);
    lab.far.ip("link set up0 down");
    let failed = pod.try_attach("eth0", &network).unwrap_err();
    assert_eq!((failed.kind.as_str(), failed.code), ("macvlan", 106), "{failed:?}");
    assert!(failed.told.contains("172.30.0.1"), "{failed:?}");
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
    assert_eq!(lab.allocated().len(), 0);
    lab.far.ip("link set up0 up");
    lab.far.ip("addr add fd30::1/64 dev up0 nodad");
    let addresses = pod.attach("eth0", &network);
    promise::all(&lab, &pod, &addresses);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00010_what_earlier_pods_left_for_an_address_is_cleaned() {
    let lab = Lab::new();
    let pod = lab.pod();
    // The store gives the lowest address first: this is the one that the pod will have.
    let [v4, v6] = NETS[0].both(100);
    for (family, address) in [("", v4), ("-6", v6)] {
        lab.node.ip(&format!("{family} route add {address} dev up1 table 500"));
        let mac = "02:00:00:00:00:01";
        lab.node.ip(&format!("{family} neigh add {address} lladdr {mac} nud permanent dev up1"));
    }
    let addresses = pod.attach("eth0", &lab.underlay(0).in_cluster());
    assert_eq!(addresses, [v4, v6]);
    promise::all(&lab, &pod, &addresses);
    let stale = Snapshot::of(&lab.node);
    let stale: Vec<&str> =
        stale.about(&["dev up1"]).into_iter().filter(|line| line.contains("100 ")).collect();
    assert_eq!(stale, Vec::<&str>::new());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00011_without_a_choice_the_default_route_is_on_eth0() {
    let lab = Lab::new();
    let pod = lab.pod();
    wire(&lab, &pod, &["eth0", "net1", "net2"]);
    assert_eq!(default_links(&pod), ["eth0", "eth0"]);
    let overlay = lab.pod();
    overlay.attach("eth0", &lab.overlay("bridge"));
    overlay.attach("net1", &lab.underlay(0));
    overlay.attach("net2", &lab.underlay(1));
    assert_eq!(default_links(&overlay), ["eth0", "eth0"]);
    for (nic, net) in [("net1", 0), ("net2", 1)] {
        let address = NETS[net].address(true, 101);
        let way = overlay.room.link_toward(&format!("198.51.100.7 from {address}"));
        assert_eq!(way, nic);
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00012_services_and_the_node_see_the_address_of_eth0() {
    let lab = Lab::new();
    let pod = lab.pod();
    let addresses = wire(&lab, &pod, &["eth0", "net1"]);
    for target in
        [SERVICES.address(true, 77), MANAGEMENT.address(true, 2), NETS[1].address(true, 2)]
    {
        assert_eq!(pod.room.source_toward(&target.to_string()), addresses[0][0], "{target}");
        assert_eq!(pod.room.link_toward(&target.to_string()), "veth0");
    }
    let tap = Tap::new(
        &lab.node,
        &format!("iifname {} ip saddr {} ip daddr 172.40.0.2", pod.host_end(), addresses[0][0]),
    );
    pod.room.reaches(MANAGEMENT.address(true, 2));
    assert!(tap.count() > 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00013_a_local_node_port_keeps_its_clients() {
    let lab = Lab::new();
    let (underlay, overlay) = (lab.pod(), lab.pod());
    let addresses = wire(&lab, &underlay, &["eth0", "net1"]);
    promise::node_port_keeps_clients(&lab, &underlay, &addresses.concat());
    let eth0 = overlay.attach("eth0", &lab.overlay("ptp"));
    overlay.attach("net1", &lab.underlay(0).in_cluster());
    promise::node_port_keeps_clients(&lab, &overlay, &eth0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00014_a_chosen_interface_that_will_never_be_there_is_refused() {
    let lab = Lab::new();
    let pod = lab.pod();
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let network = lab.underlay(0).with("podDefaultRouteNic", "net7");
    let failed = pod.try_attach("eth0", &network.clone().with("podNics", json!(["eth0", "net1"])));
    let failed = failed.unwrap_err();
    assert_eq!((failed.kind.as_str(), failed.code), ("coordinator", 100), "{failed:?}");
    assert!(failed.told.contains("doesn't exist in pod"), "{failed:?}");
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
    assert_eq!(lab.allocated().len(), 0);
    // Without a list of what will come, it may still come; the default route stays until then.
    let addresses = pod.attach("eth0", &network);
    assert_eq!(default_links(&pod), ["eth0", "eth0"]);
    promise::all(&lab, &pod, &addresses);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00015_interfaces_may_have_any_name() {
    let lab = Lab::new();
    let pod = lab.pod();
    let named = |net| lab.underlay(net).in_cluster().with("podDefaultCniNic", "uplink.a");
    let names = ["uplink.a", "stor-1", "x"];
    let addresses: Vec<Vec<IpAddr>> =
        names.iter().enumerate().map(|(net, nic)| pod.attach(nic, &named(net))).collect();
    promise::all(&lab, &pod, &addresses.concat());
    for nic in names.iter().rev() {
        pod.check(nic).unwrap();
        pod.detach(nic);
    }
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00016_the_node_may_use_another_table() {
    let lab = Lab::new();
    let pod = lab.pod();
    let addresses = pod.attach("eth0", &lab.underlay(0).in_cluster().with("hostRuleTable", 600));
    for (family, address) in [("", addresses[0]), ("-6", addresses[1])] {
        let rules = lab.node.ip(&format!("{family} rule"));
        assert!(rules.contains("1000:\tfrom all lookup 600"), "{rules}");
        assert!(!rules.contains("500"), "{rules}");
        let routes = lab.node.ip(&format!("{family} route show table 600"));
        assert!(routes.contains(&format!("{address} dev {}", pod.host_end())), "{routes}");
    }
    promise::all(&lab, &pod, &addresses);
    pod.detach("eth0");
    let left = lab.node.ip("route show table 600") + &lab.node.ip("-6 route show table 600");
    assert_eq!(left, "");
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00017_untuned_routes_are_left_alone() {
    let lab = Lab::new();
    let pod = lab.pod();
    let eth0 = pod.attach("eth0", &lab.overlay("ptp"));
    let mains = |pod: &Pod<'_>| pod.room.ip("route show table main") + &pod.room.ip("-6 route");
    let bare = lab.underlay(0).without("coordinator");
    pod.attach("net1", &bare);
    let without = mains(&pod);
    pod.detach("net1");
    pod.attach("net1", &lab.underlay(0).in_cluster().with("tunePodRoutes", false));
    let with = mains(&pod);
    for line in without.lines().filter(|line| line.starts_with("default")) {
        assert!(with.contains(line.trim()), "{line} is gone from\n{with}");
    }
    let rules = pod.room.ip("rule") + &pod.room.ip("-6 rule");
    assert!(!rules.contains("lookup 100") && !rules.contains("lookup 101"), "{rules}");
    promise::node_to_pod(&lab, &pod, &eth0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00018_the_conflicting_address_of_a_stateless_pod_is_released() {
    let lab = Lab::new();
    let pod = lab.pod();
    for address in NETS[0].both(100) {
        let options = if address.is_ipv4() { "/24 dev up0" } else { "/64 dev up0 nodad" };
        lab.peer.ip(&format!("addr add {address}{options}"));
    }
    let network = lab.underlay(0).ipam("enableIPConflictDetection", true);
    let addresses = pod.attach("eth0", &network);
    let mut held = lab.allocated();
    held.sort_unstable();
    assert_eq!(held, addresses, "what another host has is nobody's here");
    pod.detach("eth0");
    assert_eq!(lab.allocated().len(), 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00019_the_conflicting_address_of_a_stateful_pod_is_kept() {
    let lab = Lab::new();
    let pod = lab.pod();
    let network = lab.underlay(0).ipam("enableIPConflictDetection", true).ipam("owner", "name");
    let addresses = pod.attach("eth0", &network);
    // The sandbox is made again, and meanwhile another host has taken the address.
    pod.detach("eth0");
    lab.peer.ip(&format!("addr add {}/24 dev up0", addresses[0]));
    let failed = pod.try_attach("eth0", &network).unwrap_err();
    assert_eq!((failed.kind.as_str(), failed.code), ("macvlan", 105), "{failed:?}");
    assert!(failed.told.contains(&addresses[0].to_string()), "{failed:?}");
    lab.peer.ip(&format!("addr del {}/24 dev up0", addresses[0]));
    assert_eq!(pod.attach("eth0", &network), addresses);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00020_pods_whose_default_route_is_on_net1_are_connected() {
    let lab = Lab::new();
    let (one, other) = (lab.pod(), lab.pod());
    let annotated = |net| {
        lab.underlay(net).in_cluster().annotation("ipam.spidernet.io/default-route-nic", "net1")
    };
    let attach =
        |pod: &Pod<'_>| [pod.attach("eth0", &annotated(0)), pod.attach("net1", &annotated(1))];
    let (mine, others) = (attach(&one), attach(&other));
    assert_eq!(default_links(&one), ["net1", "net1"]);
    promise::all(&lab, &one, &mine.concat());
    promise::pods_meet(&one, &other, &others.concat());
    promise::serves(&lab, &one, &other, &others[0]);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00021_three_interfaces_answer_under_a_strict_filter() {
    let lab = Lab::new();
    let pod = lab.pod();
    // What the namespace itself has for links to come is strict as well.
    pod.room.sysctl("net/ipv4/conf/default/rp_filter", 1);
    let addresses: Vec<Vec<IpAddr>> = ["eth0", "net1", "net2"]
        .iter()
        .enumerate()
        .map(|(net, nic)| pod.attach(nic, &lab.underlay(net).in_cluster().with("podRPFilter", 1)))
        .collect();
    for link in ["all", "eth0", "net1", "net2"] {
        assert_eq!(pod.room.sysctl_value(&format!("net/ipv4/conf/{link}/rp_filter")), "1");
    }
    promise::all(&lab, &pod, &addresses.concat());
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00022_a_bad_prefix_of_hardware_addresses_is_refused() {
    let lab = Lab::new();
    let pod = lab.pod();
    for bad in ["01:00", "0a", "0a:1", "zz:00", "0a,1b", "0a:1b:00", "+f:00"] {
        let failed = pod.try_attach("eth0", &lab.underlay(0).with("podMACPrefix", bad));
        let failed = failed.unwrap_err();
        assert_eq!((failed.kind.as_str(), failed.code), ("coordinator", 7), "{bad}: {failed:?}");
        assert!(failed.told.contains("podMACPrefix"), "{failed:?}");
    }
    assert_eq!(lab.allocated().len(), 0);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00023_the_pair_has_the_mtu_that_is_asked_for() {
    let lab = Lab::new();
    let pod = lab.pod();
    for bad in [json!(0), json!(-1), json!(67), json!(65_536), json!("big")] {
        let network = lab.underlay(0).with("vethMTU", bad.clone());
        let failed = pod.try_attach("eth0", &network).unwrap_err();
        assert_eq!((failed.kind.as_str(), failed.code), ("coordinator", 7), "{bad}: {failed:?}");
    }
    let addresses = pod.attach("eth0", &lab.underlay(0).in_cluster().with("vethMTU", 1400));
    assert_eq!(pod.mtu("veth0"), "1400");
    assert!(lab.node.ip(&format!("-o link show {}", pod.host_end())).contains("mtu 1400"));
    promise::all(&lab, &pod, &addresses);
}

#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn c00024_policy_routes_are_where_the_interface_is_looked_up() {
    let lab = Lab::new();
    let routes = |net: usize| {
        let [v4, v6] = NETS[net].both(1);
        json!([{"dst": "203.0.113.0/24", "gw": v4}, {"dst": "2001:db8:113::/48", "gw": v6}])
    };
    let policed = |net: usize| lab.underlay(net).in_cluster().with("policyRoutes", routes(net));
    let in_table = |pod: &Pod<'_>, table: &str, nic: &str, net: usize| {
        for (family, is_v4, dst) in
            [("", true, "203.0.113.0/24"), ("-6", false, "2001:db8:113::/48")]
        {
            let routes = pod.room.ip(&format!("{family} route show table {table}"));
            let route = format!("{dst} via {} dev {nic}", NETS[net].address(is_v4, 1));
            assert!(routes.contains(&route), "no {route} in table {table}:\n{routes}");
        }
    };
    let underlay = lab.pod();
    underlay.attach("eth0", &policed(0));
    underlay.attach("net1", &policed(1));
    in_table(&underlay, "main", "eth0", 0);
    in_table(&underlay, "101", "net1", 1);
    let overlay = lab.pod();
    overlay.attach("eth0", &lab.overlay("ptp"));
    overlay.attach("net1", &policed(0));
    in_table(&overlay, "101", "net1", 0);
}
