//! Taking over what the real host-local plugin has written.
//!
//! Needs Debian's `containernetworking-plugins`; host-local touches no namespace, so none is made.
//! `cargo test -p spiderpoolctl --test cli -- --ignored`

use crate::support::{ctl, run};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const PLUGIN: &str = "/usr/lib/cni/host-local";
const NOW: u64 = 1_767_225_600_000;

fn add(dir: &Path, container: &str) -> serde_json::Value {
    let conf = serde_json::json!({
        "cniVersion": "1.0.0", "name": "lab", "type": "ptp",
        "ipam": {
            "type": "host-local",
            "dataDir": dir.join("networks"),
            "ranges": [
                [{"subnet": "10.6.0.0/24", "rangeStart": "10.6.0.10", "rangeEnd": "10.6.0.19"}],
                [{"subnet": "fd00:6::/64", "rangeStart": "fd00:6::10", "rangeEnd": "fd00:6::1f"}],
            ],
        },
    });
    let mut plugin = Command::new(PLUGIN)
        .env("CNI_COMMAND", "ADD")
        .env("CNI_CONTAINERID", container)
        .env("CNI_NETNS", "/proc/self/ns/net")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/usr/lib/cni")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    plugin.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
    let output = plugin.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
#[ignore = "needs /usr/lib/cni/host-local of Debian's containernetworking-plugins"]
fn what_host_local_gave_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inputs/lab.yaml");
    // The reservation of the manifest would be in the way of what host-local gives.
    let text = fs::read_to_string(lab).unwrap().replace("[10.6.0.12]", "[10.6.0.19]");
    fs::write(dir.path().join("lab.yaml"), text).unwrap();
    let mut given = Vec::new();
    for container in ["aaa", "bbb", "ccc"] {
        let result = add(dir.path(), container);
        for ip in result["ips"].as_array().unwrap() {
            let address = ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
            given.push((address, format!("container/lab/{container}"), "eth0".to_owned()));
        }
    }
    given.sort();
    assert_eq!(given.len(), 6);
    let ctl = |arguments: &[&str]| {
        let (stdout, stderr, code) = run(ctl(dir.path(), NOW).args(arguments));
        assert_eq!(code, 0, "{arguments:?}: {stdout}{stderr}");
        stdout
    };
    ctl(&["apply", "-f", "lab.yaml"]);
    ctl(&["import", "host-local", "networks", "--yes"]);
    let rows: serde_json::Value =
        serde_json::from_str(&ctl(&["ip", "list", "-o", "json"])).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter();
    let mut held: Vec<_> = rows
        .map(|row| (text(&row["address"]), text(&row["owner"]), text(&row["attachment"])))
        .collect();
    held.sort();
    assert_eq!(held, given);
    ctl(&["audit"]);
}
