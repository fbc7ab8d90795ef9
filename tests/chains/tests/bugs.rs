//! What went wrong with others' coordination (section 8 of the reference's list), and must not here.
//!
//! Each test names the thread that it comes from, in the repository spidernet-io/spiderpool unless
//! another is named. Bugs of `ifacer`, of the controllers and of probes have their own suites.

#![cfg(test)]

use serde_json::json;
use spiderpool_chains::lab::{CLIENT, MANAGEMENT, NETS, OUTSIDE};
use spiderpool_chains::pod::Memory;
use spiderpool_chains::snapshot::Snapshot;
use spiderpool_chains::talk::{Server, ask_udp, seen_from};
use spiderpool_chains::{Lab, Network, Pod, promise};
use std::net::{IpAddr, SocketAddr};

fn underlay<'a>(lab: &'a Lab, nics: &[&str]) -> (Pod<'a>, Vec<Vec<IpAddr>>) {
    let pod = lab.pod();
    let attach = |(net, nic): (usize, &&str)| pod.attach(nic, &lab.underlay(net).in_cluster());
    let addresses = nics.iter().enumerate().map(attach).collect();
    (pod, addresses)
}

/// #5735: DEL asked for the pod, which was gone, failed, and the addresses leaked.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_5735_del_needs_neither_pod_nor_namespace_nor_result() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let (pod, _) = underlay(&lab, &["eth0", "net1"]);
    pod.room.delete();
    for nic in ["net1", "eth0"] {
        pod.detach_as(nic, Memory::None);
    }
    assert_eq!((lab.allocated().len(), lab.records().len()), (0, 0));
    before.comes_back_in(&lab.node);
}

/// #1992, #1978, #2061: an error in DEL kept the sandbox from being removed.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_1992_del_twice_and_of_what_never_was() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let (pod, _) = underlay(&lab, &["eth0"]);
    let network = lab.underlay(0).in_cluster();
    for memory in [Memory::Whole, Memory::Whole, Memory::None] {
        pod.delete("eth0", &network, None, memory);
        pod.delete("net9", &network, None, memory);
    }
    lab.node.ip_batch("link set lo up");
    before.comes_back_in(&lab.node);
    // The node's end of the pair was taken away by hand.
    let (pod, _) = underlay(&lab, &["eth0"]);
    lab.node.ip(&format!("link delete {}", pod.host_end()));
    pod.detach("eth0");
    before.comes_back_in(&lab.node);
}

/// #5682, PR #5683: routes of another interface leaked into the main table.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_5682_each_source_has_one_way() {
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, &["eth0", "net1", "net2"]);
    for is_v4 in [true, false] {
        let outside = OUTSIDE.address(is_v4, CLIENT).to_string();
        assert_eq!(pod.room.link_toward(&outside), "eth0");
        for (nic, of_nic) in ["eth0", "net1", "net2"].iter().zip(&addresses) {
            let source = of_nic[usize::from(!is_v4)];
            assert_eq!(pod.room.link_toward(&format!("{outside} from {source}")), *nic);
        }
        let family = if is_v4 { "-4" } else { "-6" };
        let defaults = pod.room.ip(&format!("{family} route show table main"));
        let defaults = defaults.lines().filter(|line| line.starts_with("default")).count();
        assert_eq!(defaults, 1, "one default route stays in the main table");
    }
    let rules = pod.room.ip("rule") + &pod.room.ip("-6 rule");
    assert_eq!(rules.matches("lookup 100").count(), 2, "{rules}");
    assert!(
        rules
            .lines()
            .filter(|line| line.contains("lookup 100"))
            .all(|line| line.contains("fwmark"))
    );
}

/// #3953, #3954, #3877; PR #3873, #3969, #3986: tables were numbered by counting links.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_3953_tables_do_not_depend_on_other_links() {
    let lab = Lab::new();
    let pod = lab.pod();
    for link in ["tap0", "extra0"] {
        pod.room.ip(&format!("link add {link} type bridge"));
        pod.room.ip(&format!("link set {link} up"));
    }
    let attach = |nic: &str, net| pod.attach(nic, &lab.underlay(net).in_cluster());
    let (eth0, net1) = (attach("eth0", 0), attach("net1", 1));
    pod.room.ip("link set tap0 down");
    let net2 = attach("net2", 2);
    let table = |source: IpAddr| {
        let rules = pod.room.ip("rule");
        let line = rules.lines().find(|line| line.contains(&format!("from {source} ")));
        line.and_then(|line| spiderpool_chains::room::word_after(line, "lookup"))
    };
    assert_eq!(
        [eth0[0], net1[0], net2[0]].map(table),
        [None, Some("101".into()), Some("102".into())]
    );
    // One comes again after another has left: its table is its own still.
    pod.detach("net1");
    assert_eq!(table(net2[0]), Some("102".into()));
    let again = attach("net1", 1);
    assert_eq!(table(again[0]), Some("101".into()));
    promise::all(&lab, &pod, &[eth0, again, net2].concat());
}

/// PR #2655, #2491, #2176: connected routes left the main table, and virtual machines their network.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_2491_connected_routes_stay_in_main() {
    let lab = Lab::new();
    let (pod, _) = underlay(&lab, &["eth0", "net1"]);
    for (nic, net) in [("eth0", NETS[0]), ("net1", NETS[1])] {
        for (family, is_v4) in [("-4", true), ("-6", false)] {
            let routes = pod.room.ip(&format!("{family} route show table main"));
            let connected = format!("{} dev {nic}", net.prefix(is_v4));
            assert!(routes.contains(&connected), "no {connected} in\n{routes}");
            pod.room.reaches(net.address(is_v4, 3));
        }
    }
}

/// #3547: traffic between rails had no route; with a policy route it has.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_3547_rails_reach_each_other_by_policy_routes() {
    let lab = Lab::new();
    let pod = lab.pod();
    let eth0 = pod.attach("eth0", &lab.underlay(0).in_cluster());
    let [v4, v6] = [true, false].map(|is_v4| NETS[1].address(is_v4, 1));
    let routes = json!([
        {"dst": NETS[2].prefix(true), "gw": v4}, {"dst": NETS[2].prefix(false), "gw": v6},
    ]);
    let net1 = pod.attach("net1", &lab.underlay(1).in_cluster().with("policyRoutes", routes));
    for is_v4 in [true, false] {
        let other_rail = NETS[2].address(is_v4, 1);
        let source = net1[usize::from(!is_v4)].to_string();
        assert_eq!(pod.room.link_toward(&format!("{other_rail} from {source}")), "net1");
        assert!(pod.room.pings_with(other_rail, &["-I", &source]));
    }
    promise::all(&lab, &pod, &[eth0, net1].concat());
}

/// #3725, #3683; PR #3686, #3814: the reply to a node port left through net1.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_3725_replies_to_node_ports_do_not_leave_by_net1() {
    let lab = Lab::new();
    let pod = lab.pod();
    let eth0 = pod.attach("eth0", &lab.overlay("ptp"));
    pod.attach("net1", &lab.underlay(0).in_cluster().with("podDefaultRouteNic", "net1"));
    promise::node_port_keeps_clients(&lab, &pod, &eth0);
    promise::node_port_hides_clients(&lab, &pod, &eth0);
}

/// #2464, #2303: the hardware addresses of the pair changed behind the permanent neighbours' back.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_2464_the_hardware_addresses_of_the_pair_are_set_and_mended() {
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, &["eth0"]);
    let end = pod.host_end();
    let own = lab.node.ip(&format!("-o link show {end}"));
    lab.node.ip(&format!("link set {end} address 02:de:ad:be:ef:00"));
    let failed = pod.check("eth0").unwrap_err();
    assert_eq!((failed.kind.as_str(), failed.code), ("coordinator", 104), "{failed:?}");
    let network = lab.underlay(0).in_cluster();
    assert!(pod.plugin("ADD", "eth0", &network, "coordinator").is_well());
    assert_eq!(lab.node.ip(&format!("-o link show {end}")), own);
    pod.check("eth0").unwrap();
    promise::all(&lab, &pod, &addresses[0]);
}

/// #3568: a mesh dropped what came over a link without an address.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_3568_the_pair_can_have_an_address_and_lose_it_with_the_pod() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let pod = lab.pod();
    let network = lab.underlay(0).in_cluster().with("vethLinkAddress", "169.254.100.1");
    let addresses = pod.attach("eth0", &network);
    assert!(pod.room.ip("-o addr show veth0").contains("169.254.100.1/32"));
    promise::node_to_pod(&lab, &pod, &addresses);
    pod.detach("eth0");
    before.comes_back_in(&lab.node);
}

/// #5677: large packets were lost on the way between links of different sizes.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_5677_large_transfers_pass_a_small_pair() {
    let lab = Lab::new();
    let (one, other) = (lab.pod(), lab.pod());
    let network = lab.underlay(0).in_cluster().with("vethMTU", 1280);
    let (mine, others) = (one.attach("eth0", &network), other.attach("eth0", &network));
    promise::all(&lab, &one, &mine);
    promise::serves(&lab, &one, &other, &others);
}

/// #4475: probing the gateway before the address poisoned the router's table; #4650: nobody was told
/// where the address is.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_4475_4650_neighbours_learn_where_an_address_has_gone() {
    let lab = Lab::new();
    let network = lab
        .underlay(0)
        .in_cluster()
        .ipam("enableIPConflictDetection", true)
        .ipam("enableGatewayDetection", true);
    let (first, second) = (lab.pod(), lab.pod());
    let addresses = first.attach("eth0", &network);
    // The router knows the first pod's hardware address by now, and keeps it for a while.
    promise::answers_outside(&lab, &first, &addresses);
    first.detach("eth0");
    assert_eq!(second.attach("eth0", &network), addresses);
    let mac = second.mac("eth0");
    for address in &addresses {
        let known = lab.far.ip(&format!("neigh show {address} dev up0"));
        assert!(known.contains(&mac), "{address} is not {mac} to the router: {known}");
        assert!(lab.client.pings(*address), "{address} does not answer at once");
    }
    promise::all(&lab, &second, &addresses);
}

/// #5618: an address that the pod got by router advertisement was overlooked.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_5618_addresses_are_the_kernels_not_the_results() {
    let lab = Lab::new();
    let pod = lab.pod();
    let network = lab.underlay(0).in_cluster().families(spiderpool_chains::network::Families::V4);
    let main = network.clone().without("coordinator").without("tuning");
    let v4 = pod.attach("eth0", &main);
    let v6: IpAddr = "fd30::5".parse().unwrap();
    pod.room.ip(&format!("addr add {v6}/64 dev eth0 nodad"));
    pod.room.ip("route add default via fd30::1 dev eth0");
    assert!(pod.plugin("ADD", "eth0", &network, "coordinator").is_well());
    promise::all(&lab, &pod, &[v4[0], v6]);
    assert!(pod.plugin("DEL", "eth0", &network, "coordinator").is_well());
}

/// cni-plugins (the older repository) #178: the node's cache of names was not reached from the underlay.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_178_the_nodes_cache_of_names_is_reached() {
    let lab = Lab::new();
    lab.node.ip("addr add 169.254.20.10/32 dev lo");
    let target: SocketAddr = "169.254.20.10:53".parse().unwrap();
    let _cache = Server::udp(&lab.node, target);
    let pod = lab.pod();
    let network = lab.underlay(0).in_cluster().with("hijackCIDR", json!(["169.254.0.0/16"]));
    let addresses = pod.attach("eth0", &network);
    assert_eq!(ask_udp(&pod.room, target).unwrap(), addresses[0]);
}

/// #3296: an IPv6 default route with several next hops hid which interface had it.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_3296_multipath_default_routes_are_taken_apart() {
    let lab = Lab::new();
    let pod = lab.pod();
    let eth0 = pod.attach("eth0", &lab.underlay(0).in_cluster());
    let bare = lab.underlay(1).in_cluster().without("coordinator").without("tuning");
    let net1 = pod.attach("net1", &bare);
    // As a main plugin that appends leaves it: one route with two hops.
    let [gateway0, gateway1] = [0, 1].map(|net: usize| NETS[net].address(false, 1));
    pod.room.ip(&format!(
        "-6 route replace default nexthop via {gateway0} dev eth0 nexthop via {gateway1} dev net1"
    ));
    let network = lab.underlay(1).in_cluster();
    let heard = pod.plugin("ADD", "net1", &network, "coordinator");
    assert!(heard.is_well(), "{heard:?}");
    let main = pod.room.ip("-6 route show default table main");
    assert!(main.contains("dev eth0") && !main.contains("dev net1"), "{main}");
    let own = pod.room.ip("-6 route show default table 101");
    assert!(own.contains("dev net1") && !own.contains("dev eth0"), "{own}");
    promise::all(&lab, &pod, &[eth0, net1].concat());
}

/// PR #3906: the filter of the node was written for each pod.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_3906_the_nodes_filter_is_not_the_pods_to_set() {
    let lab = Lab::new();
    for value in [0, 2] {
        lab.node.sysctl("net/ipv4/conf/all/rp_filter", value);
        let pod = lab.pod();
        let network = lab.underlay(0).in_cluster().with("podRPFilter", 1).with("hostRPFilter", 1);
        let addresses = pod.attach("eth0", &network);
        assert_eq!(lab.node.sysctl_value("net/ipv4/conf/all/rp_filter"), value.to_string());
        promise::node_to_pod(&lab, &pod, &addresses);
    }
}

/// #2287, #2120: what the cluster learns later is not in pods that run. Attaching again brings it.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_2287_an_add_anew_follows_what_has_changed() {
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, &["eth0"]);
    let later = "10.99.0.0/16";
    assert_eq!(pod.room.link_toward("10.99.0.1"), "eth0");
    let more = lab.underlay(0).in_cluster().with("serviceCIDR", json!(["10.96.0.0/16", later]));
    let heard = pod.plugin("ADD", "eth0", &more, "coordinator");
    assert!(heard.is_well(), "{heard:?}");
    assert_eq!(pod.room.link_toward("10.99.0.1"), "veth0");
    // A new address of the node, and one that has gone.
    let pods_way = |pod: &Pod<'_>| pod.room.link_toward("172.40.0.9");
    lab.node.ip("addr add 172.40.0.9/24 dev mgmt0");
    assert_eq!(pods_way(&pod), "eth0");
    assert!(pod.plugin("ADD", "eth0", &more, "coordinator").is_well());
    assert_eq!(pods_way(&pod), "veth0");
    pod.room.reaches("172.40.0.9".parse().unwrap());
    lab.node.ip("addr del 172.40.0.9/24 dev mgmt0");
    assert!(pod.plugin("ADD", "eth0", &more, "coordinator").is_well());
    assert_eq!(pods_way(&pod), "eth0");
    promise::all(&lab, &pod, &addresses[0]);
}

/// #1870, #2385, PR #4109: a fixed hardware address where there can be none.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_1870_prefixes_of_hardware_addresses_take_both_separators() {
    let lab = Lab::new();
    let pod = lab.pod();
    let addresses = pod.attach("eth0", &lab.underlay(0).in_cluster().with("podMACPrefix", "0a-1b"));
    assert!(pod.mac("eth0").starts_with("0a:1b:"));
    promise::all(&lab, &pod, &addresses);
    // An IPv6 address whose last bytes begin with zeros: all four count.
    let pod = lab.pod();
    let network = lab.underlay(1).in_cluster().with("podMACPrefix", "0a:1b");
    let v6 = pod.attach("eth0", &network.families(spiderpool_chains::network::Families::V6));
    let IpAddr::V6(address) = v6[0] else { panic!("{v6:?}") };
    let [.., a, b, c, d] = address.octets();
    assert_eq!(pod.mac("eth0"), format!("0a:1b:{a:02x}:{b:02x}:{c:02x}:{d:02x}"));
    promise::node_to_pod(&lab, &pod, &v6);
}

/// DaoCloud's notes; PR #3118: a queue's length of nothing was a crash, and it was set on the node.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn issue_3118_a_queues_length_is_the_pods() {
    let lab = Lab::new();
    let before = lab.node.ip("-o link");
    let queue = |pod: &Pod<'_>| {
        let line = pod.room.ip("link show eth0");
        spiderpool_chains::room::word_after(&line, "qlen").unwrap_or_default()
    };
    let (plain, _) = underlay(&lab, &["eth0"]);
    let usual = queue(&plain);
    for (given, expected) in [(json!(null), &*usual), (json!(0), &usual), (json!(321), "321")] {
        let pod = lab.pod();
        pod.attach("eth0", &lab.underlay(0).with("txQueueLen", given));
        assert_eq!(queue(&pod), expected);
    }
    let uplinks = |text: &str| {
        let own = text.lines().filter(|line| line.contains(" up") || line.contains(" mgmt"));
        own.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(uplinks(&before), uplinks(&lab.node.ip("-o link")));
}

/// Section 1.14: the DEL of one interface took the pair that the others need.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn hot_unplug_leaves_the_others_working() {
    let lab = Lab::new();
    let before = Snapshot::of(&lab.node);
    let (pod, addresses) = underlay(&lab, &["eth0", "net1", "net2"]);
    pod.detach("net1");
    promise::all(&lab, &pod, &[&*addresses[0], &*addresses[2]].concat());
    pod.check("eth0").unwrap();
    pod.check("net2").unwrap();
    lab.node.does_not_reach(addresses[1][0]);
    pod.detach("net2");
    promise::all(&lab, &pod, &addresses[0]);
    pod.detach("eth0");
    before.comes_back_in(&lab.node);
}

/// Section 1.11: with `podDefaultRouteNic` of an interface to come, an earlier ADD failed.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn the_default_route_waits_for_a_later_interface() {
    let lab = Lab::new();
    let pod = lab.pod();
    let network = |net| lab.underlay(net).in_cluster().with("podDefaultRouteNic", "net2");
    let addresses: Vec<Vec<IpAddr>> = ["eth0", "net1", "net2"]
        .iter()
        .enumerate()
        .map(|(net, nic)| pod.attach(nic, &network(net)))
        .collect();
    for outside in OUTSIDE.both(CLIENT) {
        assert_eq!(pod.room.link_toward(&outside.to_string()), "net2");
    }
    promise::all(&lab, &pod, &addresses.concat());
    pod.detach("net2");
    for outside in OUTSIDE.both(CLIENT) {
        assert_eq!(pod.room.link_toward(&outside.to_string()), "eth0", "it came back");
    }
    promise::all(&lab, &pod, &addresses[..2].concat());
}

/// Section 9.1: rules without priorities were ordered by history.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn priorities_are_the_same_in_every_order() {
    let lab = Lab::new();
    let rules = |nics: &[(&str, usize)]| {
        let pod = lab.pod();
        let attach = |(nic, net): &(&str, usize)| pod.attach(nic, &lab.underlay(*net).in_cluster());
        nics.iter().for_each(|nic| drop(attach(nic)));
        let number = |line: &str| line.split(':').next().unwrap().to_owned();
        let rules = pod.room.ip("rule");
        rules.lines().map(number).collect::<Vec<_>>()
    };
    let forth = rules(&[("eth0", 0), ("net1", 1), ("net2", 2)]);
    let back = rules(&[("eth0", 0), ("net2", 2), ("net1", 1)]);
    assert_eq!(forth, ["0", "1000", "1001", "1002", "32766", "32767"]);
    assert_eq!(forth, back);
}

/// Section 9.3: foreign rules at the same priority, foreign tables and foreign nftables objects.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn what_is_not_ours_stays() {
    let lab = Lab::new();
    let pod = lab.pod();
    for room in [&lab.node, &pod.room] {
        room.ip("rule add from 192.0.2.0/24 lookup 77 priority 1000");
        room.ip("rule add fwmark 0x10 lookup 100 priority 1000");
        room.ip("route add blackhole 192.0.2.0/24 table 500 proto static");
        room.ip("route add unreachable 203.0.113.0/24 table 101 proto static");
        spiderpool_chains::tap::nft(
            room,
            "table ip mangle { chain PREROUTING { type filter hook prerouting priority mangle; \
             meta mark 0x20 counter; } }",
        );
    }
    let foreign = ["192.0.2.0", "0x10", "203.0.113.0", "ip mangle"];
    let before = [&lab.node, &pod.room].map(Snapshot::of);
    let lines = |snapshot: &Snapshot| {
        snapshot.about(&foreign).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let network = |net| lab.underlay(net).in_cluster();
    let addresses = [pod.attach("eth0", &network(0)), pod.attach("net1", &network(1))];
    promise::all(&lab, &pod, &addresses.concat());
    for (room, before) in [&lab.node, &pod.room].into_iter().zip(&before) {
        assert_eq!(lines(&Snapshot::of(room)), lines(before));
    }
    pod.detach("net1");
    pod.detach("eth0");
    before[0].comes_back_in(&lab.node);
}

/// Section 9.5 of the list and the issue of this plugin: firewalld, or `nft flush ruleset`, takes the marks.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn flushed_marks_are_noticed_and_mended() {
    let lab = Lab::new();
    let (pod, addresses) = underlay(&lab, &["eth0"]);
    pod.check("eth0").unwrap();
    pod.room.sh("nft flush ruleset");
    let failed = pod.check("eth0").unwrap_err();
    assert_eq!((failed.kind.as_str(), failed.code), ("coordinator", 104), "{failed:?}");
    let network: Network = lab.underlay(0).in_cluster();
    assert!(pod.plugin("ADD", "eth0", &network, "coordinator").is_well());
    pod.check("eth0").unwrap();
    promise::all(&lab, &pod, &addresses[0]);
}

/// Section 1.5: `eth0` by a plugin without coordinator, then an underlay interface: the pair of another
/// link was taken for the way to the node.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn an_uncoordinated_first_interface_is_refused_with_a_reason() {
    let lab = Lab::new();
    let pod = lab.pod();
    pod.attach("eth0", &lab.underlay(0).without("coordinator"));
    let before = [Snapshot::of(&lab.node), Snapshot::of(&pod.room)];
    let failed = pod.try_attach("net1", &lab.underlay(1)).unwrap_err();
    assert_eq!((failed.kind.as_str(), failed.code), ("coordinator", 100), "{failed:?}");
    assert!(failed.told.contains("must be enabled on `eth0` as well"), "{failed:?}");
    before[0].comes_back_in(&lab.node);
    before[1].comes_back_in(&pod.room);
}

/// Section 9.4: an address moves from one pod to another, and what the node knew of it goes along.
#[test]
#[ignore = "host tier: runs CNI plugins in namespaces, needs root"]
fn a_reused_address_leads_to_its_new_pod() {
    let lab = Lab::new();
    let (first, addresses) = underlay(&lab, &["eth0"]);
    promise::node_to_pod(&lab, &first, &addresses[0]);
    first.detach("eth0");
    let (second, again) = underlay(&lab, &["eth0"]);
    assert_eq!(again, addresses);
    promise::all(&lab, &second, &again[0]);
    for address in &again[0] {
        let server = Server::tcp(&second.room, *address, 0);
        let seen = seen_from(&lab.node, SocketAddr::new(*address, server.port()));
        assert!(lab.is_node(seen) && !MANAGEMENT.contains(*address));
    }
}
