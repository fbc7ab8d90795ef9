//! Which RDMA devices an attachment is about.
//!
//! The configuration names a device, or the virtual function whose hardware address the chain's result
//! has is looked up. Invariant: what is not certain is refused, never guessed.

use spiderpool_cni::{CniError, CniResult};
use spiderpool_netlink::rdma::{BadDevice, Sysfs};

use crate::conf::Conf;
use crate::failure;

/// The device's name on its bus, and its RDMA devices, at least one.
///
/// # Errors
///
/// Code 7 when nothing is named or found; 5 when sysfs cannot be read.
pub(crate) fn of(
    conf: &Conf,
    previous: &CniResult,
    functions: impl FnOnce(&str) -> Result<Vec<String>, CniError>,
) -> Result<(String, Vec<String>), CniError> {
    let device = match &conf.device {
        Some(device) => device.clone(),
        None => by_address(previous, functions)?,
    };
    let found = Sysfs::default().rdma_devices(&device).map_err(|error| bad(&error))?;
    if found.is_empty() {
        return Err(failure::conf(format!(
            "device `{device}` has no RDMA device on this node; is its RDMA driver loaded, and is it not in \
             another pod's namespace?"
        )));
    }
    Ok((device, found))
}

fn bad(error: &BadDevice) -> CniError {
    match error {
        BadDevice::Name { .. } | BadDevice::Missing { .. } => failure::conf(error.to_string()),
        BadDevice::Unreadable { .. } => failure::io(error),
    }
}

fn by_address(
    previous: &CniResult,
    functions: impl FnOnce(&str) -> Result<Vec<String>, CniError>,
) -> Result<String, CniError> {
    let mut inside = previous.interfaces.iter().filter(|interface| interface.sandbox.is_some());
    let (Some(interface), None) = (inside.next(), inside.next()) else {
        return Err(failure::conf(
            "there is no `deviceID`, and the previous result has not exactly one interface in the pod to \
             look it up by: give the network a resource name, or set `deviceID`",
        ));
    };
    let mac = interface.mac.as_deref().unwrap_or_default().to_lowercase();
    let found = if mac.is_empty() { Vec::new() } else { functions(&mac)? };
    match found.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(failure::conf(format!(
            "there is no `deviceID`, and {} virtual functions have the hardware address `{mac}` of `{}`: \
             give the network a resource name, or set `deviceID`",
            found.len(),
            interface.name,
        ))),
    }
}
