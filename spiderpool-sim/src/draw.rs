//! Draws a schedule from chance: mostly a mixture of everything, at times a known hard case.
//!
//! Invariant: it draws from the chance handed in and from nothing else
//! (`schedule::tests::a_seed_is_a_schedule`).

use crate::chance::Chance;
use crate::schedule::{
    Action, Deletion, Edit, Fate, Fault, Named, Schedule, Scope, Shape, Weather, Wish,
};
use spiderpool_core::definition::{Policy, Pool, PoolDraft};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// When the actions of a schedule end, in milliseconds.
const SPAN_MS: u64 = 120_000;

/// How long a world runs on after the last fault, in milliseconds.
const QUIET_MS: u64 = 420_000;

/// The hard cases that get schedules of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// A few nodes, some pools, everything.
    Mixed,
    /// Exactly as many pods as addresses, each made twice.
    Exact,
    /// Sixty-four nodes on a pool of one block.
    OneBlock,
    /// A node with 110 pods reboots.
    Reboot,
    /// Pods that come and go in a wide pool while writes arrive late: few write the same block, so
    /// little stands in the way of a write that is given up too early.
    Sparse,
}

pub(crate) fn schedule(seed: u64, scope: Scope, chance: &mut Chance) -> Schedule {
    let case = match chance.below(100) {
        0 => Case::OneBlock,
        1 => Case::Reboot,
        2..=16 => Case::Exact,
        97..=99 => Case::Sparse,
        _ => Case::Mixed,
    };
    let shape = shape(case, chance);
    let mut actions = Vec::new();
    let mut draw = Draw { chance, actions: &mut actions, case, scope };
    draw.work(&shape);
    draw.faults(&shape);
    actions.sort_by_key(|(at, _)| *at);
    Schedule { seed, shape, actions, calm_ms: SPAN_MS + 10_000, quiet_ms: QUIET_MS }
}

/// So many nodes with so many pods in all; every node reboots at the same moment.
pub(crate) fn scale(seed: u64, nodes: usize, pods: usize) -> Schedule {
    let draft = PoolDraft {
        name: "first".to_owned(),
        prefix: "10.0.0.0/8".to_owned(),
        ranges: vec![format!("10.0.0.1-{}", Ipv4Addr::from_bits(last_of(pods)))],
        is_default: true,
        policy: Policy::Spread,
        ..PoolDraft::default()
    };
    let pools = Pool::try_from(draft).into_iter().map(Arc::new).collect();
    let shape = Shape {
        hosts: nodes,
        twin: false,
        leaders: 1,
        pools,
        clocks: vec![0; nodes],
        sets: 0,
        mishaps: 0,
    };
    let wish = Wish { interfaces: 1, together: false, dual: false, pools: Named::First };
    let create = |at: usize| (at as u64 % 20_000, Action::Create { host: at as u64, wish });
    let mut actions: Vec<_> = (0..pods).map(create).collect();
    let reboot =
        |host: usize| (40_000, Action::Break(Fault::Reboot { host: host as u64, down_ms: 1_000 }));
    actions.extend((0..nodes).map(reboot));
    actions.sort_by_key(|(at, _)| *at);
    Schedule { seed, shape, actions, calm_ms: 45_000, quiet_ms: 120_000 }
}

/// The last address of a pool with a tenth more addresses than pods.
fn last_of(pods: usize) -> u32 {
    let count = u32::try_from(pods + pods / 10 + 64).unwrap_or(u32::MAX >> 8);
    0x0a00_0000 | count.min(0x00ff_fffe)
}

fn shape(case: Case, chance: &mut Chance) -> Shape {
    let hosts = match case {
        Case::OneBlock => 64,
        Case::Mixed | Case::Exact | Case::Reboot | Case::Sparse => {
            usize::try_from(chance.between(4, 6)).unwrap_or(4)
        }
    };
    let twin = chance.one_in(12);
    let clock = |_| match chance.below(4) {
        0 => 0,
        1 => i64::try_from(chance.below(7_200_000)).unwrap_or(0) - 3_600_000,
        _ => i64::try_from(chance.below(2_000)).unwrap_or(0) - 1_000,
    };
    let clocks = (0..=hosts).map(clock).collect();
    let leaders = if chance.one_in(5) { 2 } else { 1 };
    let mishaps = *chance.pick(&[0, 2, 5, 10]).unwrap_or(&0);
    let sets = match case {
        Case::Mixed => 3,
        Case::Exact | Case::OneBlock | Case::Reboot | Case::Sparse => 1,
    };
    Shape { hosts, twin, leaders, pools: pools(case, chance), clocks, sets, mishaps }
}

fn pools(case: Case, chance: &mut Chance) -> Vec<Arc<Pool>> {
    let (first, second) = match case {
        Case::Mixed => (chance.between(24, 100), chance.between(4, 32)),
        Case::Exact => (25, 3),
        Case::OneBlock => (62, 8),
        Case::Reboot => (110, 12),
        Case::Sparse => (500, 8),
    };
    // Where a pool begins decides how many blocks it lies in.
    let begin = match case {
        Case::OneBlock => 1,
        Case::Mixed | Case::Exact | Case::Reboot | Case::Sparse => chance.between(1, 63),
    };
    let range = |net: &str, first: u64, count: u64| {
        let last = first + count - 1;
        format!("{net}.{}.{}-{net}.{}.{}", first / 256, first % 256, last / 256, last % 256)
    };
    let drafts = [
        ("first", "10.6.0.0/16", range("10.6", begin, first)),
        ("second", "10.7.0.0/16", range("10.7", 200, second)),
        ("six", "fd00::/112", "fd00::10-fd00::4f".to_owned()),
    ];
    let pool = |(name, prefix, range): (&str, &str, String)| {
        let policy = *chance.pick(&[Policy::Sequential, Policy::Spread, Policy::Rotate])?;
        let draft = PoolDraft {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
            ranges: vec![range],
            is_default: name == "first",
            policy,
            cool_down_ms: if chance.one_in(4) { chance.between(100, 15_000) } else { 0 },
            ..PoolDraft::default()
        };
        Pool::try_from(draft).ok().map(Arc::new)
    };
    drafts.into_iter().filter_map(pool).collect()
}

struct Draw<'a> {
    chance: &'a mut Chance,
    actions: &'a mut Vec<(u64, Action)>,
    case: Case,
    scope: Scope,
}

impl Draw<'_> {
    fn at(&mut self, at: u64, action: Action) {
        self.actions.push((at, action));
    }

    fn some_time(&mut self) -> u64 {
        self.chance.below(SPAN_MS)
    }

    fn wish(&mut self) -> Wish {
        let pools = match (self.case, self.chance.below(8)) {
            (Case::Mixed, 0) => Named::SecondThenFirst,
            (Case::Mixed, 1) => Named::Second,
            (_, 2) => Named::Defaults,
            _ => Named::First,
        };
        let interfaces = if self.case == Case::Mixed && self.chance.one_in(5) { 2 } else { 1 };
        let together = interfaces == 2 && self.chance.one_in(2);
        let dual = self.case == Case::Mixed && pools != Named::Defaults && self.chance.one_in(4);
        Wish { interfaces, together, dual, pools }
    }

    fn work(&mut self, shape: &Shape) {
        match self.case {
            Case::Mixed => self.mixed(shape),
            Case::Exact => self.exact(),
            Case::OneBlock => self.burst(None, 62),
            Case::Reboot => self.burst(Some(1), 110),
            Case::Sparse => self.sparse(),
        }
    }

    fn create(&mut self, at: u64) {
        let (host, wish) = (self.chance.next(), self.wish());
        self.at(at, Action::Create { host, wish });
    }

    fn mixed(&mut self, shape: &Shape) {
        for _ in 0..32 {
            let at = self.some_time();
            self.create(at);
        }
        for set in 0..shape.sets as u64 {
            let wish = Wish { together: false, ..self.wish() };
            let replicas = u32::try_from(self.chance.between(2, 5)).unwrap_or(2);
            let begin = self.chance.below(SPAN_MS / 4);
            self.at(begin, Action::Scale { set, replicas, wish });
            for replicas in [1, replicas + 1] {
                let at = begin + self.chance.below(SPAN_MS - begin);
                self.at(at, Action::Scale { set, replicas, wish });
            }
        }
        for _ in 0..20 {
            let (at, pod) = (self.some_time(), self.chance.next());
            let how = self.deletion();
            self.at(at, Action::Delete { pod, how });
        }
        for _ in 0..8 {
            let (at, pod) = (self.some_time(), self.chance.next());
            let del_after_ms = *self.chance.pick(&[0, 2, 10, 200, 5_000, 20_000]).unwrap_or(&0);
            self.at(at, Action::Restart { pod, del_after_ms });
            let (at, pod) = (self.some_time(), self.chance.next());
            self.at(at, Action::AskAgain { pod });
        }
        for _ in 0..self.chance.below(6) {
            let (at, pool) = (self.some_time(), self.chance.next());
            let edit = self.edit();
            self.at(at, Action::Edit { pool, edit });
            let at = at + self.chance.below(SPAN_MS - at);
            let undo =
                if matches!(edit, Edit::Reserve { .. }) { Edit::Unreserve } else { Edit::Reset };
            self.at(at, Action::Edit { pool, edit: undo });
        }
    }

    fn deletion(&mut self) -> Deletion {
        match self.chance.below(6) {
            0 => Deletion::Forced { runs_on_ms: self.chance.between(10, 200_000) },
            1 | 2 => Deletion::Renewed,
            _ => Deletion::Orderly,
        }
    }

    fn edit(&mut self) -> Edit {
        let (from, count) = (self.chance.next(), self.chance.between(1, 12));
        match self.chance.below(6) {
            0 | 1 => Edit::Exclude { from, count },
            2 => Edit::Shrink,
            3 => Edit::Disable,
            4 => Edit::Delete,
            _ => Edit::Reserve { from, count },
        }
    }

    /// All at once, all away, all at once again.
    fn exact(&mut self) {
        for begin in [0, SPAN_MS / 2] {
            for _ in 0..25 {
                let at = begin + self.chance.below(200);
                self.create(at);
            }
            for _ in 0..25 {
                let at = begin + SPAN_MS / 4 + self.chance.below(1_000);
                let pod = self.chance.next();
                self.at(at, Action::Delete { pod, how: Deletion::Orderly });
            }
        }
    }

    /// Pods come and go while writes are late, and then refused: nothing overtakes the late ones.
    fn sparse(&mut self) {
        for _ in 0..4 {
            let at = self.some_time();
            let permille = self.chance.between(300, 800);
            let late = Fault::Storm { weather: Weather::Late, permille, for_ms: 10_000 };
            self.at(at, Action::Break(late));
            let at = at + self.chance.between(1_000, 8_000);
            let refused = Fault::Storm { weather: Weather::Refused, permille: 950, for_ms: 20_000 };
            self.at(at.min(SPAN_MS), Action::Break(refused));
        }
        for _ in 0..60 {
            let at = self.some_time();
            self.create(at);
            let (at, pod) = (at + self.chance.between(10, 10_000), self.chance.next());
            self.at(at.min(SPAN_MS), Action::Delete { pod, how: Deletion::Orderly });
        }
    }

    fn burst(&mut self, host: Option<u64>, pods: u32) {
        for at in 0..u64::from(pods) {
            let wish = Wish { interfaces: 1, together: false, dual: false, pools: Named::First };
            self.at(at, Action::Create { host: host.unwrap_or(at), wish });
        }
        for _ in 0..10 {
            let (at, pod) = (20_000 + self.chance.below(20_000), self.chance.next());
            self.at(at, Action::Delete { pod, how: Deletion::Renewed });
        }
        if let Some(host) = host {
            self.at(60_000, Action::Break(Fault::Reboot { host, down_ms: 5_000 }));
        }
    }

    fn faults(&mut self, shape: &Shape) {
        let losses = self.scope.losses && !shape.twin && self.case == Case::Mixed;
        for _ in 0..self.chance.between(3, 8) {
            let at = self.some_time();
            let fault = self.fault(shape);
            self.at(at, Action::Break(fault));
        }
        if losses && self.chance.one_in(4) {
            let copy = self.chance.below(SPAN_MS / 2);
            self.at(copy, Action::Break(Fault::Copy));
            let back = copy + self.chance.between(100, SPAN_MS / 2 - 100);
            let away_ms = self.chance.between(500, 5_000);
            let bumps = self.chance.one_in(3);
            self.at(back, Action::Break(Fault::Restore { away_ms, bumps }));
        }
        if losses && self.chance.one_in(4) {
            let (at, block) = (self.some_time(), self.chance.next());
            self.at(at, Action::Break(Fault::DeleteBlock { block }));
        }
    }

    fn fault(&mut self, shape: &Shape) -> Fault {
        let host = self.chance.next();
        let chance = &mut *self.chance;
        match chance.below(14) {
            0..=3 => storm(chance),
            4 => Fault::Away { for_ms: chance.between(100, 20_000) },
            5 => Fault::Cut { host, for_ms: chance.between(100, 60_000) },
            6 => Fault::Blind { host, for_ms: chance.between(1_000, 90_000) },
            7 => Fault::Lag { host, by_ms: chance.between(100, 20_000) },
            8..=10 => kill(host, chance),
            11 => Fault::Reboot { host, down_ms: chance.between(1_000, 90_000) },
            12 => Fault::Jump {
                host,
                by_ms: i64::try_from(chance.below(7_200_000)).unwrap_or(0) - 3_600_000,
            },
            _ if shape.hosts > 4 && chance.one_in(3) => Fault::Demolish { host },
            _ => kill(host, chance),
        }
    }
}

fn storm(chance: &mut Chance) -> Fault {
    let kinds = [
        Weather::Lost,
        Weather::Unanswered,
        Weather::Unanswered,
        Weather::Late,
        Weather::Late,
        Weather::Contended,
        Weather::Slow,
        Weather::Refused,
    ];
    let weather = *chance.pick(&kinds).unwrap_or(&Weather::Slow);
    let (permille, for_ms) = (chance.between(100, 700), chance.between(1_000, 30_000));
    Fault::Storm { weather, permille, for_ms }
}

fn kill(host: u64, chance: &mut Chance) -> Fault {
    let fate = match chance.below(8) {
        0 => Fate::Lost,
        1 => Fate::Earlier,
        2 => Fate::Carried,
        _ => Fate::Intact,
    };
    let after = u32::try_from(chance.below(40)).unwrap_or(0);
    Fault::Kill { host, after, fate, down_ms: chance.between(10, 20_000) }
}
