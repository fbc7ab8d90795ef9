//! The laboratory itself, tried: a control plane starts, fails, goes back in time and ends, and the proxy
//! loses what it is told to lose.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test that wants it")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use spiderpool_kube_lab::{
    Bound, Cluster, Controllers, Fault, Faults, Identity, Options, Program, Proxy, Restore,
    ServiceAccounts, Syncing,
};

/// A cluster for the tests that leave it as they found it, but for objects of their own names.
fn shared() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Options::default()).unwrap())
}

fn start() -> Cluster {
    Cluster::start(Options::default()).unwrap()
}

fn create(who: &Identity, path: &str, body: &Value) -> Value {
    who.call("POST", path, Some(body)).unwrap()
}

fn config_map(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn status_of(who: &Identity, path: &str) -> u16 {
    who.send("GET", path, None).unwrap().status
}

fn has(cluster: &Cluster, name: &str) -> bool {
    status_of(cluster.admin(), &format!("{CONFIG_MAPS}/{name}")) == 200
}

fn revision(cluster: &Cluster) -> u64 {
    let list = cluster.admin().call("GET", CONFIG_MAPS, None).unwrap();
    list.pointer("/metadata/resourceVersion").unwrap().as_str().unwrap().parse().unwrap()
}

fn pod(name: &str, account: &str, node: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "nodeName": node, "serviceAccountName": account,
            "containers": [{ "name": "main", "image": "none" }],
        },
    })
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_cluster_serves_what_is_written() {
    let admin = shared().admin();
    create(admin, "/api/v1/namespaces", &json!({ "metadata": { "name": "written" } }));
    let made = create(admin, "/api/v1/namespaces/written/pods", &pod("p", "", ""));
    let read = admin.call("GET", "/api/v1/namespaces/written/pods/p", None).unwrap();
    assert_eq!(made.pointer("/metadata/uid"), read.pointer("/metadata/uid"));
    let version = admin.call("GET", "/version", None).unwrap();
    let version = version.get("gitVersion").unwrap().as_str().unwrap().to_owned();
    let wanted = match std::env::var("SPIDERPOOL_KUBE").as_deref() {
        Ok("oldest") => "v1.32.",
        _ => "v1.36.",
    };
    assert!(version.starts_with(wanted), "{version}");
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn an_identity_is_who_it_says() {
    let whoami = |who: &Identity| {
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        create(who, path, &json!({})).pointer("/status/userInfo").unwrap().clone()
    };
    let node = shared().kubeconfig_for("system:node:n1", &["system:nodes", "extra"]).unwrap();
    let seen = whoami(&node);
    assert_eq!(seen.get("username").unwrap(), "system:node:n1");
    let groups = seen.get("groups").unwrap().as_array().unwrap();
    assert!(["system:nodes", "extra"].iter().all(|name| groups.contains(&json!(name))), "{seen}");

    let admin = shared().admin();
    create(admin, "/api/v1/nodes", &json!({ "metadata": { "name": "n1" } }));
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    create(admin, accounts, &json!({ "metadata": { "name": "agent" } }));
    create(admin, "/api/v1/namespaces/default/pods", &pod("agent", "agent", "n1"));
    for bound in [Bound::Node("n1"), Bound::Pod("agent")] {
        let seen = whoami(&shared().token_for("default", "agent", bound).unwrap());
        assert_eq!(seen.get("username").unwrap(), "system:serviceaccount:default:agent");
        let extra = seen.get("extra").unwrap();
        let names = extra.get("authentication.kubernetes.io/node-name");
        assert_eq!(names, Some(&json!(["n1"])), "{bound:?}: {seen}");
    }
    let agent = shared().token_for("default", "agent", Bound::Nothing).unwrap();
    assert_eq!(status_of(&agent, CONFIG_MAPS), 403, "nobody gave it a role");
    let output = Command::new("grep").arg("token").arg(&agent.kubeconfig).output().unwrap();
    assert!(output.status.success(), "the kubeconfig carries the token");
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_restart_keeps_the_state() {
    let cluster = start();
    create(cluster.admin(), CONFIG_MAPS, &config_map("kept"));
    cluster.restart_server().unwrap();
    assert!(has(&cluster, "kept"));
    cluster.kill_server();
    assert!(cluster.admin().send("GET", "/readyz", None).is_err());
    cluster.start_server().unwrap();
    assert!(has(&cluster, "kept"));

    cluster.pause_server().unwrap();
    let patience = Duration::from_millis(300);
    let unanswered = cluster.admin().send_within(patience, "GET", "/readyz", None);
    assert!(matches!(unanswered, Err(Fault::Unanswered { .. })), "{unanswered:?}");
    cluster.resume_server().unwrap();
    assert!(has(&cluster, "kept"));
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_restored_cluster_holds_the_older_state() {
    let cluster = start();
    create(cluster.admin(), CONFIG_MAPS, &config_map("before"));
    let snapshot = cluster.snapshot().unwrap();
    for number in 0..20 {
        create(cluster.admin(), CONFIG_MAPS, &config_map(&format!("after-{number}")));
    }
    let late = revision(&cluster);
    for (how, name) in [(Restore::Rewound, "again"), (Restore::Bumped, "once-more")] {
        cluster.restore(&snapshot, how).unwrap();
        assert!(has(&cluster, "before"), "{how:?}");
        assert!(!has(&cluster, "after-0") && !has(&cluster, "after-19"), "{how:?}");
        create(cluster.admin(), CONFIG_MAPS, &config_map(name));
        assert!(has(&cluster, name), "{how:?}");
    }
    assert!(!has(&cluster, "again"), "a snapshot can be restored twice");
    assert!(revision(&cluster) > late + 1_000_000, "a bumped cluster gives no revision twice");
    cluster.restore(&snapshot, Restore::Rewound).unwrap();
    assert!(revision(&cluster) < late, "a rewound cluster gives revisions again");
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn controllers_and_the_scheduler_do_their_work() {
    let wanted = ["deployment", "replicaset", "garbage-collector", "serviceaccount"];
    let wanted = wanted.map(|name| format!("{name}-controller"));
    let controllers = Controllers::These(wanted.to_vec());
    let service_accounts = ServiceAccounts::Required;
    let options = Options { controllers, scheduler: true, service_accounts, ..Options::default() };
    let cluster = Cluster::start(options).unwrap();
    let node = json!({
        "metadata": { "name": "n1" },
        "status": {
            "capacity": { "cpu": "8", "memory": "8Gi", "pods": "20" },
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    });
    create(cluster.admin(), "/api/v1/nodes", &node);
    // Admission taints a new node until the node controller, which does not run here, finds it ready.
    cluster.kubectl(&["taint", "node", "n1", "node.kubernetes.io/not-ready-"]).unwrap();
    cluster.kubectl(&["create", "deployment", "d", "--image=none", "--replicas=2"]).unwrap();
    let nodes = ["get", "pods", "--output", "jsonpath={.items[*].spec.nodeName}"];
    let accounts = ["get", "pods", "--output", "jsonpath={.items[*].spec.serviceAccountName}"];
    eventually("two pods are on the node", || cluster.kubectl(&nodes).unwrap() == "n1 n1");
    assert_eq!(cluster.kubectl(&accounts).unwrap(), "default default");
    cluster.kubectl(&["delete", "deployment", "d", "--wait=false"]).unwrap();
    eventually("the garbage collector removes the replica sets", || {
        cluster.kubectl(&["get", "replicasets", "--output", "name"]).unwrap().is_empty()
    });
    assert!(!cluster.log_tail(Program::Controllers).is_empty());
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_server_that_cannot_start_shows_its_log() {
    let server_arguments = vec!["--no-such-option".to_owned()];
    let text = Cluster::start(Options { server_arguments, ..Options::default() });
    let text = text.map(drop).unwrap_err().to_string();
    assert!(text.starts_with("`kube-apiserver` ended with exit status: 1"), "{text}");
    assert!(text.contains("unknown flag: --no-such-option"), "{text}");
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_store_waits_for_the_disk_when_it_is_to() {
    for (syncing, waits) in [(Syncing::Never, false), (Syncing::Always, true)] {
        let cluster = Cluster::start(Options { syncing, ..Options::default() }).unwrap();
        let metrics = cluster.etcd_metrics().unwrap();
        let count = "etcd_disk_wal_fsync_duration_seconds_count ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(count)).unwrap();
        // A store that does not wait counts the few times that it opened its log.
        assert_eq!(count.parse::<f64>().unwrap() > 20.0, waits, "{syncing:?}: {count}");
    }
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn crds_are_served_when_the_cluster_is() {
    let place = tempfile::tempdir().unwrap();
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "things.example.test" },
        "spec": {
            "group": "example.test", "scope": "Cluster",
            "names": { "plural": "things", "singular": "thing", "kind": "Thing" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                } },
            }],
        },
    });
    std::fs::write(place.path().join("crd.json"), crd.to_string()).unwrap();
    let manifests = vec![place.path().to_path_buf()];
    let cluster = Cluster::start(Options { manifests, ..Options::default() }).unwrap();
    let thing = json!({
        "apiVersion": "example.test/v1", "kind": "Thing", "metadata": { "name": "t" },
    });
    create(cluster.admin(), "/apis/example.test/v1/things", &thing);
}

/// Sends a request without TLS and gives the answer; empty when the connection was closed without one.
fn through(proxy: &Proxy, method: &str, path: &str, body: Option<&Value>) -> String {
    let mut stream = connect(proxy);
    send(&mut stream, method, path, body);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8(answer).unwrap()
}

fn connect(proxy: &Proxy) -> TcpStream {
    let address: SocketAddr = proxy.url().strip_prefix("http://").unwrap().parse().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn send(stream: &mut TcpStream, method: &str, path: &str, body: Option<&Value>) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    // A cut proxy may close before it has read: the answer tells.
    drop(stream.write_all(format!("{head}{body}").as_bytes()));
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_lost_reply_is_a_write_that_happened() {
    let faults = Faults { lost_replies: 1.0, ..Faults::default() };
    let proxy = Proxy::start(shared().admin(), faults).unwrap();
    assert_eq!(through(&proxy, "POST", CONFIG_MAPS, Some(&config_map("lost-reply"))), "");
    assert!(has(shared(), "lost-reply"));
    let read = through(&proxy, "GET", &format!("{CONFIG_MAPS}/lost-reply"), None);
    assert!(read.starts_with("HTTP/1.1 200"), "{read}");
    let counters = proxy.counters();
    assert_eq!(counters.forwarded("create", "configmaps"), 1);
    assert_eq!(counters.forwarded("get", "configmaps"), 1);
    assert_eq!(counters.lost_replies.values().sum::<u64>(), 1);
    assert!(counters.lost_requests.is_empty());
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_lost_request_is_a_write_that_did_not_happen() {
    let faults = Faults { lost_requests: 1.0, ..Faults::default() };
    let proxy = Proxy::start(shared().admin(), faults).unwrap();
    assert_eq!(through(&proxy, "POST", CONFIG_MAPS, Some(&config_map("lost-request"))), "");
    assert!(!has(shared(), "lost-request"));
    assert_eq!(proxy.counters().forwarded("create", "configmaps"), 0);
    let delay = Duration::from_millis(200);
    proxy.replace(Faults { delay, ..Faults::default() });
    let start = Instant::now();
    let made = through(&proxy, "POST", CONFIG_MAPS, Some(&config_map("lost-request")));
    assert!(start.elapsed() >= delay);
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    assert!(has(shared(), "lost-request"));
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_proxy_speaks_as_its_identity() {
    let somebody = shared().kubeconfig_for("somebody", &[]).unwrap();
    let proxy = Proxy::start(&somebody, Faults::default()).unwrap();
    let read = through(&proxy, "GET", CONFIG_MAPS, None);
    assert!(read.starts_with("HTTP/1.1 403") && read.contains(r#"\"somebody\""#), "{read}");
    let kubeconfig = proxy.kubeconfig().to_string_lossy().into_owned();
    let refused = shared().kubectl(&["--kubeconfig", &kubeconfig, "get", "configmaps"]);
    assert!(refused.unwrap_err().to_string().contains("somebody"));
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_watch_streams_through_a_proxy_until_it_is_cut() {
    let proxy = Proxy::start(shared().admin(), Faults::default()).unwrap();
    let path = format!("{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Dwatched");
    let mut stream = connect(&proxy);
    send(&mut stream, "GET", &path, None);
    let mut lines = BufReader::new(stream).lines();
    create(shared().admin(), CONFIG_MAPS, &config_map("watched"));
    let event = lines.find(|line| line.as_ref().unwrap().contains("ADDED")).unwrap().unwrap();
    assert!(event.contains(r#""name":"watched""#), "{event}");
    assert_eq!(proxy.counters().forwarded("watch", "configmaps"), 1);
    proxy.cut();
    assert!(lines.all(|line| line.is_err() || line.unwrap().len() < 3), "the watch must end");
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn a_cut_proxy_passes_nothing() {
    let proxy = Proxy::start(shared().admin(), Faults::default()).unwrap();
    proxy.cut();
    assert_eq!(through(&proxy, "POST", CONFIG_MAPS, Some(&config_map("cut"))), "");
    assert!(!has(shared(), "cut"));
    proxy.heal();
    let made = through(&proxy, "POST", CONFIG_MAPS, Some(&config_map("cut")));
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
}

/// Gives the processes that work in a directory.
fn workers(directory: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let works_there = |place: PathBuf| std::fs::read_link(place.join("cwd")).ok();
    processes.filter(|entry| works_there(entry.path()).is_some_and(|at| at == directory)).count()
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn nothing_is_left_after_a_panic() {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let cluster = start();
        let home = cluster.kubeconfig().parent().unwrap().to_path_buf();
        assert_eq!(workers(&home), 2, "etcd and the API server");
        tell.send(home).unwrap();
        panic!("as a test would");
    });
    assert!(thread.join().is_err());
    let home = told.recv().unwrap();
    assert!(!home.exists());
    assert_eq!(workers(&home), 0);
}

#[test]
#[ignore = "kube tier: needs an API server"]
fn nothing_is_left_after_a_kill() {
    for (signal, code) in [("KILL", None), ("TERM", Some(0))] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kube-lab"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let home = Path::new(line.trim()).parent().unwrap().to_path_buf();
        assert_eq!(workers(&home), 2, "etcd and the API server");
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), code, "SIG{signal}");
        eventually("the guardian has cleaned up", || !home.exists());
        assert_eq!(workers(&home), 0);
    }
}
