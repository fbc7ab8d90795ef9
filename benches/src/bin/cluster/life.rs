//! What else a pod costs the API server: its endpoint, the pool's counters, and its end.
//!
//! After the allocations of a run, every pod gets its `SpiderEndpoint`; then it gives its address back and
//! the endpoint goes. The reference's endpoints have a finalizer, which is taken out by a write of its own
//! before they go; ours of ordinary pods have none. With blocks, the pool's status is projected from them
//! all the while, by the project's own projection and at its pace; an object for each address has no
//! counters at all.

use crate::api::{Api, GROUP, Said};
use crate::fault::Fault;
use crate::gauge::Gauge;
use crate::reference::place;
use crate::run::{Agent, Outcome};
use crate::scene::{Layout, NAMESPACE, PAUSE, POOL, Scene, holder, node_name, pod_name, uid};
use crate::stage::{Stage, items};
use http::Method;
use serde_json::{Value, json};
use spiderpool_benches::pod::Pod;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{BlockKey, Sheet};
use spiderpool_kube::cluster::object::{Body, EndpointKey, Key};
use spiderpool_kube::cluster::project::{Pace, PoolSource, Projection, pool_status};
use spiderpool_kube::cluster::wire;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Goes on from what a run has left, and says what the whole life of a pod costs.
///
/// # Errors
/// When an endpoint cannot be written.
pub(crate) async fn live(
    stage: &Stage,
    agents: &[Arc<Agent>],
    outcome: &Outcome,
    before: &Gauge,
) -> Result<String, Fault> {
    let scene = stage.scene;
    let mut pods = JoinSet::new();
    for (number, agent) in (0..scene.agents).zip(agents) {
        let pods_here = scene.pods(number);
        let mine = outcome.told.iter().copied().filter(|(pod, _)| pods_here.contains(pod));
        let life = node(Arc::clone(agent), stage.api.clone(), (scene, number), mine.collect());
        pods.spawn(life);
    }
    let (mut ended, mut failed) = (0_u32, 0_u32);
    while let Some(counts) = pods.join_next().await {
        let (well, badly) = counts?;
        ended += well;
        failed += badly;
    }
    let done = Gauge::read(&stage.cluster).await?.since(before);
    let told = u32::try_from(outcome.told.len()).unwrap_or(u32::MAX).max(1);
    let each = |count: f64| count / f64::from(told);
    let left = stage.held().await?.len();
    Ok(format!(
        "  {} agents, {}: a whole life takes {:.2} requests, {:.2} writes, {:.0} bytes sent, {:.0} bytes stored; {ended} ended, {failed} failed, {left} still held",
        scene.agents,
        scene.layout.name(),
        each(done.total()),
        each(done.puts),
        each(done.sent_bytes),
        each(done.put_bytes),
    ))
}

/// The rest of the lives of one node's pods, all at once; how many ended well, and how many did not.
async fn node(
    agent: Arc<Agent>,
    api: Api,
    (scene, number): (Scene, u32),
    pods: Vec<(Pod, Ipv4Addr)>,
) -> (u32, u32) {
    let until = Instant::now() + scene.limit;
    let mut all = JoinSet::new();
    for (pod, address) in pods {
        let (agent, api) = (Arc::clone(&agent), api.clone());
        all.spawn(async move { end(&agent, &api, (scene, number), (pod, address, until)).await });
    }
    let (mut well, mut badly) = (0, 0);
    while let Some(outcome) = all.join_next().await {
        match outcome {
            Ok(Ok(())) => well += 1,
            Ok(Err(_)) | Err(_) => badly += 1,
        }
    }
    (well, badly)
}

async fn end(
    agent: &Agent,
    api: &Api,
    (scene, number): (Scene, u32),
    (pod, address, until): (Pod, Ipv4Addr, Instant),
) -> Result<(), Said> {
    let endpoints = format!("{GROUP}/namespaces/{NAMESPACE}/spiderendpoints");
    let endpoint = endpoint(&scene, number, (pod, address));
    api.send(Method::POST, &endpoints, Some(&endpoint)).await?;
    while let Err(said) = agent.release(pod, address).await {
        if Instant::now() > until {
            return Err(said);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let place = format!("{endpoints}/{}", pod_name(pod));
    if scene.layout == Layout::Reference {
        let bare = json!({"metadata": {"finalizers": null}});
        api.send(Method::PATCH, &place, Some(&bare)).await?;
    }
    api.send(Method::DELETE, &place, None).await.map(drop)
}

fn endpoint(scene: &Scene, number: u32, (pod, address): (Pod, Ipv4Addr)) -> Value {
    let finalizers: &[&str] = match scene.layout {
        Layout::Reference => &["spiderpool.spidernet.io"],
        Layout::Object | Layout::Blocks => &[],
    };
    let node = node_name(number);
    let ip = json!({
        "interface": "eth0", "vlan": 0, "cleanGateway": false,
        "ipv4": format!("{address}/{}", scene.prefix), "ipv4Pool": POOL,
    });
    json!({
        "apiVersion": "spiderpool.spidernet.io/v2beta1",
        "kind": "SpiderEndpoint",
        "metadata": {
            "name": pod_name(pod),
            "finalizers": finalizers,
            "labels": {"ipam.spidernet.io/node": node},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": pod_name(pod), "uid": uid(pod)},
            ],
        },
        "status": {
            "current": {"uid": uid(pod), "node": node, "ips": [ip]},
            "ownerControllerType": "Deployment",
            "ownerControllerName": "web",
        },
    })
}

/// Keeps the pool's status as the blocks are, at the projection's own pace, for ever.
pub(crate) async fn project(api: Api, scene: Scene) {
    let pods = names(&scene);
    loop {
        tokio::time::sleep(Duration::from_millis(Pace::default().apart_ms)).await;
        // One that fails or meets a conflict is made again from what is then there.
        drop(project_once(&api, &pods).await);
    }
}

fn names(scene: &Scene) -> BTreeMap<Name, EndpointKey> {
    let pods = (0..scene.requests).filter_map(|pod| {
        let pod = Pod(pod.into());
        let namespace = Name::new(NAMESPACE).ok()?;
        let key = EndpointKey { namespace, name: Name::new(&pod_name(pod)).ok()? };
        Some((holder(pod, 0).ok()?.pod_uid?, key))
    });
    pods.collect()
}

async fn project_once(api: &Api, pods: &BTreeMap<Name, EndpointKey>) -> Result<(), Fault> {
    let present = api.must(Method::GET, &place(""), None).await?;
    let pool = wire::lift(&Key::Pool(Name::new(POOL)?), &present, NAMESPACE);
    let Body::Pool(definition) = pool.body else { return Ok(()) };
    let list = api.must(Method::GET, &format!("{GROUP}/spiderblocks"), None).await?;
    let (blocks, revision) = blocks(&list);
    let source = PoolSource {
        pool: &definition,
        generation: pool.meta.generation,
        blocks: &blocks,
        pods,
        conditions: &[],
        revision,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    if let Projection::Patch(patch) = pool_status(&source, &present, now_ms) {
        api.must(Method::PATCH, &place("/status"), Some(&patch)).await?;
    }
    Ok(())
}

fn blocks(list: &Value) -> (Vec<(BlockKey, Sheet)>, u64) {
    let mut revision = 0;
    let blocks = items(list).iter().filter_map(|item| {
        let name = item.pointer("/metadata/name")?.as_str()?;
        let key = wire::key_of("SpiderBlock", name, None)?;
        let object = wire::lift(&key, item, NAMESPACE);
        revision = revision.max(object.meta.revision);
        let Key::Block(key) = key else { return None };
        Some((key, object.body.block()?.sheet.clone()))
    });
    (blocks.collect(), revision)
}
