//! Moving devices between the host's namespace and a pod's.
//!
//! Called by the verbs. A device's index changes with nothing, its name may be taken where it goes: it is
//! then renamed on the way, and gets its name again on the way back. Invariant: what cannot be moved whole
//! is not moved at all ([`into_pod`] takes back what it moved).

use spiderpool_netlink::rdma::{RdmaDevice, RdmaFault, RdmaSocket};
use spiderpool_netlink::{Namespace, RunError};

use crate::record::Moved;

/// Why devices are not where they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferFault {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] RdmaFault),
    /// The pod's namespace could not be entered.
    #[error("cannot look into the pod's namespace")]
    Pod(#[source] RunError<RdmaFault>),
    /// A device is in neither namespace.
    #[error("RDMA device `{name}` is in neither namespace; has another plugin moved it?")]
    Lost {
        /// The device's name on the host.
        name: String,
    },
    /// Something failed, and then undoing failed, too.
    #[error("{first}; and taking back what was moved failed: {then}")]
    Twice {
        /// What failed first.
        first: Box<TransferFault>,
        /// What failed then.
        then: Box<TransferFault>,
    },
}

/// What a device is called in the pod: its own name, or one that neither side has.
pub(crate) fn names(
    wanted: &[String],
    on_host: &[RdmaDevice],
    in_pod: &[RdmaDevice],
) -> Vec<Moved> {
    let is_taken = |name: &str| in_pod.iter().any(|device| device.name == name);
    let is_known = |name: &str| is_taken(name) || on_host.iter().any(|device| device.name == name);
    let free =
        |name: &str| (1_u32..).map(|number| format!("{name}_{number}")).find(|new| !is_known(new));
    let chosen = |name: &String| match is_taken(name) {
        false => name.clone(),
        true => free(name).unwrap_or_else(|| name.clone()),
    };
    wanted.iter().map(|name| Moved { host_name: name.clone(), pod_name: chosen(name) }).collect()
}

/// The devices of a pod's namespace.
pub(crate) fn in_pod(pod: &Namespace) -> Result<Vec<RdmaDevice>, TransferFault> {
    pod.run(|_| RdmaSocket::here()?.devices()).map_err(TransferFault::Pod)
}

/// Moves devices of the host to the pod, all or none.
pub(crate) fn into_pod(
    host: &mut RdmaSocket,
    (here, pod): (&Namespace, &Namespace),
    devices: &[Moved],
) -> Result<(), TransferFault> {
    for device in devices {
        if let Err(first) = push(host, pod, device) {
            return match back(host, (here, Some(pod)), devices) {
                Ok(()) => Err(first),
                Err(then) => {
                    Err(TransferFault::Twice { first: Box::new(first), then: Box::new(then) })
                }
            };
        }
    }
    Ok(())
}

fn push(host: &mut RdmaSocket, pod: &Namespace, device: &Moved) -> Result<(), TransferFault> {
    let Some(found) = named(&host.devices()?, &[&device.host_name, &device.pod_name]) else {
        // An earlier ADD of the same attachment may have moved it.
        return match named(&in_pod(pod)?, &[&device.pod_name]) {
            Some(_) => Ok(()),
            None => Err(TransferFault::Lost { name: device.host_name.clone() }),
        };
    };
    let found = rename(host, found, &device.pod_name)?;
    Ok(host.move_device(&found, pod)?)
}

/// Brings devices back to the host and gives them their names again. A pod that is gone has given them
/// back itself.
pub(crate) fn back(
    host: &mut RdmaSocket,
    (here, pod): (&Namespace, Option<&Namespace>),
    devices: &[Moved],
) -> Result<(), TransferFault> {
    if let Some(pod) = pod {
        pod.run(|_| pull(here, devices)).map_err(TransferFault::Pod)?;
    }
    let present = host.devices()?;
    for device in devices {
        if let Some(found) = named(&present, &[&device.pod_name]) {
            rename(host, found, &device.host_name)?;
        }
    }
    Ok(())
}

/// In the pod's namespace: every device that is there goes to `here`; the first failure is told after all
/// were tried.
fn pull(here: &Namespace, devices: &[Moved]) -> Result<(), RdmaFault> {
    let mut socket = RdmaSocket::here()?;
    let present = socket.devices()?;
    let mut outcome = Ok(());
    for device in devices {
        if let Some(found) = named(&present, &[&device.pod_name]) {
            outcome = outcome.and(socket.move_device(&found, here));
        }
    }
    outcome
}

fn rename(host: &mut RdmaSocket, device: RdmaDevice, name: &str) -> Result<RdmaDevice, RdmaFault> {
    if device.name != name {
        host.rename_device(&device, name)?;
    }
    Ok(RdmaDevice { name: name.to_owned(), ..device })
}

fn named(devices: &[RdmaDevice], names: &[&String]) -> Option<RdmaDevice> {
    names.iter().find_map(|name| devices.iter().find(|device| device.name == **name)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> RdmaDevice {
        RdmaDevice {
            name: name.into(),
            index: 0,
            node_guid: 0,
            system_image_guid: 0,
            firmware: None,
            protocol: None,
        }
    }

    #[test]
    fn a_name_that_is_taken_is_changed_on_the_way() {
        let check = |host: &[&str], pod: &[&str], expected: &str| {
            let all = |names: &[&str]| names.iter().map(|name| device(name)).collect::<Vec<_>>();
            let moved = names(&["mlx5_2".into()], &all(host), &all(pod));
            assert_eq!(moved, [Moved { host_name: "mlx5_2".into(), pod_name: expected.into() }]);
        };
        check(&["mlx5_2"], &[], "mlx5_2");
        check(&["mlx5_2"], &["mlx5_3"], "mlx5_2");
        check(&["mlx5_2"], &["mlx5_2"], "mlx5_2_1");
        check(&["mlx5_2", "mlx5_2_1"], &["mlx5_2", "mlx5_2_2"], "mlx5_2_3");
    }
}
