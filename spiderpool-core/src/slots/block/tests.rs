//! Properties of one block.

use super::*;
use crate::name::Name;
use crate::owner::Owner;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn holder(number: u32) -> Holder {
    let name = |text: String| Name::new(&text).unwrap();
    Holder {
        owner: Owner::pod(&name(format!("uid-{number}"))).unwrap(),
        pod_uid: Some(name(format!("uid-{number}"))),
        container: (!number.is_multiple_of(3)).then(|| name(format!("box-{number}"))),
        node: name(format!("node-{}", number % 5)),
    }
}

fn placement(number: u32) -> Placement {
    let name = |text: String| Name::new(&text).unwrap();
    Placement {
        pool: name(format!("pool-{}", number % 3)),
        attachment: name(format!("net{}", number % 2)),
        network: number.is_multiple_of(4).then(|| name("blue".into())),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Grant(u8, u32),
    Release(u8, bool, bool),
    Restage(u8, u32),
    Quarantine(u8),
    Clear(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..66, 0u32..20).prop_map(|(slot, n)| Step::Grant(slot, n)),
        3 => (0u8..66, any::<bool>(), any::<bool>()).prop_map(|(s, right, rest)| Step::Release(s, right, rest)),
        1 => (0u8..66, 0u32..20).prop_map(|(slot, n)| Step::Restage(slot, n)),
        1 => (0u8..66).prop_map(Step::Quarantine),
        1 => (0u8..66).prop_map(Step::Clear),
    ]
}

fn run(block: &mut Block, step: &Step) {
    match *step {
        Step::Grant(slot, n) => {
            let stamp =
                Stamp { stage: Stage::Attached, generation: block.next_generation(), at_ms: 5 };
            block.grant(slot, &holder(n), &placement(n), stamp);
        }
        Step::Release(slot, right, rest) => {
            let held = block.allocation(slot).map_or(0, |a| a.generation);
            block.release(slot, if right { held } else { held + 1 }, rest.then_some(9));
        }
        Step::Restage(slot, n) => block.restage(slot, &placement(n), Stage::Detached, 7),
        Step::Quarantine(slot) => {
            block.quarantine(Quarantine { slot, mac: [2; 6], since_ms: 1, until_ms: 2, rounds: 1 });
        }
        Step::Clear(slot) => block.clear(slot),
    }
}

fn image(block: &Block) -> Vec<u8> {
    postcard::to_allocvec(block).unwrap()
}

/// What a reader can see of each slot.
fn seen(block: &Block) -> BTreeMap<u8, String> {
    block.allocations().map(|a| (a.slot, format!("{a:?}"))).collect()
}

proptest! {
    #[test]
    fn the_three_lists_are_disjoint(steps in prop::collection::vec(step(), 0..80)) {
        let mut block = Block::new(BlockSize::DEFAULT, 1);
        for step in &steps {
            run(&mut block, step);
            let (a, r, q) = (block.allocated(), block.resting_mask(), block.quarantined_mask());
            prop_assert_eq!(a & r | a & q | r & q, 0);
            prop_assert_eq!(block.allocations().count(), a.count_ones() as usize);
        }
        let back: Block = postcard::from_bytes(&image(&block)).unwrap();
        prop_assert_eq!(back, block);
    }

    #[test]
    fn content_decides_equality(steps in prop::collection::vec(step(), 0..60)) {
        let mut block = Block::new(BlockSize::DEFAULT, 1);
        steps.iter().for_each(|step| run(&mut block, step));
        let mut again = Block::new(BlockSize::DEFAULT, 1);
        let owned: Vec<_> = block.allocations().map(|a| (a.slot, a.generation, a.since_ms, a.stage, a.placement.clone(), Holder {
            owner: Owner::parse(a.owner).unwrap(),
            pod_uid: Name::new(a.pod_uid).ok(),
            container: Name::new(a.container).ok(),
            node: Name::new(a.node).unwrap(),
        })).collect();
        for (slot, generation, at_ms, stage, placement, holder) in owned.into_iter().rev() {
            again.grant(slot, &holder, &placement, Stamp { stage, generation, at_ms });
        }
        block.quarantined().iter().rev().for_each(|q| again.quarantine(*q));
        block.resting().iter().for_each(|r| again.resting.push(*r));
        again.suspects.clone_from(&block.suspects);
        (again.commits, again.generation) = (block.commits, block.generation);
        prop_assert_eq!(seen(&again), seen(&block));
        prop_assert_eq!(again, block);
    }

    #[test]
    fn generations_never_return(steps in prop::collection::vec(step(), 0..60), slot in 0u8..64) {
        let mut block = Block::new(BlockSize::DEFAULT, 1);
        let mut last = 0;
        for step in &steps {
            let before = block.allocation(slot).map(|a| a.generation);
            run(&mut block, step);
            let after = block.allocation(slot).map(|a| a.generation);
            if let Some(generation) = after.filter(|_| after != before) {
                prop_assert!(generation > last);
                last = generation;
            }
        }
    }

    #[test]
    fn a_sheet_folds_back(steps in prop::collection::vec(step(), 0..60), last in step()) {
        let mut block = Block::new(BlockSize::DEFAULT, 1);
        steps.iter().for_each(|step| run(&mut block, step));
        let sheet = block.sheet();
        prop_assert_eq!(Block::try_from(&sheet), Ok(block.clone()));
        prop_assert!(block.is_laid_open_in(&sheet));
        run(&mut block, &last);
        prop_assert_eq!(block.sheet_beside(&sheet), block.sheet());
        prop_assert_eq!(block.is_laid_open_in(&sheet), block.sheet() == sheet);
    }

    #[test]
    fn a_forged_image_is_refused(steps in prop::collection::vec(step(), 0..40), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut block = Block::new(BlockSize::DEFAULT, 1);
        steps.iter().for_each(|step| run(&mut block, step));
        let mut bytes = image(&block);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(mut block) = postcard::from_bytes::<Block>(&bytes) {
            steps.iter().for_each(|step| run(&mut block, step));
            prop_assert!(block.allocations().all(|a| !a.owner.is_empty()));
        }
    }
}

#[test]
fn a_full_block_of_the_longest_names_fits() {
    let long = Name::new(&"x".repeat(255)).unwrap();
    let holder = Holder {
        owner: Owner::parse(&"y".repeat(255)).unwrap(),
        pod_uid: Some(long.clone()),
        container: Some(long.clone()),
        node: long,
    };
    let mut block = Block::new(BlockSize::DEFAULT, 1);
    for slot in 0..64 {
        let stamp = Stamp { stage: Stage::Attached, generation: block.next_generation(), at_ms: 0 };
        block.grant(slot, &holder, &placement(0), stamp);
    }
    assert!(block.allocations().all(|a| a.owner.len() == 255 && a.node.len() == 255));
    assert_eq!(postcard::from_bytes::<Block>(&image(&block)).unwrap(), block);
}

#[test]
fn a_forged_sheet_is_refused() {
    let check = |forge: fn(&mut Sheet), why: &str| {
        let mut block = Block::new(BlockSize::try_from(16).unwrap(), 1);
        run(&mut block, &Step::Grant(3, 1));
        let mut sheet = block.sheet();
        forge(&mut sheet);
        let refused = Block::try_from(sheet).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    };
    check(|sheet| sheet.generation = 0, "from the future");
    check(|sheet| sheet.commits = u64::MAX, "a counter");
    check(|sheet| drop(sheet.slots.insert(16, Slot::Resting { since_ms: 1 })), "outside");
}
