//! The agent's metrics, under the names that the reference documents.
//!
//! The reference's exporter appends `_total` to counters, and so does this one (`OpenMetrics` 1.0,
//! "Counter"). Nothing is measured here that is not asked for by a name of that list.
//!
//! Invariants:
//! 1. Names and kinds are those of the list (`names_and_kinds_are_the_documented_ones`).
//! 2. Each failed request counts in one class of failure, and in no other
//!    (`a_failure_has_one_class`).

use crate::http::{Answers, Asked, Reply};
use crate::soon::Soon;
use hyper::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The reference's buckets, in seconds.
const BUCKETS: [f64; 9] = [0.1, 0.3, 0.5, 1.0, 3.0, 5.0, 7.0, 10.0, 15.0];

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// No pool could be used.
    NoPool,
    /// Every usable pool is full.
    Full,
    /// Others were faster too often.
    Exhausted,
    /// Anything else.
    Internal,
}

/// All that is measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    allocation: Allocation,
    release: Release,
}

#[derive(Debug, Default)]
struct Allocation {
    counts: Counter,
    failures: Counter,
    conflicts: Counter,
    internal: Counter,
    no_pool: Counter,
    exhausted: Counter,
    full: Counter,
    took: Timing,
    waited: Timing,
}

#[derive(Debug, Default)]
struct Release {
    counts: Counter,
    failures: Counter,
    conflicts: Counter,
    internal: Counter,
    exhausted: Counter,
    took: Timing,
    waited: Timing,
}

type Seconds = Gauge<f64, AtomicU64>;

/// A duration as the reference shows it: five figures.
#[derive(Debug)]
struct Timing {
    average: Seconds,
    max: Seconds,
    min: Seconds,
    latest: Seconds,
    histogram: Histogram,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    sum: f64,
    count: f64,
    min: Option<f64>,
    max: f64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            average: Gauge::default(),
            max: Gauge::default(),
            min: Gauge::default(),
            latest: Gauge::default(),
            histogram: Histogram::new(BUCKETS),
            seen: Mutex::default(),
        }
    }
}

impl Timing {
    fn observe(&self, took: Duration) {
        let took = took.as_secs_f64();
        self.histogram.observe(took);
        self.latest.set(took);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.sum += took;
        seen.count += 1.0;
        seen.max = seen.max.max(took);
        let min = seen.min.map_or(took, |min| min.min(took));
        seen.min = Some(min);
        self.average.set(seen.sum / seen.count);
        self.max.set(seen.max);
        self.min.set(min);
    }

    /// `infix` is empty, or `limit_` for the time in the queue.
    fn register(&self, registry: &mut Registry, (verb, infix, of): (&str, &str, &str)) {
        for (which, gauge) in [
            ("average", &self.average),
            ("max", &self.max),
            ("min", &self.min),
            ("latest", &self.latest),
        ] {
            let name = format!("spiderpool_ipam_{verb}_{which}_{infix}duration_seconds");
            registry.register(name, format!("The {which} {of} since the start"), gauge.clone());
        }
        let name = format!("spiderpool_ipam_{verb}_{infix}duration_seconds");
        registry.register(name, format!("The {of}"), self.histogram.clone());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let (allocation, release) = (Allocation::default(), Release::default());
        let mut count = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("spiderpool_ipam_{name}"), help, counter.clone());
        };
        let a = &allocation;
        count("allocation_counts", "Requests for addresses", &a.counts);
        count("allocation_failure_counts", "Requests for addresses that failed", &a.failures);
        count(
            "allocation_update_ippool_conflict_counts",
            "Writes of allocations that met another writer's",
            &a.conflicts,
        );
        count("allocation_err_internal_counts", "Failed for another reason", &a.internal);
        count("allocation_err_no_available_pool_counts", "Failed: no pool may be used", &a.no_pool);
        count(
            "allocation_err_retries_exhausted_counts",
            "Failed: other nodes were faster too often",
            &a.exhausted,
        );
        count("allocation_err_ip_used_out_counts", "Failed: all addresses are taken", &a.full);
        let r = &release;
        count("release_counts", "Requests to give addresses back", &r.counts);
        count("release_failure_counts", "Requests to give addresses back that failed", &r.failures);
        count(
            "release_update_ippool_conflict_counts",
            "Writes of releases that met another writer's",
            &r.conflicts,
        );
        count("release_err_internal_counts", "Failed for another reason", &r.internal);
        count(
            "release_err_retries_exhausted_counts",
            "Failed: other nodes were faster too often",
            &r.exhausted,
        );
        for (verb, took, waited) in [
            ("allocation", &allocation.took, &allocation.waited),
            ("release", &release.took, &release.waited),
        ] {
            took.register(&mut registry, (verb, "", &format!("duration of one {verb}")));
            let of = format!("time that one {verb} waits for its container's turn");
            waited.register(&mut registry, (verb, "limit_", &of));
        }
        Self { registry, allocation, release }
    }
}

impl Metrics {
    /// A request for addresses has ended.
    pub fn allocated(&self, outcome: Outcome, waited: Duration, took: Duration) {
        let a = &self.allocation;
        a.counts.inc();
        a.took.observe(took);
        a.waited.observe(waited);
        let class = match outcome {
            Outcome::Done => return,
            Outcome::NoPool => &a.no_pool,
            Outcome::Full => &a.full,
            Outcome::Exhausted => &a.exhausted,
            Outcome::Internal => &a.internal,
        };
        a.failures.inc();
        class.inc();
    }

    /// A request to give addresses back has ended.
    pub fn released(&self, outcome: Outcome, waited: Duration, took: Duration) {
        let r = &self.release;
        r.counts.inc();
        r.took.observe(took);
        r.waited.observe(waited);
        let class = match outcome {
            Outcome::Done => return,
            Outcome::Exhausted => &r.exhausted,
            Outcome::NoPool | Outcome::Full | Outcome::Internal => &r.internal,
        };
        r.failures.inc();
        class.inc();
    }

    /// Writes met other writers' so many times.
    pub fn conflicted(&self, allocations: u64, releases: u64) {
        self.allocation.conflicts.inc_by(allocations);
        self.release.conflicts.inc_by(releases);
    }

    /// All of them, in the text form of `OpenMetrics` 1.0.
    ///
    /// # Errors
    /// None that can happen: a text takes all that is written to it.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Answers `/metrics`.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// What it shows.
    pub metrics: Arc<Metrics>,
}

impl Answers for Exporter {
    fn answer(&self, asked: Asked) -> Soon<'_, Reply> {
        Box::pin(async move {
            if asked.path != "/metrics" {
                return Reply::text(StatusCode::NOT_FOUND, "there is /metrics\n");
            }
            match self.metrics.text() {
                Ok(text) => Reply {
                    status: StatusCode::OK,
                    content: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    body: text.into(),
                },
                Err(error) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The documented list, written out: what dashboards ask for.
    const DOCUMENTED: [(&str, &str); 32] = [
        ("spiderpool_ipam_allocation_counts", "counter"),
        ("spiderpool_ipam_allocation_failure_counts", "counter"),
        ("spiderpool_ipam_allocation_update_ippool_conflict_counts", "counter"),
        ("spiderpool_ipam_allocation_err_internal_counts", "counter"),
        ("spiderpool_ipam_allocation_err_no_available_pool_counts", "counter"),
        ("spiderpool_ipam_allocation_err_retries_exhausted_counts", "counter"),
        ("spiderpool_ipam_allocation_err_ip_used_out_counts", "counter"),
        ("spiderpool_ipam_allocation_average_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_max_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_min_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_latest_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_duration_seconds", "histogram"),
        ("spiderpool_ipam_allocation_average_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_max_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_min_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_latest_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_allocation_limit_duration_seconds", "histogram"),
        ("spiderpool_ipam_release_counts", "counter"),
        ("spiderpool_ipam_release_failure_counts", "counter"),
        ("spiderpool_ipam_release_update_ippool_conflict_counts", "counter"),
        ("spiderpool_ipam_release_err_internal_counts", "counter"),
        ("spiderpool_ipam_release_err_retries_exhausted_counts", "counter"),
        ("spiderpool_ipam_release_average_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_max_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_min_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_latest_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_duration_seconds", "histogram"),
        ("spiderpool_ipam_release_average_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_max_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_min_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_latest_limit_duration_seconds", "gauge"),
        ("spiderpool_ipam_release_limit_duration_seconds", "histogram"),
    ];

    fn samples(text: &str) -> BTreeMap<&str, f64> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(n, v)| (n, v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn names_and_kinds_are_the_documented_ones() {
        let text = Metrics::default().text().unwrap();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let found: BTreeMap<_, _> = types.map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(found, DOCUMENTED.into_iter().collect());
        let samples = samples(&text);
        for (name, kind) in DOCUMENTED {
            let sample = match kind {
                "counter" => format!("{name}_total"),
                "histogram" => format!("{name}_bucket{{le=\"15.0\"}}"),
                _ => name.to_owned(),
            };
            assert!(samples.contains_key(sample.as_str()), "{sample}");
        }
    }

    #[test]
    fn a_failure_has_one_class() {
        let metrics = Metrics::default();
        let ms = Duration::from_millis;
        for outcome in [Outcome::Done, Outcome::Full, Outcome::NoPool, Outcome::Exhausted] {
            metrics.allocated(outcome, ms(0), ms(200));
        }
        metrics.allocated(Outcome::Internal, ms(100), ms(600));
        metrics.released(Outcome::Exhausted, ms(0), ms(1));
        metrics.conflicted(3, 2);
        let text = metrics.text().unwrap();
        let samples = samples(&text);
        let told = |name: &str| samples[format!("spiderpool_ipam_{name}").as_str()];
        assert_eq!(told("allocation_counts_total"), 5.0);
        assert_eq!(told("allocation_failure_counts_total"), 4.0);
        for class in ["internal", "no_available_pool", "retries_exhausted", "ip_used_out"] {
            assert_eq!(told(&format!("allocation_err_{class}_counts_total")), 1.0, "{class}");
        }
        assert_eq!(told("release_err_retries_exhausted_counts_total"), 1.0);
        assert_eq!(told("allocation_update_ippool_conflict_counts_total"), 3.0);
        assert_eq!(told("release_update_ippool_conflict_counts_total"), 2.0);
        assert_eq!(told("allocation_min_duration_seconds"), 0.2);
        assert_eq!(told("allocation_max_duration_seconds"), 0.6);
        assert!((told("allocation_average_duration_seconds") - 0.28).abs() < 1e-9);
        assert_eq!(told("allocation_latest_limit_duration_seconds"), 0.1);
        assert_eq!(told("allocation_duration_seconds_bucket{le=\"0.3\"}"), 4.0);
    }
}
