//! What is measured: a layout, how many nodes ask at once, and for how many of a pool's addresses.
//!
//! Invariant: every layout of a scene serves the same pods of the same nodes from the same addresses.

use clap::ValueEnum;
use spiderpool_benches::pod::Pod;
use spiderpool_core::name::BadName;
use spiderpool_core::name::Name;
use spiderpool_core::owner::Holder;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The pool that all pods name.
pub(crate) const POOL: &str = "figures";

/// The pods' namespace.
pub(crate) const NAMESPACE: &str = "default";

/// Pods that a kubelet runs at most, and so how many of a node ask at once after it was restarted.
pub(crate) const BURST: usize = 110;

/// How long a pod waits after an ADD that failed. A kubelet waits 10 s to 15 s; this is kinder to whoever
/// fails often.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// The first address of the pool.
const FIRST: u32 = u32::from_be_bytes([10, 6, 0, 0]);

/// How allocations are laid out on the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Layout {
    /// The reference's: one text of all allocations in the status of the pool
    Reference,
    /// One object for each address, made if there is none of its name
    Object,
    /// Ours: blocks of 64 addresses, driven by the node's real client
    Blocks,
}

impl Layout {
    /// Its name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Object => "object",
            Self::Blocks => "blocks",
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// The layout.
    pub(crate) layout: Layout,
    /// How many nodes ask.
    pub(crate) agents: u32,
    /// How many pods there are, spread evenly over the nodes.
    pub(crate) requests: u32,
    /// Length of the pool's prefix.
    pub(crate) prefix: u8,
    /// How long the run may take.
    pub(crate) limit: Duration,
}

impl Scene {
    /// The pool's prefix.
    pub(crate) fn subnet(&self) -> String {
        format!("{}/{}", Ipv4Addr::from(FIRST), self.prefix)
    }

    /// The number of addresses.
    pub(crate) fn size(&self) -> u32 {
        1_u32.checked_shl(32 - u32::from(self.prefix)).unwrap_or(u32::MAX)
    }

    /// An address of the pool by its number.
    pub(crate) fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(FIRST + number.checked_rem(self.size()).unwrap_or(0))
    }

    /// The range of all addresses, as a pool says it.
    pub(crate) fn range(&self) -> String {
        format!("{}-{}", self.address(0), self.address(self.size() - 1))
    }

    /// The pods of a node.
    pub(crate) fn pods(&self, agent: u32) -> Vec<Pod> {
        let all = (0..self.requests).filter(|pod| pod.checked_rem(self.agents) == Some(agent));
        all.map(|pod| Pod(pod.into())).collect()
    }
}

/// The name of a node.
pub(crate) fn node_name(agent: u32) -> String {
    format!("worker-{agent:05}")
}

/// The name of a pod.
pub(crate) fn pod_name(pod: Pod) -> String {
    format!("web-6d4cf56db6-{:05}", pod.0)
}

/// A pod on its node.
///
/// # Errors
/// Never: the names are well formed.
pub(crate) fn holder(pod: Pod, agent: u32) -> Result<Holder, BadName> {
    Ok(Holder { node: Name::new(&node_name(agent))?, ..pod.holder()? })
}

/// The UID of a pod as text.
pub(crate) fn uid(pod: Pod) -> String {
    let holder = pod.holder().ok();
    holder.and_then(|holder| holder.pod_uid).map(|uid| uid.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pod_is_of_one_node() {
        let limit = Duration::from_secs(1);
        let scene = Scene { layout: Layout::Blocks, agents: 16, requests: 100, prefix: 20, limit };
        let mut pods: Vec<u64> = (0..16).flat_map(|a| scene.pods(a)).map(|pod| pod.0).collect();
        pods.sort_unstable();
        assert_eq!(pods, (0..100).collect::<Vec<_>>());
        assert_eq!((scene.size(), scene.range().as_str()), (4096, "10.6.0.0-10.6.15.255"));
    }
}
