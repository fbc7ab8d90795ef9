//! Any sequence of commands on a ledger in memory: decided twice alike, sound after every prefix of
//! the writes, clean after all of them, and never an address that changes hands unasked.
#![no_main]

#[path = "commands/script.rs"]
mod script;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use script::Step;
use spiderpool_core::audit::audit;
use spiderpool_core::command::{Command, Decision};
use spiderpool_core::decide::decide;
use spiderpool_core::memory::Memory;
use spiderpool_core::moment::Moment;
use spiderpool_core::view::View;
use std::collections::BTreeMap;

#[derive(Debug, Arbitrary)]
struct Input {
    seed: u64,
    steps: Vec<Step>,
}

fuzz_target!(|input: Input| {
    let mut ledger = Memory::new();
    let mut moment = Moment { now_ms: 1_000_000, seed: input.seed };
    for step in input.steps.iter().take(60) {
        moment =
            Moment { now_ms: moment.now_ms + step.passes_ms(), seed: moment.seed.wrapping_add(1) };
        let Some(command) = step.command(&ledger) else { continue };
        let decision = decide(ledger.view(), &command, moment);
        assert_eq!(decision, decide(ledger.view(), &command, moment), "decided twice");
        let Ok(decision) = decision else { continue };
        prefixes(ledger.view(), &command, &decision);
        ledger.commit(&decision);
        let found = audit(ledger.view()).expect("a complete view");
        assert!(found.is_sound(), "{command:?}: {:?}", found.violations);
    }
});

/// After any prefix of the writes nothing is broken, and nobody but those freed lost an address.
fn prefixes(view: &View, command: &Command, decision: &Decision) {
    let before = holders(view);
    let mut view = view.clone();
    for write in &decision.writes {
        write.events.iter().for_each(|event| view.apply(&write.object, event));
        let found = audit(&view).expect("a complete view");
        assert!(found.is_sound(), "{command:?} up to {}: {:?}", write.object, found.violations);
    }
    for (address, owner) in holders(&view) {
        let had = before.get(&address);
        assert!(had.is_none_or(|had| *had == owner), "{address} went from {had:?} to {owner}");
    }
}

fn holders(view: &View) -> BTreeMap<std::net::IpAddr, String> {
    let all = view.allocations().expect("a complete view");
    all.map(|found| (found.address(), found.allocation.owner.to_owned())).collect()
}
