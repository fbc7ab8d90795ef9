//! One allocation and one release through the core: decided, answered and applied.
//!
//! Each iteration lets a new pod in, which names ten pools, and another pod, chosen at random, go: so
//! the free addresses wander, and what is touched is seldom in a cache. Building the commands and
//! taking down tombstones is not measured.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use spiderpool_benches::filled::{Filled, Others, Scene, Unbuilt};
use spiderpool_core::definition::Policy;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Pairs of commands that are built ahead of the clock.
const BATCH: usize = 64;

/// A million allocations, which fill the addresses they lie in to 99.99 %.
const MILLION: (u64, u64) = (1_000_100, 1_000_000);

/// What is held: prefix, degree, and (so many addresses, so many of them held).
const FILLS: [(&str, &str, (u64, u64)); 11] = [
    ("10.0.0.0/24", "empty", (256, 0)),
    ("10.0.0.0/24", "half", (256, 128)),
    ("10.0.0.0/24", "full", (256, 255)),
    ("10.0.0.0/16", "empty", (65_536, 0)),
    ("10.0.0.0/16", "half", (65_536, 32_768)),
    ("10.0.0.0/16", "full", (65_536, 65_529)),
    ("10.0.0.0/8", "empty", (1, 0)),
    ("10.0.0.0/8", "half of 2 million", (2_000_000, 1_000_000)),
    ("10.0.0.0/8", "full to a million", MILLION),
    ("fd00::/64", "empty", (1, 0)),
    ("fd00::/64", "full to a million", MILLION),
];

fn wear(filled: &mut Filled, iterations: u64) -> Result<Duration, Unbuilt> {
    let mut spent = Duration::ZERO;
    let mut left = usize::try_from(iterations).unwrap_or(usize::MAX);
    while left > 0 {
        let pairs = left.min(BATCH);
        let commands = filled.wear(pairs)?;
        let start = Instant::now();
        for (allocate, release, moment) in &commands {
            black_box(filled.execute(allocate, *moment)?);
            black_box(filled.execute(release, *moment)?);
        }
        spent += start.elapsed();
        filled.tidy()?;
        left -= pairs;
    }
    Ok(spent)
}

#[expect(clippy::expect_used, reason = "a fixture that cannot be built ends the benchmark")]
fn measure(criterion: &mut Criterion, group: &str, scenes: &[(String, Scene)]) {
    let mut group = criterion.benchmark_group(group);
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    group.sample_size(20);
    for (label, scene) in scenes {
        let mut filled = None;
        group.bench_function(BenchmarkId::from_parameter(label), |bencher| {
            let filled = filled.get_or_insert_with(|| Filled::new(*scene).expect("a sound scene"));
            bencher.iter_custom(|iterations| wear(filled, iterations).expect("a granted request"));
        });
    }
    group.finish();
}

fn ledger(criterion: &mut Criterion) {
    let scenes = |policy, others| {
        let scene = |(prefix, degree, (within, held)): &(&'static str, &str, (u64, u64))| {
            (
                format!("{prefix} {degree}"),
                Scene { prefix, policy, within: *within, held: *held, others },
            )
        };
        FILLS.iter().map(scene).collect::<Vec<_>>()
    };
    measure(
        criterion,
        "ledger/sequential, nine left out",
        &scenes(Policy::Sequential, Others::LeftOut),
    );
    measure(criterion, "ledger/spread, nine left out", &scenes(Policy::Spread, Others::LeftOut));
    measure(criterion, "ledger/rotate, nine left out", &scenes(Policy::Rotate, Others::LeftOut));
    measure(criterion, "ledger/sequential, nine full", &scenes(Policy::Sequential, Others::Full));
    measure(criterion, "ledger/sequential, all fit", &scenes(Policy::Sequential, Others::Fit));
}

criterion_group!(benches, ledger);
criterion_main!(benches);
