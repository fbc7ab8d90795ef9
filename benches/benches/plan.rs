//! Plans for one underlay interface of both families, beside few and many routes that are there already.
//!
//! `plan` is the comparison with what is there and the search for each step's undo; `intend and plan` is
//! all that an ADD decides; a *held* intent is what CHECK and the repair loop look at.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use spiderpool_benches::joined::{Where, after, topology, way};
use spiderpool_core::plan::plan;
use std::hint::black_box;
use std::time::Duration;

/// The scenes: where the routes are, how many, and what the lines say.
const SCENES: [(Where, u32, &str); 3] = [
    (Where::PodMain, 0, "no route more"),
    (Where::HostTable, 1_000, "1,000 on the node"),
    (Where::PodMain, 1_000, "1,000 in the pod"),
];

#[expect(clippy::expect_used, reason = "a fixture that cannot be built ends the benchmark")]
fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    group.sample_size(20);
    for (place, routes, label) in SCENES {
        let (topology, configuration) = topology(place, routes).expect("a sound scene");
        let (intended, planned) = way(&topology, &configuration).expect("a plan");
        let reached = after(&topology.scene, &planned).expect("a plan that is taken");
        let id = |what| BenchmarkId::new(what, label);
        group.bench_function(id("plan"), |bencher| {
            bencher.iter(|| plan(black_box(&topology.scene), &intended.intent));
        });
        group.bench_function(id("intend and plan"), |bencher| {
            bencher.iter(|| way(black_box(&topology), &configuration));
        });
        group.bench_function(id("a held intent"), |bencher| {
            bencher.iter(|| plan(black_box(&reached), &intended.intent));
        });
    }
    group.finish();
}

criterion_group!(benches, plans);
criterion_main!(benches);
