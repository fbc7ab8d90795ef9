//! Properties over random histories. Each history also asks every decision twice and of a partial
//! view, and audits after each step (see `World::run`).

use crate::model::{Held, Model};
use crate::world::*;
use proptest::prelude::*;
use spiderpool_core::address::Range;
use spiderpool_core::audit::audit;
use spiderpool_core::command::*;
use spiderpool_core::decide::{decide, explain};
use spiderpool_core::definition::*;
use spiderpool_core::memory::Memory;
use spiderpool_core::owner::Owner;
use spiderpool_core::request::*;
use spiderpool_core::view::View;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Step {
    Add { pod: u8, sandbox: u8, nic: u8, pools: u8, both: bool, is_static: bool },
    Del { pod: u8, sandbox: u8, nic: Option<u8> },
    Collect { keep: BTreeSet<(u8, u8)> },
    Reclaim { at: prop::sample::Index },
    Conflict { at: prop::sample::Index },
    Reserve { offset: u8, len: u8, present: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..7, 0u8..2, 0u8..2, 0u8..4, any::<bool>(), prop::bool::weighted(0.15)).prop_map(
            |(pod, sandbox, nic, pools, both, is_static)| Step::Add { pod, sandbox, nic, pools, both, is_static }),
        4 => (0u8..7, 0u8..2, prop::option::of(0u8..2)).prop_map(|(pod, sandbox, nic)| Step::Del { pod, sandbox, nic }),
        1 => prop::collection::btree_set((0u8..7, 0u8..2), 0..8).prop_map(|keep| Step::Collect { keep }),
        1 => any::<prop::sample::Index>().prop_map(|at| Step::Reclaim { at }),
        1 => any::<prop::sample::Index>().prop_map(|at| Step::Conflict { at }),
        1 => (0u8..30, 0u8..4, any::<bool>()).prop_map(|(offset, len, present)| Step::Reserve { offset, len, present }),
    ]
}

const CHOICES: [&[&str]; 4] = [&["a"], &["b"], &["a", "b"], &["b", "a"]];

fn pools() -> [PoolDraft; 3] {
    [
        pool("a", "10.0.0.0/27", &["10.0.0.1-10.0.0.4"]),
        pool("b", "10.0.0.0/27", &["10.0.0.9-10.0.0.12", "10.0.0.20"]),
        pool("six", "fd00::/120", &["fd00::3c-fd00::42"]),
    ]
}

fn usable(draft: PoolDraft) -> BTreeSet<std::net::IpAddr> {
    let pool = Pool::try_from(draft).unwrap();
    let family = pool.family();
    pool.usable()
        .ranges()
        .map(Range::ends)
        .flat_map(|(a, b)| a..=b)
        .map(|n| family.address(n))
        .collect()
}

fn ask(step: &Step) -> Option<Request> {
    let Step::Add { pod, sandbox, nic, pools, both, is_static } = step else { return None };
    let container = format!("p{pod}s{sandbox}");
    let mut asked = request(&format!("p{pod}"), &container);
    if *is_static {
        asked.holder.owner = Owner::identity(&name(&format!("p{pod}"))).unwrap();
    }
    asked.attachment = name(&format!("net{nic}"));
    asked.holder.node = name(&format!("node-{}", pod % 3));
    Some(from_pools(asked, CHOICES[usize::from(*pools)], if *both { &["six"] } else { &[] }))
}

fn play(world: &mut World, model: &mut Model, step: &Step) {
    match step {
        Step::Add { pools, both, is_static, .. } => {
            let asked = ask(step).unwrap();
            let held = Held {
                owner: asked.holder.owner.as_str().to_owned(),
                attachment: asked.attachment.to_string(),
                container: asked.holder.container.as_ref().unwrap().to_string(),
                is_static: *is_static,
            };
            let choice = CHOICES[usize::from(*pools)];
            if *is_static && !stays_put(model, &held, choice) {
                return;
            }
            let got = world.add(&asked).ok();
            let expected = model.add(&held, choice, if *both { &["six"] } else { &[] });
            let expected =
                expected.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(got, expected, "{step:?}");
        }
        Step::Del { pod, sandbox, nic } => {
            let (container, nic) =
                (format!("p{pod}s{sandbox}"), nic.map(|nic| format!("net{nic}")));
            world.del(&container, nic.as_deref());
            model.del(&container, nic.as_deref());
        }
        Step::Collect { keep } => {
            let keep: BTreeSet<_> =
                keep.iter().map(|(p, n)| (format!("p{p}s0"), format!("net{n}"))).collect();
            let listed: Vec<_> = keep.iter().map(|(c, n)| (c.as_str(), n.as_str())).collect();
            world.collect("net", &listed);
            model.collect(&keep);
        }
        Step::Reclaim { at } => {
            let Some((address, held)) = nth(model, at) else { return };
            let generation = world.generation_of(&address.to_string());
            let done = world.reclaim(&address.to_string(), generation);
            assert_eq!(done.is_ok(), !held.is_static);
            if done.is_ok() {
                model.held.remove(&address);
            }
        }
        Step::Conflict { at } => {
            let Some((address, held)) = nth(model, at) else { return };
            let place = Place { space: name("default"), address };
            let claim = Claim { place, generation: world.generation_of(&address.to_string()) };
            let mac = [u8::try_from(model.quarantined.len()).unwrap(); 6];
            let done = world.run(&Command::Conflict(Conflict { claim, mac }));
            assert_eq!(done.is_ok(), !held.is_static);
            if matches!(done, Ok(Answer::Quarantined { .. })) {
                model.held.remove(&address);
                model.quarantined.insert(address);
            }
        }
        Step::Reserve { offset, len, present } => reserve(world, model, (*offset, *len, *present)),
    }
}

/// The model does not move static identities between pools; that has its own scenario.
fn stays_put(model: &Model, held: &Held, choice: &[&str]) -> bool {
    let has = model.of(&held.owner, &held.attachment, true);
    has.is_none_or(|address| choice.iter().any(|pool| model.pools[*pool].contains(&address)))
}

fn nth(model: &Model, at: &prop::sample::Index) -> Option<(std::net::IpAddr, Held)> {
    if model.held.is_empty() {
        return None;
    }
    model.held.iter().nth(at.index(model.held.len())).map(|(a, h)| (*a, h.clone()))
}

fn reserve(world: &mut World, model: &mut Model, (offset, len, present): (u8, u8, bool)) {
    let draft = ReservationDraft {
        name: "r".into(),
        ranges: vec![format!("10.0.0.{offset}-10.0.0.{}", offset + len)],
        ..ReservationDraft::default()
    };
    let reservation = Reservation::try_from(draft).unwrap();
    for draft in pools() {
        let mut all = usable(draft.clone());
        all.retain(|address| !present || !reservation.addresses().contains(*address));
        model.pools.insert(draft.name, all);
    }
    if present {
        world.run(&Command::DefineReservation(reservation)).unwrap();
    } else {
        let _absent = world.run(&Command::RemoveReservation(name("r")));
    }
}

fn start() -> (World, Model) {
    let mut model = Model::default();
    for draft in pools() {
        model.pools.insert(draft.name.clone(), usable(draft));
    }
    (World::with(pools()), model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_agrees_with_plain_lists(steps in prop::collection::vec(step(), 1..60)) {
        let (mut world, mut model) = start();
        for step in &steps {
            play(&mut world, &mut model, step);
            let got: BTreeSet<_> = world.standing().into_iter().collect();
            let expected = model.held.iter().map(|(a, h)| (a.to_string(), h.owner.clone())).collect();
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn replaying_the_events_gives_the_same_state(steps in prop::collection::vec(step(), 1..50)) {
        let (mut world, mut model) = start();
        steps.iter().for_each(|step| play(&mut world, &mut model, step));
        let mut copy = Memory::new();
        for (command, moment, decision) in &world.journal {
            let (command, told): (Command, Decision) =
                serde_json::from_str(&serde_json::to_string(&(command, decision)).unwrap()).unwrap();
            prop_assert_eq!(decide(copy.view(), &command, *moment), Ok(told.clone()));
            copy.commit(&told);
        }
        prop_assert_eq!(picture(copy.view()), picture(world.ledger.view()));
    }

    #[test]
    fn any_prefix_is_at_worst_a_leak(steps in prop::collection::vec(step(), 1..30), last in step()) {
        let (mut world, mut model) = start();
        steps.iter().for_each(|step| play(&mut world, &mut model, step));
        let Some(asked) = ask(&last) else { return Ok(()) };
        let Ok(decision) = decide(world.ledger.view(), &Command::Allocate(asked), world.moment) else { return Ok(()) };
        for cut in 0..=decision.writes.len() {
            let mut view = world.ledger.view().clone();
            for write in &decision.writes[..cut] {
                write.events.iter().for_each(|event| view.apply(&write.object, event));
            }
            let audit = audit(&view).unwrap();
            prop_assert!(audit.is_sound(), "{:?}", audit.violations);
            for (address, owner) in world.standing() {
                let place = view.allocations().unwrap().find(|f| f.address().to_string() == address);
                if let Some(found) = place {
                    prop_assert_eq!(found.allocation.owner, owner, "an address changed hands");
                }
            }
        }
    }

    #[test]
    fn as_many_pods_as_addresses_fit(
        policy in prop::sample::select(vec![Policy::Sequential, Policy::Spread, Policy::Rotate]),
        holes in prop::collection::btree_set(0u8..=255, 0..40),
        nodes in 1u8..20,
        seed: u64,
    ) {
        let excluded = holes.iter().map(|hole| format!("10.0.0.{hole}")).collect();
        let draft = PoolDraft { policy, excluded, ..pool("a", "10.0.0.0/24", &["10.0.0.0/24"]) };
        let mut world = World::with([draft]);
        world.moment.seed = seed / 2;
        let size = 256 - holes.len();
        let mut seen = BTreeSet::new();
        for pod in 0..size {
            let mut asked = from_pools(request(&format!("p{pod}"), &format!("c{pod}")), &["a"], &[]);
            asked.holder.node = name(&format!("node-{}", pod % usize::from(nodes)));
            prop_assert!(seen.insert(world.add(&asked).unwrap()));
        }
        let one_more = from_pools(request("x", "x"), &["a"], &[]);
        prop_assert!(world.add(&one_more).is_err());
    }

    #[test]
    fn a_remedy_that_is_offered_works(
        steps in prop::collection::vec(step(), 0..30),
        disabled: bool,
        nodes in prop::collection::vec(0u8..3, 0..2),
        namespaces: bool,
        networks: bool,
        last in step(),
    ) {
        let (mut world, mut model) = start();
        steps.iter().for_each(|step| play(&mut world, &mut model, step));
        let Some(asked) = ask(&last) else { return Ok(()) };
        for mut draft in pools() {
            draft.disabled = disabled;
            draft.scope.node_names = nodes.iter().map(|n| format!("node-{n}")).collect();
            if namespaces { draft.scope.namespace_names = vec!["prod".into()]; }
            if networks { draft.scope.networks = vec!["kube-system/lan".into()]; }
            world.define(draft).unwrap();
        }
        let view = world.ledger.view();
        let shortlist = explain(view, &asked, world.moment).unwrap();
        let decision = decide(view, &Command::Allocate(asked.clone()), world.moment);
        prop_assert_eq!(decision.is_err(), shortlist.remedy.is_some(), "{}", shortlist);
        let Some(remedy) = shortlist.remedy else { return Ok(()) };
        if let Some(until_ms) = remedy.wait_until_ms {
            world.moment.now_ms = until_ms;
        }
        for draft in remedy.pools {
            world.define(draft).unwrap();
        }
        world.add(&asked).unwrap();
    }

    #[test]
    fn what_explain_says_is_what_happens(steps in prop::collection::vec(step(), 0..40), last in step()) {
        let (mut world, mut model) = start();
        steps.iter().for_each(|step| play(&mut world, &mut model, step));
        let Some(asked) = ask(&last) else { return Ok(()) };
        let shortlist = explain(world.ledger.view(), &asked, world.moment).unwrap();
        let told: Option<Vec<_>> = shortlist.demands.iter().map(|weighed| {
            weighed.candidates.iter().find_map(|c| match &c.verdict {
                spiderpool_core::refusal::Verdict::Taken { address }
                | spiderpool_core::refusal::Verdict::Kept { address } => Some(address.to_string()),
                _ => None,
            })
        }).collect();
        let view = world.ledger.view();
        let happened = decide(view, &Command::Allocate(asked), world.moment).ok().map(|decision| {
            let Answer::Allocated(allocated) = decision.answer else { unreachable!() };
            allocated.addresses.iter().map(|g| g.address.addr().to_string()).collect::<Vec<_>>()
        });
        prop_assert_eq!(told, happened);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_policy_decides_alike_on_partial_views(
        policy in prop::sample::select(vec![Policy::Spread, Policy::Rotate]),
        cool_down_ms in prop::sample::select(vec![0u64, 3]),
        steps in prop::collection::vec((0u16..1_200, any::<bool>()), 1..300),
        filled in 0u16..1_000,
    ) {
        let wide = PoolDraft { policy, cool_down_ms, ..pool("a", "10.0.0.0/16", &["10.0.0.0-10.0.3.255"]) };
        let mut world = World::with([wide]);
        let asked = |pod: u16| from_pools(request(&format!("p{pod}"), &format!("c{pod}")), &["a"], &[]);
        for pod in 0..filled {
            let decision = decide(world.ledger.view(), &Command::Allocate(asked(pod)), world.moment).unwrap();
            world.ledger.commit(&decision);
            world.moment.seed += 1;
        }
        for (pod, arrives) in steps {
            if arrives {
                let _full = world.add(&asked(pod));
            } else {
                world.del(&format!("c{pod}"), None);
            }
        }
    }
}

#[test]
fn an_empty_view_is_complete() {
    assert_eq!(picture(&View::complete()), picture(&View::complete()));
    assert!(audit(&View::complete()).unwrap().is_clean());
}
