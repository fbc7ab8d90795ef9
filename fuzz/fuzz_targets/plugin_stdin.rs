//! Any environment and any standard input: the plugin answers with one JSON object, and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use spiderpool_cni::{CniError, CniResult, Request, SpecVersion, receive, serve};
use std::panic::AssertUnwindSafe;

const VARIABLES: [&str; 6] =
    ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"];

// One line for each variable, and the rest for standard input.
fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(VARIABLES.len() + 1, |byte| *byte == b'\n');
    let env: Vec<_> = VARIABLES
        .into_iter()
        .zip(lines.by_ref())
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let stdin = lines.next().unwrap_or_default();
    let version = SpecVersion::asked_in(stdin);
    let reply = serve(version, AssertUnwindSafe(|| answer(receive(env, stdin)?, version)));
    if reply.stdout.is_empty() {
        assert_eq!(reply.exit, 0);
        return;
    }
    let told: Value = serde_json::from_slice(&reply.stdout).expect("one JSON value");
    assert!(told.is_object(), "{told}");
    assert_ne!(told.get("code"), Some(&json!(999)), "{told}");
    assert_eq!(told.get("code").is_some(), reply.exit != 0);
});

fn answer(request: Request, version: SpecVersion) -> Result<Option<Value>, CniError> {
    match request {
        Request::Add { conf, .. } => {
            let result = conf.prev_result.and_then(Result::ok).unwrap_or_default();
            let lowered = result.lower(conf.version);
            let again = CniResult::lift(&lowered).expect("what was lowered can be lifted");
            assert_eq!(again.lower(conf.version), lowered);
            Ok(Some(lowered))
        }
        Request::Version { answer_in } => Ok(Some(answer_in.version_reply())),
        Request::Check { .. } | Request::Del { .. } => Ok(None),
        Request::Status { .. } | Request::Gc { .. } => {
            Ok(Some(json!({"cniVersion": version.to_string()})))
        }
    }
}
