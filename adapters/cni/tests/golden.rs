//! Golden conversations: what a runtime says, what we understood, and what it sees.
//!
//! Each file of `tests/golden/` has the sections `env` (one `K=V` a line) and `stdin`, written by hand, and then
//! `request` and `reply`, which are compared; with `UPDATE_GOLDEN=1` they are written anew. The files of
//! `tests/golden/results/` hold one result by hand, and the same in each version.
//!
//! The plugin at the other end echoes: ADD answers with `prevResult`, or with the addresses that the runtime
//! asked for, in the version that was asked.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails by panicking")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use spiderpool_cni::{
    CniError, CniResult, IpConfig, NetConf, Request, SpecVersion, receive, serve,
};

const SECTION: &str = "--- ";

/// Sections in order; what stands before the first is a comment, under the name ``.
fn sections(text: &str) -> Vec<(&str, &str)> {
    let mut found = vec![("", text)];
    while let Some((name, body)) = found.pop() {
        let marker = format!("\n{SECTION}");
        let Some((head, tail)) = body.split_once(&marker) else {
            found.push((name, body));
            break;
        };
        found.push((name, head));
        found.push(tail.split_once('\n').unwrap_or((tail, "")));
    }
    found
}

fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let found = sections(text).into_iter().find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("there is no section `{name}`")).1
}

fn echo(request: &Request) -> Result<Option<Value>, CniError> {
    match request {
        Request::Add { conf, .. } => Ok(Some(echo_result(conf)?.lower(conf.version))),
        Request::Check { conf, .. } => {
            conf.prev_result.clone().transpose().map(|_| None).map_err(CniError::from)
        }
        Request::Del { .. } | Request::Status { .. } | Request::Gc { .. } => Ok(None),
        Request::Version { answer_in } => Ok(Some(answer_in.version_reply())),
    }
}

fn echo_result(conf: &NetConf) -> Result<CniResult, CniError> {
    if let Some(result) = conf.prev_result.clone().transpose()? {
        return Ok(result);
    }
    let longest = |ip: &std::net::IpAddr| if ip.is_ipv4() { 32 } else { 128 };
    let net = |ip: &spiderpool_cni::RequestedIp| {
        let length = ip.prefix_len.unwrap_or_else(|| longest(&ip.address));
        IpConfig::from(ipnet::IpNet::new(ip.address, length).unwrap())
    };
    Ok(CniResult {
        ips: conf.requested_ips()?.iter().map(net).collect(),
        dns: conf.dns.clone(),
        ..CniResult::default()
    })
}

fn conversation(text: &str) -> String {
    let (env, stdin) = (section(text, "env"), section(text, "stdin"));
    let vars: Vec<_> = env.lines().filter_map(|line| line.split_once('=')).collect();
    let request = receive(vars.iter().copied(), stdin.as_bytes());
    let understood = match &request {
        Ok(request) => format!("{request:#?}"),
        Err(_) => "refused".to_owned(),
    };
    let reply = serve(SpecVersion::asked_in(stdin.as_bytes()), || echo(&request.clone()?));
    let stdout = String::from_utf8(reply.stdout).unwrap();
    format!(
        "{}\n--- env\n{env}\n--- stdin\n{stdin}\n--- request\n{understood}\n--- reply, exit {}\n{stdout}",
        section(text, ""),
        reply.exit,
    )
}

fn in_each_version(text: &str) -> String {
    let given = section(text, "result");
    let result = CniResult::lift(&serde_json::from_str(given).unwrap()).unwrap();
    let mut out = format!("{}\n--- result\n{given}\n--- lifted\n{result:#?}", section(text, ""));
    for version in SpecVersion::ALL {
        let lowered = serde_json::to_string_pretty(&result.lower(version)).unwrap();
        write!(out, "\n--- {version}\n{lowered}").unwrap();
    }
    out.push('\n');
    out
}

fn files(dir: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(dir);
    let entries = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    assert!(!files.is_empty(), "no golden files in {}", dir.display());
    files
}

fn compare(dir: &str, golden: impl Fn(&str) -> String) {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let mut different = Vec::new();
    for file in files(dir) {
        let before = fs::read_to_string(&file).unwrap();
        let after = golden(&before);
        if update {
            fs::write(&file, &after).unwrap();
        } else if before != after {
            different.push(format!("{}\n{after}", file.display()));
        }
    }
    assert!(different.is_empty(), "UPDATE_GOLDEN=1 writes these anew:\n{}", different.join("\n"));
}

#[test]
fn conversations() {
    compare("", conversation);
}

#[test]
fn results_in_each_version() {
    compare("results", in_each_version);
}
