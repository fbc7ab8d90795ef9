//! One function for each verb: parse, ask, answer.

use std::path::{Path, PathBuf};

use serde_json::Value;
use spiderpool_cni::{Call, CniError, CniResult, NetConf, Request, code};
use spiderpool_netlink::rdma::{RdmaFault, RdmaSocket, SharingMode, Sysfs};
use spiderpool_netlink::{BadNamespace, Namespace, Session};

use crate::conf::Conf;
use crate::record::{Attachment, Moved, Record, Records};
use crate::transfer::{self, TransferFault};
use crate::{device, failure};

/// Does what was asked, and gives the JSON to print, if the verb has any.
///
/// # Errors
/// Whatever the verb has to tell the runtime.
pub(crate) fn run(request: Request) -> Result<Option<Value>, CniError> {
    match request {
        Request::Add { call, conf } => add(&call, &conf).map(Some),
        Request::Del { call, conf } => del(&call, &conf).map(|()| None),
        Request::Check { call, conf } => check(&call, &conf).map(|()| None),
        Request::Status { .. } => status().map(|()| None),
        Request::Gc { conf, .. } => gc(&conf).map(|()| None),
        Request::Version { answer_in } => Ok(Some(answer_in.version_reply())),
    }
}

fn attachment<'a, N>(call: &'a Call<N>, conf: &'a NetConf) -> Attachment<'a> {
    Attachment { network: &conf.name, container: &call.container_id, interface: &call.ifname }
}

fn add(call: &Call<PathBuf>, net: &NetConf) -> Result<Value, CniError> {
    let conf = Conf::of(net)?;
    let previous = previous(net)?;
    let of = attachment(call, net);
    let mut host = exclusive()?;
    let pod = Namespace::by_path(&call.netns)
        .map_err(|error| CniError::caused_by(code::BAD_NETNS, &error))?;
    let records = open(&conf.records)?;
    let earlier = records.read(of).map_err(|error| failure::io(&error))?;
    let record = match earlier {
        // Asked again: what was written down then is what there is to move.
        Some(record) => Record { netns: call.netns.display().to_string(), ..record },
        None => plan(&mut host, &pod, call, (&conf, &previous))?,
    };
    records.write(of, &record).map_err(|error| failure::io(&error))?;
    let here = here()?;
    if let Err(fault) = transfer::into_pod(&mut host, (&here, &pod), &record.moved()) {
        if !matches!(fault, TransferFault::Twice { .. }) {
            records.remove(of).map_err(|error| failure::io(&error))?;
        }
        return Err(failure::io(&fault));
    }
    Ok(previous.lower(net.version))
}

fn plan(
    host: &mut RdmaSocket,
    pod: &Namespace,
    call: &Call<PathBuf>,
    (conf, previous): (&Conf, &CniResult),
) -> Result<Record, CniError> {
    let (device, wanted) = device::of(conf, previous, functions)?;
    let on_host = host.devices().map_err(|fault| failure::io(&fault))?;
    let in_pod = transfer::in_pod(pod).map_err(|fault| failure::io(&fault))?;
    let devices = transfer::names(&wanted, &on_host, &in_pod);
    let first = devices.first().cloned();
    let first = first.unwrap_or(Moved { host_name: String::new(), pod_name: String::new() });
    Ok(Record {
        version: "1.1".into(),
        device,
        sandbox_rdma_dev_name: first.host_name,
        container_rdma_dev_name: first.pod_name,
        devices,
        netns: call.netns.display().to_string(),
        container: call.container_id.clone(),
        interface: call.ifname.clone(),
    })
}

/// The PCI addresses of the virtual functions with a hardware address, as their physical functions say.
fn functions(mac: &str) -> Result<Vec<String>, CniError> {
    let mut session = Session::here().map_err(|fault| failure::io(&fault))?;
    let links = session.links().map_err(|fault| failure::io(&fault))?;
    let sysfs = Sysfs::default();
    let mut found = Vec::new();
    for link in links.values().filter(|link| sysfs.function_of(&link.name, 0).is_some()) {
        let functions = session.functions(link.index).map_err(|fault| failure::io(&fault))?;
        for function in functions.iter().filter(|function| function.mac.to_string() == mac) {
            found.extend(sysfs.function_of(&link.name, function.number));
        }
    }
    Ok(found)
}

fn del(call: &Call<Option<PathBuf>>, net: &NetConf) -> Result<(), CniError> {
    let conf = Conf::of(net)?;
    let of = attachment(call, net);
    let records = open(&conf.records)?;
    let Some(record) = records.read(of).map_err(|error| failure::io(&error))? else {
        return Ok(());
    };
    give_back(call.netns.as_deref(), &record)?;
    records.remove(of).map_err(|error| failure::io(&error))
}

/// Brings the devices of a record back. A namespace that is gone has given them back itself, and on a
/// kernel without RDMA there is nothing left to bring back.
fn give_back(netns: Option<&Path>, record: &Record) -> Result<(), CniError> {
    let mut host = match RdmaSocket::here() {
        Ok(host) => host,
        Err(RdmaFault::NotPresent) => return Ok(()),
        Err(fault) => return Err(failure::io(&fault)),
    };
    let pod = match netns.map(Namespace::by_path) {
        None | Some(Err(BadNamespace::Missing { .. } | BadNamespace::NotANamespace { .. })) => None,
        Some(Ok(pod)) => Some(pod),
        Some(Err(error)) => return Err(CniError::caused_by(code::BAD_NETNS, &error)),
    };
    let here = here()?;
    transfer::back(&mut host, (&here, pod.as_ref()), &record.moved())
        .map_err(|fault| failure::io(&fault))
}

fn check(call: &Call<PathBuf>, net: &NetConf) -> Result<(), CniError> {
    let conf = Conf::of(net)?;
    let records = open(&conf.records)?;
    let record = records.read(attachment(call, net)).map_err(|error| failure::io(&error))?;
    let mismatch = |told: String| CniError::new(failure::MISMATCH, told);
    let record = record.ok_or_else(|| {
        mismatch(format!(
            "nothing is recorded for `{}` of container `{}`: was it attached by this plugin?",
            call.ifname, call.container_id
        ))
    })?;
    let pod = Namespace::by_path(&call.netns)
        .map_err(|error| CniError::caused_by(code::BAD_NETNS, &error))?;
    let present = transfer::in_pod(&pod).map_err(|fault| failure::io(&fault))?;
    let missing: Vec<_> = record
        .moved()
        .into_iter()
        .map(|moved| moved.pod_name)
        .filter(|name| !present.iter().any(|device| device.name == *name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join("`, `");
    Err(mismatch(format!("the pod's namespace lacks the RDMA devices `{names}`; see `rdma dev`")))
}

fn gc(net: &NetConf) -> Result<(), CniError> {
    let conf = Conf::of(net)?;
    let Some(valid) = &net.valid_attachments else { return Ok(()) };
    let records = open(&conf.records)?;
    let mut outcome = Ok(());
    for record in records.of_network(&net.name).map_err(|error| failure::io(&error))? {
        let is_valid = valid
            .iter()
            .any(|one| one.container_id == record.container && one.ifname == record.interface);
        if is_valid {
            continue;
        }
        let of = Attachment {
            network: &net.name,
            container: &record.container,
            interface: &record.interface,
        };
        let netns = Some(Path::new(&record.netns)).filter(|path| !path.as_os_str().is_empty());
        let given = give_back(netns, &record)
            .and_then(|()| records.remove(of).map_err(|error| failure::io(&error)));
        outcome = outcome.and(given);
    }
    outcome
}

fn status() -> Result<(), CniError> {
    exclusive().map(drop).map_err(|error| CniError { code: code::NOT_AVAILABLE, ..error })
}

/// A socket in the host's namespace, if the system keeps namespaces' devices apart.
fn exclusive() -> Result<RdmaSocket, CniError> {
    let mut host = RdmaSocket::here().map_err(|fault| failure::io(&fault))?;
    match host.sharing_mode().map_err(|fault| failure::io(&fault))? {
        SharingMode::Exclusive => Ok(host),
        SharingMode::Shared => Err(CniError::new(
            failure::NOT_EXCLUSIVE,
            "the RDMA subsystem is in shared mode, in which no device can be given to one pod: set `options \
             ib_core netns_mode=0` and reboot, or run `rdma system set netns exclusive` before the first pod",
        )),
    }
}

fn previous(net: &NetConf) -> Result<CniResult, CniError> {
    net.prev_result.clone().transpose()?.ok_or_else(|| {
        failure::conf(
            "there is no `prevResult`: the `rdma` plugin goes behind the plugin that moves the network \
             device, in the same chain",
        )
    })
}

fn open(directory: &Path) -> Result<Records, CniError> {
    Records::open(directory).map_err(|error| {
        let told = format!("cannot keep records in `{}`: {error}", directory.display());
        CniError::new(code::IO_FAILURE, told)
    })
}

fn here() -> Result<Namespace, CniError> {
    Namespace::here().map_err(|error| failure::io(&error))
}
