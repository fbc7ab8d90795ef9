//! What holds of every plan, over random scenes and intents.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spiderpool_core::intend::Intent;
use spiderpool_core::net::{
    NeighbourState, Object, Observed, RouteProtocol, RouteType, Scene, Side,
};
use spiderpool_core::plan::kernel::{normal, perform};
use spiderpool_core::plan::{Op, Plan, Step, plan};

use crate::random::{a_removing_intent, a_scene, an_intent, an_op, fitting};

fn performed(scene: &Scene, steps: &[Step]) -> Scene {
    let mut scene = scene.clone();
    for step in steps {
        let done = perform(&mut scene, step.side, &step.op);
        assert!(done.is_ok(), "{step} is refused: {done:?}");
    }
    scene
}

/// Undoes steps, the last first, as an applier does: it goes on when something is gone already.
fn undone(scene: &mut Scene, steps: &[&Step]) {
    for step in steps.iter().rev() {
        for (side, op) in &step.undo {
            let _gone = perform(scene, *side, op);
        }
    }
}

/// The objects of a scene, without the routes that the kernel keeps for its own links and addresses.
fn objects(scene: &Scene) -> BTreeSet<(Side, Object)> {
    let scene = normal(scene);
    [Side::Host, Side::Pod]
        .into_iter()
        .flat_map(|side| of(scene.side(side)).into_iter().map(move |object| (side, object)))
        .collect()
}

fn of(observed: &Observed) -> Vec<Object> {
    let is_made =
        |protocol, kind| protocol != RouteProtocol::KERNEL || matches!(kind, RouteType::Unicast);
    let links = observed.links.values().cloned().map(Object::Link);
    let addresses = observed.addresses.iter().cloned().map(Object::Address);
    let neighbours = observed.neighbours.iter().cloned();
    let routes = observed.routes.iter().filter(|it| is_made(it.protocol, it.kind)).cloned();
    let rules = observed.rules.iter().cloned().map(Object::Rule);
    let told = neighbours.filter(|it| it.state != NeighbourState::Learned);
    links
        .chain(addresses)
        .chain(told.map(Object::Neighbour))
        .chain(routes.map(Object::Route))
        .chain(rules)
        .chain(observed.sysctls.iter().map(|(name, value)| Object::Sysctl(name.clone(), *value)))
        .collect()
}

fn arrives(scene: &Scene, intent: &Intent, planned: &Plan) {
    let reached = performed(scene, &planned.steps);
    let again = plan(&reached, intent);
    assert_eq!(again, Ok(Plan::default()), "after\n{planned}");
}

fn returns(scene: &Scene, planned: &Plan) {
    for count in 0..=planned.steps.len() {
        let steps = &planned.steps[..count];
        if steps.iter().any(|step| !step.losses.is_empty()) {
            return;
        }
        let mut reached = performed(scene, steps);
        undone(&mut reached, &steps.iter().collect::<Vec<_>>());
        same(scene, &reached, planned, count);
    }
}

fn same(scene: &Scene, reached: &Scene, planned: &Plan, count: usize) {
    let reached = &known(scene, reached.clone());
    let (before, after) = (objects(scene), objects(reached));
    let missing: Vec<_> = before.difference(&after).map(shown).collect();
    let surplus: Vec<_> = after.difference(&before).map(shown).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing {missing:#?}, surplus {surplus:#?}, from step {count} of\n{planned}"
    );
    for side in [Side::Host, Side::Pod] {
        assert_eq!(scene.side(side).marking, reached.side(side).marking, "{side}:\n{planned}");
    }
}

/// A scene without the settings that were not observed at first: nobody can say that they changed.
fn known(first: &Scene, mut scene: Scene) -> Scene {
    for side in [Side::Host, Side::Pod] {
        let known = &first.side(side).sysctls;
        scene.side_mut(side).sysctls.retain(|name, _| known.contains_key(name));
    }
    scene
}

fn shown((side, object): &(Side, Object)) -> String {
    format!("{side}: {object} {object:?}")
}

/// One step fails, those after it in its run are performed as far as the kernel takes them, and all are
/// undone.
fn returns_though_one_fails(scene: &Scene, planned: &Plan) {
    if planned.losses().next().is_some() {
        return;
    }
    let mut first = 0;
    for run in planned.runs() {
        for failing in first..first + run.len() {
            let mut reached = scene.clone();
            let mut done = Vec::new();
            for (position, step) in planned.steps.iter().enumerate().take(first + run.len()) {
                if position != failing && perform(&mut reached, step.side, &step.op).is_ok() {
                    done.push(step);
                }
            }
            undone(&mut reached, &done);
            same(scene, &reached, planned, failing);
        }
        first += run.len();
    }
    assert_eq!(first, planned.steps.len());
}

/// What went was asked to go, or announced; what is new was asked for, or follows from it.
fn keeps_off(scene: &Scene, planned: &Plan) {
    let (before, after) = (objects(scene), objects(&performed(scene, &planned.steps)));
    for (side, object) in before.difference(&after) {
        let is_told = planned.steps.iter().any(|step| {
            (step.side == *side && is_about(&step.op, object))
                || step.collateral.contains(&(*side, object.clone()))
        });
        assert!(is_told, "{side}: {object} went untold in\n{planned}");
    }
    for (side, object) in after.difference(&before) {
        let is_rule = matches!(object, Object::Rule(_));
        let is_told = planned.steps.iter().any(|step| step.side == *side && adds(&step.op, object));
        assert!(is_told || !is_rule, "{side}: {object} came untold in\n{planned}");
    }
}

fn adds(op: &Op, object: &Object) -> bool {
    matches!((op, object), (Op::AddRule(it), Object::Rule(found)) if it == found)
}

fn is_about(op: &Op, object: &Object) -> bool {
    match (op, object) {
        (
            Op::SetLink { name, .. } | Op::DeleteLink(name) | Op::MoveLink { name, .. },
            Object::Link(link),
        ) => *name == link.name,
        (Op::DeleteAddress(it), Object::Address(found)) => it.net == found.net,
        (Op::DeleteRoute(it), Object::Route(found)) => it.destination == found.destination,
        (Op::DeleteRule(it), Object::Rule(found)) => it == found,
        (Op::SetNeighbour(it) | Op::DeleteNeighbour(it), Object::Neighbour(found)) => {
            it.address == found.address
        }
        (Op::SetSysctl(it, _), Object::Sysctl(found, _)) => it == found,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn plans_arrive_and_rest(scene in a_scene(), intent in an_intent()) {
        let intent = fitting(&scene, intent);
        arrives(&scene, &intent, &plan(&scene, &intent).unwrap());
    }

    #[test]
    fn a_plan_that_is_not_refused_arrives(scene in a_scene(), intent in an_intent()) {
        if let Ok(planned) = plan(&scene, &intent) {
            arrives(&scene, &intent, &planned);
        }
    }

    #[test]
    fn plans_return_from_every_step(scene in a_scene(), intent in an_intent()) {
        let intent = fitting(&scene, intent);
        returns(&scene, &plan(&scene, &intent).unwrap());
    }

    #[test]
    fn plans_return_though_one_step_fails(scene in a_scene(), intent in an_intent()) {
        let intent = fitting(&scene, intent);
        returns_though_one_fails(&scene, &plan(&scene, &intent).unwrap());
    }

    #[test]
    fn plans_keep_off_what_nobody_spoke_of(scene in a_scene(), intent in an_intent()) {
        let intent = fitting(&scene, intent);
        keeps_off(&scene, &plan(&scene, &intent).unwrap());
    }

    #[test]
    fn removals_do_all_of_it(scene in a_scene(), picks in proptest::collection::vec(any::<usize>(), 1..6)) {
        let intent = a_removing_intent(&scene, &picks);
        if let Ok(planned) = plan(&scene, &intent) {
            arrives(&scene, &intent, &planned);
            returns(&scene, &planned);
            keeps_off(&scene, &planned);
        }
    }

    #[test]
    fn a_refused_op_leaves_no_trace(scene in a_scene(), (side, op) in an_op()) {
        let mut tried = scene.clone();
        if perform(&mut tried, side, &op).is_err() {
            prop_assert_eq!(tried, scene);
        }
    }

    #[test]
    fn changes_say_all_that_changed(scene in a_scene(), (side, op) in an_op()) {
        let mut after = scene.clone();
        if let Ok(changes) = perform(&mut after, side, &op) {
            let (mut gone, mut new) = (objects(&scene), BTreeSet::new());
            for change in &changes {
                new.extend(change.after.clone().map(|object| (change.side, object)));
                gone.extend(change.before.clone().map(|object| (change.side, object)));
            }
            let missing: Vec<_> = objects(&after).into_iter().filter(|it| {
                !gone.contains(it) && !new.iter().any(|(side, object)| *side == it.0 && alike(object, &it.1))
            }).collect();
            prop_assert!(missing.is_empty(), "{:?}", missing);
        }
    }
}

/// Whether two objects are one, what only the kernel decides aside.
fn alike(one: &Object, other: &Object) -> bool {
    one == other || alone(one).is_some_and(|one| alone(other) == Some(one))
}

/// A scene of one object, as far as something about it is only the kernel's to decide.
fn alone(object: &Object) -> Option<Scene> {
    let mut scene = Scene::default();
    let pod = &mut scene.pod;
    match object.clone() {
        Object::Link(it) => drop(pod.links.insert(it.name.clone(), it)),
        Object::Address(it) => drop(pod.addresses.insert(it)),
        Object::Route(it) => drop(pod.routes.insert(it)),
        _ => return None,
    }
    Some(normal(&scene))
}

#[test]
fn the_properties_speak_of_something() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut steps, mut undone, mut lossy) = (0, 0, 0);
    for _ in 0..100 {
        let scene = a_scene().new_tree(&mut runner).unwrap().current();
        let intent = an_intent().new_tree(&mut runner).unwrap().current();
        let planned = plan(&scene, &fitting(&scene, intent)).unwrap();
        steps += planned.steps.len();
        undone += planned.steps.iter().filter(|step| step.undo.len() > 1).count();
        lossy += usize::from(planned.losses().count() > 0);
    }
    assert!(
        steps > 150 && undone > 4 && lossy < 30,
        "{steps} steps, {undone} with a longer undo, {lossy} plans with losses"
    );
}
