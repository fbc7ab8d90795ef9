//! The agent's configuration: the reference's `conf.yml` with every key of it, and ours under `agent`.
//!
//! A key is either read, or known and told to be without effect here, or unknown and told with its
//! nearest neighbour; none is passed over in silence. [`reload`] reads the file again when it changes.
//!
//! | key of ours | default | what it is |
//! |---|---|---|
//! | `agent.logLevel` | what the command line says | error, warn, info, debug or trace |
//! | `agent.familyPolicy` | require | whether a pod that can have only one of two families is refused (`require`) or gets the one (`prefer`) |
//! | `agent.requestTimeoutSeconds` | 90 | how long an ADD may take, 1 to 99 |
//! | `agent.repairIntervalSeconds` | 300 | how often the networks of the node's pods are held against their records and mended; 0 never |
//! | `agent.coordinatorStateDir` | `/run/spiderpool/coordinator` | where the coordinator keeps those records |
//! | `agent.network` | empty | the network (`NAMESPACE/NAME`) of `eth0`, for pools that are tied to networks; also `MULTUS_CLUSTER_NETWORK` |
//!
//! Invariants:
//! 1. Every key of the reference is accepted (`the_references_file_is_read_without_a_word`).
//! 2. A value that cannot be used is an error that names its key, never a default
//!    (`a_bad_value_names_its_key`).

pub mod reload;

use serde::Deserialize;
use serde_json::{Map, Value};
use spiderpool_core::address::Family;
use spiderpool_core::request::FamilyPolicy;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tracing::level_filters::LevelFilter;

/// The longest that an ADD may take: plugins stop waiting after 100 s.
const ADD_MAX_S: u64 = 99;

/// The configuration, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conf {
    /// The agent's socket.
    pub socket: PathBuf,
    /// The families that addresses are given of.
    pub families: Families,
    /// Whose addresses outlive their pods.
    pub statics: Statics,
    /// What plugins ask the wire.
    pub detection: Detection,
    /// Whether the node's own settings are made fit for underlay networks.
    pub tunes_node: bool,
    /// What is ours.
    pub own: Own,
}

/// The families that addresses are given of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// `enableIPv4`.
    pub v4: bool,
    /// `enableIPv6`.
    pub v6: bool,
}

impl Families {
    /// The family that is left when the other one is switched off.
    #[must_use]
    pub const fn only(self) -> Option<Family> {
        match (self.v4, self.v6) {
            (true, false) => Some(Family::V4),
            (false, true) => Some(Family::V6),
            // A configuration with neither is refused when it is read.
            (true, true) | (false, false) => None,
        }
    }
}

/// Whose addresses outlive their pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statics {
    /// `enableStatefulSet`.
    pub stateful_sets: bool,
    /// `enableKubevirtStaticIP`.
    pub virtual_machines: bool,
}

/// What plugins ask the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detection {
    /// `enableIPConflictDetection`: whether another host has the address.
    pub conflict: bool,
    /// `enableGatewayDetection`: whether the gateway answers.
    pub gateway: bool,
}

/// What the reference does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// From which level on messages are logged; `None` leaves it to the command line.
    pub log_level: Option<LevelFilter>,
    /// What becomes of a pod that can have only one of two families.
    pub family_policy: FamilyPolicy,
    /// How long an ADD may take.
    pub add_timeout: Duration,
    /// How often pods' networks are mended; `None` for never.
    pub repair_every: Option<Duration>,
    /// Where the coordinator keeps its records.
    pub coordinator_state: PathBuf,
    /// The network of `eth0`.
    pub network: Option<String>,
}

/// A configuration, and what should be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What it says.
    pub conf: Conf,
    /// Keys without effect, and unknown ones.
    pub remarks: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadConf {
    /// It is no YAML.
    #[error("it is no YAML: {why}")]
    Yaml {
        /// What the reader met.
        why: String,
    },
    /// It is no mapping of keys to values.
    #[error("it is {got}; write a mapping such as `enableIPv4: true`")]
    NoMapping {
        /// What it is.
        got: &'static str,
    },
    /// A value of the wrong kind.
    #[error("a value cannot be used: {why}")]
    Value {
        /// Which, and what was expected.
        why: String,
    },
    /// A number or text that is none of those that are allowed.
    #[error("`{key}` is {got}; give {expected}")]
    Range {
        /// The key.
        key: &'static str,
        /// What was written.
        got: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Neither family.
    #[error("`enableIPv4` and `enableIPv6` are both false; no pod could have an address")]
    NoFamily,
}

/// Keys that other programs read.
const ELSEWHERE: [&str; 9] = [
    "enableCleanOutdatedEndpoint",
    "enableValidatingResourcesDeletedWebhook",
    "enableSpiderSubnet",
    "enableAutoPoolForApplication",
    "clusterSubnetDefaultFlexibleIPNumber",
    "clusterSubnetAutoPoolDefaultRedundantIPNumber",
    "podResourceInject",
    "clusterNetwork",
    "network",
];

/// Keys that this program reads.
const OURS: [&str; 10] = [
    "ipamUnixSocketPath",
    "enableIPv4",
    "enableIPv6",
    "enableStatefulSet",
    "enableKubevirtStaticIP",
    "enableIPConflictDetection",
    "enableGatewayDetection",
    "tuneSysctlConfig",
    "agent",
    "iaasNetworkProvider",
];

/// Keys under `agent` that this program reads.
const UNDER_AGENT: [&str; 7] = [
    "logLevel",
    "familyPolicy",
    "requestTimeoutSeconds",
    "repairIntervalSeconds",
    "coordinatorStateDir",
    "network",
    "networkResourcePlugin",
];

/// The file as it is written.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the switches of the reference's file")]
struct Draft {
    ipam_unix_socket_path: PathBuf,
    #[serde(rename = "enableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "enableIPv6")]
    enable_ipv6: bool,
    enable_stateful_set: bool,
    #[serde(rename = "enableKubevirtStaticIP")]
    enable_kubevirt_static_ip: bool,
    #[serde(rename = "enableIPConflictDetection")]
    enable_ip_conflict_detection: bool,
    enable_gateway_detection: bool,
    tune_sysctl_config: bool,
    agent: AgentDraft,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AgentDraft {
    log_level: Option<String>,
    family_policy: FamilyPolicy,
    request_timeout_seconds: u64,
    repair_interval_seconds: u64,
    coordinator_state_dir: PathBuf,
    network: String,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            ipam_unix_socket_path: "/var/run/spidernet/spiderpool.sock".into(),
            enable_ipv4: true,
            enable_ipv6: true,
            enable_stateful_set: true,
            enable_kubevirt_static_ip: true,
            enable_ip_conflict_detection: false,
            enable_gateway_detection: false,
            tune_sysctl_config: true,
            agent: AgentDraft::default(),
        }
    }
}

impl Default for AgentDraft {
    fn default() -> Self {
        Self {
            log_level: None,
            family_policy: FamilyPolicy::Require,
            request_timeout_seconds: 90,
            repair_interval_seconds: 300,
            coordinator_state_dir: "/run/spiderpool/coordinator".into(),
            network: String::new(),
        }
    }
}

impl Read {
    /// Reads the text of a `conf.yml`; an empty one is all defaults.
    ///
    /// # Errors
    /// [`BadConf`] for the first value that cannot be used.
    pub fn of(text: &str) -> Result<Self, BadConf> {
        let fields = fields(text)?;
        let remarks = remarks(&fields);
        // A key without a value (`clusterNetwork:`) is as good as none.
        let told = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
        let draft: Draft = serde_json::from_value(Value::Object(told))
            .map_err(|error| BadConf::Value { why: error.to_string() })?;
        Ok(Self { conf: lift(draft)?, remarks })
    }
}

impl Conf {
    /// The keys that differ from another configuration and take a restart.
    #[must_use]
    pub fn fixed_differences(&self, other: &Self) -> Vec<&'static str> {
        let keys = [
            (self.socket != other.socket, "ipamUnixSocketPath"),
            (self.tunes_node != other.tunes_node, "tuneSysctlConfig"),
            (
                self.own.coordinator_state != other.own.coordinator_state,
                "agent.coordinatorStateDir",
            ),
        ];
        keys.into_iter().filter_map(|(differs, key)| differs.then_some(key)).collect()
    }

    /// This configuration, with what takes a restart as it is in the other.
    #[must_use]
    pub fn with_fixed_of(self, other: &Self) -> Self {
        let coordinator_state = other.own.coordinator_state.clone();
        let own = Own { coordinator_state, ..self.own };
        Self { socket: other.socket.clone(), tunes_node: other.tunes_node, own, ..self }
    }
}

/// A level of the log by its name.
#[must_use]
pub fn level(name: &str) -> Option<LevelFilter> {
    match name.to_ascii_lowercase().as_str() {
        "error" | "fatal" | "panic" => Some(LevelFilter::ERROR),
        "warn" | "warning" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

fn fields(text: &str) -> Result<Map<String, Value>, BadConf> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let read: Result<Value, _> = serde_saphyr::from_str(text);
    let got = match read.map_err(|error| BadConf::Yaml { why: error.to_string() })? {
        Value::Object(fields) => return Ok(fields),
        Value::Null => return Ok(Map::new()),
        Value::Array(_) => "a list",
        Value::String(_) => "a text",
        Value::Bool(_) | Value::Number(_) => "a single value",
    };
    Err(BadConf::NoMapping { got })
}

fn remarks(fields: &Map<String, Value>) -> Vec<String> {
    let mut remarks = Vec::new();
    let known: Vec<&str> = OURS.into_iter().chain(ELSEWHERE).collect();
    remarks.extend(fields.keys().filter_map(|key| unknown(key, "", &known)));
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
    };
    if fields.get("iaasNetworkProvider").is_some_and(|provider| text(provider, "serverUrl")) {
        remarks.push("`iaasNetworkProvider.serverUrl` is set, and this agent asks no such provider: addresses are given from pools alone".to_owned());
    }
    let Some(Value::Object(agent)) = fields.get("agent") else { return remarks };
    remarks.extend(agent.keys().filter_map(|key| unknown(key, "agent.", &UNDER_AGENT)));
    let plugin = agent.get("networkResourcePlugin").and_then(|plugin| plugin.get("enabled"));
    if plugin.and_then(Value::as_bool) == Some(true) {
        remarks.push("`agent.networkResourcePlugin.enabled` is set, and this agent has no device plugin: pods that ask for `spidernet.io/…` resources stay pending".to_owned());
    }
    remarks
}

fn unknown(key: &str, under: &str, known: &[&str]) -> Option<String> {
    if known.contains(&key) {
        return None;
    }
    let alike = |one: &&&str| one.eq_ignore_ascii_case(key) || shares_most(one, key);
    Some(match known.iter().find(alike) {
        Some(one) => format!("`{under}{key}` is unknown; is `{under}{one}` meant?"),
        None => format!("`{under}{key}` is unknown and has no effect"),
    })
}

/// Whether two keys are of almost one length and begin or end almost alike.
fn shares_most(one: &str, other: &str) -> bool {
    let longest = one.len().max(other.len());
    let begin = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let end = one.bytes().rev().zip(other.bytes().rev()).take_while(|(a, b)| a == b).count();
    one.len().abs_diff(other.len()) <= 2 && begin.saturating_add(end).saturating_add(2) >= longest
}

fn lift(draft: Draft) -> Result<Conf, BadConf> {
    let agent = draft.agent;
    let range = |key, got: String, expected| BadConf::Range { key, got, expected };
    let log_level = agent.log_level.map(|name| {
        let expected = "error, warn, info, debug or trace";
        level(&name).ok_or_else(|| range("agent.logLevel", format!("`{name}`"), expected))
    });
    let add_s = agent.request_timeout_seconds;
    if !(1..=ADD_MAX_S).contains(&add_s) {
        return Err(range("agent.requestTimeoutSeconds", add_s.to_string(), "1 to 99 seconds"));
    }
    if !draft.enable_ipv4 && !draft.enable_ipv6 {
        return Err(BadConf::NoFamily);
    }
    if !draft.ipam_unix_socket_path.is_absolute() {
        let got = format!("`{}`", draft.ipam_unix_socket_path.display());
        return Err(range("ipamUnixSocketPath", got, "a path that begins with `/`"));
    }
    let every = agent.repair_interval_seconds;
    Ok(Conf {
        socket: draft.ipam_unix_socket_path,
        families: Families { v4: draft.enable_ipv4, v6: draft.enable_ipv6 },
        statics: Statics {
            stateful_sets: draft.enable_stateful_set,
            virtual_machines: draft.enable_kubevirt_static_ip,
        },
        detection: Detection {
            conflict: draft.enable_ip_conflict_detection,
            gateway: draft.enable_gateway_detection,
        },
        tunes_node: draft.tune_sysctl_config,
        own: Own {
            log_level: log_level.transpose()?,
            family_policy: agent.family_policy,
            add_timeout: Duration::from_secs(add_s),
            repair_every: (every > 0).then(|| Duration::from_secs(every)),
            coordinator_state: agent.coordinator_state_dir,
            network: Some(agent.network).filter(|network| !network.is_empty()),
        },
    })
}

#[cfg(test)]
mod tests;
