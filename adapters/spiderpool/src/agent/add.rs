//! ADD by the agent: the request, reports of conflicts, and the way back.

use super::{Pod, lift};
use crate::conf::Ipam;
use crate::detect::Taken;
use crate::failure;
use crate::forget::forget;
use crate::master;
use crate::offer::{Grantor, Offer, Report};
use crate::request::named;
use crate::session::Session;
use spiderpool_agent_api::message::{
    IpamAddArgs, IpamAddResponse, IpamBatchDelArgs, IpamConflictArgs, IpamDelArgs, Outcome,
};
use spiderpool_agent_api::{AgentFault, ApiVersion, Client, status};
use spiderpool_cni::{Call, CniError, NetConf, code};
use spiderpool_core::request::FamilyPolicy;
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// One ADD's way to the agent.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    session: &'a Session,
    client: Client,
    args: IpamAddArgs,
    /// Whether the agent may have granted something to this ADD.
    is_owed: Cell<bool>,
    /// Whether the agent takes reports of conflicts.
    takes_reports: Cell<bool>,
}

impl<'a> Agent<'a> {
    /// The way to the agent on a socket.
    ///
    /// # Errors
    /// Code 4 where the runtime does not say which pod it is, 4, 6 or 7 for whatever else in arguments or
    /// configuration cannot be used.
    pub(crate) fn new(
        session: &'a Session,
        socket: &Path,
        call: &Call<PathBuf>,
        conf: &NetConf,
    ) -> Result<Self, CniError> {
        let args = args(session, call, conf)?;
        // Until detection must end: what is left after that is for giving back.
        let client = Client::new(socket, session.probe_until);
        let (is_owed, takes_reports) = (Cell::new(false), Cell::new(false));
        Ok(Self { session, client, args, is_owed, takes_reports })
    }

    fn take(&self, reply: &IpamAddResponse) -> Result<Offer, CniError> {
        reply.warnings.iter().for_each(|warning| self.session.log.warn(warning));
        let interface = self.args.if_name.as_str();
        let own = || reply.ips.iter().filter(|ip| ip.nic == interface);
        self.takes_reports.set(own().all(|ip| ip.generation.is_some()));
        let offer = lift::offer(reply, interface, self.session.ipam.pace());
        offer.map_err(|bad| failure::told(code::IO_FAILURE, &bad))
    }

    fn fault(&self, fault: &AgentFault) -> CniError {
        if fault.is_unsettled() {
            self.is_owed.set(true);
        }
        failure::of_agent(fault)
    }
}

impl Grantor for Agent<'_> {
    fn ask(&self) -> Result<Offer, CniError> {
        let deadline_ms = Some(self.client.deadline_ms());
        let args = IpamAddArgs { deadline_ms, ..self.args.clone() };
        let reply = self.client.add(&args).map_err(|fault| self.fault(&fault))?;
        self.is_owed.set(true);
        let offer = self.take(&reply)?;
        forget(self.session, &offer.allocated.addresses);
        Ok(offer)
    }

    fn report(&self, taken: &Taken<'_>) -> Result<Report, CniError> {
        if !self.takes_reports.get() {
            let why = "the agent is older than this plugin and takes no reports, so the pod gets no other";
            return Ok(Report::Kept(why.to_owned()));
        }
        let (args, granted) = (&self.args, taken.granted);
        let report = IpamConflictArgs {
            container_id: args.container_id.clone(),
            if_name: args.if_name.clone(),
            pod_namespace: args.pod_namespace.clone(),
            pod_name: args.pod_name.clone(),
            pod_uid: args.pod_uid.clone(),
            space: granted.space.to_string(),
            address: granted.address.addr().to_string(),
            generation: Some(granted.generation),
            mac: taken.mac.to_string(),
            api_version: ApiVersion::CURRENT,
            deadline_ms: Some(self.client.deadline_ms()),
        };
        let reply = self.client.conflict(&report);
        let reply = reply.map_err(|fault| failure::of_agent(&fault))?;
        let why = || {
            reply
                .reason
                .clone()
                .unwrap_or_else(|| format!("the agent gives no other ({:?})", reply.outcome))
        };
        Ok(match reply.outcome {
            Outcome::Quarantined => Report::Quarantined,
            Outcome::Gone => Report::Gone,
            Outcome::Static | Outcome::Spared | Outcome::Unknown => Report::Kept(why()),
        })
    }

    fn give_back(&self) {
        if !self.is_owed.replace(false) {
            return;
        }
        let client = self.client.until(self.session.until);
        let args = &self.args;
        let who = IpamDelArgs {
            container_id: args.container_id.clone(),
            if_name: args.if_name.clone(),
            net_namespace: Some(args.net_namespace.clone()),
            pod_namespace: args.pod_namespace.clone(),
            pod_name: args.pod_name.clone(),
            pod_uid: args.pod_uid.clone(),
            api_version: ApiVersion::CURRENT,
            deadline_ms: Some(client.deadline_ms()),
        };
        match client.give_back(&IpamBatchDelArgs { who, is_release_conflict_ips: false }) {
            Ok(()) => self.session.log.info("gave back what the failed ADD was granted"),
            Err(AgentFault::Refused { status: status::FORBIDDEN_STATEFUL, .. }) => {
                self.session.log.info("the pod is a static identity and keeps its addresses");
            }
            Err(fault) => self.session.log.error(format!(
                "what the failed ADD was granted could not be given back: {fault}; the pod keeps it for its next ADD"
            )),
        }
    }
}

fn args(session: &Session, call: &Call<PathBuf>, conf: &NetConf) -> Result<IpamAddArgs, CniError> {
    let (ipam, pod) = (&session.ipam, Pod::of(call));
    if pod.namespace.is_empty() || pod.name.is_empty() {
        let told = "CNI_ARGS has no K8S_POD_NAMESPACE or K8S_POD_NAME, and the agent gives addresses to pods only; without Kubernetes, set `store_path` and leave `ipam_unix_socket_path` out";
        return Err(CniError::new(code::BAD_ENVIRONMENT, told));
    }
    Ok(IpamAddArgs {
        container_id: call.container_id.clone(),
        if_name: call.ifname.clone(),
        net_namespace: call.netns.to_string_lossy().into_owned(),
        pod_namespace: pod.namespace,
        pod_name: pod.name,
        pod_uid: pod.uid,
        default_ipv4_ippool: ipam.default_ipv4_ippool.clone(),
        default_ipv6_ippool: ipam.default_ipv6_ippool.clone(),
        clean_gateway: ipam.clean_gateway,
        match_master_subnet: ipam.match_master_subnet,
        api_version: ApiVersion::CURRENT,
        deadline_ms: None,
        network_name: Some(conf.name.clone()),
        cni_args_ip: named(call, conf)?.iter().map(ToString::to_string).collect(),
        master_addresses: masters(session, conf),
        families: families(ipam),
    })
}

/// What the plugin knows of the master. It may be said elsewhere in a cluster, so that it cannot be found
/// here is the agent's to judge.
fn masters(session: &Session, conf: &NetConf) -> Vec<String> {
    if !session.ipam.match_master_subnet {
        return Vec::new();
    }
    match master::addresses(conf) {
        Ok(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Err(error) => {
            session.log.warn(format!("the agent is not told of the master's addresses: {error}"));
            Vec::new()
        }
    }
}

/// What the configuration itself says; the agent has a default of its own.
fn families(ipam: &Ipam) -> Option<String> {
    let word = |policy| match policy {
        FamilyPolicy::Require => "require".to_owned(),
        FamilyPolicy::Prefer => "prefer".to_owned(),
    };
    ipam.families.map(word)
}
