//! Two namespaces of the host's own kernel, observed and changed as plans have it: needs root and
//! iproute2, which is the second opinion.

#![cfg(test)]

mod lab;
mod scenes;

use std::collections::BTreeSet;

use lab::{Room, declined};
use scenes::{Pair, everything, link, name, net, observed, plan_of, rule, settled, step, tables};
use spiderpool_core::address::Family;
use spiderpool_core::intend::{Intent, Reason, Tenure, Want, Wish};
use spiderpool_core::net::{
    Address, HardwareAddress, Hop, Mark, Marks, Neighbour, NeighbourState, Observed, Route,
    RouteProtocol, Rule, Side, Sysctl, SysctlName,
};
use spiderpool_core::plan::kernel::perform;
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op, Plan, Step, VethPeer, plan};
use spiderpool_netlink::{Errno, NetlinkFault, Stage};

/// An op on the pod's side, and what undoes it.
fn ops() -> Vec<(Op, Vec<Op>)> {
    let eth0 = || name("eth0");
    let gateway = "10.6.0.1".parse().unwrap();
    let route = Route::via(net("10.9.0.0/16"), 101, gateway, eth0());
    let metrics = [(Route::MTU, 1300)].into();
    let locked = Route { metrics, metric: 7, ..route.clone() };
    let hop = |last: u8, weight| Hop {
        gateway: Some([10, 6, 0, last].into()),
        weight,
        ..Hop::on(eth0())
    };
    let many = Route { hops: vec![hop(2, 3), hop(3, 1)], ..Route::new(net("10.8.0.0/16"), 254) };
    // Beside the connected route, whose key it has.
    let beside = Route::via(net("10.6.0.0/24"), 254, gateway, eth0());
    let six = Route::via(net("fd00:9::/64"), 100_100, "fe80::1".parse().unwrap(), eth0());
    let marked = Rule { mark: Some(Mark { value: 1, mask: 3 }), ..rule(1000, 100) };
    let from = Rule { from: Some(net("10.6.0.10/32")), ..rule(1001, 101) };
    let mac = HardwareAddress(vec![2, 0, 0, 0, 0, 9]);
    let neighbour = Neighbour::permanent(eth0(), "10.6.0.9".parse().unwrap(), mac.clone());
    let proxy = Neighbour {
        mac: None,
        state: NeighbourState::Proxy,
        ..Neighbour::permanent(eth0(), "fd00:6::9".parse().unwrap(), mac.clone())
    };
    let filter = Sysctl::link(Family::V4, eth0(), SysctlName::ReversePathFilter);
    let set = |change| Op::SetLink { name: eth0(), change };
    let added = |route: &Route| (Op::AddRoute(route.clone()), vec![Op::DeleteRoute(route.clone())]);
    let ruled = |rule: &Rule| (Op::AddRule(rule.clone()), vec![Op::DeleteRule(rule.clone())]);
    let addressed = |address: &Address| {
        (Op::AddAddress(address.clone()), vec![Op::DeleteAddress(address.clone())])
    };
    let neighboured = |neighbour: &Neighbour| {
        (Op::SetNeighbour(neighbour.clone()), vec![Op::DeleteNeighbour(neighbour.clone())])
    };
    vec![
        added(&route),
        added(&locked),
        added(&many),
        (Op::AppendRoute(beside.clone()), vec![Op::DeleteRoute(beside)]),
        added(&six),
        added(&Route::on_link(net("192.0.2.1/32"), 100, eth0())),
        ruled(&marked),
        ruled(&from),
        ruled(&Rule { family: Family::V6, from: Some(net("fd00:6::10/128")), ..rule(1001, 101) }),
        addressed(&Address::new(eth0(), net("10.6.1.10/24"))),
        addressed(&Address::new(eth0(), net("fd00:7::10/64"))),
        neighboured(&neighbour),
        neighboured(&proxy),
        (Op::SetSysctl(filter.clone(), 2), vec![Op::SetSysctl(filter, 0)]),
        (set(LinkChange::Mtu(1300)), vec![set(LinkChange::Mtu(1400))]),
        (set(LinkChange::TxQueueLength(77)), vec![set(LinkChange::TxQueueLength(1000))]),
        (
            set(LinkChange::Alias(Some("ours".into()))),
            vec![set(LinkChange::Alias(Some("pod-side".into())))],
        ),
        (
            set(LinkChange::Mac(mac)),
            vec![set(LinkChange::Mac(HardwareAddress(vec![2, 0, 0, 0, 0, 1])))],
        ),
        (Op::CreateLink(pair_of("veth0", "veth123")), vec![Op::DeleteLink(name("veth0"))]),
    ]
}

fn pair_of(here: &str, there: &str) -> NewLink {
    let peer = VethPeer {
        name: name(there),
        mtu: Some(1450),
        mac: Some(HardwareAddress(vec![2, 0, 0, 0, 1, 2])),
        alias: Some("ours".into()),
    };
    NewLink {
        name: name(here),
        kind: NewKind::Veth(peer),
        mtu: Some(1450),
        mac: Some(HardwareAddress(vec![2, 0, 0, 0, 1, 1])),
        alias: Some("ours too".into()),
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn each_op_is_done_and_undone() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    for (op, undo) in ops() {
        let before = observed(&mut stage);
        let done = stage.apply(&plan_of([step(op.clone(), &[])])).unwrap();
        assert_eq!(done.steps, 1);
        let after = observed(&mut stage);
        assert_ne!(settled(&before), settled(&after), "`{op}` did nothing");
        let back: Vec<Step> = undo.into_iter().map(|op| step(op, &[])).collect();
        stage.apply(&plan_of(back)).unwrap();
        assert_eq!(settled(&observed(&mut stage)), settled(&before), "`{op}` is not undone");
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn the_model_says_what_the_kernel_does() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    for (op, undo) in ops() {
        for op in [op].into_iter().chain(undo) {
            let mut expected = observed(&mut stage);
            perform(&mut expected, Side::Pod, &op).unwrap();
            stage.apply(&plan_of([step(op.clone(), &[])])).unwrap();
            assert_eq!(settled(&observed(&mut stage)), settled(&expected), "`{op}`");
        }
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_failure_at_any_step_is_undone() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    let before = observed(&mut stage);
    let good: Vec<Step> = ops().into_iter().map(|(op, undo)| step(op, &undo)).collect();
    let nowhere =
        Route::via(net("10.99.0.0/16"), 254, "203.0.113.1".parse().unwrap(), name("eth0"));
    for position in 0..=good.len() {
        let mut steps = good.clone();
        steps.insert(position, step(Op::AddRoute(nowhere.clone()), &[]));
        let failed = stage.apply(&plan_of(steps)).unwrap_err();
        assert_eq!((failed.step, failed.steps), (position + 1, good.len() + 1));
        assert_eq!(failed.fault.errno(), Some(Errno::ENETUNREACH));
        let told = failed.fault.to_string();
        assert!(
            told.contains("add route to `10.99.0.0/16` via `203.0.113.1` dev `eth0`"),
            "{told}"
        );
        assert!(told.contains("Nexthop has invalid gateway"), "{told}");
        assert_eq!(failed.rollback.len(), position);
        assert_eq!(failed.left_behind().count(), 0, "{failed}");
        assert_eq!(settled(&observed(&mut stage)), settled(&before), "failing at {position}");
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_step_that_is_half_done_is_undone() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    let before = observed(&mut stage);
    // The pair is made, and then the kernel refuses an alias of more than 255 bytes.
    let new = NewLink { alias: Some("x".repeat(256)), ..pair_of("veth0", "veth123") };
    let half = step(Op::CreateLink(new), &[Op::DeleteLink(name("veth0"))]);
    let failed = stage.apply(&plan_of([half])).unwrap_err();
    assert_eq!((failed.rollback.len(), failed.left_behind().count()), (1, 0), "{failed}");
    assert!(failed.to_string().ends_with("what was done before it is undone"), "{failed}");
    assert_eq!(settled(&observed(&mut stage)), settled(&before));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn what_cannot_be_undone_is_told() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let address = Address::new(name("missing"), net("10.1.1.1/24"));
    let steps = [
        step(
            Op::AddRule(rule(1000, 100)),
            &[Op::AddAddress(address), Op::DeleteRule(rule(1000, 100))],
        ),
        step(Op::DeleteLink(name("nowhere")), &[]),
    ];
    let failed = pair.stage().apply(&plan_of(steps)).unwrap_err();
    assert!(matches!(*failed.fault, NetlinkFault::NoLink { .. }), "{failed:?}");
    let told = failed.to_string();
    assert!(told.contains("of 2 things to undo, 1 could not be"), "{told}");
    assert!(told.contains("there is no link `missing`"), "{told}");
    // What comes after it in the undoing is tried all the same.
    assert!(!pair.pod.ip("rule show").contains("1000:"));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn node_wide_steps_are_not_undone() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let node_wide =
        Step { side: Side::Host, tenure: Tenure::Node, ..step(Op::AddRule(rule(1000, 500)), &[]) };
    let bad = step(Op::DeleteLink(name("missing")), &[]);
    let failed = pair.stage().apply(&plan_of([node_wide.clone(), bad])).unwrap_err();
    assert_eq!(failed.rollback, []);
    assert!(pair.host.ip("rule show").contains("1000:\tfrom all lookup 500 proto 137"));
    // It is there: ensuring it again is no failure, making it again for one attachment is.
    pair.stage().apply(&plan_of([node_wide.clone()])).unwrap();
    let exclusive = Step { tenure: Tenure::Attachment, ..node_wide };
    let failed = pair.stage().apply(&plan_of([exclusive])).unwrap_err();
    assert_eq!(failed.fault.errno(), Some(Errno::EEXIST));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn many_ensure_one_rule() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let forwarding = Sysctl::all(Family::V4, SysctlName::Forwarding);
    let ops = [Op::AddRule(rule(1000, 500)), Op::SetSysctl(forwarding, 1)];
    let ensure = |op| Step { side: Side::Host, tenure: Tenure::Node, ..step(op, &[]) };
    let plan = plan_of(ops.map(ensure));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| pair.stage().apply(&plan).unwrap());
        }
    });
    let rules = pair.host.ip("rule show");
    assert_eq!(rules.lines().filter(|line| line.starts_with("1000:")).count(), 1, "{rules}");
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn things_of_others_stay() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    pair.pod.ip("rule add pref 1001 from 10.6.0.10 lookup 101");
    pair.pod.ip("route add 10.9.0.0/16 via 10.6.0.1 dev eth0 table 101 proto static");
    let before = pair.pod.ip("rule show");
    let mut stage = pair.stage();
    let from = Rule { from: Some(net("10.6.0.10/32")), ..rule(1001, 101) };
    let failed = stage.apply(&plan_of([step(Op::DeleteRule(from), &[])])).unwrap_err();
    assert_eq!(failed.fault.errno(), Some(Errno::ENOENT));
    let route = Route::via(net("10.9.0.0/16"), 101, "10.6.0.1".parse().unwrap(), name("eth0"));
    let failed = stage.apply(&plan_of([step(Op::DeleteRoute(route.clone()), &[])])).unwrap_err();
    assert_eq!(failed.fault.errno(), Some(Errno::ESRCH));
    let failed = stage.apply(&plan_of([step(Op::AddRoute(route), &[])])).unwrap_err();
    assert_eq!(failed.fault.errno(), Some(Errno::EEXIST));
    assert_eq!(pair.pod.ip("rule show"), before);
    assert!(pair.pod.ip("route show table 101").contains("proto static"));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn the_kernel_is_not_let_delete_another_rule() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    narrow_before_plain(&pair.pod);
    let before = pair.pod.ip("rule show");
    let plain = plan_of([step(Op::DeleteRule(rule(1000, 100)), &[])]);
    let failed = pair.stage().apply(&plain).unwrap_err();
    assert!(matches!(*failed.fault, NetlinkFault::Unasked { .. }), "{failed:?}");
    assert!(failed.fault.to_string().contains("from `10.6.0.10/32`"), "{}", failed.fault);
    assert_eq!(pair.pod.ip("rule show"), before);
    let narrow = Rule { from: Some(net("10.6.0.10/32")), ..rule(1000, 100) };
    pair.stage().apply(&plan_of([step(Op::DeleteRule(narrow.clone()), &[])])).unwrap();
    pair.stage().apply(&plain).unwrap();
    assert!(!pair.pod.ip("rule show").contains("1000:"));
    // Where the rule itself is gone, the kernel would take a narrower one for it.
    pair.stage().apply(&plan_of([step(Op::AddRule(narrow), &[])])).unwrap();
    let failed = pair.stage().apply(&plain).unwrap_err();
    assert_eq!(failed.fault.errno(), Some(Errno::ENOENT));
    assert!(pair.pod.ip("rule show").contains("from 10.6.0.10 lookup 100"));
}

/// Two rules of one priority, in the order in which deleting the second takes the first. Adding them one
/// after the other is refused, since the kernel takes the second for the first there, too.
fn narrow_before_plain(room: &Room) {
    room.ip("rule add pref 1000 lookup 100 proto 137");
    let saved = tempfile::NamedTempFile::new().unwrap();
    let ip = || {
        let mut command = std::process::Command::new("ip");
        command.args(["-n", &room.name, "rule"]);
        command
    };
    assert!(ip().arg("save").stdout(saved.reopen().unwrap()).status().unwrap().success());
    room.ip("rule delete pref 1000");
    room.ip("rule add pref 1000 from 10.6.0.10 lookup 100 proto 137");
    assert!(ip().arg("restore").stdin(saved.reopen().unwrap()).status().unwrap().success());
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_link_that_was_replaced_is_not_touched() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    pair.pod.ip("link add br0 type bridge");
    let mut stage = pair.stage();
    observed(&mut stage);
    pair.pod.ip("link delete br0");
    pair.pod.ip("link add br0 type bridge");
    let deletion = plan_of([step(Op::DeleteLink(name("br0")), &[])]);
    let failed = stage.apply(&deletion).unwrap_err();
    assert!(matches!(*failed.fault, NetlinkFault::OtherLink { .. }), "{failed:?}");
    assert!(pair.pod.ip("-o link show").contains("br0"));
    // Looked at again, it is the one that is meant.
    observed(&mut stage);
    stage.apply(&deletion).unwrap();
    assert!(!pair.pod.ip("-o link show").contains("br0"));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn links_move_are_renamed_and_come_back() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    pair.pod.ip("link add tap0 type veth peer name tap1");
    let before = observed(&mut stage);
    let to_host = Op::MoveLink { name: name("tap0"), target: name("tap9") };
    let rename = Op::SetLink { name: name("tap9"), change: LinkChange::Name(name("tap8")) };
    let back = Op::MoveLink { name: name("tap8"), target: name("tap0") };
    let on_host = |op| Step { side: Side::Host, ..step(op, &[]) };
    stage.apply(&plan_of([step(to_host, &[]), on_host(rename)])).unwrap();
    assert!(pair.host.ip("-o link show").contains("tap8@"));
    stage.apply(&plan_of([on_host(back)])).unwrap();
    assert_eq!(settled(&observed(&mut stage)), settled(&before));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn marks_are_made_observed_and_deleted() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    let before = observed(&mut stage);
    let marks = Marks { input: name("eth0"), mark: Mark { value: 1, mask: 1 } };
    let add = step(Op::AddMarks(marks.clone()), &[Op::DeleteMarks]);
    stage.apply(&plan_of([add.clone()])).unwrap();
    let marking = observed(&mut stage).pod.marking;
    assert_eq!(marking, spiderpool_core::net::Marking::Present(marks));
    let again = stage.apply(&plan_of([add.clone()])).unwrap_err();
    assert_eq!(again.fault.errno(), Some(Errno::EEXIST));
    stage.apply(&plan_of([step(Op::DeleteMarks, &[])])).unwrap();
    let bad = step(Op::DeleteLink(name("missing")), &[]);
    let failed = stage.apply(&plan_of([add, bad])).unwrap_err();
    assert_eq!(failed.left_behind().count(), 0, "{failed}");
    assert_eq!(settled(&observed(&mut stage)), settled(&before));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn what_was_set_is_observed() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    pair.pod.ip("rule add pref 1001 from 10.6.0.10 lookup 101 proto 137");
    pair.pod.ip("rule add pref 1002 fwmark 0x1/0x3 iif eth0 lookup 100100");
    pair.pod.ip("rule add pref 1003 lookup main suppress_prefixlength 0");
    pair.pod.ip("-6 rule add pref 1001 not to fd00::/8 blackhole");
    pair.pod.ip("neighbour add 10.6.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent proto 137");
    pair.pod.ip("neighbour add proxy fd00:6::9 dev eth0");
    pair.pod.ip("-6 route add unreachable fd00:a::/64 metric 5");
    pair.pod.ip("-6 route add fd00:b::/64 via fe80::1 dev eth0 mtu 1300 pref high expires 1000");
    pair.pod.ip("route add 10.9.0.0/16 via 10.6.0.1 dev eth0 mtu lock 1300 congctl cubic");
    let pod = observed(&mut pair.stage()).pod;
    let kernels = |rule: &&Rule| rule.protocol != RouteProtocol::KERNEL;
    let rules: Vec<Rule> = pod.rules.iter().filter(kernels).cloned().collect();
    let theirs =
        |priority, table| Rule { protocol: RouteProtocol::UNSPECIFIED, ..rule(priority, table) };
    let expected = BTreeSet::from([
        Rule { from: Some(net("10.6.0.10/32")), ..rule(1001, 101) },
        Rule {
            mark: Some(Mark { value: 1, mask: 3 }),
            input: Some(name("eth0")),
            ..theirs(1002, 100_100)
        },
        Rule { has_more: true, ..theirs(1003, 254) },
        Rule {
            family: Family::V6,
            is_inverted: true,
            to: Some(net("fd00::/8")),
            action: spiderpool_core::net::RuleAction::Other(6),
            ..theirs(1001, 0)
        },
    ]);
    assert_eq!(rules.into_iter().collect::<BTreeSet<_>>(), expected);
    let listed = |family| pair.pod.ip(&format!("{family} rule show")).lines().count();
    assert_eq!(pod.rules.len(), listed("-4") + listed("-6"));
    is_observed(&pod);
}

fn is_observed(pod: &Observed) {
    let mac = HardwareAddress(vec![2, 0, 0, 0, 0, 9]);
    let permanent = Neighbour::permanent(name("eth0"), "10.6.0.9".parse().unwrap(), mac);
    let proxy = Neighbour {
        address: "fd00:6::9".parse().unwrap(),
        mac: None,
        state: NeighbourState::Proxy,
        protocol: RouteProtocol::UNSPECIFIED,
        ..permanent.clone()
    };
    let fixed = |neighbour: &&Neighbour| neighbour.state != NeighbourState::Learned;
    let neighbours: Vec<_> = pod.neighbours.iter().filter(fixed).cloned().collect();
    assert_eq!(neighbours, [permanent, proxy]);
    let route = |to: &str| pod.routes.iter().find(|route| route.destination == net(to)).unwrap();
    let unreachable = route("fd00:a::/64");
    assert_eq!((unreachable.hops.len(), unreachable.has_more), (0, false));
    let expiring = route("fd00:b::/64");
    assert_eq!((expiring.metrics[&Route::MTU], expiring.has_more), (1300, true));
    assert_eq!(expiring.preference, spiderpool_core::net::RoutePreference::High);
    let locked = route("10.9.0.0/16");
    assert_eq!((locked.metrics[&1], locked.has_more), (1 << Route::MTU, true));
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn tables_that_do_not_exist_hold_nothing() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    pair.pod.ip("route add 10.9.0.0/16 dev eth0 table 500");
    let pod = |numbers: &[u32]| {
        let focus = tables(numbers);
        pair.stage().observe(&focus).unwrap().pod
    };
    assert_eq!(pod(&[4711]).routes.len(), 0);
    let found = pod(&[500, 4711]);
    assert_eq!(found.routes.len(), 1);
    assert_eq!((found.neighbours.len(), found.sysctls.len()), (0, 0));
    assert!(found.links.contains_key(&name("eth0")) && !found.addresses.is_empty());
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn sysctls_are_set_and_read_back() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    let filter = Sysctl::link(Family::V4, name("eth0"), SysctlName::ReversePathFilter);
    let missing = Sysctl::link(Family::V4, name("eth7"), SysctlName::ReversePathFilter);
    let mut focus = everything();
    focus.pod.sysctls = [filter.clone(), missing.clone()].into();
    assert_eq!(stage.observe(&focus).unwrap().pod.sysctls, [(filter.clone(), 0)].into());
    stage.apply(&plan_of([step(Op::SetSysctl(filter.clone(), 2), &[])])).unwrap();
    assert_eq!(stage.observe(&focus).unwrap().pod.sysctls, [(filter.clone(), 2)].into());
    // Neither this process's namespace nor the other side is another's.
    focus.host.sysctls = [Sysctl::all(Family::V4, SysctlName::ReversePathFilter)].into();
    assert_eq!(stage.observe(&focus).unwrap().host.sysctls.len(), 1);
    let failed = stage.apply(&plan_of([step(Op::SetSysctl(missing, 1), &[])])).unwrap_err();
    assert_eq!(failed.fault.errno(), Some(Errno::ENOENT));
    let failed = stage.apply(&plan_of([step(Op::SetSysctl(filter, 1 << 40), &[])])).unwrap_err();
    assert!(failed.fault.to_string().contains("net/ipv4/conf/eth0/rp_filter"), "{}", failed.fault);
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn the_nodes_own_address_toward_a_pod_is_found() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    pair.host.ip("address add 10.6.0.1/24 dev veth-pod");
    pair.host.ip("-6 address add fd00:6::1/64 dev veth-pod nodad");
    pair.host.ip("route add blackhole 10.66.0.0/16");
    let mut stage = pair.stage();
    let mut toward = |to: &str| stage.source_toward(to.parse().unwrap()).unwrap();
    assert_eq!(toward("10.6.0.10"), Some("10.6.0.1".parse().unwrap()));
    assert_eq!(toward("10.6.0.1"), Some("10.6.0.1".parse().unwrap()));
    assert_eq!(toward("fd00:6::10"), Some("fd00:6::1".parse().unwrap()));
    for nowhere in ["203.0.113.1", "10.66.0.1", "2001:db8::1"] {
        assert_eq!(toward(nowhere), None, "{nowhere}");
    }
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn an_intent_is_planned_applied_and_held() {
    if declined() {
        return;
    }
    let pair = Pair::new();
    let mut stage = pair.stage();
    let wish =
        |side, want| Wish { side, want, tenure: Tenure::Attachment, reason: Reason::Interface };
    let up = |name| Want::Setting { link: name, change: LinkChange::Up(true) };
    let route = Route::on_link(net("192.0.2.1/32"), 254, name("veth0"));
    let intent = Intent {
        wishes: vec![
            wish(Side::Pod, Want::Link(pair_of("veth0", "veth123"))),
            wish(Side::Pod, up(name("veth0"))),
            wish(Side::Host, up(name("veth123"))),
            wish(Side::Pod, Want::Route(route)),
            wish(
                Side::Pod,
                Want::Rule(Rule { from: Some(net("10.6.0.10/32")), ..rule(1001, 101) }),
            ),
        ],
    };
    let before = observed(&mut stage);
    let way = plan(&before, &intent).unwrap();
    let done = stage.apply(&way).unwrap();
    assert_eq!(done.steps, way.steps.len());
    assert!(done.round_trips as usize >= done.steps);
    assert_eq!(stage.verify(&intent, &everything()).unwrap(), Plan::default());
    pair.pod.ip("rule delete pref 1001");
    let drift = stage.verify(&intent, &everything()).unwrap();
    assert_eq!(drift.steps.len(), 1, "{drift}");
    stage.apply(&drift).unwrap();
    assert!(stage.verify(&intent, &everything()).unwrap().is_empty());
}

#[test]
#[ignore = "host tier: needs root and iproute2"]
fn a_stage_of_the_host_has_no_pod() {
    if declined() {
        return;
    }
    let room = Room::new();
    let mut stage = Stage::of_host(&room.namespace()).unwrap();
    let scene = stage.observe(&everything()).unwrap();
    assert_eq!((scene.host.links.len(), scene.pod), (1, Observed::default()));
    let on_host = |op| Step { side: Side::Host, ..step(op, &[]) };
    let bridge =
        NewLink { kind: NewKind::Bridge, mac: None, mtu: None, alias: None, name: name("br0") };
    stage.apply(&plan_of([on_host(Op::CreateLink(bridge))])).unwrap();
    for op in [Op::CreateLink(pair_of("veth0", "veth1")), Op::AddRule(rule(1, 2))] {
        let failed = stage.apply(&plan_of([step(op, &[])])).unwrap_err();
        assert!(matches!(*failed.fault, NetlinkFault::Unasked { .. }), "{failed:?}");
    }
    assert!(link(&room, "br0").is_some());
}
