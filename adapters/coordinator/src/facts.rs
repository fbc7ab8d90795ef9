//! What the cluster says about a pod's networks: its own CIDRs and the administrator's choices.
//!
//! ADD asks, once; DEL, CHECK and GC never do, since they go by what ADD wrote down
//! (`del_asks_nobody` in `tests/lifecycle.rs`). The agent's socket is one more implementation.

use crate::conf::Draft;
use std::error::Error;
use thiserror::Error;

/// The pod that is asked about, as far as the runtime says who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodName {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: Option<String>,
    /// `K8S_POD_NAME`.
    pub name: Option<String>,
}

/// Whoever knows the cluster.
pub trait Facts {
    /// What the cluster says about a pod.
    ///
    /// # Errors
    /// [`FactsFault`] when it cannot be asked, or does not know.
    fn of_pod(&self, pod: &PodName) -> Result<Draft, FactsFault>;
}

/// The cluster's facts cannot be had; trying again may help (CNI code 11).
#[derive(Debug, Error)]
#[error("the cluster's facts about pod `{pod}` cannot be had from {from}; is it running?")]
pub struct FactsFault {
    /// The pod.
    pub pod: String,
    /// Who was asked.
    pub from: &'static str,
    /// What happened.
    pub source: Box<dyn Error + Send + Sync>,
}

/// A node without a cluster: the facts are what the configuration itself says, and the reference's
/// default where it is silent.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What the configuration says.
    pub said: Draft,
}

impl Facts for Configured {
    fn of_pod(&self, _: &PodName) -> Result<Draft, FactsFault> {
        Ok(self.said.clone().over(defaults()))
    }
}

/// The default of the reference's chart: it lets pods reach a DNS cache of their node.
fn defaults() -> Draft {
    let local = "169.254.0.0/16".parse().ok();
    Draft { hijacked: local.map(|net| vec![net]), ..Draft::default() }
}
