//! Who has an address keeps it, and who had it has nothing to say any more.

use super::*;

fn blue() -> PoolDraft {
    pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.12"])
}

fn asks(pod: &str, container: &str) -> Request {
    from_pools(request(pod, container), &["blue"], &[])
}

fn claim(world: &World, address: &str) -> Claim {
    let place = Place { space: name("default"), address: address.parse().unwrap() };
    Claim { place, generation: world.generation_of(address) }
}

fn reclaim(world: &mut World, claims: Vec<Claim>, statics: bool) -> Result<Vec<String>, String> {
    let ending = spiderpool_core::event::Ending::Reclaimed;
    match world.run(&Command::Reclaim(Reclaim { claims, statics, ending }))? {
        Answer::Freed(freed) => Ok(freed.iter().map(|s| s.place.address.to_string()).collect()),
        other => panic!("{other:?}"),
    }
}

/// Spiderpool #2442, AWS VPC CNI #711, weak spot 19: a scan judged by an old picture, in which the
/// pod was gone, and freed the address of the pod that had come since.
#[test]
fn a_sweep_that_looked_before_the_sandbox_was_made_again_frees_nothing() {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    let seen = claim(&world, "10.0.0.10");
    world.add(&asks("a", "c2")).unwrap();
    let refused = reclaim(&mut world, vec![seen], true).unwrap_err();
    assert!(refused.contains("was given anew since it was looked at"), "{refused}");
    assert_eq!(world.standing().len(), 1);
}

/// Spiderpool #3778, #3900 and #3901: scaling a StatefulSet from three to one and back freed the
/// address of the new pod by the trace of the old one.
#[test]
fn a_trace_of_an_identitys_old_pod_does_not_free_its_new_one() {
    let mut world = World::with([blue()]);
    world.add(&identity("db/2", "c1", "blue")).unwrap();
    let attached = claim(&world, "10.0.0.10");
    world.del("c1", None);
    let detached = claim(&world, "10.0.0.10");
    world.add(&identity("db/2", "c2", "blue")).unwrap();
    for seen in [attached, detached] {
        assert!(reclaim(&mut world, vec![seen], true).is_err());
    }
    assert_eq!(world.standing(), [("10.0.0.10".into(), "identity/db/2".into())]);
}

/// Calico #5044: after an upgrade every IPv6 pod was released, since one side wrote its address in
/// another form than the other.
#[test]
fn the_way_an_address_is_written_means_nothing() {
    let mut world = World::with([pool("six", "fd00::/64", &["FD00:0:0:0::0010-fd00::0:12"])]);
    let mut asked = from_pools(request("a", "c1"), &[], &["six"]);
    asked.named = vec!["fd00:0000:0000::0012".parse().unwrap()];
    assert_eq!(world.add(&asked).unwrap(), ["fd00::12"]);
    asked.named = vec!["FD00::12".parse().unwrap()];
    assert_eq!(world.add(&asked).unwrap(), ["fd00::12"]);
    let generation = world.generation_of("fd00::12");
    assert!(world.reclaim("::ffff:10.0.0.12", generation).is_err());
    assert_eq!(world.reclaim("fd00:0:0:0:0:0:0:12", generation).unwrap(), ["fd00::12"]);
}

/// Calico PR #13538 and #9182: the record still named the node that the pod had left, and the sweep
/// of that node released a live address.
#[test]
fn a_record_names_the_node_sandbox_and_pod_of_the_incarnation_that_has_it() {
    let mut world = World::with([blue()]);
    world.add(&identity("vm/1", "c1", "blue")).unwrap();
    let mut moved = identity("vm/1", "c2", "blue");
    moved.holder.node = name("node-2");
    world.pass(7);
    world.add(&moved).unwrap();
    let found = world.ledger.view().allocations().unwrap().next().unwrap();
    let allocation = found.allocation;
    assert_eq!((allocation.node, allocation.container), ("node-2", "c2"));
    assert_eq!((allocation.pod_uid, allocation.since_ms), ("uid-of-c2", world.moment.now_ms));
}

/// Weak spot 31: a record without interface, network, container, node and time can neither be
/// judged by a sweep nor explained to anybody.
#[test]
fn a_record_says_who_where_and_since_when() {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    let found = world.ledger.view().allocations().unwrap().next().unwrap();
    let record = found.allocation;
    let placement = record.placement;
    assert_eq!((record.owner, record.pod_uid, record.container), ("pod/a", "a", "c1"));
    assert_eq!((record.node, record.since_ms), ("node-1", world.moment.now_ms));
    assert_eq!((&*placement.pool, &*placement.attachment), ("blue", "eth0"));
    assert_eq!(placement.network.as_deref(), Some("net"));
}

/// Whereabouts #75, Calico #3589 and #6244: a record that was freed behind its owner's back had been
/// given to another pod by the time the owner's own release came.
#[test]
fn a_late_del_frees_nothing_of_who_got_the_address_since() {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    world.collect("net", &[]);
    assert_eq!(world.add(&asks("b", "c2")).unwrap(), ["10.0.0.10"]);
    assert!(world.del("c1", None).is_empty());
    assert_eq!(world.standing(), [("10.0.0.10".into(), "pod/b".into())]);
}

/// Kubernetes PR #39206: the repair loop freed by address, whoever had it since. In a batch each
/// claim is judged by itself.
#[test]
fn of_a_batch_only_the_claims_that_still_hold_are_ended() {
    let mut world = World::with([blue()]);
    for (pod, container) in [("a", "c1"), ("b", "c2")] {
        world.add(&asks(pod, container)).unwrap();
    }
    let seen = vec![claim(&world, "10.0.0.10"), claim(&world, "10.0.0.11")];
    world.del("c1", None);
    world.add(&asks("x", "cx")).unwrap();
    assert_eq!(reclaim(&mut world, seen, false).unwrap(), ["10.0.0.11"]);
    assert_eq!(world.standing(), [("10.0.0.10".into(), "pod/x".into())]);
}

/// Whereabouts #176: the reconciler knew pods by name, and freed the address of the pod that had
/// taken a name over. A generation never comes back, also of a pool that was removed in between.
#[test]
fn a_claim_from_before_a_pool_was_made_again_is_stale() {
    let mut world = World::with([blue()]);
    world.add(&asks("a", "c1")).unwrap();
    let seen = claim(&world, "10.0.0.10");
    world.del("c1", None);
    world.run(&Command::RemovePool(name("blue"))).unwrap();
    world.define(blue()).unwrap();
    world.add(&asks("a", "c1b")).unwrap();
    assert!(reclaim(&mut world, vec![seen], true).is_err());
    assert_eq!(world.standing().len(), 1);
}

/// Spiderpool PR #2618 with #4379: pool and pod were the whole key, and two interfaces of one pod
/// got one address. Here in all the ways in which a second interface can ask.
#[test]
fn each_interface_and_family_has_an_address_of_its_own() {
    let six = pool("six", "fd00::/64", &["fd00::10-fd00::12"]);
    let mut world = World::with([blue(), six]);
    let mut seen = BTreeSet::new();
    for attachment in ["eth0", "net1", "net10"] {
        let mut asked = from_pools(request("a", "c1"), &["blue"], &["six"]);
        asked.attachment = name(attachment);
        let got = world.add(&asked).unwrap();
        assert_eq!(world.add(&asked).unwrap(), got);
        seen.extend(got);
    }
    assert_eq!(seen.len(), 6);
    assert_eq!(world.del("c1", Some("net1")).len(), 2);
    assert_eq!(world.standing().len(), 4, "net10 is another interface than net1");
}

/// Metal3 #1437: names were compared by their beginnings, and the claim of `pod-1` took, or freed,
/// what belonged to `pod-10`.
#[test]
fn a_name_that_begins_with_another_is_another_name() {
    let mut world = World::with([blue()]);
    assert_eq!(world.add(&asks("pod-1", "c-1")).unwrap(), ["10.0.0.10"]);
    assert_eq!(world.add(&asks("pod-10", "c-10")).unwrap(), ["10.0.0.11"]);
    assert_eq!(world.del("c-1", None), ["10.0.0.10"]);
    assert!(world.del("c-", None).is_empty());
    assert_eq!(world.collect("ne", &[]), [""; 0]);
    assert_eq!(world.standing(), [("10.0.0.11".into(), "pod/pod-10".into())]);
}

/// Cluster API in-cluster IPAM #98: claims of one name in two namespaces were one claim. And one text
/// as a pod's UID, an identity and a container of two networks is four owners.
#[test]
fn the_same_name_elsewhere_is_another_owner() {
    let mut world = World::with([pool("blue", "10.0.0.0/24", &["10.0.0.10-10.0.0.19"])]);
    let (x, net, other) = (name("x"), name("net"), name("other"));
    let owners = [
        Owner::pod(&x).unwrap(),
        Owner::identity(&x).unwrap(),
        Owner::identity(&name("a/x")).unwrap(),
        Owner::identity(&name("b/x")).unwrap(),
        Owner::container(&net, &x).unwrap(),
        Owner::container(&other, &x).unwrap(),
    ];
    let mut seen = BTreeSet::new();
    for (at, owner) in owners.into_iter().enumerate() {
        let mut asked = asks("uid", &format!("c{at}"));
        asked.holder.owner = owner;
        assert!(seen.insert(world.add(&asked).unwrap()));
    }
}

/// The same class: the text of an owner is put together from two names, and must not read the same
/// for two pairs of them.
#[test]
fn network_and_container_are_told_apart_wherever_a_slash_stands() {
    let owner = |network, container| Owner::container(&name(network), &name(container)).unwrap();
    assert_ne!(owner("a/b", "c"), owner("a", "b/c"));
    assert_ne!(owner("a%2Fb", "c"), owner("a/b", "c"));
    assert_eq!(owner("net", "c1").as_str(), "container/net/c1");
}

/// Weak spots 12 and 20, Spiderpool #1187, #3699 and #4916: a pod made again under its old name was
/// taken for the old one, or left the old one's address locked until the next scan.
#[test]
fn a_pod_made_again_under_its_name_is_another_pod_and_the_old_one_goes_by_itself() {
    let mut world = World::with([blue()]);
    assert_eq!(world.add(&asks("uid-1", "c1")).unwrap(), ["10.0.0.10"]);
    assert_eq!(world.add(&asks("uid-2", "c2")).unwrap(), ["10.0.0.11"]);
    assert_eq!(world.del("c1", None), ["10.0.0.10"]);
    assert_eq!(world.tally("blue").allocated, 1, "free at once");
    assert_eq!(world.standing(), [("10.0.0.11".into(), "pod/uid-2".into())]);
}

/// Weak spot 13, Spiderpool #2526: a StatefulSet's endpoint still named an address whose pool record
/// had gone to another pod, and both used it.
#[test]
fn an_identity_that_lost_its_address_gets_another_or_is_refused() {
    let mut world = World::with([blue()]);
    world.add(&identity("db/0", "c1", "blue")).unwrap();
    let seen = claim(&world, "10.0.0.10");
    reclaim(&mut world, vec![seen], true).unwrap();
    world.add(&asks("b", "c2")).unwrap();
    let mut asked = identity("db/0", "c3", "blue");
    asked.named = vec!["10.0.0.10".parse().unwrap()];
    let shortlist = refused(&mut world, &asked);
    assert!(matches!(verdict(&shortlist), Verdict::NamedTaken { by, .. } if by.contains("pod/b")));
    asked.named.clear();
    assert_eq!(world.add(&asked).unwrap(), ["10.0.0.11"]);
}

/// Weak spot 27, Spiderpool #4888: a static pod was judged by whether it showed an address. Here no
/// DEL, list or sweep ends an identity; only its own release by hand does.
#[test]
fn only_a_release_by_hand_ends_an_identity() {
    let mut world = World::with([blue()]);
    world.add(&identity("db/0", "c1", "blue")).unwrap();
    assert!(world.collect("net", &[]).is_empty());
    assert!(world.del("c1", None).is_empty());
    let seen = claim(&world, "10.0.0.10");
    assert!(reclaim(&mut world, vec![seen.clone()], false).is_err());
    assert_eq!(reclaim(&mut world, vec![seen], true).unwrap(), ["10.0.0.10"]);
    assert!(world.standing().is_empty());
}

/// The CNI's cni#204, plugins#252, #697 and #1196, containerd/cri#948, Calico #4190, AWS VPC CNI
/// #1939: after a reboot no DEL ever came for the containers of before, and their addresses were
/// gone for good.
#[test]
fn after_a_reboot_one_list_of_what_runs_frees_the_rest() {
    let mut world = World::with([blue(), pool("red", "10.1.0.0/24", &["10.1.0.10-10.1.0.12"])]);
    for (pod, container) in [("a", "c1"), ("b", "c2")] {
        world.add(&two_nics(pod, container, ("eth0", "blue"), ("net1", "red"))).unwrap();
    }
    world.add(&identity("db/0", "c3", "blue")).unwrap();
    assert_eq!(world.collect("net", &[("c2", "eth0")]), ["10.0.0.10", "10.1.0.10"]);
    let left: Vec<_> = world.standing().into_iter().map(|(_, owner)| owner).collect();
    assert_eq!(left, ["pod/b", "identity/db/0", "pod/b"]);
    assert_eq!(world.add(&identity("db/0", "c4", "blue")).unwrap(), ["10.0.0.12"]);
}

/// The same class: DEL came while the pod's first ADD was still on its way, and that ADD then
/// allocated for nobody.
#[test]
fn an_add_that_its_del_overtook_is_refused_for_every_interface() {
    let mut world = World::with([blue()]);
    let mut asked = two_nics("a", "c1", ("eth0", "blue"), ("net1", "blue"));
    asked.ticket = world.ledger.revision();
    world.del("c1", Some("eth0"));
    assert!(world.add(&asked).unwrap_err().contains("was deleted while its request"));
    assert!(world.standing().is_empty());
}

/// Kube-OVN #5367 and #5654, harvester #8693: the pod a VM was migrated away from was deleted last,
/// and took the address of the running VM with it.
#[test]
fn a_late_del_of_the_source_of_a_migration_frees_nothing() {
    let mut world = World::with([blue()]);
    assert_eq!(world.add(&identity("vm/1", "source", "blue")).unwrap(), ["10.0.0.10"]);
    let mut target = identity("vm/1", "target", "blue");
    target.holder.node = name("node-2");
    assert_eq!(world.add(&target).unwrap(), ["10.0.0.10"]);
    let before = picture(world.ledger.view());
    assert!(world.del("source", None).is_empty());
    assert_eq!(world.collect("net", &[("target", "eth0")]), [""; 0]);
    assert_eq!(picture(world.ledger.view()), before, "not even a stage or a node changes");
    assert_eq!(world.add(&target).unwrap(), ["10.0.0.10"]);
}

/// Spiderpool #3903, Kube-OVN #1429 and #2486: a migration that was given up took the address away
/// from the VM, which had stayed where it was.
#[test]
fn a_migration_that_is_given_up_leaves_the_address_with_its_vm() {
    let mut world = World::with([blue()]);
    world.add(&identity("vm/1", "source", "blue")).unwrap();
    world.add(&identity("vm/1", "target", "blue")).unwrap();
    assert!(world.del("target", None).is_empty());
    for pod in ["b", "d"] {
        world.add(&asks(pod, pod)).unwrap();
    }
    refused(&mut world, &asks("e", "e"));
    assert_eq!(world.add(&identity("vm/1", "source", "blue")).unwrap(), ["10.0.0.10"]);
}

/// Spiderpool #3817: addresses of a VM that was gone for good were never reclaimed.
#[test]
fn what_a_vm_leaves_behind_can_be_found_and_ended() {
    let mut world = World::with([blue()]);
    world.add(&identity("vm/1", "c1", "blue")).unwrap();
    world.del("c1", None);
    let found = world.ledger.view().allocations().unwrap().next().unwrap();
    assert_eq!(found.allocation.stage, spiderpool_core::owner::Stage::Detached);
    assert_eq!((found.allocation.container, found.allocation.pod_uid), ("", ""));
    let seen = claim(&world, "10.0.0.10");
    assert_eq!(reclaim(&mut world, vec![seen], true).unwrap(), ["10.0.0.10"]);
    assert_eq!(world.tally("blue").free, 3);
}
