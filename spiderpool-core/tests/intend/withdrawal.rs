//! How attachments are taken back, alone and among others.

use spiderpool_core::address::Family;
use spiderpool_core::intend::{
    Configuration, MacPrefix, Mode, RpFilter, Setting, Want, withdraw, withdraw_unrecorded,
};
use spiderpool_core::net::{Scene, Side, Sysctl, SysctlName};

use crate::model::{apply, delete_link, differences, missing};
use crate::world::{CONTAINER, HOST_END, Stack, World, configuration, name, without_node};

fn both(stack: Stack, second: &Configuration) -> World {
    let mut world = World::underlay(stack);
    world.attach("eth0", &configuration());
    world.net_nic(1);
    world.attach("net1", second);
    world
}

fn chosen(nic: &str) -> Configuration {
    Configuration { default_route_nic: Some(name(nic)), ..configuration() }
}

/// The reference deletes the pair with the first DEL of any interface.
#[test]
fn one_interface_goes_and_the_other_keeps_working() {
    let mut world = both(Stack::Dual, &configuration());
    world.detach("net1");
    assert!(world.scene.host.links.contains_key(&name(HOST_END)));
    let record = world.record("eth0").clone();
    assert_eq!(missing(&world.scene, &record.intent), Vec::<String>::new());
    assert!(world.routes(101).is_empty());
    assert!(world.rules().iter().all(|rule| !rule.contains("from")));
}

#[test]
fn the_last_one_takes_the_pair_the_marks_and_the_rules() {
    let mut world = both(Stack::Dual, &configuration());
    world.detach("net1");
    world.detach("eth0");
    assert!(!world.scene.host.links.contains_key(&name(HOST_END)));
    assert_eq!(world.rules(), [""; 0]);
    assert_eq!(world.scene.pod.marking, spiderpool_core::net::Marking::Absent);
}

/// The one that came first may leave first; the others are renewed and go on.
#[test]
fn the_first_one_goes_and_the_other_is_renewed() {
    let mut world = both(Stack::V4, &configuration());
    world.detach("eth0");
    assert!(world.scene.pod.links.contains_key(&name("veth0")));
    world.renew("net1");
    let record = world.record("net1").clone();
    assert_eq!(missing(&world.scene, &record.intent), Vec::<String>::new());
    assert_eq!(world.way(None, "8.8.8.8").as_deref(), Some("net1"));
    assert_eq!(world.way(None, "10.96.0.1").as_deref(), Some("veth0"));
    world.detach("net1");
    assert_eq!(world.scene.pod.links.keys().map(|name| &**name).collect::<Vec<_>>(), ["lo"]);
}

/// A chain is taken back from its end: the others are renewed while the link and its addresses are there.
#[test]
fn what_is_renewed_before_the_first_one_is_gone_outlasts_it() {
    for stack in Stack::ALL {
        let mut world = both(stack, &configuration());
        world.withdraw("eth0");
        world.renew_while_leaving("net1", "eth0");
        delete_link(&mut world.scene, Side::Pod, &name("eth0"));
        let record = world.record("net1").clone();
        assert_eq!(missing(&world.scene, &record.intent), Vec::<String>::new(), "{stack:?}");
    }
}

#[test]
fn a_default_route_that_was_taken_comes_back() {
    for stack in Stack::ALL {
        let mut world = both(stack, &chosen("net1"));
        world.detach("net1");
        let to = if stack == Stack::V6 { "2001:db8::1" } else { "8.8.8.8" };
        assert_eq!(world.way(None, to).as_deref(), Some("eth0"), "{stack:?}");
    }
}

/// It comes back although its link was deleted before the coordinator heard of it.
#[test]
fn a_default_route_comes_back_though_the_interface_is_gone() {
    for stack in Stack::ALL {
        let mut world = both(stack, &chosen("net1"));
        delete_link(&mut world.scene, Side::Pod, &name("net1"));
        world.withdraw("net1");
        let to = if stack == Stack::V6 { "2001:db8::1" } else { "8.8.8.8" };
        assert_eq!(world.way(None, to).as_deref(), Some("eth0"), "{stack:?}");
    }
}

#[test]
fn another_choice_stays_where_it_is() {
    let mut world = both(Stack::Dual, &configuration());
    world.net_nic(2);
    world.attach("net2", &chosen("net2"));
    world.detach("net1");
    for to in ["8.8.8.8", "2001:db8::1"] {
        assert_eq!(world.way(None, to).as_deref(), Some("net2"));
    }
}

#[test]
fn settings_of_the_interface_come_back() {
    let prefix = MacPrefix::try_from("0a:1b").unwrap();
    let configuration = Configuration {
        mac_prefix: Some(prefix),
        tx_queue_length: Setting::Set(77),
        rp_filter: Setting::Set(RpFilter::Loose),
        ..configuration()
    };
    let mut world = World::underlay(Stack::Dual);
    world.scene.pod.links.get_mut(&name("eth0")).unwrap().is_up = false;
    let filter = Sysctl::link(Family::V4, name("eth0"), SysctlName::ReversePathFilter);
    world.scene.pod.sysctls.insert(filter.clone(), 0);
    let before = world.scene.clone();
    world.attach("eth0", &configuration);
    world.attach("eth0", &configuration);
    let link = &world.scene.pod.links[&name("eth0")];
    assert_eq!((link.tx_queue_length, link.is_up), (77, true));
    assert_eq!(link.mac.as_ref().unwrap().to_string(), "0a:1b:ac:64:00:d2");
    assert_eq!(world.scene.pod.sysctls[&filter], 2);
    world.withdraw("eth0");
    let (after, before) = (&world.scene.pod.links[&name("eth0")], &before.pod.links[&name("eth0")]);
    assert_eq!((after.tx_queue_length, after.is_up), (before.tx_queue_length, before.is_up));
    assert_eq!(after.mac, before.mac);
    assert_eq!(world.scene.pod.sysctls[&filter], 0);
}

/// #5735: nothing is needed but the record; namespace and links may be gone.
#[test]
fn nothing_is_asked_of_what_is_gone() {
    let mut world = both(Stack::Dual, &chosen("net1"));
    world.scene.pod = spiderpool_core::net::Observed::default();
    delete_link(&mut world.scene, Side::Host, &name(HOST_END));
    for interface in ["net1", "eth0"] {
        world.withdraw(interface);
    }
    assert_eq!(world.scene.pod, spiderpool_core::net::Observed::default());
    assert!(world.scene.host.routes.iter().all(|route| route.table != 500));
}

/// #1992, #1978, #2061: a second DEL finds nothing to do.
#[test]
fn withdrawing_twice_changes_nothing() {
    let mut world = both(Stack::Dual, &configuration());
    let record = world.record("net1").clone();
    world.withdraw("net1");
    let once = world.scene.clone();
    apply(&mut world.scene, &withdraw(&record, &world.records, &once));
    assert_eq!(world.scene, once);
}

#[test]
fn what_others_made_just_so_stays() {
    use spiderpool_core::net::{Route, RouteProtocol, table};
    let mut world = World::overlay(Stack::V4);
    world.net_nic(1);
    let theirs = Route {
        protocol: RouteProtocol::STATIC,
        source: Some(crate::world::ip("10.244.1.7")),
        ..Route::on_link(crate::world::net("172.100.0.2"), table::MAIN, name("eth0"))
    };
    world.pod_route(theirs.clone());
    world.attach("net1", &configuration());
    world.withdraw("net1");
    assert!(world.scene.pod.routes.contains(&theirs));
}

#[test]
fn without_a_record_all_of_ours_goes() {
    let mut world = World::underlay(Stack::Dual);
    let before = world.scene.clone();
    world.attach("eth0", &Configuration { rp_filter: Setting::Leave, ..configuration() });
    let records = std::mem::take(&mut world.records);
    let intent = withdraw_unrecorded(CONTAINER, &[], &world.scene);
    apply(&mut world.scene, &intent);
    let mut after = without_node(&world.scene, &records);
    after.pod.sysctls.clone_from(&before.pod.sysctls);
    assert_eq!(differences(&before, &after), Vec::<String>::new());
}

#[test]
fn without_a_record_what_others_want_stays() {
    let world = both(Stack::Dual, &configuration());
    let scene = world.scene.clone();
    let intent = withdraw_unrecorded(CONTAINER, &world.records, &scene);
    assert_eq!(intent.wishes, []);
}

#[test]
fn disabled_takes_back_what_was_given() {
    let mut world = World::underlay(Stack::Dual);
    let before = world.scene.clone();
    world.attach("eth0", &configuration());
    let records = world.records.clone();
    world.attach("eth0", &Configuration { mode: Mode::Disabled, ..configuration() });
    let after = without_node(&world.scene, &records);
    assert_eq!(differences(&before, &after), Vec::<String>::new());
}

#[test]
fn what_is_the_nodes_is_never_taken_back() {
    let world = both(Stack::Dual, &configuration());
    let intent = withdraw(world.record("eth0"), &[], &Scene::default());
    let is_hosts_rule = |want: &Want| matches!(want, Want::NoRule(rule) if rule.priority == 1000);
    let mut hosts = intent.wishes.iter().filter(|wish| wish.side == Side::Host);
    assert!(!hosts.any(|wish| is_hosts_rule(&wish.want)));
}
