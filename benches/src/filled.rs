//! Ledgers that hold a stated number of allocations, scattered, and the wear that keeps them so.
//!
//! [`Filled`] is what `Memory` of the core is (a complete view that decisions change), but it can be
//! filled by events alone, a million allocations in about a second.

use crate::chance::Chance;
use crate::pod::{Pod, placement};
use spiderpool_core::address::{Range, parse_range};
use spiderpool_core::command::{Answer, Command, Decision};
use spiderpool_core::decide::decide;
use spiderpool_core::definition::{BadDefinition, Policy, Pool, PoolDraft};
use spiderpool_core::event::{Event, Grant, ObjectKey};
use spiderpool_core::label::Selector;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::{BadName, Name};
use spiderpool_core::owner::Stage;
use spiderpool_core::request::PoolNames;
use spiderpool_core::slots::BlockKey;
use spiderpool_core::view::View;
use thiserror::Error;

/// The pool that everything is granted from.
pub const FITTING: &str = "fitting";

/// How many candidates a pod names.
const CANDIDATES: usize = 10;

/// Tickets of the benchmarked verbs start here.
const FIRST_TICKET: u64 = 1;

/// A fixture could not be built: a mistake in the benchmark.
#[derive(Debug, Error)]
pub enum Unbuilt {
    /// A name is not well formed.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A pool is not well formed.
    #[error(transparent)]
    Pool(#[from] BadDefinition),
    /// A prefix is not well formed.
    #[error("the prefix `{0}` is not one")]
    Prefix(String),
    /// The ledger refused what the benchmark needs.
    #[error("the ledger refused: {0}")]
    Refused(String),
}

/// What is measured: a pool, how much of it is held, and what the pod's other candidates are like.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// The prefix of the pool; all of it may be given out.
    pub prefix: &'static str,
    /// Which address is next.
    pub policy: Policy,
    /// The allocations lie scattered within so many addresses from the first on.
    pub within: u64,
    /// How many there are.
    pub held: u64,
    /// The nine other candidates.
    pub others: Others,
}

/// What the candidates besides the fitting pool are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They come first, and each is left out by another rule.
    LeftOut,
    /// They come first, and all their addresses are allocated.
    Full,
    /// They come behind the fitting pool and would do as well.
    Fit,
}

/// A complete view with allocations, and the pods that hold them.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The state.
    pub view: View,
    revision: u64,
    ticket: u64,
    chance: Chance,
    candidates: PoolNames,
    standing: Vec<Pod>,
    next_pod: u64,
}

impl Filled {
    /// The ledger of a scene.
    ///
    /// # Errors
    /// [`Unbuilt`] when the scene contradicts itself.
    pub fn new(scene: Scene) -> Result<Self, Unbuilt> {
        let mut filled = Self {
            view: View::complete(),
            revision: 0,
            ticket: FIRST_TICKET,
            chance: Chance::new(42),
            candidates: PoolNames::default(),
            standing: Vec::new(),
            next_pod: 0,
        };
        let mut fitting = draft(FITTING, scene.prefix);
        fitting.policy = scene.policy;
        let range =
            parse_range(scene.prefix).map_err(|_| Unbuilt::Prefix(scene.prefix.to_owned()))?;
        filled.define(fitting)?;
        filled.define_others(scene.others, range)?;
        filled.fill(FITTING, range, (scene.within, scene.held))?;
        Ok(filled)
    }

    fn define(&mut self, draft: PoolDraft) -> Result<(), Unbuilt> {
        let names = if draft.prefix.contains(':') {
            &mut self.candidates.v6
        } else {
            &mut self.candidates.v4
        };
        names.push(draft.name.clone());
        let command = Command::DefinePool(Pool::try_from(draft)?);
        self.execute(&command, Moment::default()).map(drop)
    }

    /// Nine more candidates in other prefixes of the same family.
    fn define_others(&mut self, others: Others, fitting: Range) -> Result<(), Unbuilt> {
        for at in 1..CANDIDATES {
            let prefix = match fitting.first() {
                std::net::IpAddr::V4(_) => format!("172.16.{at}.0/28"),
                std::net::IpAddr::V6(_) => format!("fd01:0:0:{at}::/124"),
            };
            let mut pool = draft(&format!("other-{at}"), &prefix);
            if others == Others::LeftOut {
                leave_out(&mut pool, at);
            }
            let range = parse_range(&prefix).map_err(|_| Unbuilt::Prefix(prefix))?;
            let name = pool.name.clone();
            self.define(pool)?;
            if others == Others::Full {
                self.fill(&name, range, (16, 16))?;
            }
        }
        if others != Others::Fit {
            for names in [&mut self.candidates.v4, &mut self.candidates.v6] {
                let first = names.len().min(1);
                names.rotate_left(first);
            }
        }
        self.standing.clear();
        Ok(())
    }

    /// Grants `held` of the first `within` addresses of a range, at random, in address order.
    fn fill(
        &mut self,
        pool: &str,
        range: Range,
        (within, held): (u64, u64),
    ) -> Result<(), Unbuilt> {
        let mut left = held;
        for offset in 0..within {
            if self.chance.below(within - offset) < left {
                left -= 1;
                let pod = Pod(self.next_pod);
                self.next_pod += 1;
                self.grant(pod, pool, (range, offset))?;
                self.standing.push(pod);
            }
        }
        Ok(())
    }

    /// Applies the event that gives a pod an address of a range.
    fn grant(
        &mut self,
        pod: Pod,
        pool: &str,
        (range, offset): (Range, u64),
    ) -> Result<(), Unbuilt> {
        let number = range.ends().0 + u128::from(offset);
        let address = range.family().address(number);
        let size = self.view.block_size("default", range.family());
        let key = BlockKey::of(&Name::new("default")?, address, size);
        let object = ObjectKey::Block(key.clone());
        let block = self.view.block(&key, None).ok().flatten();
        let generation = block.map(spiderpool_core::slots::Block::next_generation);
        if generation.is_none() {
            self.view.apply(&object, &Event::Opened { size, incarnation: pod.0, generation: 0 });
        }
        let grant = Grant {
            holder: pod.holder()?,
            placement: placement(pool)?,
            stage: Stage::Attached,
            generation: generation.unwrap_or(1),
            at_ms: 1_700_000_000_000,
        };
        self.view.apply(&object, &Event::Granted { slot: key.slot(number), grant });
        self.revision += 1;
        self.view.committed(&object, self.revision);
        Ok(())
    }

    /// The next allocations and releases: each pair lets a new pod in and another, chosen at random,
    /// go, so that the free addresses wander over all blocks. `moments` are theirs.
    ///
    /// # Errors
    /// Never, as [`Pod::holder`].
    pub fn wear(&mut self, pairs: usize) -> Result<Vec<(Command, Command, Moment)>, Unbuilt> {
        let mut commands = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            let pod = Pod(self.next_pod);
            self.next_pod += 1;
            self.ticket += 1;
            let request = pod.request(&self.candidates, self.ticket)?;
            let gone = match self.standing.len() {
                0 => pod,
                length => {
                    let at = self.chance.index(length);
                    let seat = self.standing.get_mut(at);
                    seat.map_or(pod, |seat| std::mem::replace(seat, pod))
                }
            };
            let release = gone.release(self.ticket)?;
            let moment =
                Moment { now_ms: 1_700_000_000_000 + self.ticket, seed: self.chance.draw() };
            commands.push((Command::Allocate(request), Command::Release(release), moment));
        }
        Ok(commands)
    }

    /// Decides a command and applies what follows, as every store does.
    ///
    /// # Errors
    /// [`Unbuilt::Refused`] with the refusal.
    pub fn execute(&mut self, command: &Command, moment: Moment) -> Result<Answer, Unbuilt> {
        let decision = decide(&self.view, command, moment);
        let decision = decision.map_err(|obstacle| Unbuilt::Refused(format!("{obstacle:?}")))?;
        self.commit(&decision);
        Ok(decision.answer)
    }

    fn commit(&mut self, decision: &Decision) {
        self.revision += 1;
        for write in &decision.writes {
            write.events.iter().for_each(|event| self.view.apply(&write.object, event));
            self.view.committed(&write.object, self.revision);
        }
    }

    /// Takes down all tombstones, as every store does from time to time.
    ///
    /// # Errors
    /// Never.
    pub fn tidy(&mut self) -> Result<(), Unbuilt> {
        self.execute(&Command::Tidy { before_ms: u64::MAX }, Moment::default()).map(drop)
    }
}

/// A pool that gives out its whole prefix to anybody.
fn draft(name: &str, prefix: &str) -> PoolDraft {
    let ranges = vec![prefix.to_owned()];
    PoolDraft { name: name.to_owned(), prefix: prefix.to_owned(), ranges, ..PoolDraft::default() }
}

/// Ties a pool to something that no benchmarked pod has.
fn leave_out(pool: &mut PoolDraft, at: usize) {
    let labels = [("app".to_owned(), "database".to_owned())].into();
    let selector = Some(Selector { labels, requirements: Vec::new() });
    match at % 6 {
        0 => pool.disabled = true,
        1 => pool.scope.node_names = vec!["worker-90000".to_owned(), "worker-90001".to_owned()],
        2 => pool.scope.nodes = selector,
        3 => pool.scope.namespace_names = vec!["bank".to_owned()],
        4 => pool.scope.pods = selector,
        _ => pool.scope.networks = vec!["kube-system/storage".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_ledger_is_sound() {
        for others in [Others::LeftOut, Others::Full, Others::Fit] {
            let (prefix, policy) = ("10.0.0.0/16", Policy::Sequential);
            let scene = Scene { prefix, policy, within: 4_096, held: 4_000, others };
            let mut filled = Filled::new(scene).unwrap();
            for (allocate, release, moment) in filled.wear(500).unwrap() {
                filled.execute(&allocate, moment).unwrap();
                filled.execute(&release, moment).unwrap();
            }
            let audit = spiderpool_core::audit::audit(&filled.view).unwrap();
            assert!(audit.is_clean(), "{:?}", audit.violations);
            let others = if others == Others::Full { 144 } else { 0 };
            assert_eq!(audit.allocations, 4_000 + others);
        }
    }
}
