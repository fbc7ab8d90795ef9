//! The reference's layout: one text of all allocations in the status of the pool.
//!
//! As the reference does it: requests for one pool go one at a time on a node; each reads the pool from
//! the API server, takes the lowest free address, and writes the status back under the revision it read;
//! five tries, 10 ms × 1.5ⁿ and a tenth of chance between them; then the ADD fails.

use crate::api::{Api, GROUP, Said};
use crate::scene::{NAMESPACE, POOL, Scene, pod_name, uid};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spiderpool_benches::chance::Chance;
use spiderpool_benches::pod::Pod;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex as Lock;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Mutex;

const TRIES: u32 = 5;

/// One node.
pub(crate) struct Reference {
    api: Api,
    scene: Scene,
    /// Whose turn it is.
    turn: Mutex<()>,
    chance: Lock<Chance>,
}

/// One entry of `allocatedIPs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    pod: String,
    pod_uid: String,
}

type Entries = BTreeMap<Ipv4Addr, Entry>;

impl Reference {
    /// A node.
    pub(crate) fn new(api: Api, scene: Scene, agent: u32) -> Self {
        let chance = Lock::new(Chance::new(agent.into()));
        Self { api, scene, turn: Mutex::default(), chance }
    }

    /// Makes the connection.
    pub(crate) async fn warm(&self) -> Result<(), Said> {
        self.read().await.map(drop)
    }

    /// Gives a pod an address.
    pub(crate) async fn allocate(&self, pod: Pod) -> Result<Ipv4Addr, Said> {
        let uid = uid(pod);
        let taken =
            |(address, entry): (&Ipv4Addr, &Entry)| (entry.pod_uid == uid).then_some(*address);
        self.change(|entries| {
            if let Some(address) = entries.iter().find_map(taken) {
                return Some((address, false));
            }
            let free = (0..self.scene.size()).map(|number| self.scene.address(number));
            let address = free.into_iter().find(|address| !entries.contains_key(address))?;
            let pod = format!("{NAMESPACE}/{}", pod_name(pod));
            entries.insert(address, Entry { pod, pod_uid: uid.clone() });
            Some((address, true))
        })
        .await
    }

    /// Takes an address back.
    pub(crate) async fn release(&self, pod: Pod, address: Ipv4Addr) -> Result<(), Said> {
        let uid = uid(pod);
        self.change(|entries| {
            let ours = entries.get(&address).is_some_and(|entry| entry.pod_uid == uid);
            if ours {
                entries.remove(&address);
            }
            Some(((), ours))
        })
        .await
    }

    /// Reads, changes and writes until nobody was faster.
    async fn change<T>(
        &self,
        change: impl Fn(&mut Entries) -> Option<(T, bool)>,
    ) -> Result<T, Said> {
        let _turn = self.turn.lock().await;
        for tries in 0..TRIES {
            let mut pool = self.read().await?;
            let mut entries = entries(&pool)?;
            let done = change(&mut entries);
            let (answer, changed) =
                done.ok_or_else(|| Said::Other("all IP addresses used out".to_owned()))?;
            if !changed {
                return Ok(answer);
            }
            put(&mut pool, &entries)?;
            match self.api.send(Method::PUT, &place("/status"), Some(&pool)).await {
                Ok(_) => return Ok(answer),
                Err(Said::Conflict) if tries + 1 < TRIES => {
                    tokio::time::sleep(self.pause(tries)).await;
                }
                Err(Said::Conflict) => {}
                Err(other) => return Err(other),
            }
        }
        Err(Said::Other("exhaust all retries".to_owned()))
    }

    async fn read(&self) -> Result<Value, Said> {
        let text = self.api.send(Method::GET, &place(""), None).await?;
        serde_json::from_str(&text).map_err(|error| Said::Other(error.to_string()))
    }

    fn pause(&self, tries: u32) -> Duration {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        let least_us = 10_000 * 3_u64.pow(tries) / 2_u64.pow(tries);
        Duration::from_micros(least_us + chance.below(least_us / 10))
    }
}

/// Who holds which address.
pub(crate) fn held(pool: &Value) -> Result<BTreeMap<Ipv4Addr, String>, Said> {
    Ok(entries(pool)?.into_iter().map(|(address, entry)| (address, entry.pod_uid)).collect())
}

/// Where the pool is.
pub(crate) fn place(part: &str) -> String {
    format!("{GROUP}/spiderippools/{POOL}{part}")
}

fn entries(pool: &Value) -> Result<Entries, Said> {
    match pool.pointer("/status/allocatedIPs").and_then(Value::as_str) {
        None => Ok(Entries::new()),
        Some(text) => serde_json::from_str(text).map_err(|error| Said::Other(error.to_string())),
    }
}

fn put(pool: &mut Value, entries: &Entries) -> Result<(), Said> {
    let text = serde_json::to_string(entries).map_err(|error| Said::Other(error.to_string()))?;
    let status = json!({"allocatedIPs": text, "allocatedIPCount": entries.len()});
    if let Some(pool) = pool.as_object_mut() {
        pool.insert("status".to_owned(), status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_references() {
        let entry = Entry { pod: "default/web-0".to_owned(), pod_uid: "u-0".to_owned() };
        let entries = Entries::from([(Ipv4Addr::new(10, 6, 0, 1), entry)]);
        let mut pool = json!({"spec": {}});
        put(&mut pool, &entries).unwrap();
        let text = r#"{"10.6.0.1":{"pod":"default/web-0","podUid":"u-0"}}"#;
        assert_eq!(
            pool,
            json!({"spec": {}, "status": {"allocatedIPs": text, "allocatedIPCount": 1}})
        );
        assert_eq!(super::entries(&pool).unwrap(), entries);
    }
}
