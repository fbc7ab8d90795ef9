//! Callers who mean ill, or speak badly.

use crate::room::{Room, add, room, told};
use crate::world::pod;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

async fn is_well(room: &Room) {
    assert_eq!(room.call("GET", "/v1/ipam/healthy", &Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_huge_body_is_refused() {
    let room = room();
    let head =
        format!("POST /v1/ipam/ip HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 1 << 30);
    let mut stream = UnixStream::connect(&room.socket).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = told(&mut stream).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    // One that does not say how much it sends.
    let mut stream = UnixStream::connect(&room.socket).await.unwrap();
    let head = "POST /v1/ipam/ip HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    let (mut reading, mut writing) = stream.into_split();
    let write = async {
        for _ in 0..8 {
            if writing.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    let mut reply = Vec::new();
    let read = async { reading.read_to_end(&mut reply).await };
    let (_, read) = tokio::join!(write, tokio::time::timeout(Duration::from_secs(10), read));
    assert!(read.is_ok(), "the caller is let go");
    is_well(&room).await;
    room.close().await;
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let room = room();
    let target = format!("GET /v1/{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = UnixStream::connect(&room.socket).await.unwrap();
    drop(stream.write_all(target.as_bytes()).await);
    let reply = told(&mut stream).await;
    assert!(reply.status == 0 || (400..500).contains(&reply.status), "{reply:?}");
    is_well(&room).await;
    room.close().await;
}

#[tokio::test]
async fn slow_callers_are_let_go() {
    let room = room();
    let begun = Instant::now();
    let mut silent = UnixStream::connect(&room.socket).await.unwrap();
    let mut torn = UnixStream::connect(&room.socket).await.unwrap();
    let head = "POST /v1/ipam/ip HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
    torn.write_all(head.as_bytes()).await.unwrap();
    is_well(&room).await;
    let (silence, torn) = tokio::join!(told(&mut silent), told(&mut torn));
    assert!((0..=408).contains(&silence.status), "{silence:?}");
    assert_eq!(torn.status, 408);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    room.close().await;
}

#[tokio::test]
async fn what_is_no_request_is_told() {
    let room = room();
    assert_eq!(room.raw(b"\x16\x03\x01\x02\x00 hello\r\n\r\n").await.status, 400);
    assert_eq!(room.call("POST", "/v1/ipam/ip", &json!([1])).await.status, 400);
    let told = room.call("POST", "/v1/ipam/ip", &json!({"apiVersion": 2})).await;
    assert_eq!((told.status, &told.body["reason"]), (400, &json!("BadRequest")));
    assert!(told.message().contains("lacks containerID"), "{}", told.message());
    let mut blank = add("web", "u1", "a b", "eth0");
    blank["podUID"] = json!("");
    assert_eq!(room.call("POST", "/v1/ipam/ip", &blank).await.status, 400);
    for (method, target) in [("PUT", "/v1/ipam/ip"), ("GET", "/"), ("GET", "/v1/ipam/ip/../x")] {
        let told = room.call(method, target, &Value::Null).await;
        assert_eq!(told.status, 404, "{method} {target}");
        assert!(told.message().contains("docs/agent-api.md"));
    }
    room.close().await;
}

#[tokio::test]
async fn a_caller_that_leaves_abandons_nothing() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/24", "10.6.0.10-10.6.0.20");
    room.world.runs(&pod("web", "u1"));
    room.ledger.slow_down(Duration::from_millis(200));
    let body = add("web", "u1", "c1", "eth0").to_string();
    let request = format!(
        "POST /v1/ipam/ip HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = UnixStream::connect(&room.socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(stream);
    // The DEL that a runtime sends at once waits for the ADD, and then frees what that was given.
    room.world.vanishes("web");
    assert_eq!(room.del("web", "u1", "c1").await.status, 200);
    let seen = room.ledger.seen();
    assert_eq!((seen.len(), room.ledger.allocations().len()), (2, 0));
    room.close().await;
}

#[tokio::test]
async fn a_crowd_is_served() {
    let room = room();
    room.ledger.pool("blue", "10.6.0.0/16", "10.6.0.10-10.6.3.250");
    for at in 0..110 {
        room.world.runs(&pod(&format!("p{at}"), &format!("u{at}")));
    }
    let adds = (0..110).map(|at| {
        let room = &room;
        async move { room.add(&format!("p{at}"), &format!("u{at}"), &format!("c{at}")).await }
    });
    let told = futures_util::future::join_all(adds).await;
    let mut all: Vec<String> = told.iter().flat_map(|told| told.addresses()).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 110);
    room.close().await;
}
