//! Finding, taking and giving back one address of the free index alone.
//!
//! Each iteration takes an address and gives back another one, chosen at random among those taken,
//! so the degree of filling stays and the free addresses wander.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use spiderpool_benches::chance::Chance;
use spiderpool_core::address::{Family, parse_list};
use spiderpool_core::slots::FreeIndex;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Prefixes, and how many of their addresses are in play: all, or for a /64 those of a /8.
const POOLS: [(&str, Family, u64); 4] = [
    ("10.0.0.0/24", Family::V4, 1 << 8),
    ("10.0.0.0/16", Family::V4, 1 << 16),
    ("10.0.0.0/8", Family::V4, 1 << 24),
    ("fd00::/64", Family::V6, 1 << 24),
];

/// Addresses to give back that are drawn ahead of the clock.
const BATCH: usize = 256;

/// Of ten thousand addresses, so many are taken.
const DEGREES: [(&str, u64); 3] = [("empty", 0), ("half", 5_000), ("99.99 % full", 9_999)];

/// Which free address is looked for.
#[derive(Clone, Copy, Debug)]
enum Search {
    First,
    Next,
    Select,
}

/// An index with a part of it taken at random, and what is taken.
struct Worn {
    free: FreeIndex,
    taken: Vec<u128>,
    start: u128,
    span: u64,
    chance: Chance,
}

impl Worn {
    #[expect(clippy::expect_used, reason = "a fixture that cannot be built ends the benchmark")]
    fn new((prefix, family, span): (&str, Family, u64), of_10_000: u64) -> Self {
        let mask = parse_list(family, &[prefix]).expect("a prefix");
        let start = mask.next_from(0).unwrap_or(0);
        let mut worn = Self {
            free: FreeIndex::new(Arc::new(mask)),
            taken: Vec::new(),
            start,
            span,
            chance: Chance::new(1),
        };
        // What is left free of a small pool is one address at least.
        let mut left = (span * of_10_000 / 10_000).min(span - 1);
        for offset in 0..span {
            if worn.chance.below(span - offset) < left {
                left -= 1;
                worn.free.take(start + u128::from(offset));
                worn.taken.push(start + u128::from(offset));
            }
        }
        worn
    }

    /// Puts those that are given back next at the end of the list, so that drawing them and reading
    /// the list is not measured: it is larger than the index.
    fn draw(&mut self, rounds: usize) -> usize {
        let length = self.taken.len();
        let rounds = rounds.min(BATCH).min(length.max(1));
        for behind in 0..rounds.min(length) {
            let end = length - behind;
            let other = self.chance.index(end);
            self.taken.swap(other, end - 1);
        }
        rounds
    }

    fn find(&self, search: Search, chance: u64) -> Option<u128> {
        match search {
            Search::First => self.free.first(),
            Search::Next => {
                let from = self.start + u128::from(chance % self.span);
                self.free.next_from(from).or_else(|| self.free.first())
            }
            Search::Select => {
                let free = u64::try_from(self.free.count()).unwrap_or(u64::MAX).min(self.span);
                self.free.select((chance % free).into())
            }
        }
    }

    fn wear(&mut self, search: Search, iterations: u64) -> Duration {
        let mut spent = Duration::ZERO;
        let mut left = usize::try_from(iterations).unwrap_or(usize::MAX);
        while left > 0 {
            let rounds = self.draw(left);
            let from = self.taken.len().saturating_sub(rounds);
            let start = Instant::now();
            for at in from..from + rounds {
                let chance = self.chance.draw();
                let Some(found) = black_box(self.find(search, chance)) else { continue };
                self.free.take(found);
                let seat = self.taken.get_mut(at);
                self.free.give(seat.map_or(found, |seat| std::mem::replace(seat, found)));
            }
            spent += start.elapsed();
            left -= rounds;
        }
        spent
    }
}

fn slot_index(criterion: &mut Criterion) {
    for search in [Search::First, Search::Next, Search::Select] {
        let mut group = criterion.benchmark_group(format!("slot_index/{search:?}, take and give"));
        group.measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
        group.sample_size(20);
        for pool in POOLS {
            for (degree, of_10_000) in DEGREES {
                let mut worn = None;
                let label = format!("{} {degree}", pool.0);
                group.bench_function(BenchmarkId::from_parameter(label), |bencher| {
                    let worn = worn.get_or_insert_with(|| Worn::new(pool, of_10_000));
                    bencher.iter_custom(|iterations| worn.wear(search, iterations));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, slot_index);
criterion_main!(benches);
