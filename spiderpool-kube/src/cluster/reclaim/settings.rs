//! The switches of reclaiming, under the names that the reference's controller has for them.
//!
//! Invariant: whatever is written is either understood or told
//! (`every_flaw_is_told`).

use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// How reclaiming is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcSettings {
    /// Whether anything is reclaimed at all.
    pub enabled: bool,
    /// Whether pods that ended or are overdue count as gone on a node that is ready.
    pub ended_on_ready_node: bool,
    /// Whether pods that ended, are overdue or absent count as gone on a node that is not ready.
    pub ended_on_unready_node: bool,
    /// Whether a pod that runs and shows no address counts as gone once its node has no sandbox of it.
    pub running_without_addresses: bool,
    /// Time between two full scans, in milliseconds.
    pub scan_every_ms: u64,
    /// The least time between two observations that count as two, in milliseconds.
    pub gap_ms: u64,
    /// Added to every grace period, in milliseconds.
    pub delay_ms: u64,
}

impl Default for GcSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            ended_on_ready_node: true,
            ended_on_unready_node: true,
            running_without_addresses: false,
            scan_every_ms: 600_000,
            gap_ms: 5_000,
            delay_ms: 0,
        }
    }
}

/// Settings that cannot be taken; every flaw is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSettings {
    /// At least one.
    pub flaws: Vec<BadSetting>,
}

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, flaw) in self.flaws.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{flaw}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadSettings {}

/// One setting and its flaw.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name} is `{got}`; write {expected}")]
pub struct BadSetting {
    /// The variable.
    pub name: &'static str,
    /// What was written.
    pub got: String,
    /// What can be written.
    pub expected: &'static str,
}

/// The master switch.
pub(super) const ENABLED: &str = "SPIDERPOOL_GC_IP_ENABLED";
/// Ended pods on ready nodes.
pub(super) const READY: &str = "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_READY_NODE_ENABLED";
/// Ended pods on other nodes.
pub(super) const UNREADY: &str =
    "SPIDERPOOL_GC_STATELESS_TERMINATING_POD_ON_NOT_READY_NODE_ENABLED";
const NO_ADDRESS: &str = "SPIDERPOOL_GC_ENABLE_STATELESS_RUNNING_POD_ON_EMPTY_POD_STATUS_IPS";
const SCAN: &str = "SPIDERPOOL_GC_DEFAULT_INTERVAL_DURATION";
const GAP: &str = "SPIDERPOOL_GC_TRACE_POD_GAP_DURATION";
const DELAY: &str = "SPIDERPOOL_GC_ADDITIONAL_GRACE_DELAY";

/// Settings of the reference's queues, which have no counterpart here.
const WITHOUT_EFFECT: [&str; 6] = [
    "SPIDERPOOL_GC_IP_WORKER_NUM",
    "SPIDERPOOL_GC_CHANNEL_BUFFER",
    "SPIDERPOOL_GC_SIGNAL_TIMEOUT_DURATION",
    "SPIDERPOOL_GC_HTTP_REQUEST_TIME_GAP",
    "SPIDERPOOL_GC_MAX_PODENTRY_DB_CAP",
    "SPIDERPOOL_GC_PODENTRY_MAX_RETRIES",
];

impl GcSettings {
    /// The settings in a program's environment; what is absent or empty has its default. Durations are
    /// whole seconds.
    ///
    /// # Errors
    /// [`BadSettings`] lists every variable that cannot be read.
    ///
    /// ```
    /// use spiderpool_kube::cluster::reclaim::GcSettings;
    /// let delay = ("SPIDERPOOL_GC_ADDITIONAL_GRACE_DELAY".to_owned(), "5".to_owned());
    /// assert_eq!(GcSettings::read(&[delay].into())?.delay_ms, 5_000);
    /// # Ok::<(), spiderpool_kube::cluster::reclaim::BadSettings>(())
    /// ```
    pub fn read(environment: &BTreeMap<String, String>) -> Result<Self, BadSettings> {
        let mut reader = Reader { environment, flaws: Vec::new() };
        let usual = Self::default();
        let settings = Self {
            enabled: reader.switch(ENABLED, usual.enabled),
            ended_on_ready_node: reader.switch(READY, usual.ended_on_ready_node),
            ended_on_unready_node: reader.switch(UNREADY, usual.ended_on_unready_node),
            running_without_addresses: reader.switch(NO_ADDRESS, usual.running_without_addresses),
            scan_every_ms: reader.seconds(SCAN, usual.scan_every_ms),
            gap_ms: reader.seconds(GAP, usual.gap_ms),
            delay_ms: reader.seconds(DELAY, usual.delay_ms),
        };
        if reader.flaws.is_empty() {
            Ok(settings)
        } else {
            Err(BadSettings { flaws: reader.flaws })
        }
    }

    /// The variables in an environment that the reference obeys and that have no effect here.
    #[must_use]
    pub fn without_effect(environment: &BTreeMap<String, String>) -> Vec<&'static str> {
        WITHOUT_EFFECT.into_iter().filter(|name| environment.contains_key(*name)).collect()
    }
}

struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    flaws: Vec<BadSetting>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The words are those of Go's `strconv.ParseBool`.
    fn switch(&mut self, name: &'static str, usual: bool) -> bool {
        match self.text(name) {
            None => usual,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some(_) => self.flaw(name, "`true` or `false`", usual),
        }
    }

    fn seconds(&mut self, name: &'static str, usual: u64) -> u64 {
        let Some(text) = self.text(name) else { return usual };
        let ms = text.parse::<u32>().map(|seconds| u64::from(seconds) * 1000);
        ms.unwrap_or_else(|_| self.flaw(name, "a number of seconds, such as `5`", usual))
    }

    fn flaw<T>(&mut self, name: &'static str, expected: &'static str, usual: T) -> T {
        let got = self.text(name).unwrap_or_default().to_owned();
        self.flaws.push(BadSetting { name, got, expected });
        usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<GcSettings, String> {
        let pairs = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        GcSettings::read(&pairs.collect()).map_err(|flaws| flaws.to_string())
    }

    #[test]
    fn names_and_defaults_are_the_references() {
        assert_eq!(read(&[]), Ok(GcSettings::default()));
        let all = read(&[
            (ENABLED, "false"),
            (READY, "0"),
            (UNREADY, "False"),
            (NO_ADDRESS, "TRUE"),
            (SCAN, "60"),
            (GAP, " 1 "),
            (DELAY, "7"),
        ]);
        let expected = GcSettings {
            enabled: false,
            ended_on_ready_node: false,
            ended_on_unready_node: false,
            running_without_addresses: true,
            scan_every_ms: 60_000,
            gap_ms: 1_000,
            delay_ms: 7_000,
        };
        assert_eq!(all, Ok(expected));
    }

    #[test]
    fn every_flaw_is_told() {
        let told = read(&[(ENABLED, "yes"), (DELAY, "true"), (SCAN, "")]).unwrap_err();
        let expected = "SPIDERPOOL_GC_IP_ENABLED is `yes`; write `true` or `false`; \
             SPIDERPOOL_GC_ADDITIONAL_GRACE_DELAY is `true`; write a number of seconds, such as `5`";
        assert_eq!(told, expected);
        let idle = [("SPIDERPOOL_GC_IP_WORKER_NUM".to_owned(), "3".to_owned())].into();
        assert_eq!(GcSettings::without_effect(&idle), ["SPIDERPOOL_GC_IP_WORKER_NUM"]);
    }
}
