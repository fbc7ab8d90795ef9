//! The driver and the protocol against a real API server: what it says, and what comes of it when it
//! goes away, loses replies and goes back in time.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test that wants it")]
#![expect(clippy::indexing_slicing, reason = "what is missing fails the test that looks for it")]
#![expect(clippy::panic, reason = "what is not as expected fails the test")]

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use spiderpool_core::command::{Answer, Command, Release};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request as Wish, Sources, Subject};
use spiderpool_kube::client::{Handle, Notice, RecordFault, Settings, StartFault, Task, start};
use spiderpool_kube::cluster::port::{Alarm, Ask, Fault};
use spiderpool_kube_lab::{Cluster, Faults, Identity, Options, Proxy, Restore};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

const APIS: &str = "/apis/spiderpool.spidernet.io/v2beta1";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A cluster with the custom resources, nodes `n1` and `n2`, and the pool `blue`.
fn cluster(range: &str) -> Cluster {
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let cluster = Cluster::start(Options { manifests: vec![crds], ..Options::default() }).unwrap();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    for node in ["n1", "n2"] {
        make(&cluster, "/api/v1/nodes", &json!({"metadata": {"name": node}}));
        cluster
            .admin()
            .call("PATCH", &format!("/api/v1/nodes/{node}/status"), Some(&ready))
            .unwrap();
    }
    make(&cluster, &format!("{APIS}/spiderippools"), &pool("blue", range));
    cluster
}

fn pool(name: &str, range: &str) -> Value {
    json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderIPPool",
           "metadata": {"name": name, "annotations": {"ipam.spidernet.io/engine": "blocks"}},
           "spec": {"subnet": "10.6.0.0/16", "ips": [range]}})
}

fn make(cluster: &Cluster, collection: &str, body: &Value) {
    cluster.admin().call("POST", collection, Some(body)).unwrap();
}

/// A driver at work for one node, and what it says.
struct Agent {
    node: &'static str,
    handle: Handle,
    task: Task,
    notices: broadcast::Receiver<Notice>,
    place: tempfile::TempDir,
}

impl Agent {
    async fn start(node: &'static str, config: Config) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), node, config).await
    }

    async fn start_in(place: tempfile::TempDir, node: &'static str, config: Config) -> Self {
        std::fs::write(place.path().join("machine-id"), node).unwrap();
        let (record, machine_id) = (place.path().join("record"), place.path().join("machine-id"));
        let settings = Settings::new(name(node), "kube-system".into(), record, machine_id);
        let settings = Settings { patience: Duration::from_secs(4), ..settings };
        let (sender, notices) = broadcast::channel(4_096);
        let began = Instant::now();
        let (handle, task) = loop {
            // A driver that was aborted may have left a write to a thread, which holds the record.
            match start(config.clone(), settings.clone(), sender.clone()).await {
                Err(StartFault::Record(RecordFault::InUse { .. }))
                    if began.elapsed() < Duration::from_secs(10) =>
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                begun => break begun.unwrap(),
            }
        };
        Self { node, handle, task, notices, place }
    }

    /// Ends as a killed process does, and starts again on the same disk.
    async fn again(self, config: Config) -> Self {
        let Self { node, handle, task, place, .. } = self;
        drop(task);
        let began = Instant::now();
        while handle.ask(ask(&handle, release("nobody", 1))).await != Err(Fault::NotReady) {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
        }
        drop(handle);
        Self::start_in(place, node, config).await
    }

    /// What is asked, again as long as the node has not read the definitions.
    async fn say(&self, command: Command) -> Result<Answer, Fault> {
        say(self.handle.clone(), command).await
    }

    /// An address for a container.
    async fn allocate(&self, container: &str) -> String {
        allocate(self.handle.clone(), self.node, container.to_owned()).await
    }

    async fn release(&self, container: &str) {
        let freed = self.say(release(container, 9)).await.unwrap();
        assert!(matches!(&freed, Answer::Freed(freed) if freed.len() == 1), "{freed:?}");
    }
}

fn ask(handle: &Handle, command: Command) -> Ask {
    Ask { command, endpoint: None, deadline_ms: handle.deadline_in(Duration::from_secs(60)) }
}

async fn say(handle: Handle, command: Command) -> Result<Answer, Fault> {
    let began = Instant::now();
    loop {
        match handle.ask(ask(&handle, command.clone())).await {
            Err(Fault::NotReady) if began.elapsed() < Duration::from_secs(30) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
}

async fn allocate(handle: Handle, node: &'static str, container: String) -> String {
    match say(handle, wish(node, &container, "blue")).await {
        Ok(Answer::Allocated(granted)) => granted.addresses[0].address.addr().to_string(),
        other => panic!("{container} on {node}: {other:?}"),
    }
}

fn wish(node: &str, container: &str, pool: &str) -> Command {
    let uid = name(&format!("uid-{container}"));
    Command::Allocate(Wish {
        holder: Holder {
            owner: Owner::pod(&uid).unwrap(),
            pod_uid: Some(uid),
            container: Some(name(container)),
            node: name(node),
        },
        attachment: name("eth0"),
        network: name("lan"),
        subject: Subject::default(),
        sources: Sources {
            pod: Some(PoolNames { v4: vec![pool.into()], v6: vec![] }),
            ..Sources::default()
        },
        named: vec![],
        routes: vec![],
        clean_gateway: false,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket: 2,
    })
}

fn release(container: &str, ticket: u64) -> Command {
    Command::Release(Release { container: name(container), attachment: None, ticket })
}

fn direct(who: &Identity) -> impl Future<Output = Config> + use<> {
    let path = who.kubeconfig.clone();
    async move {
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
    }
}

fn through(proxy: &Proxy) -> Config {
    Config::new(proxy.url().parse().unwrap())
}

/// Who has what, as the blocks say: each allocated address with its container.
fn allocated(cluster: &Cluster) -> BTreeMap<String, String> {
    let blocks = cluster.admin().call("GET", &format!("{APIS}/spiderblocks"), None).unwrap();
    let mut allocated = BTreeMap::new();
    for block in blocks["items"].as_array().unwrap() {
        let first: std::net::Ipv4Addr = block["spec"]["first"].as_str().unwrap().parse().unwrap();
        let Some(slots) = block["spec"]["slots"].as_object() else { continue };
        for (slot, state) in slots.iter().filter(|(_, state)| state["state"] == "Allocated") {
            let address = std::net::Ipv4Addr::from(u32::from(first) + slot.parse::<u32>().unwrap());
            let container = state["containerID"].as_str().unwrap().to_owned();
            assert_eq!(allocated.insert(address.to_string(), container), None);
        }
    }
    allocated
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kube tier: needs an API server"]
async fn two_nodes_share_the_last_address() {
    let cluster = cluster("10.6.0.10-10.6.0.49");
    let config = direct(cluster.admin()).await;
    let agents = [Agent::start("n1", config.clone()).await, Agent::start("n2", config).await];
    let asks = (0..40).map(|n| {
        let agent = &agents[n % 2];
        tokio::spawn(allocate(agent.handle.clone(), agent.node, format!("c{n}")))
    });
    let mut told = BTreeMap::new();
    for (n, ask) in asks.collect::<Vec<_>>().into_iter().enumerate() {
        told.insert(ask.await.unwrap(), format!("c{n}"));
    }
    assert_eq!(told.len(), 40, "an address was given twice");
    assert_eq!(allocated(&cluster), told);
    let refusal = agents[0].say(wish("n1", "late", "blue")).await.unwrap_err();
    assert!(matches!(&refusal, Fault::Refused(_)), "{refusal:?}");
    // Asking again gives the same, on the node that has it.
    let again = agents[1].allocate("c1").await;
    assert_eq!(told[&again], "c1");
    for (_, container) in told {
        let n: usize = container[1..].parse().unwrap();
        agents[n % 2].release(&container).await;
    }
    assert_eq!(allocated(&cluster), BTreeMap::new());
    agents[1].allocate("later").await;
    for mut agent in agents {
        while let Ok(notice) = agent.notices.try_recv() {
            assert!(matches!(notice, Notice::RecordLost(_)), "{notice}");
        }
        agent.task.stop();
        agent.task.wait().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kube tier: needs an API server"]
async fn lost_requests_and_replies_lose_no_address() {
    let cluster = cluster("10.6.0.1-10.6.1.250");
    let faults = |seed| Faults { seed, lost_requests: 0.1, lost_replies: 0.2, ..Faults::default() };
    let proxies = [1, 2].map(|seed| Proxy::start(cluster.admin(), faults(seed)).unwrap());
    let agents = [
        Agent::start("n1", through(&proxies[0])).await,
        Agent::start("n2", through(&proxies[1])).await,
    ];
    let mut held = BTreeMap::new();
    for round in 0..4 {
        let asks = (0..30).map(|n| {
            let agent = &agents[n % 2];
            tokio::spawn(allocate(agent.handle.clone(), agent.node, format!("c{round}-{n}")))
        });
        for (n, ask) in asks.collect::<Vec<_>>().into_iter().enumerate() {
            let before = held.insert(ask.await.unwrap(), format!("c{round}-{n}"));
            assert_eq!(before, None, "an address was given twice");
        }
        // Every other one goes.
        let goes: Vec<_> =
            held.iter().step_by(2).map(|(at, who)| (at.clone(), who.clone())).collect();
        for (address, container) in goes {
            let n: usize = container.rsplit('-').next().unwrap().parse().unwrap();
            agents[n % 2].release(&container).await;
            held.remove(&address);
        }
    }
    assert_eq!(allocated(&cluster), held);
    let lost: u64 =
        proxies.iter().flat_map(|proxy| proxy.counters().lost_replies.into_values()).sum();
    assert!(lost > 5, "only {lost} replies were lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kube tier: needs an API server"]
async fn a_server_that_restarts_is_found_again() {
    let cluster = cluster("10.6.0.10-10.6.0.49");
    let agent = Agent::start("n1", direct(cluster.admin()).await).await;
    agent.allocate("before").await;
    cluster.kill_server();
    let during = tokio::spawn(allocate(agent.handle.clone(), "n1", "during".into()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.start_server().unwrap();
    // What was asked while it was away is answered, and what changes from here on is heard of.
    during.await.unwrap();
    make(&cluster, &format!("{APIS}/spiderippools"), &pool("green", "10.6.9.1-10.6.9.9"));
    let began = Instant::now();
    while let Err(fault) = agent.say(wish("n1", "after", "green")).await {
        assert!(began.elapsed() < Duration::from_secs(60), "{fault}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster.admin().call("DELETE", &format!("{APIS}/spiderippools/green"), None).unwrap();
    let began = Instant::now();
    while agent.say(wish("n1", "too-late", "green")).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(60), "a pool that is going gives addresses");
    }
    assert_eq!(allocated(&cluster).into_values().filter(|who| who == "after").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kube tier: needs an API server"]
async fn a_driver_that_is_killed_finds_what_it_gave() {
    let cluster = cluster("10.6.0.10-10.6.0.49");
    let config = direct(cluster.admin()).await;
    let mut agent = Agent::start("n1", config.clone()).await;
    let mut held = BTreeMap::new();
    for round in 0..3 {
        let container = format!("c{round}");
        held.insert(agent.allocate(&container).await, container);
        // Killed with asks on their way: what came of them is found by asking again.
        let asks: Vec<_> = (0..4).map(|n| (n, format!("r{round}-{n}"))).collect();
        for (_, container) in &asks {
            drop(tokio::spawn(say(agent.handle.clone(), wish("n1", container, "blue"))));
        }
        tokio::time::sleep(Duration::from_millis(5 * round)).await;
        agent = agent.again(config.clone()).await;
        assert!(agent.notices.try_recv().is_err(), "the record was believed");
        for (_, container) in asks {
            held.insert(agent.allocate(&container).await, container);
        }
        for (address, container) in &held {
            assert_eq!(&agent.allocate(container).await, address);
        }
    }
    assert_eq!(allocated(&cluster), held);
    for container in held.values() {
        agent.release(container).await;
    }
    assert_eq!(allocated(&cluster), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "kube tier: needs an API server"]
async fn a_restored_store_gives_nothing_that_is_held() {
    let cluster = cluster("10.6.0.10-10.6.0.49");
    let config = direct(cluster.admin()).await;
    let mut agents = [Agent::start("n1", config.clone()).await, Agent::start("n2", config).await];
    let mut held = BTreeSet::new();
    held.insert(agents[0].allocate("old").await);
    let snapshot = cluster.snapshot().unwrap();
    for n in 0..6 {
        assert!(held.insert(agents[n % 2].allocate(&format!("young-{n}")).await));
    }
    cluster.restore(&snapshot, Restore::Rewound).unwrap();
    // Until all is written back nobody is given anything; then nothing that somebody has.
    let began = Instant::now();
    for n in 0..12 {
        let (agent, container) = (&agents[n % 2], format!("new-{n}"));
        let granted = loop {
            match agent.say(wish(agent.node, &container, "blue")).await {
                Ok(Answer::Allocated(granted)) => break granted,
                other => assert!(began.elapsed() < Duration::from_secs(120), "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let address = granted.addresses[0].address.addr().to_string();
        assert!(held.insert(address.clone()), "{address} was given twice");
    }
    assert_eq!(allocated(&cluster).into_keys().collect::<BTreeSet<_>>(), held);
    let mut went_back = 0;
    for agent in &mut agents {
        while let Ok(notice) = agent.notices.try_recv() {
            went_back += u32::from(matches!(notice, Notice::Alarm(Alarm::WentBack { .. })));
        }
    }
    assert!(went_back > 0, "nobody was told");
}

/// What `verdict` relies on, said by the real server; the one in memory says the same.
#[test]
#[ignore = "kube tier: needs an API server"]
fn the_server_says_what_the_driver_relies_on() {
    let cluster = cluster("10.6.0.10-10.6.0.49");
    let admin = cluster.admin();
    let ledger = |epoch| {
        json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderLedger",
               "metadata": {"name": "cluster"}, "spec": {"format": 1, "epoch": epoch}})
    };
    let (all, one) = (format!("{APIS}/spiderledgers"), format!("{APIS}/spiderledgers/cluster"));
    let strict = "fieldManager=spiderpool&fieldValidation=Strict&timeout=9s";
    let said = |method: &str, path: &str, body: Option<&Value>| {
        let reply = admin.send(method, path, body).unwrap();
        let json = reply.json();
        let text =
            |at: &str| json.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        (reply.status, text("/reason"), text("/details/kind"), text("/details/name"))
    };
    let as_said = |status, reason: &str, kind: &str, name: &str| {
        (status, reason.to_owned(), kind.to_owned(), name.to_owned())
    };
    let missing = as_said(404, "NotFound", "spiderledgers", "cluster");
    assert_eq!(said("GET", &one, None), missing);
    assert_eq!(said("PATCH", &format!("{one}?{strict}"), Some(&ledger(1))), missing);
    // A kind that is not installed, and a version of one that is not: no `Status` at all, or one without
    // a name.
    for path in ["spidernothings/x", "spidernothings"] {
        let (status, _, kind, name) = said("GET", &format!("{APIS}/{path}"), None);
        assert_eq!((status, kind.as_str(), name.as_str()), (404, "", ""), "{path}");
    }
    let made = admin.call("POST", &format!("{all}?{strict}"), Some(&ledger(1))).unwrap();
    let first = made.pointer("/metadata/resourceVersion").unwrap();
    assert!(first.as_str().unwrap().parse::<u64>().is_ok());
    assert_eq!(
        said("POST", &all, Some(&ledger(1))),
        as_said(409, "AlreadyExists", "spiderledgers", "cluster")
    );
    let patch = |epoch| json!({"metadata": {"resourceVersion": first}, "spec": {"epoch": epoch}});
    admin.call("PATCH", &format!("{one}?{strict}"), Some(&patch(2))).unwrap();
    assert_eq!(
        said("PATCH", &format!("{one}?{strict}"), Some(&patch(3))),
        as_said(409, "Conflict", "spiderledgers", "cluster")
    );
    // A field that the definition does not know is refused, not dropped.
    let unknown = json!({"spec": {"epoch": 4, "surprise": true}});
    let (status, reason, ..) = said("PATCH", &format!("{one}?{strict}"), Some(&unknown));
    assert!(status == 400 || status == 422, "{status} {reason}");
    assert_eq!(admin.call("GET", &one, None).unwrap()["spec"]["epoch"], 2);
    let (status, reason, ..) = said("PATCH", &one, Some(&json!({"spec": {"epoch": "many"}})));
    assert_eq!((status, reason.as_str()), (422, "Invalid"));
    let endpoint = json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderEndpoint",
                          "metadata": {"name": "web-0"}});
    let nowhere = format!("{APIS}/namespaces/nowhere/spiderendpoints");
    assert_eq!(
        said("POST", &nowhere, Some(&endpoint)),
        as_said(404, "NotFound", "namespaces", "nowhere")
    );
    // Nobody without a role.
    let nobody = cluster.kubeconfig_for("nobody", &[]).unwrap();
    let reply = nobody.send("GET", &one, None).unwrap();
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (403, Some("Forbidden")));
}
