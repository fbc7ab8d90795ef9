//! One question to the agent, and its answer.

use crate::error::{ErrorBody, status};
use crate::fault::AgentFault;
use crate::http::{Asked, Reply, Trouble, exchange};
use crate::message::{
    CoordinatorConfig, IpamAddArgs, IpamAddResponse, IpamBatchDelArgs, IpamCheckArgs,
    IpamCheckResponse, IpamConflictArgs, IpamConflictResponse, IpamDelArgs, IpamGcArgs,
    IpamGcResponse, IpamStatus, IpamStatusQuery, PodQuery, WorkloadEndpointStatus,
};
use crate::path;
use crate::read::{Message, read};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A plugin's side of the socket. Each call is one connection, and ends when `until` has come.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    until: Instant,
}

impl Client {
    /// A client of the agent on a socket, whose calls end at a moment.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, until: Instant) -> Self {
        Self { socket: socket.into(), until }
    }

    /// The same client with another end.
    #[must_use]
    pub fn until(&self, until: Instant) -> Self {
        Self { until, ..self.clone() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What is left until the end, in milliseconds: the `deadlineMs` of a request.
    #[must_use]
    pub fn deadline_ms(&self) -> u64 {
        let left = self.until.checked_duration_since(Instant::now()).unwrap_or(Duration::ZERO);
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the agent serves.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn healthy(&self) -> Result<(), AgentFault> {
        self.done(&Asked { method: "GET", target: path::HEALTHY, body: None })
    }

    /// Addresses for an interface of a pod.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn add(&self, args: &IpamAddArgs) -> Result<IpamAddResponse, AgentFault> {
        self.answered("POST", path::IP, args)
    }

    /// A container, or an interface of it, goes.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn release(&self, args: &IpamDelArgs) -> Result<(), AgentFault> {
        self.done(&Asked { method: "DELETE", target: path::IP, body: Some(&json(args)) })
    }

    /// An ADD has failed after it was granted addresses.
    ///
    /// # Errors
    /// [`AgentFault`]; with status 521 or 522 the addresses stay, by the rules.
    pub fn give_back(&self, args: &IpamBatchDelArgs) -> Result<(), AgentFault> {
        self.done(&Asked { method: "DELETE", target: path::IPS, body: Some(&json(args)) })
    }

    /// What a container holds on an interface.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn check(&self, args: &IpamCheckArgs) -> Result<IpamCheckResponse, AgentFault> {
        self.answered("POST", path::CHECK, args)
    }

    /// Gives back what is not listed.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn collect(&self, args: &IpamGcArgs) -> Result<IpamGcResponse, AgentFault> {
        self.answered("POST", path::GC, args)
    }

    /// Whether an ADD could be served.
    ///
    /// # Errors
    /// [`AgentFault`]; [`AgentFault::Refused`] when it could not.
    pub fn status(&self, query: &IpamStatusQuery) -> Result<IpamStatus, AgentFault> {
        self.read(&Asked { method: "GET", target: &query.target(), body: None })
    }

    /// Reports that another host answers for an address.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn conflict(&self, args: &IpamConflictArgs) -> Result<IpamConflictResponse, AgentFault> {
        self.answered("POST", path::CONFLICT, args)
    }

    /// What the cluster says about a pod's networks. The pod is named in the body, since that is the only
    /// place where the reference's agent looks.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn coordinator_config(&self, pod: &PodQuery) -> Result<CoordinatorConfig, AgentFault> {
        self.answered("GET", path::COORDINATOR_CONFIG, pod)
    }

    /// What a pod's NICs have.
    ///
    /// # Errors
    /// [`AgentFault`].
    pub fn workload_endpoint(&self, pod: &PodQuery) -> Result<WorkloadEndpointStatus, AgentFault> {
        let target = pod.target(path::WORKLOAD_ENDPOINT);
        self.read(&Asked { method: "GET", target: &target, body: None })
    }

    fn answered<M: Message>(
        &self,
        method: &'static str,
        target: &str,
        message: &impl Serialize,
    ) -> Result<M, AgentFault> {
        self.read(&Asked { method, target, body: Some(&json(message)) })
    }

    /// A call whose reply's body is a message.
    fn read<M: Message>(&self, asked: &Asked<'_>) -> Result<M, AgentFault> {
        let reply = self.ask(asked)?;
        read(&reply.body).map_err(|bad| self.garbled(asked, bad.to_string()))
    }

    /// A call whose reply's body says nothing.
    fn done(&self, asked: &Asked<'_>) -> Result<(), AgentFault> {
        self.ask(asked).map(|_| ())
    }

    fn ask(&self, asked: &Asked<'_>) -> Result<Reply, AgentFault> {
        let reply =
            exchange(&self.socket, self.until, asked).map_err(|trouble| self.of(asked, trouble))?;
        match reply.status {
            status::OK..=299 => Ok(reply),
            status => Err(AgentFault::Refused {
                call: asked.call(),
                status,
                body: Box::new(ErrorBody::lift(&reply.body)),
            }),
        }
    }

    fn garbled(&self, asked: &Asked<'_>, why: String) -> AgentFault {
        AgentFault::Garbled { socket: self.socket.clone(), call: asked.call(), why }
    }

    fn of(&self, asked: &Asked<'_>, trouble: Trouble) -> AgentFault {
        let socket = self.socket.clone();
        match trouble {
            Trouble::Away(why) => AgentFault::Away { socket, why },
            Trouble::Broken(why) => AgentFault::Silent { socket, call: asked.call(), why },
            Trouble::Garbled(why) => self.garbled(asked, why),
        }
    }
}

/// The bytes of a message. Every message is an object of texts and numbers, which can be written.
fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}
