//! Any scene that a kernel could have come to hold, and any intent: planning either refuses, or gives
//! steps that arrive, rest, return from every point of failure, and keep off what nobody spoke of.
#![no_main]

#[path = "../../spiderpool-core/tests/plan/build.rs"]
#[expect(dead_code, reason = "the properties of the core use the rest of it")]
mod build;
#[path = "plans/laws.rs"]
mod laws;
#[path = "plans/script.rs"]
mod script;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use script::Act;
use spiderpool_core::intend::Intent;
use spiderpool_core::net::Scene;
use spiderpool_core::plan::plan;

#[derive(Debug, Arbitrary)]
struct Input {
    is_double: bool,
    past: Vec<Act>,
    wishes: Vec<(Act, bool)>,
    removals: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let past = &input.past[..input.past.len().min(24)];
    let scene = script::scene(input.is_double, past);
    let wants = input.wishes.iter().take(8).filter_map(|(act, is_absent)| act.want(*is_absent));
    check(&scene, &build::intent(wants));
    let picks = &input.removals[..input.removals.len().min(6)];
    check(&scene, &script::removals(&scene, picks));
});

fn check(scene: &Scene, intent: &Intent) {
    let planned = plan(scene, intent);
    assert_eq!(planned, plan(scene, intent), "planned twice");
    let Ok(planned) = planned else { return };
    let reached = laws::arrives(scene, intent, &planned);
    laws::returns(scene, &planned);
    laws::keeps_off(scene, &reached, &planned);
}
