//! What happens in one schedule: the world it begins with, and a list of actions, all from one seed.
//!
//! The list is plain data, so that a failing schedule can be cut down ([`crate::shrink`]): an action
//! picks its object among those that exist when its time comes, and one that finds none does nothing.
//!
//! Invariants:
//! 1. The same seed gives the same schedule (`a_seed_is_a_schedule`).
//! 2. Each schedule has at least 4 nodes, 50 pods and 3 faults (`a_schedule_is_large_enough`).

use crate::chance::Chance;
use crate::draw;
use spiderpool_core::definition::Pool;
use std::sync::Arc;

/// One schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// What all its chance comes from.
    pub seed: u64,
    /// The world at its beginning.
    pub shape: Shape,
    /// What happens, each at its millisecond, in order.
    pub actions: Vec<(u64, Action)>,
    /// When the last action is over and faults cease, in milliseconds.
    pub calm_ms: u64,
    /// How long the world runs on after that, in milliseconds: everything has to be healed by then.
    pub quiet_ms: u64,
}

/// A world at the beginning of a schedule.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many nodes there are.
    pub hosts: usize,
    /// Whether a second machine calls itself by the first node's name.
    pub twin: bool,
    /// How many leaders reclaim.
    pub leaders: usize,
    /// The pools.
    pub pools: Vec<Arc<Pool>>,
    /// By how many milliseconds each node's clock is off.
    pub clocks: Vec<i64>,
    /// How many StatefulSets there are.
    pub sets: usize,
    /// How many of a thousand requests meet each kind of ordinary bad luck.
    pub mishaps: u64,
}

/// What a pod asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// How many interfaces it has: 1 or 2.
    pub interfaces: usize,
    /// Whether one request covers all of them.
    pub together: bool,
    /// Whether it wants an IPv6 address on each, too.
    pub dual: bool,
    /// Which IPv4 pools it names.
    pub pools: Named,
}

/// Which IPv4 pools a pod names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Only the first.
    First,
    /// The second, then the first.
    SecondThenFirst,
    /// Only the second.
    Second,
    /// None: those that are marked as default.
    Defaults,
}

/// Something that happens. Numbers pick among what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A pod is made and assigned to a node.
    Create {
        /// Picks the node.
        host: u64,
        /// What it asks for.
        wish: Wish,
    },
    /// A pod is deleted, perhaps made again with its old name.
    Delete {
        /// Picks the pod.
        pod: u64,
        /// What becomes of it.
        how: Deletion,
    },
    /// A pod's sandbox dies and is made again.
    Restart {
        /// Picks the pod.
        pod: u64,
        /// How long after the new sandbox's ADD the old one's DEL comes, in milliseconds.
        del_after_ms: u64,
    },
    /// A runtime asks a second time for what it was told already.
    AskAgain {
        /// Picks the pod.
        pod: u64,
    },
    /// A StatefulSet is given another size.
    Scale {
        /// Picks the set.
        set: u64,
        /// Its new size.
        replicas: u32,
        /// What its pods ask for.
        wish: Wish,
    },
    /// A definition changes.
    Edit {
        /// Picks the pool.
        pool: u64,
        /// How.
        edit: Edit,
    },
    /// Something breaks.
    Break(Fault),
}

/// How a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The runtime stops it, then its object goes.
    Orderly,
    /// As that, and one of the same name is made at once.
    Renewed,
    /// Its object goes at once, and it runs on for so many milliseconds.
    Forced {
        /// How long.
        runs_on_ms: u64,
    },
}

/// How a definition changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// So many of its addresses are excluded, from a place on.
    Exclude {
        /// Where it begins.
        from: u64,
        /// How many.
        count: u64,
    },
    /// Its last range loses its upper half.
    Shrink,
    /// Exclusions go, and its ranges are as they were.
    Reset,
    /// It gives out nothing.
    Disable,
    /// It is marked for deletion; it goes when it is empty, and is made again when reset.
    Delete,
    /// So many of its addresses are reserved, from a place on.
    Reserve {
        /// Where it begins.
        from: u64,
        /// How many.
        count: u64,
    },
    /// Every reservation goes.
    Unreserve,
}

/// What becomes of a node's local record while its agent is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Intact,
    /// It is lost.
    Lost,
    /// It is as it was a while ago.
    Earlier,
    /// It is another node's.
    Carried,
}

/// What a bad time does to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// They are lost on their way.
    Lost,
    /// They take effect, and the reply is lost.
    Unanswered,
    /// They take effect after the caller gave up.
    Late,
    /// Somebody else changes the object first.
    Contended,
    /// They take long.
    Slow,
    /// The server will not have writes.
    Refused,
}

/// Something that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A bad time for the requests of all nodes.
    Storm {
        /// What it does.
        weather: Weather,
        /// To how many of a thousand requests.
        permille: u64,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// The server is away.
    Away {
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// One node is cut off.
    Cut {
        /// Picks the node.
        host: u64,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// A node's watch breaks.
    Blind {
        /// Picks the node.
        host: u64,
        /// For how many milliseconds.
        for_ms: u64,
    },
    /// A node's watch runs late.
    Lag {
        /// Picks the node.
        host: u64,
        /// By how many milliseconds from then on.
        by_ms: u64,
    },
    /// An agent dies between two outputs.
    Kill {
        /// Picks the node.
        host: u64,
        /// After so many further outputs.
        after: u32,
        /// What becomes of its record.
        fate: Fate,
        /// It comes back after so many milliseconds.
        down_ms: u64,
    },
    /// A node reboots.
    Reboot {
        /// Picks the node.
        host: u64,
        /// It comes back after so many milliseconds.
        down_ms: u64,
    },
    /// A node goes for ever, and its object with it.
    Demolish {
        /// Picks the node.
        host: u64,
    },
    /// A node's clock jumps.
    Jump {
        /// Picks the node.
        host: u64,
        /// By how many milliseconds.
        by_ms: i64,
    },
    /// A copy of the store is made.
    Copy,
    /// The store goes back to its copy; the server is away meanwhile.
    Restore {
        /// For how many milliseconds.
        away_ms: u64,
        /// Whether its revisions go on where they were.
        bumps: bool,
    },
    /// A block is deleted by hand, past its finalizer.
    DeleteBlock {
        /// Picks the block.
        block: u64,
    },
}

/// Which kinds of faults a schedule may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Whether the store may lose what it had: a restore, a block deleted by hand.
    pub losses: bool,
}

impl Schedule {
    /// The schedule of a seed.
    #[must_use]
    pub fn of(seed: u64, scope: Scope) -> Self {
        draw::schedule(seed, scope, &mut Chance::new(seed))
    }

    /// So many nodes with so many pods in all, which restart at once.
    #[must_use]
    pub fn scale(seed: u64, nodes: usize, pods: usize) -> Self {
        draw::scale(seed, nodes, pods)
    }

    /// How many faults it has.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.actions.iter().filter(|(_, action)| matches!(action, Action::Break(_))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule() {
        let scope = Scope { losses: true };
        let (one, same) = (Schedule::of(3, scope), Schedule::of(3, scope));
        assert_eq!(format!("{one:?}"), format!("{same:?}"));
        assert_ne!(format!("{one:?}"), format!("{:?}", Schedule::of(4, scope)));
    }

    #[test]
    fn a_schedule_is_large_enough() {
        for seed in 0..200 {
            let schedule = Schedule::of(seed, Scope { losses: seed % 2 == 0 });
            let pods = schedule.actions.iter().map(|(_, action)| {
                if let Action::Scale { replicas, .. } = action {
                    return *replicas as usize;
                }
                let renewed = matches!(action, Action::Delete { how: Deletion::Renewed, .. });
                usize::from(renewed || matches!(action, Action::Create { .. }))
            });
            assert!(pods.sum::<usize>() >= 50, "{seed}: {schedule:?}");
            assert!(schedule.shape.hosts >= 4 && schedule.faults() >= 3, "{seed}");
            assert!(schedule.actions.is_sorted_by_key(|(at, _)| *at), "{seed}");
        }
    }
}
