//! The messages against captures of iproute2's, there and back, and hostile input.

use std::collections::{BTreeMap, BTreeSet};

use netlink_packet_core::{DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpoib, InfoKind, IpoibMode, LinkAttribute, LinkInfo, LinkMessage, LinkVfInfo,
    VfInfo, VfInfoMac, VfInfoTrust, VfInfoVlan,
};
use proptest::prelude::*;
use spiderpool_core::net::{
    Bond, BondOption, HardwareAddress, Ipvlan, IpvlanMode, Link, LinkKind, LinkName, Macvlan,
    MacvlanMode, Vlan, VlanId, VlanProtocol,
};
use spiderpool_core::plan::{LinkChange, NewKind, NewLink, VethPeer};

use super::*;
use crate::observe::{hostile_body, hostile_message};

fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

fn mac(last: u8) -> HardwareAddress {
    HardwareAddress(vec![2, 0, 0, 0, 0, last])
}

fn new(called: &str, kind: NewKind) -> NewLink {
    NewLink { name: name(called), kind, mtu: None, mac: None, alias: None }
}

fn vlan(called: &str, id: u16, protocol: VlanProtocol) -> NewLink {
    let vlan = Vlan { id: VlanId::try_from(id).unwrap(), protocol };
    new(called, NewKind::Vlan { parent: name("p0"), vlan })
}

fn new_bond(options: &str) -> NewKind {
    NewKind::Bond(Bond::parse(options).unwrap().agreed().unwrap())
}

const LACP: &str = "mode=802.3ad;miimon=100;updelay=200;downdelay=200;use_carrier=1;\
    xmit_hash_policy=layer3+4;resend_igmp=2;num_grat_arp=3;all_slaves_active=1;min_links=1;\
    lp_interval=2;lacp_rate=fast;ad_select=count;ad_user_port_key=5;ad_actor_sys_prio=6;\
    ad_actor_system=02:00:00:00:00:01;lacp_active=on;peer_notify_delay=200;fail_over_mac=active";
const ARP: &str = "mode=active-backup;arp_interval=50;arp_ip_target=10.0.0.1,10.0.0.2;\
    arp_validate=active;arp_all_targets=all;primary=p0;primary_reselect=better;\
    arp_missed_max=4;ns_ip6_target=fd00::1";

/// In the captures, p0 has index 3, p1 has 5, and namespaces are descriptor 4.
fn created(case: &str) -> Option<LinkMessage> {
    let (parent, namespace) = (Some(3), Some(4));
    let macvlan = Macvlan { mode: MacvlanMode::Bridge };
    let ipvlan = Ipvlan { mode: IpvlanMode::L3S };
    let on_p0 = |new: &NewLink| create(new, parent, None);
    let alone = |called: &str, kind: NewKind| create(&new(called, kind), None, None);
    Some(match case {
        "vlan" => {
            on_p0(&NewLink { mtu: Some(1400), ..vlan("p0.100", 100, VlanProtocol::Customer) })
        }
        "qinq" => on_p0(&vlan("p0.7", 7, VlanProtocol::Provider)),
        "bond" => alone("b0", new_bond(LACP)),
        "bondtlb" => alone("b2", new_bond("mode=balance-tlb;tlb_dynamic_lb=0")),
        "bondrr" => alone("b2", new_bond("mode=balance-rr;packets_per_slave=0")),
        "macvlan" => {
            let kind = NewKind::Macvlan { parent: name("p0"), macvlan };
            on_p0(&NewLink { mac: Some(mac(5)), ..new("m0", kind) })
        }
        "ipvlan" => on_p0(&new("i0", NewKind::Ipvlan { parent: name("p0"), ipvlan })),
        "vrf" => alone("v0", NewKind::Vrf(500)),
        "dummy" => alone("d0", NewKind::Dummy),
        "bridge" => alone("br0", NewKind::Bridge),
        "veth" => {
            let peer =
                VethPeer { name: name("e1"), mtu: Some(1300), mac: Some(mac(11)), alias: None };
            let near = new("e0", NewKind::Veth(peer));
            create(&NewLink { mtu: Some(1400), mac: Some(mac(10)), ..near }, None, namespace)
        }
        _ => return None,
    })
}

fn changed(case: &str) -> Option<LinkMessage> {
    let p0 = |to: LinkChange| change(3, &to, None).pop();
    match case {
        "up" => p0(LinkChange::Up(true)),
        "down" => p0(LinkChange::Up(false)),
        "nomaster" => p0(LinkChange::Controller(None)),
        "alias" => p0(LinkChange::Alias(Some("hello".into()))),
        "txq" => p0(LinkChange::TxQueueLength(77)),
        "mac" => p0(LinkChange::Mac(mac(12))),
        "rename" => p0(LinkChange::Name(name("p9"))),
        "master" => change(3, &LinkChange::Controller(Some(name("p1"))), Some(5)).pop(),
        "move" => Some(move_to(3, 4, &name("r0"))),
        "bondset" => {
            let options = Bond::parse("miimon=50;active_slave=p0").unwrap();
            change(5, &LinkChange::Bond(options), Some(3)).pop()
        }
        _ => None,
    }
}

/// Messages that no operation sends whole: a bond with its primary port, which [`create`] leaves to a
/// change, and IPoIB, of which no device can be had to try.
fn composed(case: &str) -> Option<LinkMessage> {
    let NewKind::Bond(options) = new_bond(ARP) else { return None };
    let (called, parent, infos) = match case {
        "bondarp" => ("b1", None, kind::bond_infos(bond::lower(&options, Some(3)))),
        "ipoib" => {
            let data = vec![InfoIpoib::Pkey(0x8001), InfoIpoib::Mode(IpoibMode::Datagram)];
            ("p0.8001", Some(3), kind::infos(InfoKind::Ipoib, Some(InfoData::Ipoib(data))))
        }
        _ => return None,
    };
    let mut message = LinkMessage::default();
    message.attributes = lower::settings(&name(called), None, None);
    message.attributes.extend(parent.map(LinkAttribute::Link));
    message.attributes.push(LinkAttribute::LinkInfo(infos));
    Some(message)
}

/// The attributes that hold attributes: `IFLA_LINKINFO`, `IFLA_INFO_DATA`, `IFLA_BOND_ARP_IP_TARGET`
/// and `IFLA_BOND_NS_IP6_TARGET`. (A veth's data holds a whole message, told apart by its kind.)
fn holds_attributes(path: &[u16]) -> bool {
    matches!(path, [18] | [18, 2] | [18, 2, 8 | 31])
}

/// Every attribute with the path to it: what a message says, whatever the order.
type Leaves = BTreeSet<(Vec<u16>, Vec<u8>)>;

fn leaves(path: &[u16], bytes: &[u8], is_veth: bool, found: &mut Leaves) {
    let mut rest = bytes;
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let here = [path, &[u16::from_ne_bytes([rest[2], rest[3]]) & 0x3fff]].concat();
        let value = &rest[4..length];
        if is_veth && here == [18, 2, 1] {
            found.insert((here.clone(), value[..16].to_vec()));
            leaves(&here, &value[16..], false, found);
        } else if holds_attributes(&here) && !(is_veth && here == [18, 2, 8]) {
            leaves(&here, value, is_veth, found);
        } else if here == [18, 1] {
            // The packet crate ends a kind's name with a NUL, iproute2 does not; the kernel takes both.
            found.insert((here, value.strip_suffix(&[0]).unwrap_or(value).to_vec()));
        } else {
            found.insert((here, value.to_vec()));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn says(case: &str, body: &[u8]) -> (Vec<u8>, Leaves) {
    let mut found = Leaves::new();
    leaves(&[], &body[16..], case == "veth", &mut found);
    (body[..16].to_vec(), found)
}

fn body_of(message: &LinkMessage) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Each line of the captures: a name, the message's type and flags, and its body, all in hex.
fn captures() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>)> {
    let lines = include_str!("golden.txt").lines().filter(|line| !line.starts_with('#'));
    let parts = lines.map(|line| line.split(' ').collect::<Vec<_>>());
    parts.map(|part| (part[0], part[1], part[2], unhex(part[3]))).collect()
}

#[test]
fn messages_are_those_of_iproute2() {
    let captures = captures();
    assert_eq!(captures.len(), 23);
    for (case, kind, flags, body) in captures {
        let ours = created(case).or_else(|| changed(case)).or_else(|| composed(case));
        let ours = ours.unwrap_or_else(|| panic!("no message for {case}"));
        assert_eq!(says(case, &body_of(&ours)), says(case, &body), "{case}");
        // RTM_NEWLINK, little-endian; NLM_F_CREATE | NLM_F_EXCL or neither.
        let is_new = changed(case).is_none();
        assert_eq!((kind, flags), ("1000", if is_new { "0506" } else { "0500" }), "{case}");
    }
}

/// As the kernel would tell it: the message with an index, and names for what it names.
fn told(mut message: LinkMessage, index: u32) -> RouteNetlinkMessage {
    message.header.index = index;
    let body = body_of(&message);
    let mut header = NetlinkHeader::default();
    header.message_type = 16;
    RouteNetlinkMessage::deserialize(&header, &body).unwrap()
}

fn plain(called: &str, index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(called.into()));
    told(message, index)
}

fn lifted(message: LinkMessage, index: u32, called: &str) -> Link {
    let all = vec![plain("p0", 3), plain("p1", 5), told(message, index)];
    lift_all(all).unwrap().remove(&name(called)).unwrap()
}

#[test]
fn what_is_created_lifts_to_what_was_wished() {
    let check = |case: &str, called: &str, kind: LinkKind| {
        let message = created(case).or_else(|| composed(case)).unwrap();
        assert_eq!(lifted(message, 7, called).kind, kind, "{case}");
    };
    let tagged =
        |id: u16, protocol| LinkKind::Vlan(Vlan { id: VlanId::try_from(id).unwrap(), protocol });
    check("vlan", "p0.100", tagged(100, VlanProtocol::Customer));
    check("qinq", "p0.7", tagged(7, VlanProtocol::Provider));
    check("bond", "b0", LinkKind::Bond(Bond::parse(LACP).unwrap()));
    check("bondarp", "b1", LinkKind::Bond(Bond::parse(ARP).unwrap()));
    check("macvlan", "m0", LinkKind::Macvlan(Macvlan { mode: MacvlanMode::Bridge }));
    check("ipvlan", "i0", LinkKind::Ipvlan(Ipvlan { mode: IpvlanMode::L3S }));
    check("vrf", "v0", LinkKind::Vrf(500));
    check("dummy", "d0", LinkKind::Dummy);
    check("bridge", "br0", LinkKind::Bridge);
    check("ipoib", "p0.8001", LinkKind::Ipoib { pkey: 0x8001 });
    let vlan = lifted(created("vlan").unwrap(), 7, "p0.100");
    let parent = vlan.parent.unwrap();
    assert_eq!((parent.name, parent.index, parent.netns_id), (Some(name("p0")), 3, None));
    assert_eq!(vlan.mtu, 1400);
}

#[test]
fn every_bond_option_survives_the_wire() {
    for option in BondOption::all() {
        let text = ["1", "10.0.0.1", "fd00::1", "02:00:00:00:00:01"];
        let value = text.iter().find_map(|text| Bond::value(option, text).ok()).unwrap();
        let wished = Bond::with(option, value);
        let infos = kind::bond_infos(bond::lower(&wished, Some(5)));
        let mut message = LinkMessage::default();
        message.attributes =
            vec![LinkAttribute::IfName("b0".into()), LinkAttribute::LinkInfo(infos)];
        // A port is named by what its index means: `1` is not a port here, p1 is.
        let expected = match wished.port() {
            Some(_) => Bond::with(option, Bond::value(option, "p1").unwrap()),
            None => wished,
        };
        assert_eq!(lifted(message, 7, "b0").kind, LinkKind::Bond(expected), "{}", option.name());
    }
}

#[test]
fn a_parent_elsewhere_has_no_name_here() {
    let link = |netns_id: i32| {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName("eth0".into()),
            LinkAttribute::Link(3),
            LinkAttribute::LinkNetNsId(netns_id),
        ];
        let parent = lifted(message, 7, "eth0").parent.unwrap();
        (parent.name, parent.index, parent.netns_id)
    };
    assert_eq!(link(0), (None, 3, Some(0)));
    assert_eq!(link(-1), (None, 3, None));
}

#[test]
fn a_kind_that_lacks_what_makes_it_is_another() {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName("eth0.5".into()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan)]),
    ];
    assert_eq!(lifted(message, 7, "eth0.5").kind, LinkKind::Other("vlan".into()));
}

#[test]
fn unknown_attributes_are_passed_over() {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::Other(DefaultNla::new(9999, vec![1, 2, 3])),
        LinkAttribute::IfName("eth0".into()),
    ];
    let link = lifted(message, 7, "eth0");
    assert_eq!((link.index, link.kind), (7, LinkKind::Plain));
}

#[test]
fn a_link_without_a_name_is_an_error() {
    let nameless = RouteNetlinkMessage::NewLink(about(7));
    assert_eq!(lift_all(vec![nameless]), Err("link 7 has no name".into()));
    assert_eq!(lift_all(Vec::new()), Ok(BTreeMap::new()));
}

fn about(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

#[test]
fn virtual_functions_are_listed_by_number() {
    let function = |number: u32, last: u8| {
        LinkVfInfo(vec![
            VfInfo::Mac(VfInfoMac::new(number, &mac(last).0)),
            VfInfo::Vlan(VfInfoVlan::new(number, 100, 3)),
            VfInfo::Trust(VfInfoTrust::new(number, true)),
        ])
    };
    let mut message = about(7);
    message.attributes.push(LinkAttribute::VfInfoList(vec![function(1, 11), function(0, 10)]));
    let functions = functions_of(vec![RouteNetlinkMessage::NewLink(message)]);
    let seen: Vec<_> = functions.iter().map(|f| (f.number, f.mac.clone(), f.vlan)).collect();
    assert_eq!(seen, [(0, mac(10), 100), (1, mac(11), 100)]);
    assert_eq!((functions[0].vlan_priority, functions[0].is_trusted), (3, Some(true)));
    assert_eq!(functions[0].checks_spoofing, None);
}

#[test]
fn the_link_that_a_change_names_is_said() {
    let primary = Bond::parse("mode=1;primary=eth0").unwrap();
    assert_eq!(names_link(&LinkChange::Bond(primary)), Some(&name("eth0")));
    assert_eq!(names_link(&LinkChange::Controller(Some(name("b0")))), Some(&name("b0")));
    assert_eq!(names_link(&LinkChange::Controller(None)), None);
    assert_eq!(names_link(&LinkChange::Up(true)), None);
}

#[test]
fn questions_ask_for_no_more_than_is_read() {
    let mask = |message: RouteNetlinkMessage| {
        let RouteNetlinkMessage::GetLink(message) = message else { unreachable!() };
        (message.header.index, body_of(&message)[16..].to_vec())
    };
    // IFLA_EXT_MASK: RTEXT_FILTER_SKIP_STATS (8), with RTEXT_FILTER_VF (1) only where it is wanted.
    assert_eq!(mask(question()), (0, vec![8, 0, 29, 0, 8, 0, 0, 0]));
    assert_eq!(mask(question_of_functions(7)), (7, vec![8, 0, 29, 0, 9, 0, 0, 0]));
    assert_eq!(deletion(7), about(7));
}

/// Types and sizes of IFLA_IFNAME, _ADDRESS, _MTU, _LINK, _IFALIAS, _MASTER, _LINKINFO.
const USUAL: [(u16, usize); 8] =
    [(3, 3), (3, 9), (1, 6), (4, 4), (5, 4), (20, 5), (10, 4), (18, 24)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn hostile_messages_are_lifted_or_refused(bodies in prop::collection::vec(hostile_body(16, &USUAL), 1..3)) {
        let messages: Vec<_> = bodies.iter().filter_map(|body| hostile_message(16, body)).collect();
        let most = messages.len();
        if let Ok(links) = lift_all(messages) {
            prop_assert!(links.len() <= most);
        }
    }

    #[test]
    fn hostile_bonds_are_lifted(attributes in prop::collection::vec((0_u16..40, prop::collection::vec(any::<u8>(), 0..24)), 0..6)) {
        let infos: Vec<_> = attributes.into_iter().map(|(kind, value)| {
            netlink_packet_route::link::InfoBond::Other(DefaultNla::new(kind, value))
        }).collect();
        let lifted = bond::lift(&infos, &BTreeMap::new());
        prop_assert!(lifted.options.len() <= infos.len());
    }
}
