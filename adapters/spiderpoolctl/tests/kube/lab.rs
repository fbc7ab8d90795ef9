//! What the tests share: a cluster of their own, things planted in it, and the binary under test.

use serde_json::{Value, json};
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner, Placement, Stage};
use spiderpool_core::slots::{BlockKey, BlockSize, Held, Sheet, Slot};
use spiderpool_kube::cluster::object::{BlockBody, Body, Index, IndexKey, Key, Listing};
use spiderpool_kube::cluster::wire;
use spiderpool_kube_lab::{Cluster, Options};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The time that the transcripts are from.
pub(crate) const NOW_MS: u64 = 1_767_225_600_000;

pub(crate) const GROUP: &str = "/apis/spiderpool.spidernet.io/v2beta1";

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) dir: tempfile::TempDir,
    blocks: BTreeMap<BlockKey, Sheet>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn block_of(address: &str) -> BlockKey {
    BlockKey::of(&name("default"), address.parse().unwrap(), BlockSize::default())
}

impl Lab {
    /// A cluster with the custom resource definitions, and a directory with the transcripts' inputs.
    pub(crate) fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let crds = root.join("../../spiderpool-kube/crds");
        let options = Options { manifests: vec![crds], ..Options::default() };
        let cluster = Cluster::start(options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for input in std::fs::read_dir(root.join("tests/golden/inputs")).unwrap() {
            let input = input.unwrap();
            std::fs::copy(input.path(), dir.path().join(input.file_name())).unwrap();
        }
        Self { cluster, dir, blocks: BTreeMap::new() }
    }

    /// The binary on this cluster.
    pub(crate) fn ctl(&self, kubeconfig: &Path) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_spiderpoolctl"));
        process.current_dir(self.dir.path()).env_remove("NO_COLOR").env_remove("VISUAL");
        process.env("KUBECONFIG", kubeconfig).env("TMPDIR", self.dir.path());
        process.env("SPIDERPOOL_STORE", "store").arg("--cluster");
        process.stdin(std::process::Stdio::null());
        process
    }

    /// What the binary says as the administrator, at the time of the transcripts.
    pub(crate) fn run(&self, arguments: &[&str]) -> (String, String, i32) {
        let now = NOW_MS.to_string();
        finish(self.ctl(self.cluster.kubeconfig()).args(["--now", &now]).args(arguments))
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        for _ in 0..10 {
            let reply = self.cluster.admin().send(method, path, body).unwrap();
            // A kind that was defined a moment ago is not served at once.
            if reply.status == 429 || (reply.status == 404 && method == "POST") {
                std::thread::sleep(std::time::Duration::from_millis(500));
                continue;
            }
            assert!(reply.is_well(), "{method} {path}: {} {}", reply.status, reply.text);
            return reply.json();
        }
        panic!("{method} {path}: the server has no time");
    }

    pub(crate) fn node(&self, node: &str, ready: &str) {
        let json = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"zone": "z1"}}});
        self.call("POST", "/api/v1/nodes", Some(&json));
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
        self.call("PATCH", &format!("/api/v1/nodes/{node}/status"), Some(&status));
    }

    /// A pod of the namespace `default`; gives its UID.
    pub(crate) fn pod(&self, pod: &str, node: &str, metadata: &Value) -> String {
        let mut json = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "labels": {"app": "web"}},
            "spec": {
                "nodeName": node, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "containers": [{"name": "main", "image": "none"}],
            },
        });
        let merged = json["metadata"].as_object_mut().unwrap();
        merged.extend(metadata.as_object().unwrap().clone());
        let made = self.call("POST", "/api/v1/namespaces/default/pods", Some(&json));
        made["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn uid(&self, pod: &str) -> String {
        let pod = self.call("GET", &format!("/api/v1/namespaces/default/pods/{pod}"), None);
        pod["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// Puts a slot into a block, which is made when it is not there.
    pub(crate) fn put(&mut self, address: &str, slot: Slot) {
        let key = block_of(address);
        let fresh = || Sheet {
            size: BlockSize::default(),
            incarnation: 7,
            commits: 0,
            generation: 0,
            slots: BTreeMap::new(),
        };
        let was = self.blocks.get(&key).cloned();
        let mut sheet = was.clone().unwrap_or_else(fresh);
        sheet.commits += 1;
        if let Slot::Allocated(held) = &slot {
            sheet.generation = sheet.generation.max(held.generation);
        }
        let ip: IpAddr = address.parse().unwrap();
        sheet.slots.insert(key.slot(spiderpool_core::address::bits(ip)), slot);
        let body = |sheet: &Sheet| Body::Block(BlockBody { sheet: sheet.clone(), listed: true });
        let object = Key::Block(key.clone());
        let path = format!("{GROUP}/spiderblocks");
        match was {
            None => drop(self.call("POST", &path, Some(&wire::create(&object, &body(&sheet))))),
            Some(was) => {
                let path = format!("{path}/{}", wire::block_name(&key));
                let present = self.call("GET", &path, None);
                let revision = present["metadata"]["resourceVersion"].as_str().unwrap();
                let base = revision.parse().unwrap();
                let patch = wire::patch(&object, base, &body(&was), &body(&sheet));
                self.call("PATCH", &path, Some(&patch));
            }
        }
        self.blocks.insert(key, sheet);
    }

    /// An address that somebody holds.
    pub(crate) fn hold(&mut self, address: &str, owner: &str, (pool, node): (&str, &str)) {
        let uid = owner.strip_prefix("pod/").map(name);
        let held = Held {
            holder: Holder {
                owner: Owner::parse(owner).unwrap(),
                container: uid.as_ref().map(|_| name("box")),
                pod_uid: uid.clone(),
                node: name(node),
            },
            placement: Placement { pool: name(pool), attachment: name("eth0"), network: None },
            stage: if uid.is_some() { Stage::Attached } else { Stage::Detached },
            generation: 1,
            since_ms: NOW_MS - 3_600_000,
            past_quarantines: 0,
        };
        self.put(address, Slot::Allocated(Box::new(held)));
    }

    /// Lists the block of an address in the index.
    pub(crate) fn list(&self, address: &str, full: bool) {
        let block = block_of(address);
        let index = IndexKey::of(&block);
        let listing = Listing { incarnation: 7, full };
        let key = Key::Index(index.clone());
        let at = format!("{GROUP}/spiderblockindexes");
        let path = format!("{at}/{}", wire::path(&key).name);
        let patch = wire::list_patch(&index, block.first, &listing);
        let reply = self.cluster.admin().send("PATCH", &path, Some(&patch)).unwrap();
        if reply.status == 404 {
            let blocks = BTreeMap::from([(block.first, listing)]);
            let json = wire::create(&key, &Body::Index(Index { blocks }));
            self.call("POST", &at, Some(&json));
        }
    }

    pub(crate) fn golden(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kube").join(file)
    }
}

pub(crate) fn finish(process: &mut Command) -> (String, String, i32) {
    let Output { status, stdout, stderr } = process.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code().unwrap())
}
