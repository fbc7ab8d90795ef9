//! Many transactions against one store that compares and swaps single objects, in random order,
//! with lost replies and writes that arrive late.

use crate::world::*;
use proptest::prelude::*;
use spiderpool_core::audit::audit;
use spiderpool_core::command::*;
use spiderpool_core::event::{ObjectKey, Write};
use spiderpool_core::moment::Moment;
use spiderpool_core::transaction::{Failure, Step, Transaction, Written};
use std::collections::BTreeSet;

/// A server of objects, each at its revision; writes that got lost may still arrive.
struct Server {
    world: World,
    revision: u64,
    late: Vec<Write>,
}

impl Server {
    fn commit(&mut self, write: &Write) -> Option<u64> {
        let view = self.world.ledger.view().clone();
        if view.revision(&write.object) != write.base {
            return None;
        }
        self.revision += 1;
        self.world.ledger.commit_write(write, self.revision);
        Some(self.revision)
    }

    fn reload(&self, transaction: &mut Transaction, object: &ObjectKey) {
        let full = self.world.ledger.view();
        let view = transaction.view();
        match object {
            ObjectKey::Block(key) => match full.block(key, None).unwrap() {
                Some(block) => view.load_block(key, block.clone(), full.revision(object)),
                None => view.know_absent(key),
            },
            ObjectKey::Container(container) => {
                if let Some(stone) = full.tombstone(container).unwrap() {
                    view.load_tombstone(container, stone, full.revision(object));
                }
            }
            ObjectKey::Pool(name) => match full.pool(name).unwrap() {
                Some(entry) => view.load_pool(&entry.pool, full.revision(object)),
                None => view.forget(object),
            },
            other => panic!("allocations do not write {other}"),
        }
    }

    /// One step of one transaction, with the given luck for a write.
    fn drive(
        &mut self,
        transaction: &mut Transaction,
        luck: u8,
    ) -> Option<Result<Answer, Failure>> {
        match transaction.step() {
            Step::Load(need) => {
                let view = transaction.view();
                if view.space("default").is_none() {
                    prepare(view, self.world.ledger.view());
                }
                need.0.iter().for_each(|wanted| load(view, self.world.ledger.view(), wanted));
                transaction.loaded();
            }
            Step::Reload(objects) => {
                objects.iter().for_each(|object| self.reload(transaction, object));
                transaction.loaded();
            }
            Step::Write(write) => {
                let outcome = match luck {
                    0 => {
                        self.commit(&write);
                        Written::Unknown
                    }
                    1 => {
                        self.late.push(write);
                        Written::Unknown
                    }
                    _ => self.commit(&write).map_or(Written::Conflict, Written::Done),
                };
                transaction.written(outcome);
            }
            Step::Done(outcome) => return Some(outcome),
        }
        None
    }
}

fn race(size: u8, pods: u8, order: &[(u8, u8)]) -> (Server, Vec<Result<Answer, Failure>>) {
    let range = format!("10.0.0.1-10.0.0.{size}");
    let six = format!("fd00::1-fd00::{size:x}");
    let world =
        World::with([pool("a", "10.0.0.0/24", &[&range]), pool("six", "fd00::/64", &[&six])]);
    let mut server = Server { world, revision: 1_000, late: Vec::new() };
    let mut running: Vec<_> = (0..pods)
        .map(|pod| {
            let asked =
                from_pools(request(&format!("p{pod}"), &format!("c{pod}")), &["a"], &["six"]);
            Some(Transaction::new(
                Command::Allocate(asked),
                Moment { now_ms: 5, seed: u64::from(pod) },
            ))
        })
        .collect();
    let mut outcomes: Vec<Option<Result<Answer, Failure>>> = (0..pods).map(|_| None).collect();
    let mut turns = order.iter().copied().chain((0..).map(|n: u32| ((n % 251) as u8, 9)));
    while running.iter().any(Option::is_some) {
        let (who, luck) = turns.next().unwrap();
        if let Some(write) = (luck == 2).then(|| server.late.pop()).flatten() {
            server.commit(&write);
        }
        let at = usize::from(who) % running.len();
        let Some(transaction) = &mut running[at] else { continue };
        if let Some(outcome) = server.drive(transaction, luck) {
            outcomes[at] = Some(outcome);
            running[at] = None;
        }
    }
    while let Some(write) = server.late.pop() {
        server.commit(&write);
    }
    (server, outcomes.into_iter().flatten().collect())
}

fn addresses(outcomes: &[Result<Answer, Failure>]) -> Vec<String> {
    let granted = outcomes.iter().filter_map(|outcome| match outcome {
        Ok(Answer::Allocated(allocated)) => Some(allocated),
        _ => None,
    });
    granted.flat_map(|a| a.addresses.iter().map(|g| g.address.addr().to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn racing_transactions_never_share_an_address(
        size in 1u8..12, pods in 1u8..16, order in prop::collection::vec((any::<u8>(), 0u8..12), 0..400),
    ) {
        let (server, outcomes) = race(size, pods, &order);
        let given = addresses(&outcomes);
        prop_assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
        let standing: BTreeSet<_> = server.world.standing().into_iter().map(|(a, _)| a).collect();
        prop_assert!(given.iter().all(|address| standing.contains(address)), "told but not stored");
        prop_assert!(audit(server.world.ledger.view()).unwrap().is_sound());
    }

    #[test]
    fn as_many_transactions_as_addresses_succeed(
        size in 1u8..12, order in prop::collection::vec((any::<u8>(), 3u8..12), 0..400),
    ) {
        let (_, outcomes) = race(size, size, &order);
        prop_assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    #[test]
    fn whoever_fails_holds_nothing(
        size in 1u8..8, pods in 1u8..16, order in prop::collection::vec((any::<u8>(), 3u8..12), 0..400),
    ) {
        let (server, outcomes) = race(size, pods, &order);
        let given: BTreeSet<_> = addresses(&outcomes).into_iter().collect();
        let standing: BTreeSet<_> = server.world.standing().into_iter().map(|(a, _)| a).collect();
        prop_assert_eq!(given, standing);
    }

    #[test]
    fn lost_replies_are_not_losses(
        size in 1u8..8, order in prop::collection::vec((any::<u8>(), prop::sample::select(vec![0u8, 9])), 0..300),
    ) {
        let (server, outcomes) = race(size, size, &order);
        let given: BTreeSet<_> = addresses(&outcomes).into_iter().collect();
        let standing: BTreeSet<_> = server.world.standing().into_iter().map(|(a, _)| a).collect();
        prop_assert_eq!(given.len(), standing.len());
    }
}
