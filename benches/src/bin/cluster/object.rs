//! One object for each address, made if there is none of its name.
//!
//! A node knows nothing of which addresses are taken: a pod tries addresses in an order of its own, which
//! begins where a hash of its UID says and goes on in steps of another hash, so that every address comes
//! once. The API server refuses a name that exists (409). Some 900 bytes are stored for each.

use crate::api::{Api, Said};
use crate::scene::{NAMESPACE, POOL, Scene, node_name, pod_name, uid};
use http::Method;
use serde_json::{Value, json};
use spiderpool_benches::chance::Chance;
use spiderpool_benches::pod::Pod;
use std::net::Ipv4Addr;

/// Where the objects are.
pub(crate) const PLACE: &str = "/apis/figures.spiderpool.spidernet.io/v1/addresses";

/// One node.
pub(crate) struct Objects {
    api: Api,
    scene: Scene,
    agent: u32,
}

impl Objects {
    /// A node.
    pub(crate) const fn new(api: Api, scene: Scene, agent: u32) -> Self {
        Self { api, scene, agent }
    }

    /// Makes the connection.
    pub(crate) async fn warm(&self) -> Result<(), Said> {
        self.api.send(Method::GET, &format!("{PLACE}?limit=1"), None).await.map(drop)
    }

    /// Gives a pod an address. One that failed before may hold what the API server did not tell.
    pub(crate) async fn allocate(&self, pod: Pod, again: bool) -> Result<Ipv4Addr, Said> {
        let size = self.scene.size();
        let mut chance = Chance::new(pod.0 ^ 0x5eed);
        let (start, step) = (draw(&mut chance), draw(&mut chance) | 1);
        for number in 0..size {
            let at = start.wrapping_add(number.wrapping_mul(step));
            let address = self.scene.address(at & (size - 1));
            match self.api.send(Method::POST, PLACE, Some(&self.object(pod, address))).await {
                Ok(_) => return Ok(address),
                Err(Said::Conflict) if again && self.is_ours(pod, address).await? => {
                    return Ok(address);
                }
                Err(Said::Conflict) => {}
                Err(other) => return Err(other),
            }
        }
        Err(Said::Other("every address is taken".to_owned()))
    }

    /// Takes an address back.
    pub(crate) async fn release(&self, address: Ipv4Addr) -> Result<(), Said> {
        let place = format!("{PLACE}/{}", name(address));
        match self.api.send(Method::DELETE, &place, None).await {
            Ok(_) | Err(Said::Missing) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn is_ours(&self, pod: Pod, address: Ipv4Addr) -> Result<bool, Said> {
        let text = self.api.send(Method::GET, &format!("{PLACE}/{}", name(address)), None).await?;
        let json: Value =
            serde_json::from_str(&text).map_err(|error| Said::Other(error.to_string()))?;
        Ok(json.pointer("/spec/podUID").and_then(Value::as_str) == Some(&uid(pod)))
    }

    fn object(&self, pod: Pod, address: Ipv4Addr) -> Value {
        let container = pod.holder().ok().and_then(|holder| holder.container);
        json!({
            "apiVersion": "figures.spiderpool.spidernet.io/v1",
            "kind": "Address",
            "metadata": {"name": name(address), "finalizers": []},
            "spec": {
                "address": address.to_string(),
                "pool": POOL,
                "pod": format!("{NAMESPACE}/{}", pod_name(pod)),
                "podUID": uid(pod),
                "containerID": container.map(|container| container.to_string()),
                "node": node_name(self.agent),
                "interface": "eth0",
                "network": "underlay",
                "since": 1_790_000_000_000_u64,
            },
        })
    }
}

fn name(address: Ipv4Addr) -> String {
    format!("{POOL}.{address}")
}

fn draw(chance: &mut Chance) -> u32 {
    u32::try_from(chance.below(1 << 32)).unwrap_or(u32::MAX)
}
