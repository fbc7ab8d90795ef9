//! Lines of tables.

use crate::gauge::Gauge;
use crate::run::Outcome;
use crate::scene::Scene;
use std::fmt::Write;

/// The head of the table of runs.
pub(crate) const HEAD: &str = "\
| agents | layout | served | allocations/s | p50 | p99 | failed ADDs | conflicts per success | requests | bytes sent | writes | bytes stored | syncs | processor of servers | and of nodes | load |\n\
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// One run: everything from `requests` to `and of nodes` is for each allocation.
pub(crate) fn row(scene: &Scene, outcome: &Outcome, done: &Gauge, load: &str) -> String {
    let served = u32::try_from(outcome.told.len()).unwrap_or(u32::MAX);
    let each = |count: f64| count / f64::from(served.max(1));
    let ms = |percent| outcome.percentile(percent).as_secs_f64() * 1e3;
    let failed: u32 = outcome.failures.values().sum();
    format!(
        "| {} | {} | {served} of {} | {:.0} | {:.0} ms | {:.0} ms | {failed} | {:.3} | {:.2} | {:.0} | {:.2} | {:.0} | {:.2} | {:.2} ms | {:.2} ms | {load} |",
        scene.agents,
        scene.layout.name(),
        scene.requests,
        outcome.rate(),
        ms(50),
        ms(99),
        each(done.conflicts()),
        each(done.total()),
        each(done.sent_bytes),
        each(done.puts),
        each(done.put_bytes),
        each(done.syncs),
        each(done.server_s + done.store_s) * 1e3,
        each(done.nodes_s) * 1e3,
    )
}

/// Requests by kind, the most frequent first, and the reasons of failures.
pub(crate) fn details(outcome: &Outcome, done: &Gauge) -> String {
    let mut kinds: Vec<_> = done.requests.iter().collect();
    kinds.sort_by(|one, other| other.1.total_cmp(one.1));
    let mut text = String::new();
    for (kind, count) in kinds {
        let _ = write!(text, "  {} {} {}: {count}", kind.verb, kind.resource, kind.code);
    }
    for (why, count) in &outcome.failures {
        let _ = write!(text, "\n  failed {count} times: {why}");
    }
    text
}

/// The machine's load over the last minute, by proc(5).
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
