//! Set algebra and look-ups on sets of ten thousand ranges, v4 and v6.

use criterion::{Criterion, criterion_group, criterion_main};
use spiderpool_benches::chance::Chance;
use spiderpool_core::address::{AddressSet, Family, Range};
use std::hint::black_box;

/// Ranges in each set.
const RANGES: u128 = 10_000;

/// Ten thousand ranges of a /8 or a /64, of random lengths with random gaps.
fn set(family: Family, seed: u64) -> AddressSet {
    let (start, stride) = match family {
        Family::V4 => (0x0a00_0000, (1_u128 << 24) / RANGES),
        Family::V6 => (0xfd00_u128 << 112, (1_u128 << 64) / RANGES),
    };
    let mut chance = Chance::new(seed);
    let half = u64::try_from(stride / 2).unwrap_or(u64::MAX);
    let ranges = (0..RANGES).filter_map(|at| {
        let first = start + at * stride + u128::from(chance.below(half));
        Range::from_bits(family, first, first + u128::from(chance.below(half - 1)))
    });
    AddressSet::from_ranges(family, ranges)
}

fn sets(criterion: &mut Criterion) {
    for family in Family::BOTH {
        let (left, right) = (set(family, 1), set(family, 2));
        let mut group = criterion.benchmark_group(format!("sets/10,000 ranges of {family}"));
        group.sample_size(30);
        group.bench_function("union", |b| b.iter(|| black_box(&left).union(&right)));
        group.bench_function("intersection", |b| b.iter(|| black_box(&left).intersection(&right)));
        group.bench_function("difference", |b| b.iter(|| black_box(&left).difference(&right)));
        let mut chance = Chance::new(3);
        let count = u64::try_from(left.count()).unwrap_or(u64::MAX);
        group.bench_function("select, rank and contains", |b| {
            b.iter(|| {
                let address = left.select(chance.below(count).into());
                address.map(|address| (left.rank(address), left.contains(address)))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, sets);
criterion_main!(benches);
