//! The control plane of the stories of this binary, and the part of it that a story has for itself.
//!
//! A story stops, restarts and rewinds the API server, and a recovery concerns every ready node; so the
//! stories take turns, but for one that waits for long and has a control plane to itself. Each has nodes, a pool and with it blocks of its own, and none is looked at by
//! another. Agents are the service account of `deploy/rbac`, under the policies of `deploy/policy`, with a
//! token that is bound to their node.
//!
//! Invariant: nodes and pods of a story go with it, and the API server runs after it, also when it fails.

use serde_json::{Value, json};
use spiderpool_core::audit::audit;
use spiderpool_core::name::Name;
use spiderpool_core::slots::{Block, BlockKey, Held, Slot};
use spiderpool_core::view::View;
use spiderpool_kube::cluster::object::{Body, Key, Ledger};
use spiderpool_kube::cluster::wire;
use spiderpool_kube_lab::{Bound, Cluster, Identity, Options, Reply};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The custom resources' paths begin so.
pub(crate) const APIS: &str = "/apis/spiderpool.spidernet.io/v2beta1";

/// The pods of the namespace that every story uses.
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// How long an API server may be away until a request to it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A story's part of the control plane.
pub(crate) struct Ground {
    pub(crate) cluster: &'static Cluster,
    /// The name of the story, of its pool, and the beginning of every other name.
    pub(crate) story: &'static str,
    net: u8,
    nodes: Mutex<Vec<String>>,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// What a slot says, at its address.
pub(crate) type Slots = BTreeMap<IpAddr, Slot>;

impl Ground {
    /// The part of a story whose turn it is: the pool of its name has `10.213.NET.10` to `.249`.
    pub(crate) fn new(story: &'static str, net: u8) -> Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self::on(CLUSTER.get_or_init(cluster), (story, net), Some(turn))
    }

    /// The same on a control plane that no other story uses.
    pub(crate) fn alone(story: &'static str, net: u8) -> Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        Self::on(CLUSTER.get_or_init(cluster), (story, net), None)
    }

    fn on(
        cluster: &'static Cluster,
        (story, net): (&'static str, u8),
        turn: Option<MutexGuard<'static, ()>>,
    ) -> Self {
        let ground = Self { cluster, story, net, nodes: Mutex::default(), _turn: turn };
        ground.pool(story, (10, 249));
        ground
    }

    /// Makes a pool of the story's net.
    pub(crate) fn pool(&self, name: &str, (first, last): (u8, u8)) {
        let net = self.net;
        let spec = json!({
            "subnet": format!("10.213.{net}.0/24"),
            "ips": [format!("10.213.{net}.{first}-10.213.{net}.{last}")],
            "gateway": format!("10.213.{net}.1"),
        });
        let metadata = json!({"name": name, "annotations": {"ipam.spidernet.io/engine": "blocks"}});
        let pool = json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderIPPool",
            "metadata": metadata, "spec": spec});
        self.make(&format!("{APIS}/spiderippools"), &pool);
    }

    /// The address of the story's net with that number.
    pub(crate) const fn address(&self, number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 213, self.net, number))
    }

    /// A ready node, and the credential of its agent.
    pub(crate) fn node(&self, name: &str) -> Identity {
        let node = format!("{}-{name}", self.story);
        self.make("/api/v1/nodes", &json!({"metadata": {"name": node}}));
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        self.change(&format!("/api/v1/nodes/{node}/status"), &ready);
        self.nodes.lock().unwrap().push(node.clone());
        self.cluster.token_for("spiderpool", "spiderpool-agent", Bound::Node(&node)).unwrap()
    }

    /// Makes a pod on a node of the story, and gives its UID.
    pub(crate) fn pod(&self, name: &str, node: &str) -> String {
        self.pod_with(name, node, &json!({}))
    }

    /// The same with more in its metadata.
    pub(crate) fn pod_with(&self, name: &str, node: &str, more: &Value) -> String {
        let mut metadata = json!({"name": name, "labels": {"story": self.story}});
        for (key, value) in more.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        let spec = json!({"nodeName": format!("{}-{node}", self.story),
            "containers": [{"name": "c", "image": "c"}]});
        self.make(PODS, &json!({"metadata": metadata, "spec": spec}))
    }

    /// Says that a pod is to end, as `kubectl delete` does: it stays until its node says it ended.
    pub(crate) fn doom(&self, pod: &str) {
        let reply = self.insist("DELETE", &format!("{PODS}/{pod}?gracePeriodSeconds=30"), None);
        assert!(reply.is_well() || reply.status == 404, "{}", reply.text);
    }

    /// A pod is no longer in the API.
    pub(crate) fn vanish(&self, pod: &str) {
        let reply = self.insist("DELETE", &format!("{PODS}/{pod}?gracePeriodSeconds=0"), None);
        assert!(reply.is_well() || reply.status == 404, "{}", reply.text);
    }

    /// Makes an object unless it is there, and gives its UID.
    pub(crate) fn make(&self, collection: &str, object: &Value) -> String {
        let mut reply = self.insist("POST", collection, Some(object));
        if reply.status == 409 {
            // It is what an earlier try made, whose reply was lost.
            let name = object["metadata"]["name"].as_str().unwrap();
            reply = self.insist("GET", &format!("{collection}/{name}"), None);
        }
        assert!(reply.is_well(), "{collection}: {}", reply.text);
        reply.json()["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn change(&self, path: &str, patch: &Value) -> Value {
        let reply = self.insist("PATCH", path, Some(patch));
        assert!(reply.is_well(), "{path}: {}", reply.text);
        reply.json()
    }

    /// What the API server answers, as soon as it does.
    pub(crate) fn insist(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let end = Instant::now() + PATIENCE;
        loop {
            let once = Duration::from_secs(8);
            match self.cluster.admin().send_within(once, method, path, body) {
                Ok(reply) if reply.status != 429 && reply.status < 500 => return reply,
                Ok(reply) if Instant::now() > end => return reply,
                Err(fault) if Instant::now() > end => panic!("{method} {path}: {fault}"),
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// The items of a list.
    pub(crate) fn list(&self, path: &str) -> Vec<Value> {
        let reply = self.insist("GET", path, None);
        assert!(reply.is_well(), "{path}: {}", reply.text);
        reply.json()["items"].as_array().unwrap().clone()
    }

    /// Every block of the story's net, with its revision.
    fn blocks(&self) -> Vec<(BlockKey, u64, Block)> {
        let mut blocks = Vec::new();
        for json in self.list(&format!("{APIS}/spiderblocks")) {
            let named = json["metadata"]["name"].as_str().unwrap();
            let key = wire::parse_block_name(named).unwrap();
            let IpAddr::V4(first) = key.address(0) else { continue };
            if first.octets()[..3] != [10, 213, self.net] {
                continue;
            }
            let object = wire::lift(&Key::Block(key.clone()), &json, "spiderpool");
            let Body::Block(body) = object.body else { panic!("{named}: {:?}", object.body) };
            blocks.push((key, object.meta.revision, Block::try_from(body.sheet).unwrap()));
        }
        blocks
    }

    /// What every slot of the story's net says.
    pub(crate) fn slots(&self) -> Slots {
        let blocks = self.blocks().into_iter();
        let slots = blocks.flat_map(|(key, _, block)| {
            let slots = block.sheet().slots.into_iter();
            slots.map(move |(slot, state)| (key.address(slot), state)).collect::<Vec<_>>()
        });
        slots.collect()
    }

    /// Who holds what in the story's net.
    pub(crate) fn held(&self) -> BTreeMap<IpAddr, Box<Held>> {
        let slots = self.slots().into_iter();
        let held = slots.filter_map(|(address, slot)| match slot {
            Slot::Allocated(held) => Some((address, held)),
            Slot::Resting { .. } | Slot::Quarantined { .. } => None,
        });
        held.collect()
    }

    /// The ledger; what is not there says that all is well.
    pub(crate) fn ledger(&self) -> Ledger {
        let reply = self.insist("GET", &format!("{APIS}/spiderledgers/cluster"), None);
        if reply.status == 404 {
            return Ledger::default();
        }
        let body = wire::lift(&Key::Ledger, &reply.json(), "spiderpool").body;
        let Body::Ledger(ledger) = body else { panic!("{body:?}") };
        ledger
    }

    /// Fails unless the core finds nothing wrong with the story's pools and blocks.
    #[track_caller]
    pub(crate) fn is_sound(&self) {
        let mut view = View::complete();
        for json in self.list(&format!("{APIS}/spiderippools")) {
            let key = Key::Pool(Name::new(json["metadata"]["name"].as_str().unwrap()).unwrap());
            let object = wire::lift(&key, &json, "spiderpool");
            let Body::Pool(pool) = object.body else { panic!("{:?}", object.body) };
            view.load_pool(&pool, object.meta.revision);
        }
        for (key, revision, block) in self.blocks() {
            view.load_block(&key, block, revision);
        }
        let audit = audit(&view).unwrap();
        assert!(audit.is_clean(), "{audit:?}");
    }

    /// Fails unless `probe` gives nothing to complain of in time.
    #[track_caller]
    pub(crate) fn eventually(&self, within: Duration, probe: impl Fn() -> Result<(), String>) {
        let end = Instant::now() + within;
        while let Err(why) = probe() {
            assert!(Instant::now() < end, "{}: still so after {within:?}: {why}", self.story);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A control plane with our definitions, roles and policies.
fn cluster() -> Cluster {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let place = |path: &str| root.join(path);
    let manifests = ["spiderpool-kube/crds", "deploy/rbac", "deploy/policy"].map(place);
    Cluster::start(Options { manifests: manifests.into(), ..Options::default() }).unwrap()
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Whatever fails in here has failed the story already, or fails the next one.
        drop(self.cluster.resume_server());
        drop(self.cluster.start_server());
        let admin = self.cluster.admin();
        let collection = format!("{PODS}?labelSelector=story={}&gracePeriodSeconds=0", self.story);
        drop(admin.send("DELETE", &collection, None));
        for node in self.nodes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            drop(admin.send("DELETE", &format!("/api/v1/nodes/{node}"), None));
        }
    }
}
