//! ADD: the links are as they should be when it returns, whoever else is at it.

use serde_json::Value;
use spiderpool_cni::{CniError, CniResult, Interface, NetConf};

use crate::conf::Conf;
use crate::{lock, node};

/// Ensures the links and names the one that pods' interfaces rest on.
///
/// # Errors
///
/// Those of [`failure`](crate::failure). Links that were made stay: the next ADD completes them.
pub(crate) fn run(conf: &NetConf) -> Result<Value, CniError> {
    let own = Conf::of(conf)?;
    let _turn = lock::take(&own.lock)?;
    let ensured = node::ensure(&own.parents)?;
    for command in &ensured.done {
        tell(command);
    }
    let top = Interface {
        name: ensured.top.to_string(),
        mac: ensured.mac.map(|address| address.to_string()),
        mtu: ensured.mtu,
        sandbox: None,
        socket_path: None,
        pci_id: None,
    };
    Ok(CniResult { interfaces: vec![top], ..CniResult::default() }.lower(conf.version))
}

/// Standard output is the runtime's; there is nobody to tell that nobody listens.
fn tell(command: &str) {
    use std::io::Write;
    drop(writeln!(std::io::stderr().lock(), "ifacer: {command}"));
}
