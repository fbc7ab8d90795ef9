//! The addresses of the interface that a pod's interface is made from.
//!
//! With `match_master_subnet` a pool has to have one of them in its prefix. The master is named by
//! the network configuration (`master`, as macvlan, ipvlan and vlan have it), or for an SR-IOV
//! virtual function by its PCI device (`deviceID`), whose physical function is looked up in sysfs.

use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_netlink::Session;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// Every address of the master interface, in the host's namespace.
///
/// # Errors
/// Code 7 when the configuration names no master, or one that does not exist; 5 when the kernel
/// does not answer.
pub(crate) fn addresses(conf: &NetConf) -> Result<Vec<IpAddr>, CniError> {
    let master = name(conf)?;
    let failed =
        |error: &spiderpool_netlink::NetlinkFault| CniError::caused_by(code::IO_FAILURE, error);
    let mut session = Session::here().map_err(|error| failed(&error))?;
    let links = session.links().map_err(|error| failed(&error))?;
    if !links.keys().any(|name| name.as_str() == master) {
        let told =
            format!("the master interface `{master}` of network `{}` does not exist", conf.name);
        return Err(CniError::new(code::BAD_NETWORK_CONFIG, told));
    }
    let all = session.addresses().map_err(|error| failed(&error))?;
    Ok(all
        .iter()
        .filter(|address| address.device.as_str() == master)
        .map(|address| address.net.addr())
        .collect())
}

fn name(conf: &NetConf) -> Result<String, CniError> {
    let text = |key: &str| conf.rest.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    if let Some(master) = text("master") {
        return Ok(master);
    }
    let physical = text("deviceID").and_then(|device| physical_function(&device));
    physical.ok_or_else(|| {
        let told = "`match_master_subnet` needs a `master` or a `deviceID` with a physical function in the network configuration";
        CniError::new(code::BAD_NETWORK_CONFIG, told)
    })
}

fn physical_function(device: &str) -> Option<String> {
    let nets = Path::new("/sys/bus/pci/devices").join(device).join("physfn/net");
    let first = fs::read_dir(nets).ok()?.next()?.ok()?;
    first.file_name().into_string().ok()
}
