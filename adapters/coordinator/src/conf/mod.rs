//! The plugin's own part of the network configuration.
//!
//! Keys are the reference's (section 1.2), found whatever their case, and a few of our own. Invariants:
//!
//! 1. A value that cannot be used is refused (code 7) with its key, what was given and what is wanted
//!    (`a_bad_value_is_code_7` in `tests/conversations`).
//! 2. Keys that are unknown, and those that mean nothing any more, are no errors: they are written to the
//!    log (`unknown_keys_are_logged`).
//! 3. DEL and GC work whatever the rest of the configuration says: [`Conf::lenient`]
//!    (`a_bad_configuration_is_no_reason_to_refuse_a_del`).

mod draft;
mod key;

pub use draft::Draft;

use draft::DEFAULT_ROUTE_NIC;
use key::{BadKey, Entry, Keys};
use serde_json::{Map, Value};
use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_core::net::LinkName;
use spiderpool_host::log::{Level, LogFile};
use std::path::PathBuf;
use std::time::Duration;

/// Where records are when nothing is said: in memory, since after a reboot every namespace is gone.
pub const STATE: &str = "/run/spiderpool/coordinator";

/// How long a verb may take when nothing is said, and at most: runtimes give up after two minutes.
const TIMEOUT_S: u64 = 90;
const TIMEOUT_MAX_S: u64 = 100;

/// Keys of the reference that mean nothing: deprecated there, or read and never used.
const IDLE: [&str; 5] =
    ["detectGateway", "detectIPConflict", "detectOptions", "hostRPFilter", "multusNicPrefix"];

/// Keys that mean something to somebody else, or that this module reads apart from the draft.
const OTHERS: [&str; 5] =
    ["capabilities", "ipam_unix_socket_path", "logOptions", "stateDir", "timeoutSeconds"];

/// The plugin's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conf {
    /// What the configuration says about the pod's networks.
    pub draft: Draft,
    /// The agent's socket, where it is named.
    pub socket: Option<PathBuf>,
    /// The directory of records.
    pub state: PathBuf,
    /// How long the whole verb may take.
    pub timeout: Duration,
    /// The log.
    pub log: LogFile,
    /// What the log is told about the configuration.
    pub remarks: Vec<String>,
}

impl Conf {
    /// The plugin's part of a configuration.
    ///
    /// # Errors
    /// Code 7 for the first value that cannot be used.
    pub fn of(conf: &NetConf) -> Result<Self, CniError> {
        let keys = Keys::of(&conf.rest);
        let log = log(keys)?;
        let draft = Draft::read(keys)?;
        let timeout = keys.read("timeoutSeconds", timeout)?;
        Ok(Self {
            draft: draft.over(annotated(conf)?),
            socket: keys.read("ipam_unix_socket_path", socket)?,
            state: keys.read("stateDir", directory)?.unwrap_or_else(|| STATE.into()),
            timeout: Duration::from_secs(timeout.unwrap_or(TIMEOUT_S)),
            log,
            remarks: remarks(&conf.rest),
        })
    }

    /// As much of it as a DEL needs: a mistake elsewhere in it refuses ADDs, and must not have the DELs
    /// that follow repeated for ever.
    #[must_use]
    pub fn lenient(conf: &NetConf) -> Self {
        Self::of(conf).unwrap_or_else(|error| {
            let keys = Keys::of(&conf.rest);
            let state = keys.read("stateDir", directory).ok().flatten();
            Self {
                draft: Draft::default(),
                socket: None,
                state: state.unwrap_or_else(|| STATE.into()),
                timeout: Duration::from_secs(TIMEOUT_S),
                log: log(keys).unwrap_or_else(|_| log_default()),
                remarks: vec![format!("the configuration is passed over: {error}")],
            }
        })
    }
}

/// What the pod's annotations say.
fn annotated(conf: &NetConf) -> Result<Draft, CniError> {
    let text = conf.runtime.pod_annotations.get(DEFAULT_ROUTE_NIC).map(|text| text.trim());
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Draft::default()) };
    let name = LinkName::new(text).map_err(|bad| {
        CniError::caused_by(code::BAD_NETWORK_CONFIG, &bad)
            .with_details(format!("it is the pod's annotation `{DEFAULT_ROUTE_NIC}`"))
    })?;
    Ok(Draft { default_route: Some(name), ..Draft::default() })
}

fn remarks(rest: &Map<String, Value>) -> Vec<String> {
    let keys = Keys::of(rest);
    let idle = IDLE.iter().filter_map(|key| keys.entry(key));
    let idle = idle
        .map(|entry| format!("`{}` means nothing to this plugin and is passed over", entry.key));
    let known: Vec<&str> = draft::KEYS.iter().chain(&IDLE).chain(&OTHERS).copied().collect();
    let unknown = keys.others(&known).into_iter();
    idle.chain(unknown.map(|key| format!("`{key}` is no key of this plugin; is it misspelt?")))
        .collect()
}

fn socket(entry: &Entry<'_>) -> Result<PathBuf, BadKey> {
    let wanted = "the absolute path of the agent's socket";
    let path = PathBuf::from(entry.text(wanted)?);
    if path.is_absolute() { Ok(path) } else { Err(entry.bad(wanted)) }
}

fn directory(entry: &Entry<'_>) -> Result<PathBuf, BadKey> {
    let wanted = "the absolute path of a directory";
    let path = PathBuf::from(entry.text(wanted)?);
    if path.is_absolute() { Ok(path) } else { Err(entry.bad(wanted)) }
}

fn timeout(entry: &Entry<'_>) -> Result<u64, BadKey> {
    let wanted = format!("a number of seconds from 1 to {TIMEOUT_MAX_S}");
    let seconds = u64::try_from(entry.integer(&wanted)?).ok();
    seconds.filter(|seconds| (1..=TIMEOUT_MAX_S).contains(seconds)).ok_or_else(|| entry.bad(wanted))
}

fn log_default() -> LogFile {
    LogFile {
        path: "/var/log/spidernet/coordinator.log".into(),
        level: Level::Info,
        max_size: 100,
        max_age: 30,
        max_count: 10,
    }
}

/// `logOptions`; a negative number is the default, as it is to the reference.
fn log(keys: Keys<'_>) -> Result<LogFile, BadKey> {
    let mut log = log_default();
    let Some(entry) = keys.entry("logOptions") else { return Ok(log) };
    let keys = entry.object("logOptions.")?;
    if let Some(level) = keys.read("logLevel", level)? {
        log.level = level;
    }
    if let Some(path) = keys.read("logFile", |entry| entry.text("a path").map(PathBuf::from))? {
        log.path = path;
    }
    let number = |key| keys.read(key, |entry: &Entry<'_>| entry.integer("a number"));
    let set = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    log.max_size = set(number("logMaxSize")?).unwrap_or(log.max_size);
    log.max_age = set(number("logMaxAge")?).unwrap_or(log.max_age);
    let count = set(number("logMaxCount")?).and_then(|count| usize::try_from(count).ok());
    log.max_count = count.filter(|count| *count > 0).unwrap_or(log.max_count);
    Ok(log)
}

fn level(entry: &Entry<'_>) -> Result<Level, BadKey> {
    let wanted = "`debug`, `info`, `warn`, `error` or `off`";
    Level::named(entry.text(wanted)?).ok_or_else(|| entry.bad(wanted))
}

#[cfg(test)]
mod tests;
