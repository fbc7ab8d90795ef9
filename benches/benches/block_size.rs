//! What the number of slots of a block costs: reading a full block, granting one slot of it, and
//! writing it back, as a store does for each ADD; and how many bytes that writes.
//!
//! The bytes are printed once, before the times.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use spiderpool_benches::pod::{Pod, placement};
use spiderpool_core::address::Family;
use spiderpool_core::event::{Ending, Event, Grant, ObjectKey};
use spiderpool_core::name::Name;
use spiderpool_core::owner::Stage;
use spiderpool_core::slots::{Block, BlockKey, BlockSize};
use spiderpool_core::view::View;
use std::hint::black_box;

const SIZES: [u8; 3] = [16, 32, 64];

/// One block of a store.
struct Stored {
    key: BlockKey,
    bytes: Vec<u8>,
}

#[expect(clippy::expect_used, reason = "a fixture that cannot be built ends the benchmark")]
impl Stored {
    /// A block of which all slots but the first are granted.
    fn new(slots: u8) -> Self {
        let size = BlockSize::try_from(slots).expect("16, 32 or 64");
        let space = Name::new("default").expect("a name");
        let key = BlockKey { space, family: Family::V4, first: 0x0a00_0000 };
        let mut view = View::complete();
        view.load_block(&key, Block::new(size, 7), 1);
        for slot in 0..slots {
            view.apply(&ObjectKey::Block(key.clone()), &grant(&view, &key, slot));
        }
        view.apply(&ObjectKey::Block(key.clone()), &free(&view, &key, 0));
        let bytes = encode(&view, &key);
        Self { key, bytes }
    }

    /// What one ADD does to it; gives the bytes that are written.
    fn granted(&self) -> Vec<u8> {
        let mut view = View::complete();
        let block: Block = postcard::from_bytes(&self.bytes).expect("a stored block");
        view.load_block(&self.key, block, 1);
        view.apply(&ObjectKey::Block(self.key.clone()), &grant(&view, &self.key, 0));
        encode(&view, &self.key)
    }
}

#[expect(clippy::expect_used, reason = "a fixture that cannot be built ends the benchmark")]
fn grant(view: &View, key: &BlockKey, slot: u8) -> Event {
    let block = view.block(key, None).ok().flatten().expect("the block");
    let grant = Grant {
        holder: Pod(slot.into()).holder().expect("a pod"),
        placement: placement("blue").expect("a placement"),
        stage: Stage::Attached,
        generation: block.next_generation(),
        at_ms: 1_700_000_000_000,
    };
    Event::Granted { slot, grant }
}

#[expect(clippy::expect_used, reason = "a fixture that cannot be built ends the benchmark")]
fn free(view: &View, key: &BlockKey, slot: u8) -> Event {
    let block = view.block(key, None).ok().flatten().expect("the block");
    let generation = block.allocation(slot).expect("a granted slot").generation;
    Event::Freed { slot, generation, at_ms: 1, rests: false, ending: Ending::Released }
}

#[expect(clippy::expect_used, reason = "a fixture that cannot be built ends the benchmark")]
fn encode(view: &View, key: &BlockKey) -> Vec<u8> {
    let block = view.block(key, None).ok().flatten().expect("the block");
    postcard::to_allocvec(block).expect("bytes")
}

fn block_size(criterion: &mut Criterion) {
    for slots in SIZES {
        let stored = Stored::new(slots);
        let written = stored.granted().len();
        println!("block_size/{slots} slots: {written} bytes written for a grant into a full block");
    }
    let mut group = criterion.benchmark_group("block_size/read, grant, write back");
    group.sample_size(30);
    for slots in SIZES {
        let stored = Stored::new(slots);
        group.bench_function(BenchmarkId::from_parameter(format!("{slots} slots")), |bencher| {
            bencher.iter(|| black_box(stored.granted()));
        });
    }
    group.finish();
}

criterion_group!(benches, block_size);
criterion_main!(benches);
