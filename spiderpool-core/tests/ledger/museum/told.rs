//! What whoever asks is told: why not, what would help, and what belongs to which interface.

use super::*;
use spiderpool_core::label::{Labels, Selector};
use spiderpool_core::view::Found;

fn blue() -> PoolDraft {
    pool("blue", "10.0.0.0/24", &["10.0.0.10"])
}

fn selects(key: &str) -> Option<Selector> {
    Some(Selector { labels: Labels::from([(key.into(), "x".into())]), requirements: Vec::new() })
}

/// Something that makes a pool useless to a request.
type Edit<'a> = &'a dyn Fn(&mut PoolDraft);

/// AWS VPC CNI #3415 ("tell me why"), #2649; Kube-OVN #5125 ("AddressOutOfRange", and the subnet had
/// free addresses); cilium #42369 and #48717; OVN-Kubernetes #4850. Each way to be refused, with its
/// verdict, its counts, and whether there is a remedy; `refused` tries out each remedy.
#[test]
fn every_refusal_says_why_and_what_would_help() {
    let edits: [(Edit<'_>, bool, &str); 12] = [
        (&|d| d.disabled = true, true, "it is disabled"),
        (&|d| d.deleting = true, false, "it is being deleted"),
        (&|d| d.scope.node_names = vec!["other".into()], true, "leave out node node-1"),
        (&|d| d.scope.nodes = selects("zone"), true, "node affinity `zone=x`"),
        (&|d| d.scope.namespace_names = vec!["other".into()], true, "leave out namespace prod"),
        (&|d| d.scope.namespaces = selects("team"), true, "namespace affinity `team=x`"),
        (&|d| d.scope.pods = selects("app"), true, "pod affinity `app=x`"),
        (&|d| d.scope.networks = vec!["kube-system/lan".into()], true, "other than default/lan"),
        (
            &|d| d.excluded = vec!["10.0.0.10".into()],
            true,
            "all its addresses are taken (0 of 0 free",
        ),
        (&|d| d.ranges = Vec::new(), true, "all its addresses are taken (0 of 0 free"),
        (&|d| d.name = "red".into(), false, "there is no such pool"),
        (
            &|d| (d.prefix, d.ranges) = ("10.0.0.10/32".into(), Vec::new()),
            true,
            "all its addresses are taken (0 of 0 free",
        ),
    ];
    for (edit, helps, expected) in edits {
        let mut draft = blue();
        edit(&mut draft);
        let mut world = World::with([draft]);
        let mut asked = from_pools(request("a", "c1"), &["blue"], &[]);
        asked.subject.namespace = "prod".into();
        asked.subject.networks.insert("eth0".into(), "default/lan".into());
        let shortlist = refused(&mut world, &asked);
        assert!(shortlist.to_string().contains(expected), "{shortlist}");
        assert_eq!(shortlist.remedy.is_some(), helps, "{shortlist}");
    }
}

/// The same class: when several things are in the way at once, each of them is said.
#[test]
fn a_remedy_takes_away_every_obstacle_of_every_interface() {
    let tied = PoolDraft { disabled: true, ..blue() };
    let mut red = pool("red", "10.1.0.0/24", &[]);
    red.scope.node_names = vec!["other".into()];
    let mut world = World::with([tied, red]);
    let asked = two_nics("a", "c1", ("eth0", "blue"), ("net1", "red"));
    let remedy = refused(&mut world, &asked).remedy.unwrap();
    let said: Vec<_> = remedy.edits.iter().map(|e| format!("{} {}", e.pool, e.what)).collect();
    assert_eq!(
        said,
        [
            "blue set `disable: false`",
            "red add `node-1` to `nodeName`",
            "red add 10.1.0.1 to `ips`"
        ]
    );
}

/// Weak spot 25: one mis-labelled IPv6 pool stopped IPv4 too. It does only where both families are
/// required, and then the refusal names the family.
#[test]
fn a_family_without_a_fitting_pool_stops_the_other_only_where_both_are_required() {
    let mut six = pool("six", "fd00::/64", &["fd00::10"]);
    six.scope.pods = selects("app");
    let mut world = World::with([blue(), six]);
    let mut asked = from_pools(request("a", "c1"), &["blue"], &["six"]);
    let shortlist = refused(&mut world, &asked);
    assert!(shortlist.to_string().starts_with("no address for IPv6 of eth0 among"), "{shortlist}");
    asked.families = FamilyPolicy::Prefer;
    assert_eq!(world.add(&asked).unwrap(), ["10.0.0.10"]);
}

/// Weak spot 29: the plugin announced every address of the pod on the interface at hand. An answer
/// says of each address and route which interface it belongs to, and no two share a place.
#[test]
fn an_answer_tells_interfaces_apart() {
    let gateway = |draft: PoolDraft, gw: &str| PoolDraft { gateway: Some(gw.into()), ..draft };
    let red = pool("red", "10.1.0.0/24", &["10.1.0.10"]);
    let mut world = World::with([gateway(blue(), "10.0.0.1"), gateway(red, "10.1.0.1")]);
    let mut asked = two_nics("a", "c1", ("eth0", "blue"), ("net1", "red"));
    for attachment in ["eth0", "net1"] {
        asked.attachment = name(attachment);
        let allocated = world.allocated(&asked);
        let of = |wanted: &str| {
            let own = allocated.addresses.iter().filter(|g| *g.demand.attachment == *wanted);
            own.map(|granted| granted.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of("eth0"), ["10.0.0.10/24"]);
        assert_eq!(of("net1"), ["10.1.0.10/24"]);
        for placed in &allocated.routes {
            let own =
                allocated.addresses.iter().filter(|g| g.demand.attachment == placed.attachment);
            assert!(own.clone().any(|granted| granted.address.contains(&placed.route.gw)));
        }
    }
}

/// Weak spot 14: the pool's record and the pod's were two objects, and each could be there without
/// the other. Pool, owner and container are three ways to the same slot.
#[test]
fn pool_owner_and_container_are_three_ways_to_one_record() {
    let mut world = World::with([blue()]);
    let asked = from_pools(request("a", "c1"), &["blue"], &[]);
    for present in [true, false] {
        if present {
            world.add(&asked).unwrap();
        } else {
            world.del("c1", None);
        }
        let view = world.ledger.view();
        let plain = |found: Found<'_>| (found.address(), found.allocation.generation);
        let by = |found: Vec<_>| found.into_iter().map(plain).collect::<Vec<_>>();
        let by_owner = by(view.held_by(&Owner::pod(&name("a")).unwrap()).unwrap());
        let by_container = by(view.held_in(&name("c1")).unwrap());
        let all: Vec<_> = view.allocations().unwrap().map(plain).collect();
        assert_eq!((&by_owner, &by_container), (&all, &all));
        assert_eq!(all.len(), usize::from(present));
        assert_eq!(world.tally("blue").allocated, all.len() as u128);
    }
}
