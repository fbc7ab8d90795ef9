//! DEL, CHECK, GC and STATUS by the agent.

use super::{Pod, lift};
use crate::failure;
use crate::session::Session;
use ipnet::IpNet;
use spiderpool_agent_api::message::{
    Attachment, IpamCheckArgs, IpamDelArgs, IpamGcArgs, IpamStatusQuery,
};
use spiderpool_agent_api::{AgentFault, ApiVersion, Client};
use spiderpool_cni::{Call, CniError, ValidAttachment, code};
use std::path::{Path, PathBuf};

fn client(session: &Session, socket: &Path) -> Client {
    Client::new(socket, session.until)
}

/// Gives back what a container holds on an interface.
///
/// # Errors
/// When the agent could not be asked, or did not answer; the runtime tries again. What the agent itself
/// cannot do is left to its collector.
pub(crate) fn release(
    session: &Session,
    socket: &Path,
    call: &Call<Option<PathBuf>>,
) -> Result<(), CniError> {
    let (client, pod) = (client(session, socket), Pod::of(call));
    let args = IpamDelArgs {
        container_id: call.container_id.clone(),
        if_name: call.ifname.clone(),
        net_namespace: call.netns.as_ref().map(|path| path.to_string_lossy().into_owned()),
        pod_namespace: pod.namespace,
        pod_name: pod.name,
        pod_uid: pod.uid,
        api_version: ApiVersion::CURRENT,
        deadline_ms: Some(client.deadline_ms()),
    };
    match client.release(&args) {
        Ok(()) => {
            session.log.info("the agent was told");
            Ok(())
        }
        Err(fault @ AgentFault::Refused { .. }) => {
            session.log.error(format!("{fault}; what is left behind is collected later"));
            Ok(())
        }
        Err(fault) => Err(failure::of_agent(&fault)),
    }
}

/// What an agent says about a container's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// These are all.
    Addresses(Vec<IpNet>),
    /// It is older than the question.
    Unknown,
}

/// What a container holds on an interface.
///
/// # Errors
/// When the agent cannot be asked, or says no.
pub(crate) fn check(
    session: &Session,
    socket: &Path,
    call: &Call<PathBuf>,
) -> Result<Held, CniError> {
    let (client, pod) = (client(session, socket), Pod::of(call));
    let args = IpamCheckArgs {
        container_id: call.container_id.clone(),
        if_name: call.ifname.clone(),
        pod_namespace: pod.namespace,
        pod_name: pod.name,
        pod_uid: pod.uid,
        api_version: ApiVersion::CURRENT,
        deadline_ms: Some(client.deadline_ms()),
    };
    match client.check(&args) {
        Ok(reply) => lift::held(&reply.ips, &call.ifname)
            .map(Held::Addresses)
            .map_err(|bad| failure::told(code::IO_FAILURE, &bad)),
        Err(fault) if fault.is_unknown_call() => Ok(Held::Unknown),
        Err(fault) => Err(failure::of_agent(&fault)),
    }
}

/// Gives back the network's attachments that are not listed.
///
/// # Errors
/// When the agent cannot be asked, or says no.
pub(crate) fn collect(
    session: &Session,
    socket: &Path,
    valid: &[ValidAttachment],
) -> Result<(), CniError> {
    let client = client(session, socket);
    let listed = valid.iter().map(|one| Attachment {
        container_id: one.container_id.clone(),
        if_name: one.ifname.clone(),
    });
    let args = IpamGcArgs {
        network_name: session.network.to_string(),
        valid_attachments: Some(listed.collect()),
        api_version: ApiVersion::CURRENT,
        deadline_ms: Some(client.deadline_ms()),
    };
    match client.collect(&args) {
        Ok(reply) => {
            for freed in &reply.freed {
                session.log.info(format!("collected {} of {}", freed.address, freed.owner));
            }
            Ok(())
        }
        Err(fault) if fault.is_unknown_call() => {
            session.log.warn("the agent is older than GC; its own collector frees what is gone");
            Ok(())
        }
        Err(fault) => Err(failure::of_agent(&fault)),
    }
}

/// The pools of a list that do not exist, where the agent could serve an ADD.
///
/// # Errors
/// Code 50 when it could not, or 51 when it says so itself.
pub(crate) fn status(
    session: &Session,
    socket: &Path,
    pools: Vec<String>,
) -> Result<Vec<String>, CniError> {
    let client = client(session, socket);
    let query = IpamStatusQuery { api_version: ApiVersion::CURRENT, pools };
    let answer = match client.status(&query) {
        Err(fault) if fault.is_unknown_call() => client.healthy().map(|()| Vec::new()),
        answer => answer.map(|status| status.missing_pools),
    };
    answer.map_err(|fault| {
        let error = failure::of_agent(&fault);
        let code = match error.code {
            code::NOT_AVAILABLE_LIMITED => error.code,
            _ => code::NOT_AVAILABLE,
        };
        CniError { code, ..error }
    })
}
