//! Links of every kind on a kernel that has them: what is created and changed is what is then observed.
//!
//! In the VM, since kernels of test machines often lack bonding, 8021q, ipvlan, dummy and vrf. Each test
//! has a thread and a network namespace of its own, and runs no program.

#![cfg(test)]

use std::collections::BTreeMap;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use spiderpool_core::intend::{Reason, Tenure};
use spiderpool_core::net::{
    Bond, BondKind, BondOption, HardwareAddress, Ipvlan, IpvlanMode, Link, LinkKind, LinkName,
    Macvlan, MacvlanMode, Side, Vlan, VlanId, VlanProtocol,
};
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, Op, Plan, Step, VethPeer};
use spiderpool_netlink::{Failed, Focus, Namespace, Stage, Wanted};

fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

fn new_namespace() -> Namespace {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    Namespace::here().unwrap()
}

/// Two namespaces for one test: the host's side, and a pod's.
struct Room {
    stage: Stage,
}

impl Room {
    /// Runs a test in namespaces that end with it.
    fn within(test: impl FnOnce(&mut Self) + Send) {
        let run = || {
            let pod = thread::spawn(new_namespace).join().unwrap();
            test(&mut Self { stage: Stage::open(&new_namespace(), &pod).unwrap() });
        };
        thread::scope(|scope| scope.spawn(run).join()).unwrap();
    }

    fn links_of(&mut self, side: Side) -> BTreeMap<LinkName, Link> {
        let nothing = || Wanted::tables([]);
        let mut scene = self.stage.observe(&Focus { host: nothing(), pod: nothing() }).unwrap();
        std::mem::take(&mut scene.side_mut(side).links)
    }

    fn links(&mut self) -> BTreeMap<LinkName, Link> {
        self.links_of(Side::Host)
    }

    fn link(&mut self, called: &str) -> Link {
        self.links().remove(&name(called)).unwrap()
    }

    fn send(&mut self, op: Op) -> Result<(), Failed> {
        // What is there is remembered, so that the op can name it.
        self.links();
        let step = Step {
            side: Side::Host,
            op,
            tenure: Tenure::Pod,
            reason: Reason::Interface,
            undo: Vec::new(),
            collateral: Vec::new(),
            losses: Vec::new(),
        };
        self.stage.apply(&Plan { steps: vec![step] }).map(drop)
    }

    fn create(&mut self, called: &str, kind: NewKind) -> Result<(), Failed> {
        self.send(Op::CreateLink(NewLink {
            name: name(called),
            kind,
            mtu: None,
            mac: None,
            alias: None,
        }))
    }

    fn change(&mut self, called: &str, to: &LinkChange) -> Result<(), Failed> {
        self.send(Op::SetLink { name: name(called), change: to.clone() })
    }

    fn delete(&mut self, called: &str) {
        self.send(Op::DeleteLink(name(called))).unwrap();
    }

    fn options(&mut self, called: &str) -> Bond {
        let link = self.link(called);
        let LinkKind::Bond(bond) = link.kind else { panic!("{link:?}") };
        bond
    }
}

fn tag(id: u16, protocol: VlanProtocol) -> Vlan {
    Vlan { id: VlanId::try_from(id).unwrap(), protocol }
}

#[test]
#[ignore = "VM tier: needs bonding, 8021q, ipvlan, dummy and vrf"]
fn every_kind_is_made_and_listed() {
    Room::within(|room| {
        let macvlan = Macvlan { mode: MacvlanMode::Private };
        let ipvlan = Ipvlan { mode: IpvlanMode::L3S };
        let (inner, outer) = (tag(7, VlanProtocol::Customer), tag(100, VlanProtocol::Provider));
        let parent = || name("d0");
        room.create("d0", NewKind::Dummy).unwrap();
        room.create("d1", NewKind::Dummy).unwrap();
        room.create("br0", NewKind::Bridge).unwrap();
        room.create("v0", NewKind::Vrf(500)).unwrap();
        room.create("m0", NewKind::Macvlan { parent: parent(), macvlan }).unwrap();
        room.create("i0", NewKind::Ipvlan { parent: name("d1"), ipvlan }).unwrap();
        room.create("d0.100", NewKind::Vlan { parent: parent(), vlan: outer }).unwrap();
        room.create("d0.100.7", NewKind::Vlan { parent: name("d0.100"), vlan: inner }).unwrap();
        let links = room.links();
        let check = |called: &str, kind: LinkKind, parent: Option<&str>| {
            let link = &links[&name(called)];
            let below = link.parent.as_ref().and_then(|parent| parent.name.as_deref());
            assert_eq!((&link.kind, below), (&kind, parent), "{called}");
        };
        check("lo", LinkKind::Plain, None);
        check("d0", LinkKind::Dummy, None);
        check("br0", LinkKind::Bridge, None);
        check("v0", LinkKind::Vrf(500), None);
        check("m0", LinkKind::Macvlan(macvlan), Some("d0"));
        check("i0", LinkKind::Ipvlan(ipvlan), Some("d1"));
        check("d0.100", LinkKind::Vlan(outer), Some("d0"));
        check("d0.100.7", LinkKind::Vlan(inner), Some("d0.100"));
    });
}

#[test]
#[ignore = "VM tier: needs dummy"]
fn every_change_is_listed() {
    Room::within(|room| {
        room.create("d0", NewKind::Dummy).unwrap();
        room.create("br0", NewKind::Bridge).unwrap();
        let mac = HardwareAddress(vec![2, 0, 0, 0, 0, 9]);
        for to in [
            LinkChange::Up(true),
            LinkChange::Mtu(1400),
            LinkChange::Mac(mac.clone()),
            LinkChange::TxQueueLength(77),
            LinkChange::Alias(Some("ours".into())),
            LinkChange::Controller(Some(name("br0"))),
        ] {
            room.change("d0", &to).unwrap();
        }
        let link = room.link("d0");
        assert_eq!((link.is_up, link.mtu, link.tx_queue_length), (true, 1400, 77));
        assert_eq!((link.mac, link.alias.as_deref()), (Some(mac), Some("ours")));
        assert_eq!(link.controller, Some(name("br0")));
        room.change("d0", &LinkChange::Alias(None)).unwrap();
        room.change("d0", &LinkChange::Controller(None)).unwrap();
        room.change("d0", &LinkChange::Up(false)).unwrap();
        room.change("d0", &LinkChange::Name(name("d9"))).unwrap();
        let link = room.link("d9");
        assert_eq!((link.is_up, link.alias, link.controller), (false, None, None));
        room.delete("d9");
        assert!(!room.links().contains_key(&name("d9")));
    });
}

#[test]
#[ignore = "VM tier: needs veth and dummy"]
fn a_pair_is_made_across_namespaces_and_a_link_is_moved() {
    Room::within(|room| {
        let mac = |last| HardwareAddress(vec![2, 0, 0, 0, 0, last]);
        let alias = |text: &str| Some(text.to_owned());
        let peer =
            VethPeer { name: name("e1"), mtu: Some(1300), mac: Some(mac(9)), alias: alias("far") };
        let new = NewLink {
            name: name("e0"),
            kind: NewKind::Veth(peer),
            mtu: Some(1400),
            mac: Some(mac(8)),
            alias: alias("near"),
        };
        room.send(Op::CreateLink(new)).unwrap();
        let near = room.link("e0");
        assert_eq!((near.mtu, near.mac, near.alias), (1400, Some(mac(8)), alias("near")));
        assert!(near.parent.unwrap().netns_id.is_some());
        let far = room.links_of(Side::Pod).remove(&name("e1")).unwrap();
        assert_eq!((far.mtu, far.mac, far.alias), (1300, Some(mac(9)), alias("far")));
        // The name that it has is taken there; it gets its new one on the way.
        room.create("e1", NewKind::Dummy).unwrap();
        room.send(Op::MoveLink { name: name("e1"), target: name("moved") }).unwrap();
        assert!(!room.links().contains_key(&name("e1")));
        assert_eq!(room.links_of(Side::Pod)[&name("moved")].kind, LinkKind::Dummy);
    });
}

/// Texts of options that a bond can have together, by mode.
const TOGETHER: [&str; 7] = [
    "mode=balance-rr;packets_per_slave=0;resend_igmp=2;num_peer_notif=3;lp_interval=2",
    "mode=active-backup;arp_interval=50;arp_ip_target=10.0.0.1,10.0.0.2;arp_validate=active;\
     arp_all_targets=all;arp_missed_max=4;ns_ip6_target=fd00::1;primary_reselect=better;fail_over_mac=active",
    "mode=balance-xor;miimon=100;xmit_hash_policy=layer3+4;updelay=200;downdelay=200;min_links=1",
    "mode=broadcast;miimon=50;all_slaves_active=1;use_carrier=1;peer_notif_delay=100",
    "mode=802.3ad;miimon=100;lacp_rate=fast;lacp_active=on;ad_select=count;ad_user_port_key=5;\
     ad_actor_sys_prio=6;ad_actor_system=02:00:00:00:00:01;coupled_control=off",
    "mode=balance-tlb;miimon=100;tlb_dynamic_lb=0",
    "mode=balance-alb;miimon=100;resend_igmp=0",
];

#[test]
#[ignore = "VM tier: needs bonding"]
fn every_bond_option_is_made_and_listed() {
    Room::within(|room| {
        for text in TOGETHER {
            let wished = Bond::parse(text).unwrap().agreed().unwrap();
            room.create("b0", NewKind::Bond(wished.clone()))
                .unwrap_or_else(|e| panic!("{text}: {e:?}"));
            let seen = room.options("b0");
            assert_eq!(wished.beyond(&seen), Bond::default(), "{text}: {seen}");
            room.delete("b0");
        }
    });
}

/// Every row of the core's table about when an option can change, tried on a bond in each state.
#[test]
#[ignore = "VM tier: needs bonding and dummy"]
fn an_option_changes_when_the_table_says() {
    Room::within(|room| {
        room.create("d0", NewKind::Dummy).unwrap();
        // Options of kernels later than the VM's have nothing to be tried on.
        let later = [BondOption::BroadcastNeighbour, BondOption::LacpStrict];
        for option in BondOption::all().filter(|option| !later.contains(option)) {
            let mode = (0..7).rev().find(|mode| option.is_for(*mode)).unwrap();
            for (is_up, has_port) in [(false, false), (true, false), (false, true), (true, true)] {
                let bond = Bond::parse(&format!("mode={mode};miimon=100")).unwrap();
                room.create("b0", NewKind::Bond(bond)).unwrap();
                if has_port {
                    room.change("d0", &LinkChange::Controller(Some(name("b0")))).unwrap();
                }
                room.change("b0", &LinkChange::Up(is_up)).unwrap();
                let needs = option.needs();
                let may = !(needs.is_down() && is_up || needs.is_without_ports() && has_port);
                let answer = room.change("b0", &LinkChange::Bond(other_value(option, mode)));
                // A port can only be chosen among those that are there and work.
                if option != BondOption::ActiveSlave {
                    let state = format!("{} up {is_up} port {has_port}", option.name());
                    assert_eq!(answer.is_ok(), may, "{state}: {answer:?}");
                }
                room.change("d0", &LinkChange::Controller(None)).unwrap();
                room.change("d0", &LinkChange::Up(false)).unwrap();
                room.delete("b0");
            }
        }
    });
}

/// A value that a bond of that mode does not have yet.
#[expect(clippy::wildcard_enum_match_arm, reason = "options whose default is not 1")]
fn other_value(option: BondOption, mode: u32) -> Bond {
    let text = match option.kind() {
        BondKind::Mac => "02:00:00:00:00:01",
        BondKind::Link => "d0",
        BondKind::V4 => "10.0.0.1",
        BondKind::V6 => "fd00::1",
        BondKind::Number(..) | BondKind::Names(_) => match option {
            BondOption::Mode => {
                return Bond::with(
                    option,
                    Bond::value(option, if mode == 6 { "5" } else { "6" }).unwrap(),
                );
            }
            BondOption::UseCarrier | BondOption::LacpActive | BondOption::TlbDynamicLb => "0",
            BondOption::UpDelay | BondOption::DownDelay | BondOption::PeerNotifDelay => "200",
            _ => "1",
        },
    };
    Bond::with(option, Bond::value(option, text).unwrap())
}

#[test]
#[ignore = "VM tier: needs bonding and dummy"]
fn a_port_is_taken_while_it_is_down_and_given_back() {
    Room::within(|room| {
        room.create("d0", NewKind::Dummy).unwrap();
        room.create("d1", NewKind::Dummy).unwrap();
        let bond = Bond::parse("mode=active-backup;miimon=100").unwrap();
        room.create("b0", NewKind::Bond(bond)).unwrap();
        let enslave = LinkChange::Controller(Some(name("b0")));
        room.change("d0", &LinkChange::Up(true)).unwrap();
        assert!(room.change("d0", &enslave).is_err(), "an up port is refused");
        room.change("d0", &LinkChange::Up(false)).unwrap();
        room.change("d0", &enslave).unwrap();
        room.change("d1", &enslave).unwrap();
        room.change("b0", &LinkChange::Up(true)).unwrap();
        let primary = |port: &str| {
            LinkChange::Bond(Bond::with(
                BondOption::Primary,
                Bond::value(BondOption::Primary, port).unwrap(),
            ))
        };
        room.change("b0", &primary("d1")).unwrap();
        let seen = room.options("b0");
        assert_eq!(
            seen.options[&BondOption::Primary],
            Bond::value(BondOption::Primary, "d1").unwrap()
        );
        let port = room.link("d0");
        assert_eq!((port.controller, port.is_up), (Some(name("b0")), true));
        room.change("d0", &LinkChange::Controller(None)).unwrap();
        let port = room.link("d0");
        assert_eq!((port.controller, port.is_up), (None, false), "what leaves a bond is down");
    });
}
