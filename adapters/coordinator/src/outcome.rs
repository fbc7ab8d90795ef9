//! The result of ADD: the previous one, handed on.
//!
//! Invariants: what others wrote into it stays, their own keys included; the hardware address of the
//! interface is the one that it has (`a_chosen_hardware_address_is_in_the_result` in
//! `tests/lifecycle.rs`).

use serde_json::Value;
use spiderpool_cni::{Call, CniError, CniResult, NetConf, code};
use spiderpool_core::net::HardwareAddress;
use std::path::PathBuf;

/// The previous result, which the chain must give.
///
/// # Errors
/// Code 7 when there is none, 1 or 6 when it cannot be read.
pub(crate) fn previous(conf: &NetConf) -> Result<CniResult, CniError> {
    let result = conf.prev_result.clone().transpose()?;
    result.ok_or_else(|| {
        let told = "there is no `prevResult`; put the coordinator into a chain, behind the plugin that makes the interface";
        CniError::new(code::BAD_NETWORK_CONFIG, told)
    })
}

/// The previous result in the version that was asked, with the hardware address of the interface if
/// that was changed.
pub(crate) fn lower(
    conf: &NetConf,
    call: &Call<PathBuf>,
    mut result: CniResult,
    mac: Option<&HardwareAddress>,
) -> Value {
    let is_ours = |name: &str, sandbox: Option<&str>| name == call.ifname && sandbox.is_some();
    for interface in &mut result.interfaces {
        if let Some(mac) = mac.filter(|_| is_ours(&interface.name, interface.sandbox.as_deref())) {
            interface.mac = Some(mac.to_string());
        }
    }
    let given = conf.prev_result_as_given.as_ref().unwrap_or(&Value::Null);
    result.lower_over(conf.version, given)
}
