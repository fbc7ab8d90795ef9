//! A peer that is no agent, or a broken one.

use crate::fake::{Fake, Said};
use crate::lab::HERE;
use crate::lab::Lab;
use crate::talk::{ask, ip, reply, socket, well};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What an ADD makes of one answer: its code.
fn heard(said: Said) -> (u64, String) {
    let lab = Lab::bare();
    let _agent = Fake::new(&socket(&lab), move |seen| {
        if seen.call.starts_with("POST") { said.clone() } else { well(&json!({})) }
    });
    let heard = ask(&lab, "ADD").netns(HERE).send();
    (heard.code(), heard.stdout)
}

#[test]
fn hostile_replies_give_no_address() {
    let with = |key: &str, value: Value| {
        let mut one = ip("eth0", "10.6.0.10/24", 1);
        one[key] = value;
        reply(&[one])
    };
    let mut routed = reply(&[ip("eth0", "10.6.0.10/24", 1)]);
    routed["routes"] = json!([{"ifName": "eth0", "dst": "10.9.0.0/16", "gw": "fd00::1"}]);
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!({"ips": 7}),
        reply(&[]),
        reply(&[ip("net1", "10.6.0.10/24", 1)]),
        with("address", json!("10.6.0.10")),
        with("address", json!("10.6.0.10/99")),
        with("address", json!("0.0.0.0/0")),
        with("address", json!("127.0.0.1/8")),
        with("address", json!({})),
        with("version", json!(6)),
        with("version", json!("4")),
        with("gateway", json!("fd00:6::1")),
        with("gateway", json!("10.6.0.1; rm")),
        with("generation", json!(-1)),
        with("generation", json!(1e300)),
        with("space", json!("a b\n")),
        reply(&[ip("eth0", "10.6.0.10/24", 1), ip("eth0", "10.6.0.10/24", 1)]),
        routed,
    ] {
        let (code, told) = heard(well(&body));
        assert_eq!(code, 5, "{body}: {told}");
        assert!(told.contains("\"msg\":"), "{told}");
    }
    for bytes in
        [&b"\0\xff"[..], b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]
    {
        assert_eq!(heard(Said::Raw(bytes.to_vec())).0, 5);
    }
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"] {
        assert_eq!(heard(Said::Raw(bytes.to_vec())).0, 11);
    }
    assert_eq!(heard(Said::Json(500, "y".repeat(3 << 20))).0, 11);
    assert_eq!(heard(Said::Json(500, r#"{"message": "m", "code": 0}"#.into())).0, 11);
    assert_eq!(heard(Said::Json(200, "y".repeat(5 << 20))).0, 5);
}

/// An agent that says nothing, or a byte now and then, gets no more than the time of the verb.
#[test]
fn silence_ends_at_the_deadline() {
    let slowly = Said::Slowly(vec![b'H'; 4000], Duration::from_millis(20));
    for (verb, said) in
        [("ADD", Said::Open(Vec::new())), ("ADD", slowly), ("DEL", Said::Open(Vec::new()))]
    {
        let lab = Lab::bare();
        let _agent = Fake::new(&socket(&lab), move |_| said.clone());
        let begun = Instant::now();
        let heard = ask(&lab, verb).netns(HERE).ipam("timeout_seconds", 1).send();
        let took = begun.elapsed();
        // What is no HTTP by its first bytes is not waited for.
        assert!(matches!(heard.code(), 11 | 5), "{heard:?}");
        assert!(took < Duration::from_secs(4), "{verb}: {took:?}");
    }
}
