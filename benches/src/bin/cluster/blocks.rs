//! Ours: the node's real client and protocol, as the agent drives them.
//!
//! Each node has a driver, a local record on the disk, watches and connections of its own; nothing is
//! shared that nodes do not share, but for the machine.

use crate::api::{self, Said};
use crate::fault::Fault;
use crate::scene::{POOL, holder, node_name};
use spiderpool_benches::pod::Pod;
use spiderpool_core::command::{Answer, Command};
use spiderpool_core::name::Name;
use spiderpool_core::request::{PoolNames, Request};
use spiderpool_kube::client::{self, Handle, Settings, Task};
use spiderpool_kube::cluster::port::Ask;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{Mutex, broadcast};

/// How long an ADD may take: what a container runtime leaves of its two minutes, and less.
const BUDGET: Duration = Duration::from_secs(60);

/// One node.
pub(crate) struct Blocks {
    handle: Handle,
    task: Mutex<Task>,
    agent: u32,
}

impl Blocks {
    /// Starts a node's driver; its files are in a directory of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(
        kubeconfig: &Path,
        directory: &Path,
        agent: u32,
    ) -> Result<Self, Fault> {
        let place = directory.join(node_name(agent));
        std::fs::create_dir_all(&place)?;
        let machine_id = place.join("machine-id");
        std::fs::write(&machine_id, format!("{agent:032x}\n"))?;
        let node = Name::new(&node_name(agent))?;
        let settings =
            Settings::new(node, "kube-system".to_owned(), place.join("record"), machine_id);
        let (notices, _) = broadcast::channel(64);
        let (handle, task) =
            client::start(api::config(kubeconfig).await?, settings, notices).await?;
        Ok(Self { handle, task: Mutex::new(task), agent })
    }

    /// Waits until the node knows the definitions and its record.
    pub(crate) async fn warm(&self) -> Result<(), Said> {
        self.ask(Command::Release(refused(Pod(u64::MAX).release(1))?)).await.map(drop)
    }

    /// Gives a pod an address.
    pub(crate) async fn allocate(&self, pod: Pod) -> Result<Ipv4Addr, Said> {
        let pools = PoolNames { v4: vec![POOL.to_owned()], v6: Vec::new() };
        let holder = refused(holder(pod, self.agent))?;
        let request = Request { holder, ..refused(pod.request(&pools, 1))? };
        let answer = self.ask(Command::Allocate(request)).await?;
        let Answer::Allocated(allocated) = &answer else {
            return Err(Said::Other(format!("answered {answer:?}")));
        };
        match allocated.addresses.first().map(|granted| granted.address.addr()) {
            Some(IpAddr::V4(address)) => Ok(address),
            other => Err(Said::Other(format!("granted {other:?}"))),
        }
    }

    /// Takes a pod's addresses back.
    pub(crate) async fn release(&self, pod: Pod) -> Result<(), Said> {
        self.ask(Command::Release(refused(pod.release(2))?)).await.map(drop)
    }

    /// Ends the driver.
    ///
    /// # Errors
    /// When it came to a bad end.
    pub(crate) async fn stop(&self) -> Result<(), Fault> {
        let mut task = self.task.lock().await;
        task.stop();
        Ok(task.wait().await?)
    }

    async fn ask(&self, command: Command) -> Result<Answer, Said> {
        let deadline_ms = self.handle.deadline_in(BUDGET);
        let ask = Ask { command, endpoint: None, deadline_ms };
        self.handle.ask(ask).await.map_err(|fault| Said::Other(fault.to_string()))
    }
}

fn refused<T>(made: Result<T, impl std::fmt::Display>) -> Result<T, Said> {
    made.map_err(|error| Said::Other(error.to_string()))
}
