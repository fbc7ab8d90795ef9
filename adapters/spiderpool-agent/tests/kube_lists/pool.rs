//! List D, first half: the life of a pool.

use crate::pod::{addresses, pools, routes};
use crate::room::{admin, create, eventually, patch, read};
use crate::seen::{GROUP, endpoint_nic, refusal, slots_in, slots_of};
use crate::stage::{IPPOOL, Stage};
use serde_json::{Value, json};

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00001_an_address_of_two_pools_is_given_once() {
    let stage = Stage::open("d00001");
    let one = stage.pool("one", 2);
    let mut twin = one.clone();
    twin.name = "d00001-twin".to_owned();
    let twin = stage.fill(twin, 2, &json!({}));
    let mut had = Vec::new();
    for (name, pool) in [("a", &one), ("b", &twin)] {
        had.extend(addresses(&stage.pod_of(name, &[pool]).add("eth0"), "eth0"));
    }
    had.sort();
    assert_eq!(had, [one.at("10"), one.at("11")]);
    stage.pod_of("c", &[&one]).refused("eth0", "all its addresses are taken");
    stage.pod_of("d", &[&twin]).refused("eth0", "all its addresses are taken");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00002_gateway_and_routes_of_new_pods() {
    let stage = Stage::open("d00002");
    let pool = stage.prefix("blue", 4);
    let at = |last: u8| format!("{}{last}", pool.base);
    let (old_gateway, new_gateway) = (at(1), at(2));
    let route = |gw: &str| json!([{"dst": "172.20.0.0/16", "gw": gw}]);
    let spec = json!({"gateway": old_gateway, "routes": route(&old_gateway)});
    let pool = stage.fill(pool.clone(), 4, &spec);
    let old = stage.pod_of("old", &[&pool]);
    let both = |gw: &str| [format!("0.0.0.0/0 via {gw}"), format!("172.20.0.0/16 via {gw}")];
    assert_eq!(routes(&old.add("eth0"), "eth0"), both(&old_gateway));
    let before = endpoint_nic(&old, "eth0");
    let change = json!({"spec": {"gateway": new_gateway, "routes": route(&new_gateway)}});
    patch(&pool.path(), &change);
    let new = stage.pod_of("new", &[&pool]);
    eventually("the new gateway", || {
        (routes(&new.add("eth0"), "eth0") == both(&new_gateway)).then_some(())
    });
    eventually("the endpoint of the new pod", || {
        (endpoint_nic(&new, "eth0")["ipv4Gateway"] == *new_gateway).then_some(())
    });
    assert_eq!(endpoint_nic(&old, "eth0"), before);
    assert_eq!(before["ipv4Gateway"], *old_gateway);
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00003_a_wrong_gateway_or_route_is_refused() {
    let stage = Stage::open("d00003");
    let pool = stage.pool("blue", 2);
    let via = |dst: &str, gw: &str| json!([{"dst": dst, "gw": gw}]);
    let near = format!("{}1", pool.base);
    let twice = json!([{"dst": "172.20.0.0/16", "gw": near}, {"dst": "172.20.0.0/16", "gw": near}]);
    let cases = [
        (json!({"gateway": "192.168.9.1"}), "spec.gateway: Invalid value"),
        (json!({"gateway": "fd00::1"}), "is not within `subnet`"),
        (json!({"gateway": "here"}), "spec.gateway: Invalid value"),
        (
            json!({"routes": via("172.20.0.0/16", "192.168.9.1")}),
            "has a next hop outside of `subnet`",
        ),
        (json!({"routes": via("0.0.0.0/0", &near)}), "is a default route"),
        (json!({"routes": via("172.20.0.0", &near)}), "dst: Invalid value"),
        (json!({"routes": twice}), "has a destination twice"),
    ];
    for (spec, expected) in cases {
        let told = refusal("PATCH", &pool.path(), &json!({"spec": spec}));
        assert!(told.contains(expected), "{spec}: {told}");
    }
    assert_eq!(pools(&stage.pod_of("web", &[&pool]).add("eth0"), "eth0"), [pool.name]);
    // That a pool would give out its own gateway, the server's rules cannot tell: nothing is given.
    let own = stage.prefix("own", 4);
    let gateway = json!({"gateway": format!("{}10", own.base)});
    let own = stage.fill(own, 2, &gateway);
    stage.pod_of("own", &[&own]).refused("eth0", "d00003-own: ");
    assert!(slots_in(&own.name).is_empty());
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00004_a_pool_in_use_stays_and_gives_nothing() {
    let stage = Stage::open("d00004");
    let pool = stage.pool("blue", 4);
    // The controller's hand, which takes it off when nobody has an address.
    let kept = json!({"metadata": {"finalizers": ["spiderpool.spidernet.io"]}});
    patch(&pool.path(), &kept);
    let pod = stage.pod_of("web", &[&pool]);
    let reply = pod.add("eth0");
    admin().call("DELETE", &pool.path(), None).unwrap();
    let there = read(&pool.path()).unwrap();
    assert!(there["metadata"]["deletionTimestamp"].is_string());
    let late = stage.pod_of("late", &[&pool]);
    late.refused("eth0", "it is being deleted");
    assert_eq!(addresses(&pod.again().add("eth0"), "eth0"), addresses(&reply, "eth0"));
    stage.end(&pod.again());
    assert!(slots_in(&pool.name).is_empty());
    patch(&pool.path(), &json!({"metadata": {"finalizers": null}}));
    late.refused("eth0", "there is no such pool");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00005_a_disabled_pool_takes_back_and_gives_nothing() {
    let stage = Stage::open("d00005");
    let pool = stage.pool("blue", 4);
    let pod = stage.pod_of("web", &[&pool]);
    let reply = pod.add("eth0");
    patch(&pool.path(), &json!({"spec": {"disable": true}}));
    let late = stage.pod_of("late", &[&pool]);
    late.refused("eth0", "it is disabled");
    assert_eq!(addresses(&pod.again().add("eth0"), "eth0"), addresses(&reply, "eth0"));
    stage.end(&pod.again());
    assert!(slots_in(&pool.name).is_empty());
    patch(&pool.path(), &json!({"spec": {"disable": false}}));
    late.add("eth0");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00006_many_pools_come_and_go() {
    const MANY: usize = 30;
    let stage = Stage::open("d00006");
    let mut all = Vec::new();
    for number in 0..MANY {
        all.push(stage.pool(&format!("p{number:02}"), 1));
    }
    let every = [(IPPOOL, json!({"ipv4": ["d00006-p*"]}).to_string())];
    // The last that the agent hears of.
    let last = stage.pod_of("last", &[&all[MANY - 1]]);
    last.add("eth0");
    let mut pods = vec![last];
    for number in 1..MANY {
        let pod = stage.pod(&format!("w{number}"), &every);
        pod.add("eth0");
        pods.push(pod);
    }
    let mut given: Vec<_> = pods.iter().map(|pod| slots_of(pod)[0].pool.clone()).collect();
    given.sort();
    assert_eq!(given, all.iter().map(|pool| pool.name.clone()).collect::<Vec<_>>());
    pods.iter().for_each(|pod| stage.end(pod));
    for pool in &all {
        admin().call("DELETE", &pool.path(), None).unwrap();
    }
    stage.pod("late", &every).refused("eth0", "the pattern matches no pool of this family");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00007_a_pool_is_made_changed_and_removed_by_hand() {
    let stage = Stage::open("d00007");
    let pool = stage.pool("blue", 1);
    let made = read(&pool.path()).unwrap();
    assert_eq!(made["spec"]["ips"], json!([format!("{0}10-{0}10", pool.base)]));
    let [first, second, third] = ["a", "b", "c"].map(|name| stage.pod_of(name, &[&pool]));
    first.add("eth0");
    second.refused("eth0", "all its addresses are taken");
    let more = json!([format!("{}10", pool.base), format!("{}20/31", pool.base)]);
    patch(&pool.path(), &json!({"spec": {"ips": more}}));
    second.add("eth0");
    third.add("eth0");
    let mut given: Vec<_> =
        slots_in(&pool.name).iter().map(|slot| slot.address.to_string()).collect();
    given.sort();
    assert_eq!(given, [10, 20, 21].map(|last| format!("{}{last}", pool.base)));
    let fixed = json!({"spec": {"subnet": "10.78.0.0/24"}});
    let told = refusal("PATCH", &pool.path(), &fixed);
    assert!(told.contains("spec.subnet"), "{told}");
    [&first, &second, &third].into_iter().for_each(|pod| stage.end(pod));
    admin().call("DELETE", &pool.path(), None).unwrap();
    assert!(read(&pool.path()).is_none());
    stage.pod_of("late", &[&pool]).refused("eth0", "there is no such pool");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00008_a_pool_takes_after_its_subnet() {
    let stage = Stage::open("d00008");
    let pool = stage.prefix("blue", 4);
    let gateway = format!("{}1", pool.base);
    let subnet = json!({
        "apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderSubnet",
        "metadata": {"name": "d00008"},
        "spec": {
            "subnet": pool.subnet, "ips": [format!("{0}10-{0}99", pool.base)], "gateway": gateway,
            "routes": [{"dst": "172.20.0.0/16", "gw": gateway}],
        },
    });
    create(&format!("{GROUP}/spidersubnets"), &subnet);
    let pool = stage.fill(pool, 2, &json!({}));
    let pod = stage.pod_of("web", &[&pool]);
    let expected = [format!("0.0.0.0/0 via {gateway}"), format!("172.20.0.0/16 via {gateway}")];
    eventually("what the subnet says", || {
        (routes(&pod.add("eth0"), "eth0") == expected).then_some(())
    });
    // What it says itself goes before.
    let own = format!("{}2", pool.base);
    patch(&pool.path(), &json!({"spec": {"gateway": own, "routes": []}}));
    let other = stage.pod_of("other", &[&pool]);
    eventually("what the pool says", || {
        (routes(&other.add("eth0"), "eth0") == [format!("0.0.0.0/0 via {own}")]).then_some(())
    });
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn d00017_a_large_pool_gives_addresses() {
    let stage = Stage::open("d00017");
    let pool = stage.prefix("vast", 6);
    let ips = json!({"ips": [pool.subnet], "excludeIPs": [format!("{}/100", pool.base)]});
    let pool = stage.fill(pool, 1, &ips);
    let wanted: Value = json!({"ipv6": [pool.name]});
    let mut had = Vec::new();
    for name in ["a", "b", "c"] {
        let pod = stage.pod(name, &[(IPPOOL, wanted.to_string())]);
        had.extend(addresses(&pod.add("eth0"), "eth0"));
    }
    had.sort();
    had.dedup();
    assert_eq!(had.len(), 3);
    assert!(had.iter().all(|address| address.ends_with("/64")), "{had:?}");
    let excluded = |address: &std::net::IpAddr| match address {
        std::net::IpAddr::V6(address) => address.to_bits() << 64 >> (64 + 28) == 0,
        std::net::IpAddr::V4(_) => true,
    };
    let slots = slots_in(&pool.name);
    assert!(slots.iter().all(|slot| !excluded(&slot.address)), "{slots:?}");
}
