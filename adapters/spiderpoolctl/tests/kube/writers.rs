//! Writers that get in each other's way, and what cannot be written.

use crate::lab::{GROUP, Lab, block_of, finish};
use serde_json::json;
use spiderpool_kube::cluster::wire;
use spiderpool_kube_lab::{Faults, Proxy};

fn prepared() -> Lab {
    let mut lab = Lab::start();
    let (_, told, code) = lab.run(&["apply", "-f", "lab.yaml"]);
    assert_eq!(code, 0, "{told}");
    lab.node("n1", "True");
    lab.hold("10.6.0.10", "pod/5b4c0000-0000-4000-8000-000000000001", ("blue", "n1"));
    lab.hold("10.6.0.11", "pod/5b4c0000-0000-4000-8000-000000000002", ("blue", "n1"));
    lab.hold("10.6.0.13", "identity/default/web-0", ("blue", "n1"));
    lab.list("10.6.0.10", false);
    lab
}

fn block_path() -> String {
    format!("{GROUP}/spiderblocks/{}", wire::block_name(&block_of("10.6.0.10")))
}

/// Whether a slot of the block is there.
fn is_held(lab: &Lab, slot: &str) -> bool {
    let block = lab.call("GET", &block_path(), None);
    block["spec"]["slots"][slot]["state"] == "Allocated"
}

/// Somebody writes the block without a pause; what is given back is given back once, and nothing of the
/// other's is lost.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_release_meets_a_writer() {
    let lab = prepared();
    let writer = lab.cluster.admin().clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (tell, begun) = std::sync::mpsc::channel::<()>();
    let path = block_path();
    let busy = std::thread::spawn(move || {
        let mut writes = 0_u64;
        while stopped.try_recv().is_err() {
            let block = writer.call("GET", &path, None).unwrap();
            let commits = block["spec"]["commits"].as_u64().unwrap() + 1;
            let revision = block["metadata"]["resourceVersion"].clone();
            let patch =
                json!({"metadata": {"resourceVersion": revision}, "spec": {"commits": commits}});
            let reply = writer.send("PATCH", &path, Some(&patch)).unwrap();
            assert!([200, 409].contains(&reply.status), "{}", reply.text);
            writes += u64::from(reply.status == 200);
            tell.send(()).unwrap();
        }
        writes
    });
    begun.recv().unwrap();
    let (stdout, stderr, code) = lab.run(&["ip", "release", "10.6.0.10", "--yes"]);
    stop.send(()).unwrap();
    let writes = busy.join().unwrap();
    assert_eq!((stdout.lines().count(), code), (1, 0), "{stdout}{stderr}");
    assert!(writes > 0, "nobody else wrote");
    assert_eq!([is_held(&lab, "10"), is_held(&lab, "11")], [false, true], "after {writes} writes");
    let (_, _, code) = lab.run(&["ip", "release", "10.6.0.10", "--yes", "--generation", "1"]);
    assert_eq!((code, is_held(&lab, "11")), (1, true));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_generation_that_has_passed_frees_nothing() {
    let lab = prepared();
    let (stdout, stderr, code) =
        lab.run(&["ip", "release", "10.6.0.10", "--generation", "7", "-y"]);
    assert_eq!((code, is_held(&lab, "10")), (1, true), "{stdout}{stderr}");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_living_pod_keeps_its_address() {
    let mut lab = prepared();
    let uid = lab.pod("web", "n1", &json!({}));
    lab.hold("10.6.0.14", &format!("pod/{uid}"), ("blue", "n1"));
    let (_, stderr, code) = lab.run(&["ip", "release", "10.6.0.14"]);
    assert!(code == 1 && stderr.contains("pod default/web, which lives"), "{stderr}");
    let (stdout, stderr, code) = lab.run(&["ip", "release", "10.6.0.14", "--yes"]);
    assert_eq!((code, is_held(&lab, "14")), (0, false), "{stdout}{stderr}");
}

/// Every second reply is lost after the server has done what was asked.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_lost_reply_is_settled() {
    let lab = prepared();
    let proxy = Proxy::start(lab.cluster.admin(), Faults::default()).unwrap();
    for (seed, (address, slot)) in
        [("10.6.0.10", "10"), ("10.6.0.11", "11")].into_iter().enumerate()
    {
        let seed = u64::try_from(seed).unwrap();
        proxy.replace(Faults { seed, lost_replies: 0.25, ..Faults::default() });
        let mut last = (String::new(), 0);
        for _ in 0..12 {
            let run = finish(lab.ctl(proxy.kubeconfig()).args(["ip", "release", address, "--yes"]));
            last = (format!("{}{}", run.0, run.1), run.2);
            // Reading may have failed, which is said and changes nothing.
            assert!([0, 1, 3].contains(&run.2), "{}", last.0);
            if run.2 == 0 || !is_held(&lab, slot) {
                break;
            }
        }
        assert!(!is_held(&lab, slot), "{last:?}");
    }
    assert!(is_held(&lab, "13"));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn a_recovery_stops_writing() {
    let lab = prepared();
    let ledger = json!({
        "apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderLedger",
        "metadata": {"name": "cluster"},
        "spec": {"format": 1, "epoch": 1, "recovery": {"since": 5, "why": "the store went back"}},
    });
    lab.call("POST", &format!("{GROUP}/spiderledgers"), Some(&ledger));
    let (_, stderr, code) = lab.run(&["ip", "release", "10.6.0.10", "--yes"]);
    assert!(code == 1 && stderr.contains("being recovered (the store went back)"), "{stderr}");
    let (stdout, _, code) = lab.run(&["audit"]);
    assert!(code == 5 && stdout.contains("0 of 1 ready nodes have written back"), "{stdout}");
    assert!(is_held(&lab, "10"));
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn what_cannot_be_read_is_told() {
    let lab = prepared();
    let patch = json!({"metadata": {"annotations": {"ipam.spidernet.io/engine": "status"}}});
    lab.call("PATCH", &format!("{GROUP}/spiderippools/blue6"), Some(&patch));
    let patch = json!({"spec": {"format": 2}});
    let reply = lab.cluster.admin().send("PATCH", &block_path(), Some(&patch)).unwrap();
    assert!(reply.is_well(), "{}", reply.text);
    let (_, stderr, code) = lab.run(&["ip", "list"]);
    assert!(code == 0 && stderr.contains("SpiderBlock default.4.0a060000 is left out"), "{stderr}");
    let (stdout, _, code) = lab.run(&["audit"]);
    assert!(
        code == 5 && stdout.contains("SpiderBlock default.4.0a060000 cannot be read"),
        "{stdout}"
    );
    assert!(stdout.contains("pool blue6 belongs to the reference's engine"), "{stdout}");
    let (_, stderr, code) = lab.run(&["ip", "release", "10.6.0.10", "--yes"]);
    assert!(code == 3 || code == 1, "{code} {stderr}");
}

/// An editor in whose time somebody else writes the object.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn an_edit_meets_another() {
    let lab = prepared();
    let (ctl, config) = (env!("CARGO_BIN_EXE_spiderpoolctl"), lab.cluster.kubeconfig());
    let other = "kind: SpiderIPPool\napiVersion: spiderpool.spidernet.io/v2beta1\nmetadata: {name: blue}\nspec: {subnet: 10.6.0.0/24, ips: [10.6.0.10-10.6.0.29]}\n";
    std::fs::write(lab.dir.path().join("other.yaml"), other).unwrap();
    let editor = lab.dir.path().join("editor.sh");
    let edit = |before: &str, last: u8| {
        let script = format!("{before}\nsed -i 's/-10.6.0.1.$/-10.6.0.{last}/' \"$1\"\n");
        std::fs::write(&editor, script).unwrap();
        let mut process = lab.ctl(config);
        finish(process.env("EDITOR", "sh ./editor.sh").args(["edit", "pool", "blue"]))
    };
    let (stdout, stderr, code) = edit("", 18);
    assert!(code == 0 && stdout == "pool blue configured\n", "{stdout}{stderr}");
    let meanwhile =
        format!("{ctl} --kubeconfig {} apply -f other.yaml >/dev/null", config.display());
    let (stdout, stderr, code) = edit(&meanwhile, 17);
    assert!(code == 1 && stderr.contains("somebody else changed pool blue"), "{stdout}{stderr}");
    let pool = lab.call("GET", &format!("{GROUP}/spiderippools/blue"), None);
    assert_eq!(pool["spec"]["ips"], json!(["10.6.0.10-10.6.0.29"]));
}

/// Somebody who may only look is told what is not allowed.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn what_is_not_allowed_is_told() {
    let lab = prepared();
    let stranger = lab.cluster.kubeconfig_for("stranger", &[]).unwrap();
    let (_, stderr, code) = finish(lab.ctl(&stranger.kubeconfig).args(["get", "pools"]));
    assert!(
        code == 1 && stderr.contains("it is not allowed") && stderr.contains("\"stranger\""),
        "{stderr}"
    );
}
