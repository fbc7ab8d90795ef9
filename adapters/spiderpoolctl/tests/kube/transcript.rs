//! Transcripts, as `tests/cli/golden.rs` describes them: `$ ` runs the binary on the cluster, `% ` plants
//! something, `> `, `! ` and `= ` are what came of it. `UPDATE_GOLDEN=1` takes what came out.
//!
//! UIDs, ports, revisions and how long something waited differ from run to run and are written as words.

use crate::lab::{GROUP, Lab, NOW_MS};
use serde_json::{Value, json};
use spiderpool_core::slots::Slot;
use std::fs;

/// Words, with single quotes as in a shell.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// `node NAME READY`, `pod NAME NODE METADATA`, `hold ADDRESS OWNER POOL NODE`, `rest ADDRESS`,
/// `quarantine ADDRESS`, `list ADDRESS full|open`, `send METHOD PATH JSON`, `write FILE TEXT`.
/// `{UID:POD}` stands for the UID of a pod, `{GROUP}` for the path of the custom resources.
fn plant(lab: &mut Lab, line: &str) {
    let mut line = line.replace("{GROUP}", GROUP);
    while let Some((before, rest)) = line.split_once("{UID:") {
        let (pod, after) = rest.split_once('}').unwrap();
        line = format!("{before}{}{after}", lab.uid(pod));
    }
    let words = words(&line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["node", node, ready] => lab.node(node, ready),
        ["pod", pod, node, metadata] => {
            drop(lab.pod(pod, node, &serde_json::from_str(metadata).unwrap()));
        }
        ["hold", address, owner, pool, node] => lab.hold(address, owner, (pool, node)),
        ["rest", address] => lab.put(address, Slot::Resting { since_ms: NOW_MS - 60_000 }),
        ["quarantine", address] => lab.put(
            address,
            Slot::Quarantined {
                mac: [2, 0, 0, 0, 0, 9],
                since_ms: NOW_MS - 60_000,
                until_ms: NOW_MS + 600_000,
                rounds: 1,
            },
        ),
        ["list", address, full] => lab.list(address, *full == "full"),
        ["send", method, path, body] => {
            let body: Value = serde_json::from_str(body).unwrap();
            lab.call(method, path, Some(&body));
        }
        ["write", file, text] => {
            fs::write(lab.dir.path().join(file), text.replace("\\n", "\n")).unwrap();
        }
        other => panic!("no such preparation: {other:?}"),
    }
}

/// What differs from run to run, as words.
fn redact(line: &str) -> String {
    let ends = ['`', ' ', ',', '"', '/', ';', '(', ')'];
    let words = line.split_inclusive(ends);
    let redacted = words.map(|word| {
        let bare = word.trim_end_matches(ends);
        let rest = &word[bare.len()..];
        if bare.len() == 36 && bare.matches('-').count() == 4 {
            format!("UID{rest}")
        } else if bare.starts_with("127.0.0.1:") || bare.starts_with("localhost:") {
            format!("SERVER{rest}")
        } else if bare.starts_with("v1.") {
            format!("VERSION{rest}")
        } else if bare.contains("spiderpoolctl-") {
            format!("TEMPORARY{rest}")
        } else {
            word.to_owned()
        }
    });
    let line: String = redacted.collect();
    match line.split_once("looking again in ") {
        Some((before, _)) => format!("{before}looking again in a while"),
        None => line,
    }
}

fn replay(script: &str) -> String {
    let mut lab = Lab::start();
    let mut out = String::new();
    for line in script.lines() {
        let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        match mark {
            ">" | "!" | "> " | "! " | "= " => continue,
            "$ " => {
                let words = words(rest);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let (stdout, stderr, code) = lab.run(&words);
                let told = |text: &str, mark: &str| -> String {
                    text.lines()
                        .map(|line| format!("{mark} {}", redact(line)).trim_end().to_owned() + "\n")
                        .collect()
                };
                let told = told(&stdout, ">") + &told(&stderr, "!");
                out.push_str(&format!("{line}\n{told}= {code}\n"));
            }
            "% " => {
                plant(&mut lab, rest);
                out.push_str(&format!("{line}\n"));
            }
            "# " | "" => out.push_str(&format!("{line}\n")),
            other => panic!("a line begins with {other:?}: {line}"),
        }
    }
    out
}

fn check(file: &str) {
    let path = Lab::golden(file);
    let expected = fs::read_to_string(&path).unwrap();
    assert!(expected.lines().filter(|line| line.starts_with("$ ")).count() >= 4, "{file} is gone");
    let got = replay(&expected);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &got).unwrap();
    }
    assert_eq!(got, expected, "{file} came out otherwise; UPDATE_GOLDEN=1 takes it");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn definitions() {
    check("definitions.txt");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn addresses() {
    check("addresses.txt");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn commands_on_a_cluster() {
    check("pods.txt");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn audit_finds_what_was_planted() {
    check("audit.txt");
}

#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn reclaim_looks_twice() {
    check("reclaim.txt");
}

/// What looks reads, and nothing else.
#[test]
#[ignore = "kube tier: needs a kube-apiserver"]
fn looking_changes_nothing() {
    let mut lab = Lab::start();
    assert_eq!(lab.run(&["apply", "-f", "lab.yaml"]).2, 0);
    lab.node("n1", "True");
    let uid = lab.pod(
        "web",
        "n1",
        &json!({"annotations": {"ipam.spidernet.io/ippool": r#"{"ipv4":["blue"]}"#}}),
    );
    lab.hold("10.6.0.10", &format!("pod/{uid}"), ("blue", "n1"));
    let revisions = |lab: &Lab| {
        let kinds = ["spiderippools", "spiderblocks", "spiderblockindexes", "spiderendpoints"];
        kinds.map(|kind| {
            let list = lab.call("GET", &format!("{GROUP}/{kind}"), None);
            let items = list["items"].as_array().unwrap().clone();
            items.iter().map(|item| item["metadata"]["resourceVersion"].clone()).collect::<Vec<_>>()
        })
    };
    let before = revisions(&lab);
    let looks: [&[&str]; 9] = [
        &["get", "pools"],
        &["describe", "pool", "blue"],
        &["ip", "list"],
        &["ip", "show", "10.6.0.10"],
        &["explain", "pod", "default/web"],
        &["simulate", "--pods", "3", "--pool", "blue"],
        &["map", "blue"],
        &["audit"],
        &["version"],
    ];
    for look in looks {
        let (stdout, stderr, code) = lab.run(look);
        assert!([0, 4, 5].contains(&code), "{look:?}: {stdout}{stderr}");
    }
    assert_eq!(revisions(&lab), before);
}
