//! Bytes that claim to be a block: refused, or a block that every event leaves sound, and that reads
//! back from its own bytes as the same value.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spiderpool_core::address::Family;
use spiderpool_core::event::{Ending, Event, Grant, ObjectKey};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::{Block, BlockKey, BlockSize};
use spiderpool_core::view::View;

#[derive(Debug, Arbitrary)]
enum Step {
    Grant { slot: u8, owner: u8, long: bool },
    Free { slot: u8, rests: bool },
    Restage { slot: u8, pool: u8 },
    Quarantine { slot: u8, rounds: u8 },
    Clear { slot: u8 },
}

fuzz_target!(|input: (Vec<Step>, &[u8])| {
    let (steps, bytes) = input;
    let block = postcard::from_bytes(bytes).unwrap_or_else(|_| Block::new(BlockSize::DEFAULT, 1));
    let name = |text: &str| Name::new(text).expect("a name");
    let key = BlockKey { space: name("default"), family: Family::V4, first: 0x0a00_0000 };
    let object = ObjectKey::Block(key.clone());
    let mut view = View::complete();
    view.load_block(&key, block, 1);
    for step in &steps {
        let held = view.block(&key, None).expect("complete").expect("loaded");
        let event = event(step, held);
        view.apply(&object, &event);
        let block = view.block(&key, None).expect("complete").expect("loaded");
        let bytes = postcard::to_allocvec(block).expect("a block has bytes");
        let again: Block = postcard::from_bytes(&bytes).expect("its own bytes");
        assert_eq!(&again, block, "{step:?}");
        assert_eq!(postcard::to_allocvec(&again).expect("a block has bytes"), bytes);
    }
});

fn event(step: &Step, block: &Block) -> Event {
    let name = |text: String| Name::new(&text).expect("a name");
    let placement = |pool: u8| {
        let (pool, attachment) = (name(format!("pool-{}", pool % 5)), name("eth0".into()));
        Placement { pool, attachment, network: None }
    };
    match *step {
        Step::Grant { slot, owner, long } => {
            let uid = name(if long { format!("{owner}").repeat(80) } else { format!("u{owner}") });
            let holder = Holder {
                owner: Owner::pod(&uid).expect("short"),
                pod_uid: Some(uid.clone()),
                container: Some(uid),
                node: name("n".into()),
            };
            let (stage, generation) = (Stage::Attached, block.next_generation());
            Event::Granted {
                slot,
                grant: Grant { holder, placement: placement(owner), stage, generation, at_ms: 3 },
            }
        }
        Step::Free { slot, rests } => {
            let generation = block.allocation(slot).map_or(0, |allocation| allocation.generation);
            Event::Freed { slot, generation, at_ms: 4, rests, ending: Ending::Released }
        }
        Step::Restage { slot, pool } => {
            Event::Restaged { slot, placement: placement(pool), stage: Stage::Ahead, at_ms: 5 }
        }
        Step::Quarantine { slot, rounds } => {
            Event::Quarantined { slot, mac: [2; 6], at_ms: 6, until_ms: 7, rounds }
        }
        Step::Clear { slot } => Event::Cleared { slot },
    }
}
