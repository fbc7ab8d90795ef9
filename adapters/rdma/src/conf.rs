//! What the network configuration says to this plugin.

use std::path::PathBuf;

use serde_json::Value;
use spiderpool_cni::{CniError, NetConf, code};

/// Where the reference keeps its records, so that pods it attached are found after an upgrade.
const RECORDS: &str = "/var/lib/cni/rdma";

/// The plugin's own keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conf {
    /// `deviceID`: a PCI address or an auxiliary device, which Multus fills in for a network with a
    /// resource name.
    pub(crate) device: Option<String>,
    /// `stateDir`: where records are kept.
    pub(crate) records: PathBuf,
}

impl Conf {
    /// The keys in a network configuration.
    ///
    /// # Errors
    ///
    /// Code 7 for one that is no text.
    pub(crate) fn of(conf: &NetConf) -> Result<Self, CniError> {
        let records = text(conf, "stateDir")?.unwrap_or_else(|| RECORDS.into());
        Ok(Self { device: text(conf, "deviceID")?, records: records.into() })
    }
}

fn text(conf: &NetConf, key: &str) -> Result<Option<String>, CniError> {
    match conf.rest.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => {
            let told = format!("`{key}` must be text, got `{other}`");
            Err(CniError::new(code::BAD_NETWORK_CONFIG, told))
        }
    }
}
