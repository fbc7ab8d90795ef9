//! What the API server and etcd say they have done.
//!
//! Owns [`Gauge`], one reading of both programs' own counters, and the difference of two. The same
//! counters count for every layout, whatever its client. Invariant: requests are told apart as the API
//! server does, by verb, resource and code (`a_reading_is_what_the_text_says`).

use crate::fault::Fault;
use spiderpool_kube_lab::Cluster;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Requests of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// `PATCH`, `GET`.
    pub(crate) verb: String,
    /// `spiderblocks`.
    pub(crate) resource: String,
    /// Status of the answer.
    pub(crate) code: String,
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Gauge {
    /// Requests for objects of the layouts, watches apart.
    pub(crate) requests: BTreeMap<Kind, f64>,
    /// Bytes of the bodies of writes.
    pub(crate) sent_bytes: f64,
    /// Writes that etcd has done.
    pub(crate) puts: f64,
    /// Bytes of keys and values in them.
    pub(crate) put_bytes: f64,
    /// Syncs of etcd's log.
    pub(crate) syncs: f64,
    /// Seconds of a processor that the API server used.
    pub(crate) server_s: f64,
    /// Seconds of a processor that etcd used.
    pub(crate) store_s: f64,
    /// Seconds of a processor that this process, with all nodes in it, used.
    pub(crate) nodes_s: f64,
}

impl Gauge {
    /// Reads both programs' counters.
    ///
    /// # Errors
    /// When one does not answer.
    pub(crate) async fn read(cluster: &Arc<Cluster>) -> Result<Self, Fault> {
        let cluster = Arc::clone(cluster);
        let read = tokio::task::spawn_blocking(move || {
            let server = cluster.admin().send("GET", "/metrics", None)?;
            Ok(Self { nodes_s: own_s(), ..Self::of(&server.text, &cluster.etcd_metrics()?) })
        });
        read.await?
    }

    fn of(server: &str, store: &str) -> Self {
        let mut gauge = Self::default();
        for Sample { name, labels, value } in server.lines().filter_map(Sample::parse) {
            let label = |key| label(labels, key);
            let ours =
                label("group").is_some_and(|group| group.ends_with("spiderpool.spidernet.io"));
            match name {
                "apiserver_request_total" if ours && label("verb") != Some("WATCH") => {
                    let text = |key| label(key).unwrap_or_default().to_owned();
                    let kind =
                        Kind { verb: text("verb"), resource: text("resource"), code: text("code") };
                    *gauge.requests.entry(kind).or_default() += value;
                }
                "apiserver_request_body_size_bytes_sum" if ours => gauge.sent_bytes += value,
                "process_cpu_seconds_total" => gauge.server_s = value,
                _ => {}
            }
        }
        for Sample { name, value, .. } in store.lines().filter_map(Sample::parse) {
            match name {
                "etcd_mvcc_put_total" => gauge.puts = value,
                "etcd_debugging_mvcc_total_put_size_in_bytes"
                | "etcd_mvcc_total_put_size_in_bytes" => gauge.put_bytes = value,
                "etcd_disk_wal_fsync_duration_seconds_count" => gauge.syncs = value,
                "process_cpu_seconds_total" => gauge.store_s = value,
                _ => {}
            }
        }
        gauge
    }

    /// What happened since an earlier reading.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let requests = self.requests.iter().map(|(kind, count)| {
            (kind.clone(), count - before.requests.get(kind).copied().unwrap_or_default())
        });
        Self {
            requests: requests.filter(|(_, count)| *count > 0.0).collect(),
            sent_bytes: self.sent_bytes - before.sent_bytes,
            puts: self.puts - before.puts,
            put_bytes: self.put_bytes - before.put_bytes,
            syncs: self.syncs - before.syncs,
            server_s: self.server_s - before.server_s,
            store_s: self.store_s - before.store_s,
            nodes_s: self.nodes_s - before.nodes_s,
        }
    }

    /// All requests.
    pub(crate) fn total(&self) -> f64 {
        self.requests.values().sum()
    }

    /// Requests that were refused since somebody else was faster, or the name is taken.
    pub(crate) fn conflicts(&self) -> f64 {
        self.requests.iter().filter(|(kind, _)| kind.code == "409").map(|(_, count)| count).sum()
    }
}

/// Processor time of this process in seconds, by `stat` of proc(5): fields 14 and 15, in hundredths.
fn own_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// One line of Prometheus' text format (version 0.0.4).
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (head, value) = line.rsplit_once(' ')?;
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        Some(Self { name, labels: labels.trim_end_matches('}'), value: value.parse().ok()? })
    }
}

/// The value of a label; none of those that are asked for has a comma or a quote in it.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == key).then_some(value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_what_the_text_says() {
        let line = |code, verb, count| {
            format!(
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",\
                 group=\"spiderpool.spidernet.io\",resource=\"spiderblocks\",scope=\"resource\",\
                 subresource=\"\",verb=\"{verb}\",version=\"v2beta1\"}} {count}\n"
            )
        };
        let other = "apiserver_request_total{code=\"409\",group=\"\",verb=\"PUT\"} 9\n";
        let text = |count| {
            let lines =
                [line("200", "PATCH", count), line("409", "PATCH", 1), line("0", "WATCH", 4)];
            format!("# HELP x y\n{}{other}process_cpu_seconds_total 1.5\n", lines.concat())
        };
        let store = "etcd_mvcc_put_total 12\netcd_disk_wal_fsync_duration_seconds_count 3\n";
        let before = Gauge::of(&text(5), store);
        let mut after = Gauge::of(&text(7), store);
        assert_eq!((before.total(), before.conflicts()), (6.0, 1.0));
        assert_eq!((before.puts, before.syncs, before.server_s), (12.0, 3.0, 1.5));
        after.puts += 5.0;
        let between = after.since(&before);
        assert_eq!((between.total(), between.conflicts(), between.puts), (2.0, 0.0, 5.0));
        assert_eq!(between.requests.len(), 1);
    }
}
