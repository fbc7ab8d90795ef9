//! The plugin's own part of the network configuration: the `ipam` object.
//!
//! Keys and defaults are the reference's (section 2.1), plus the embedded store's. Unknown keys are passed over, since configurations are shared with other
//! versions; a key with the wrong kind of value is refused.

use serde::Deserialize;
use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_core::request::FamilyPolicy;
use spiderpool_host::log::{Level, LogFile};
use spiderpool_netlink::probe::{ConflictTiming, GatewayTiming, Timing};
use std::fmt::Display;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that an ADD may take: runtimes give up after about two minutes.
const DEADLINE_MAX_S: u64 = 100;

/// The `ipam` object.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Ipam {
    /// The agent's socket; asks the agent.
    pub(crate) ipam_unix_socket_path: Option<PathBuf>,
    /// The directory of the embedded store; asks that store, unless there is a socket too.
    pub(crate) store_path: Option<PathBuf>,
    /// Names or patterns of IPv4 pools, for pods that name none.
    pub(crate) default_ipv4_ippool: Vec<String>,
    /// Names or patterns of IPv6 pools, for pods that name none.
    pub(crate) default_ipv6_ippool: Vec<String>,
    /// Whether the interface gets no default route from its pool's gateway.
    pub(crate) clean_gateway: bool,
    /// Whether a pool must have an address of the master interface in its prefix.
    pub(crate) match_master_subnet: bool,
    /// Whether a pod that can have only one of two families is refused; unsaid, the store refuses it,
    /// and an agent does as it is configured.
    pub(crate) families: Option<FamilyPolicy>,
    /// What an allocation belongs to.
    pub(crate) owner: OwnerKind,
    /// The name of this node; the host name when it is not given.
    pub(crate) node_name: Option<String>,
    /// The namespace that bare names of networks in pools stand for.
    pub(crate) agent_namespace: String,
    /// How long an ADD may take in all, in seconds: 1 to 100.
    pub(crate) timeout_seconds: u64,
    /// Whether it is asked on the pod's interface if another host has the address.
    #[serde(rename = "enableIPConflictDetection")]
    pub(crate) enable_conflict_detection: bool,
    /// Whether it is asked on the pod's interface if the gateway answers.
    #[serde(rename = "enableGatewayDetection")]
    pub(crate) enable_gateway_detection: bool,
    /// How many probes ask for an address.
    pub(crate) conflict_probes: NonZeroU32,
    /// The least time between two probes, in milliseconds; by chance it is up to twice that.
    pub(crate) conflict_interval_ms: u32,
    /// How long is listened after the last probe, in milliseconds.
    pub(crate) conflict_wait_ms: NonZeroU32,
    /// How often a gateway is asked at most.
    pub(crate) gateway_tries: NonZeroU32,
    /// How long each answer of a gateway is waited for, in milliseconds.
    pub(crate) gateway_wait_ms: NonZeroU32,
    /// From which level on messages are written to the log file.
    pub(crate) log_level: Level,
    /// The log file.
    pub(crate) log_file_path: PathBuf,
    /// The log file is rotated beyond this size, in MB.
    pub(crate) log_file_max_size: u64,
    /// Rotated files are removed after so many days.
    pub(crate) log_file_max_age: u64,
    /// So many rotated files are kept.
    pub(crate) log_file_max_count: usize,
    /// What the pod gets as DNS configuration; that of the network when it is not given.
    pub(crate) dns: Option<serde_json::Value>,
}

impl Default for Ipam {
    fn default() -> Self {
        Self {
            ipam_unix_socket_path: None,
            store_path: None,
            default_ipv4_ippool: Vec::new(),
            default_ipv6_ippool: Vec::new(),
            clean_gateway: false,
            match_master_subnet: false,
            families: None,
            owner: OwnerKind::Pod,
            node_name: None,
            agent_namespace: "kube-system".to_owned(),
            timeout_seconds: 90,
            enable_conflict_detection: false,
            enable_gateway_detection: false,
            conflict_probes: NonZeroU32::MIN.saturating_add(2),
            conflict_interval_ms: 100,
            conflict_wait_ms: NonZeroU32::MIN.saturating_add(199),
            gateway_tries: NonZeroU32::MIN.saturating_add(2),
            gateway_wait_ms: NonZeroU32::MIN.saturating_add(199),
            log_level: Level::Info,
            log_file_path: "/var/log/spidernet/spiderpool.log".into(),
            log_file_max_size: 100,
            log_file_max_age: 30,
            log_file_max_count: 10,
            dns: None,
        }
    }
}

/// The key of the agent's socket, in the `ipam` object or beside it.
const SOCKET_KEY: &str = "ipam_unix_socket_path";

/// What an allocation belongs to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OwnerKind {
    /// The pod, by its UID; without one, the container in its network.
    Pod,
    /// The name of the pod: it keeps its addresses when it is made again.
    Name,
}

impl Ipam {
    /// Where the log is, and how much of it is kept.
    pub(crate) fn log_file(&self) -> LogFile {
        LogFile {
            path: self.log_file_path.clone(),
            level: self.log_level,
            max_size: self.log_file_max_size,
            max_age: self.log_file_max_age,
            max_count: self.log_file_max_count,
        }
    }

    /// The `ipam` object of a configuration; without one, the defaults.
    ///
    /// # Errors
    /// Code 6 when a key has the wrong kind of value, 7 when a value is out of range.
    pub(crate) fn of(conf: &NetConf) -> Result<Self, CniError> {
        let socket = socket_of_network(conf)?;
        let or = |ipam: Self| Self {
            ipam_unix_socket_path: ipam.ipam_unix_socket_path.clone().or(socket),
            ..ipam
        };
        let Some(value) = conf.ipam.clone() else { return Ok(or(Self::default())) };
        let unread = |error: &dyn Display| {
            let told =
                format!("the `ipam` object of network `{}` cannot be read: {error}", conf.name);
            CniError::new(code::DECODING_FAILURE, told)
        };
        // serde would take a list for the fields in their order.
        if !value.is_object() {
            return Err(unread(&"it is no object"));
        }
        let ipam: Self = serde_json::from_value(value).map_err(|error| unread(&error))?;
        if (1..=DEADLINE_MAX_S).contains(&ipam.timeout_seconds) {
            return Ok(or(ipam));
        }
        let got = ipam.timeout_seconds;
        let told = format!("`ipam.timeout_seconds` is {got}; give 1 to {DEADLINE_MAX_S} seconds");
        Err(CniError::new(code::BAD_NETWORK_CONFIG, told))
    }

    /// As much of the `ipam` object as a release needs: a mistake elsewhere in it refuses ADDs, and
    /// must not have the DELs that follow repeated for ever.
    pub(crate) fn lenient(conf: &NetConf) -> Self {
        Self::of(conf).unwrap_or_else(|_| {
            let path = |key| conf.ipam.as_ref()?.get(key)?.as_str().map(PathBuf::from);
            let of_network = || socket_of_network(conf).ok().flatten();
            Self {
                ipam_unix_socket_path: path(SOCKET_KEY).or_else(of_network),
                store_path: path("store_path"),
                ..Self::default()
            }
        })
    }

    /// Which questions this configuration wants asked on the pod's interface, at what pace.
    pub(crate) fn detection(&self) -> Timing {
        let pace = self.pace();
        Timing {
            conflict: pace.conflict.filter(|_| self.enable_conflict_detection),
            gateway: pace.gateway.filter(|_| self.enable_gateway_detection),
        }
    }

    /// The pace of both questions, whoever wants them asked.
    pub(crate) fn pace(&self) -> Timing {
        let ms = |ms: u32| Duration::from_millis(ms.into());
        let spacing = ms(self.conflict_interval_ms);
        let conflict = ConflictTiming {
            probes: self.conflict_probes,
            delay: spacing / 5,
            spacing,
            jitter: spacing,
            wait: ms(self.conflict_wait_ms.get()),
        };
        let gateway =
            GatewayTiming { tries: self.gateway_tries, wait: ms(self.gateway_wait_ms.get()) };
        Timing { conflict: Some(conflict), gateway: Some(gateway) }
    }

    /// How long the whole verb may take.
    pub(crate) const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

/// The agent's socket, where the network's own configuration names it beside the `ipam` object.
fn socket_of_network(conf: &NetConf) -> Result<Option<PathBuf>, CniError> {
    let value = conf.rest.get(SOCKET_KEY).filter(|value| !value.is_null());
    let Some(value) = value else { return Ok(None) };
    let path = value.as_str().ok_or_else(|| {
        let told =
            format!("`{SOCKET_KEY}` of network `{}` must be a path, got `{value}`", conf.name);
        CniError::new(code::DECODING_FAILURE, told)
    });
    path.map(|path| Some(PathBuf::from(path)))
}
