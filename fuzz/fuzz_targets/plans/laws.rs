//! What is held against every plan: it arrives, rests, returns from every step, and keeps off.

use spiderpool_core::intend::{Intent, Tenure};
use spiderpool_core::net::{
    NeighbourState, Object, Observed, RouteProtocol, RouteType, Scene, Side,
};
use spiderpool_core::plan::kernel::{normal, perform};
use spiderpool_core::plan::{Op, Plan, Step, plan};
use std::collections::BTreeSet;

/// Performs a plan that must be taken, and gives the scene that it leads to.
pub fn arrives(scene: &Scene, intent: &Intent, planned: &Plan) -> Scene {
    let reached = performed(scene, &planned.steps);
    assert_eq!(plan(&reached, intent), Ok(Plan::default()), "no rest after\n{planned}");
    reached
}

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
    for (side, op) in steps.iter().rev().flat_map(|step| &step.undo) {
        let _gone = perform(scene, *side, op);
    }
}

/// The undo of any first steps leads back, the last of them done or not, until one destroys for good.
pub fn returns(scene: &Scene, planned: &Plan) {
    let mut reached = scene.clone();
    for (count, step) in planned.steps.iter().enumerate() {
        if !step.losses.is_empty() {
            return;
        }
        let steps: Vec<&Step> = planned.steps.iter().take(count + 1).collect();
        // Nobody knows whether a step that was not acknowledged was done.
        let mut unsure = reached.clone();
        undone(&mut unsure, &steps);
        same(scene, &unsure, planned, count);
        perform(&mut reached, step.side, &step.op).expect("it was performed before");
        let mut back = reached.clone();
        undone(&mut back, &steps);
        same(scene, &back, planned, count);
    }
}

/// Both scenes hold the same, settings aside that were not observed at first.
fn same(scene: &Scene, reached: &Scene, planned: &Plan, at: usize) {
    let mut reached = reached.clone();
    for side in [Side::Host, Side::Pod] {
        let known = &scene.side(side).sysctls;
        reached.side_mut(side).sysctls.retain(|name, _| known.contains_key(name));
        let marking = (&scene.side(side).marking, &reached.side(side).marking);
        assert_eq!(marking.0, marking.1, "{side}: step {at} of\n{planned}");
    }
    let (before, after) = (objects(scene), objects(&reached));
    let missing: Vec<_> = before.difference(&after).map(shown).collect();
    // What is the node's is never undone.
    let surplus = after.difference(&before).filter(|it| !is_nodes(planned, it));
    let surplus: Vec<_> = surplus.map(shown).collect();
    let is_same = missing.is_empty() && surplus.is_empty();
    assert!(is_same, "missing {missing:#?}, surplus {surplus:#?}, from step {at} of\n{planned}");
}

fn is_nodes(planned: &Plan, (side, object): &(Side, Object)) -> bool {
    let Object::Rule(rule) = object else { return false };
    let op = Op::AddRule(rule.clone());
    let nodes = planned.steps.iter().filter(|step| step.tenure == Tenure::Node);
    nodes.into_iter().any(|step| step.side == *side && step.op == op)
}

/// What went was asked to go, or announced; no rule is new that was not asked for.
pub fn keeps_off(scene: &Scene, reached: &Scene, planned: &Plan) {
    let (before, after) = (objects(scene), objects(reached));
    for (side, object) in before.difference(&after) {
        let is_told = |step: &Step| {
            step.side == *side && is_about(&step.op, object)
                || step.collateral.contains(&(*side, object.clone()))
        };
        assert!(planned.steps.iter().any(is_told), "{side}: {object} went untold in\n{planned}");
    }
    for (side, object) in after.difference(&before) {
        let Object::Rule(rule) = object else { continue };
        let makes = |step: &Step| step.side == *side && step.op == Op::AddRule(rule.clone());
        assert!(planned.steps.iter().any(makes), "{side}: {object} came untold in\n{planned}");
    }
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

/// The objects of a scene, without the routes that the kernel keeps for its own links and addresses.
pub fn objects(scene: &Scene) -> BTreeSet<(Side, Object)> {
    let scene = normal(scene);
    let all = [Side::Host, Side::Pod].into_iter();
    all.flat_map(|side| of(scene.side(side)).into_iter().map(move |object| (side, object)))
        .collect()
}

fn of(observed: &Observed) -> Vec<Object> {
    let is_made =
        |protocol, kind| protocol != RouteProtocol::KERNEL || matches!(kind, RouteType::Unicast);
    let links = observed.links.values().cloned().map(Object::Link);
    let addresses = observed.addresses.iter().cloned().map(Object::Address);
    let told = observed.neighbours.iter().filter(|it| it.state != NeighbourState::Learned).cloned();
    let routes = observed.routes.iter().filter(|it| is_made(it.protocol, it.kind)).cloned();
    let rules = observed.rules.iter().cloned().map(Object::Rule);
    let settings = observed.sysctls.iter().map(|(name, it)| Object::Sysctl(name.clone(), *it));
    links
        .chain(addresses)
        .chain(told.map(Object::Neighbour))
        .chain(routes.map(Object::Route))
        .chain(rules)
        .chain(settings)
        .collect()
}

/// An object as people and as the compiler see it.
pub fn shown((side, object): &(Side, Object)) -> String {
    format!("{side}: {object} {object:?}")
}
