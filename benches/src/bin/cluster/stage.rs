//! A cluster for one run: an API server and an etcd of its own, the definitions, the pool, the nodes.
//!
//! Each run has a fresh one, so that what one layout leaves in the store slows no other down.

use crate::api::{Api, GROUP};
use crate::blocks::Blocks;
use crate::fault::Fault;
use crate::gauge::Gauge;
use crate::object::{self, Objects};
use crate::reference::{self, Reference};
use crate::run::Agent;
use crate::scene::{Layout, POOL, Scene, node_name, uid};
use http::Method;
use serde_json::{Value, json};
use spiderpool_benches::pod::Pod;
use spiderpool_kube_lab::{Cluster, Options, Syncing};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// An API server that uses less than a fifth of a processor for so long is at rest.
const QUIET: Duration = Duration::from_secs(2);

/// A cluster with everything that a run needs in it.
pub(crate) struct Stage {
    /// The programs.
    pub(crate) cluster: Arc<Cluster>,
    /// The administrator's own client.
    pub(crate) api: Api,
    /// What is measured.
    pub(crate) scene: Scene,
    records: TempDir,
}

impl Stage {
    /// Starts a cluster.
    ///
    /// # Errors
    /// When a program fails or refuses what it is given.
    pub(crate) async fn set(scene: Scene, syncing: Syncing) -> Result<Self, Fault> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifests: Vec<PathBuf> =
            vec![home.join("../spiderpool-kube/crds"), home.join("src/bin/cluster/address.json")];
        let options = Options { manifests, syncing, ..Options::default() };
        let cluster = tokio::task::spawn_blocking(|| Cluster::start(options)).await??;
        let api = Api::new(cluster.kubeconfig()).await?;
        let records = tempfile::tempdir()?;
        let cluster = Arc::new(cluster);
        let stage = Self { cluster, api, scene, records };
        stage.define().await?;
        Ok(stage)
    }

    async fn define(&self) -> Result<(), Fault> {
        let pool = json!({
            "apiVersion": "spiderpool.spidernet.io/v2beta1",
            "kind": "SpiderIPPool",
            "metadata": {"name": POOL},
            "spec": {"ipVersion": 4, "subnet": self.scene.subnet(), "ips": [self.scene.range()]},
        });
        self.api.must(Method::POST, &format!("{GROUP}/spiderippools"), Some(&pool)).await?;
        for agent in 0..self.scene.agents {
            let name = node_name(agent);
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
            self.api.must(Method::POST, "/api/v1/nodes", Some(&node)).await?;
        }
        Ok(())
    }

    /// Waits until the API server has done what it does for itself: for tens of seconds after its start
    /// it works on the definitions that were applied. Two minutes at most.
    ///
    /// # Errors
    /// When a program does not answer.
    pub(crate) async fn settle(&self) -> Result<(), Fault> {
        let mut before = Gauge::read(&self.cluster).await?;
        for _ in 0..60 {
            tokio::time::sleep(QUIET).await;
            let now = Gauge::read(&self.cluster).await?;
            if now.since(&before).server_s < QUIET.as_secs_f64() / 5.0 {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Starts the nodes and waits until all of them can serve.
    ///
    /// # Errors
    /// When one cannot.
    pub(crate) async fn agents(&self) -> Result<Vec<Arc<Agent>>, Fault> {
        let mut agents = Vec::new();
        for number in 0..self.scene.agents {
            let kubeconfig = self.cluster.kubeconfig();
            let agent = match self.scene.layout {
                Layout::Reference => {
                    let api = Api::new(kubeconfig).await?;
                    Agent::Reference(Reference::new(api, self.scene, number))
                }
                Layout::Object => {
                    Agent::Object(Objects::new(Api::new(kubeconfig).await?, self.scene, number))
                }
                Layout::Blocks => {
                    let blocks = Blocks::start(kubeconfig, self.records.path(), number).await?;
                    Agent::Blocks(Box::new(blocks))
                }
            };
            let what = format!("warm {} up", node_name(number));
            agent.warm().await.map_err(|said| Fault::Server { what, why: format!("{said:?}") })?;
            agents.push(Arc::new(agent));
        }
        Ok(agents)
    }

    /// Who holds which address, as the objects on the API server say.
    ///
    /// # Errors
    /// When they cannot be read, or an address is in two of them.
    pub(crate) async fn held(&self) -> Result<BTreeMap<Ipv4Addr, String>, Fault> {
        match self.scene.layout {
            Layout::Reference => {
                let pool = self.api.must(Method::GET, &reference::place(""), None).await?;
                reference::held(&pool).map_err(|said| Fault::Void(format!("{said:?}")))
            }
            Layout::Object => {
                let list = self.api.must(Method::GET, object::PLACE, None).await?;
                unique(items(&list).iter().filter_map(|item| {
                    let spec = item.get("spec")?;
                    let text = |field| spec.get(field).and_then(Value::as_str);
                    Some((text("address")?.parse().ok()?, text("podUID")?.to_owned()))
                }))
            }
            Layout::Blocks => {
                let place = format!("{GROUP}/spiderblocks");
                let list = self.api.must(Method::GET, &place, None).await?;
                unique(items(&list).iter().flat_map(slots))
            }
        }
    }

    /// Checks that every pod that was told an address holds it, alone.
    ///
    /// # Errors
    /// When one does not: the run is void.
    pub(crate) async fn check(&self, told: &[(Pod, Ipv4Addr)]) -> Result<u32, Fault> {
        let held = self.held().await?;
        let mut seen = BTreeSet::new();
        for (pod, address) in told {
            if !seen.insert(*address) {
                return Err(Fault::Void(format!("{address} was told to two pods")));
            }
            if held.get(address) != Some(&uid(*pod)) {
                let holder = held.get(address);
                return Err(Fault::Void(format!("{address}: told {}, held {holder:?}", uid(*pod))));
            }
        }
        Ok(u32::try_from(held.len()).unwrap_or(u32::MAX))
    }
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> &[Value] {
    list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The allocated slots of a `SpiderBlock`.
fn slots(block: &Value) -> Vec<(Ipv4Addr, String)> {
    let first = block.pointer("/spec/first").and_then(Value::as_str);
    let Some(first) = first.and_then(|first| first.parse::<Ipv4Addr>().ok()) else {
        return Vec::new();
    };
    let slots = block.pointer("/spec/slots").and_then(Value::as_object);
    let held = slots.into_iter().flatten().filter_map(|(slot, state)| {
        let address = u32::from(first).checked_add(slot.parse().ok()?)?;
        let uid = state.get("podUID")?.as_str()?;
        (state.get("state")? == "Allocated").then(|| (Ipv4Addr::from(address), uid.to_owned()))
    });
    held.collect()
}

fn unique(
    held: impl Iterator<Item = (Ipv4Addr, String)>,
) -> Result<BTreeMap<Ipv4Addr, String>, Fault> {
    let mut all = BTreeMap::new();
    for (address, uid) in held {
        if let Some(other) = all.insert(address, uid) {
            return Err(Fault::Void(format!("{address} is held twice, once by {other}")));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_addresses() {
        let block = json!({"spec": {"first": "10.6.0.64", "slots": {
            "3": {"state": "Allocated", "podUID": "u"}, "4": {"state": "Resting", "since": 1},
        }}});
        assert_eq!(slots(&block), [(Ipv4Addr::new(10, 6, 0, 67), "u".to_owned())]);
    }

    #[test]
    fn an_address_that_is_held_twice_voids_a_run() {
        let address = Ipv4Addr::new(10, 6, 0, 67);
        let held = [(address, "u".to_owned()), (address, "v".to_owned())];
        assert!(matches!(unique(held.into_iter()), Err(Fault::Void(_))));
    }
}
