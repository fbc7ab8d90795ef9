//! An agent that runs, and the words to talk with it.

use crate::ledger::Ledger;
use crate::world::World;
use serde_json::{Value, json};
use spiderpool_agent::agent::{Agent, Site};
use spiderpool_agent::conf::reload::Watched;
use spiderpool_agent::duty::project::Outbox;
use spiderpool_agent::health::{Health, Part};
use spiderpool_agent::herald::{Board, Herald, Notice};
use spiderpool_agent::http::{self, Listener};
use spiderpool_agent::metrics::Metrics;
use spiderpool_agent::order::Order;
use spiderpool_agent::socket::Door;
use spiderpool_agent::soon::Soon;
use spiderpool_core::name::Name;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Events, as they were written.
#[derive(Debug, Default)]
pub(crate) struct Wall(Mutex<Vec<Notice>>);

impl Board for Wall {
    fn post(&self, notice: Notice) -> Soon<'_, Result<(), String>> {
        self.0.lock().unwrap().push(notice);
        Box::pin(async { Ok(()) })
    }
}

pub(crate) struct Room {
    pub(crate) world: Arc<World>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) wall: Arc<Wall>,
    pub(crate) socket: PathBuf,
    pub(crate) conf: PathBuf,
    pub(crate) watched: Watched,
    closing: watch::Sender<bool>,
    served: JoinHandle<()>,
    _door: Door,
    _dir: tempfile::TempDir,
}

/// An agent of `worker-1`, which is ready.
pub(crate) fn room() -> Room {
    room_with("")
}

/// The same with a configuration.
pub(crate) fn room_with(conf: &str) -> Room {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conf.yml");
    std::fs::write(&path, conf).unwrap();
    let (watched, _) = Watched::open(path.clone()).unwrap();
    let (world, ledger) = (Arc::new(World::default()), Arc::new(Ledger::default()));
    let (wall, health) = (Arc::new(Wall::default()), Arc::new(Health::default()));
    for part in [Part::Socket, Part::Server, Part::Pods, Part::Store] {
        health.set(part, Ok(()));
    }
    let (herald, telling) = Herald::new(Arc::clone(&wall) as Arc<dyn Board>);
    tokio::spawn(telling);
    let (metrics, outbox) = (Arc::new(Metrics::default()), Arc::new(Outbox::default()));
    let agent = Agent {
        site: Site {
            node: Name::new("worker-1").unwrap(),
            namespace: "kube-system".to_owned(),
            network: None,
            releases_conflicts: true,
        },
        conf: watched.present(),
        facts: Arc::clone(&world) as _,
        store: Arc::clone(&ledger) as _,
        outbox: Arc::clone(&outbox),
        herald,
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
        order: Order::default(),
    };
    let socket = dir.path().join("agent.sock");
    let (door, listener) = Door::open(&socket).unwrap();
    let (closing, closed) = watch::channel(false);
    let served = tokio::spawn(http::serve(Listener::Unix(listener), Arc::new(agent), closed));
    Room {
        world,
        ledger,
        health,
        metrics,
        outbox,
        wall,
        socket,
        conf: path,
        watched,
        closing,
        served,
        _door: door,
        _dir: dir,
    }
}

/// The reply to a request, read by hand: status and body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Room {
    pub(crate) async fn call(&self, method: &str, target: &str, body: &Value) -> Told {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: agent\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        self.raw(request.as_bytes()).await
    }

    pub(crate) async fn raw(&self, request: &[u8]) -> Told {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(request).await.unwrap();
        told(&mut stream).await
    }

    /// ADD of `eth0`; version 2.
    pub(crate) async fn add(&self, pod: &str, uid: &str, container: &str) -> Told {
        self.call("POST", "/v1/ipam/ip", &add(pod, uid, container, "eth0")).await
    }

    pub(crate) async fn del(&self, pod: &str, uid: &str, container: &str) -> Told {
        self.call("DELETE", "/v1/ipam/ip", &add(pod, uid, container, "eth0")).await
    }

    /// Events, as reason and text, once one was written.
    pub(crate) async fn events(&self) -> Vec<(String, String)> {
        for _ in 0..200 {
            let notices = self.wall.0.lock().unwrap().clone();
            if !notices.is_empty() {
                let told = notices.into_iter().map(|notice| notice.told);
                return told.map(|told| (told.reason.to_owned(), told.text)).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Vec::new()
    }

    /// A figure of the metrics.
    pub(crate) fn measured(&self, name: &str) -> f64 {
        let text = self.metrics.text().unwrap();
        let line =
            text.lines().find_map(|line| line.strip_prefix(&format!("spiderpool_ipam_{name} ")));
        line.unwrap().parse().unwrap()
    }

    /// Tells the agent to end, and waits until it has.
    pub(crate) async fn close(self) {
        self.closing.send_replace(true);
        tokio::time::timeout(Duration::from_secs(5), self.served).await.unwrap().unwrap();
    }

    pub(crate) fn begin_to_close(&self) {
        self.closing.send(true).unwrap();
    }
}

/// The reply on a stream, up to its end.
pub(crate) async fn told(stream: &mut UnixStream) -> Told {
    let mut reply = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut reply));
    drop(read.await.expect("the agent does not answer"));
    let text = String::from_utf8(reply).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = serde_json::from_str(body).unwrap_or_else(|_| json!(body));
    Told { status, body }
}

/// The body of ADD, and as good for DEL.
pub(crate) fn add(pod: &str, uid: &str, container: &str, nic: &str) -> Value {
    json!({
        "containerID": container, "ifName": nic, "netNamespace": "/run/netns/x",
        "podNamespace": "default", "podName": pod, "podUID": uid, "apiVersion": 2,
        "networkName": "blue-net", "defaultIPv4IPPool": ["blue"],
    })
}

impl Told {
    /// The addresses of a reply to ADD, as `NIC ADDRESS`.
    pub(crate) fn addresses(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.body);
        let ips = self.body["ips"].as_array().unwrap().iter();
        ips.map(|ip| format!("{} {}", ip["nic"].as_str().unwrap(), ip["address"].as_str().unwrap()))
            .collect()
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().or(self.body.as_str()).unwrap()
    }
}
