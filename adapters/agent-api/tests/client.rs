//! The client against a peer on a real socket, which answers well, badly, slowly or not at all.

#![cfg(test)]

mod fake;

use fake::{Fake, Said};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use spiderpool_agent_api::message::{
    CoordinatorConfig, IpConfig, IpamAddArgs, IpamAddResponse, IpamBatchDelArgs, IpamConflictArgs,
    IpamDelArgs, IpamGcArgs, IpamStatusQuery, Outcome, PodQuery,
};
use spiderpool_agent_api::{AgentFault, ApiVersion, Client, ErrorBody, MAX_REPLY_BYTES, read};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A directory with a socket's path, and a client of it.
struct Lab {
    home: TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("sp-api-").tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("agent.sock")
    }

    fn client(&self, patience_ms: u64) -> Client {
        Client::new(self.socket(), Instant::now() + Duration::from_millis(patience_ms))
    }

    fn peer(&self, said: Said) -> Fake {
        Fake::new(&self.socket(), move |_| said.clone())
    }

    /// What a client that waits for long makes of these bytes.
    fn hears(&self, bytes: &[u8]) -> Result<CoordinatorConfig, AgentFault> {
        let _peer = self.peer(Said::Raw(bytes.to_vec()));
        self.client(20_000).coordinator_config(&PodQuery::of("default", "web-0"))
    }
}

const CONFIG: &str = r#"{"mode": "auto", "tunePodRoutes": true}"#;

fn sized(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn every_call_has_its_method_path_and_body() {
    let lab = Lab::new();
    let reply = r#"{"mode": "auto", "outcome": "Gone", "future": {"a": [1]}}"#;
    let peer = lab.peer(Said::Json(200, reply.to_owned()));
    let client = lab.client(20_000);
    let args = IpamDelArgs {
        container_id: "c1".into(),
        if_name: "eth0".into(),
        api_version: ApiVersion::CURRENT,
        ..IpamDelArgs::default()
    };
    client.healthy().unwrap();
    client.add(&IpamAddArgs::default()).unwrap();
    client.release(&args).unwrap();
    let who = args.clone();
    client.give_back(&IpamBatchDelArgs { who, ..IpamBatchDelArgs::default() }).unwrap();
    client.check(&Default::default()).unwrap();
    client.collect(&IpamGcArgs::default()).unwrap();
    let status = IpamStatusQuery { pools: vec!["b&w".into()], ..IpamStatusQuery::default() };
    client.status(&status).unwrap();
    assert_eq!(client.conflict(&IpamConflictArgs::default()).unwrap().outcome, Outcome::Gone);
    client.coordinator_config(&PodQuery::of("default", "web-0")).unwrap();
    client.workload_endpoint(&PodQuery::of("default", "web-0")).unwrap();
    assert_eq!(
        peer.calls(),
        [
            "GET /v1/ipam/healthy",
            "POST /v1/ipam/ip",
            "DELETE /v1/ipam/ip",
            "DELETE /v1/ipam/ips",
            "POST /v1/ipam/check",
            "POST /v1/ipam/gc",
            "GET /v1/ipam/status?apiVersion=1&pool=b%26w",
            "POST /v1/ipam/conflict",
            "GET /v1/coordinator/config",
            "GET /v1/workloadendpoint?podNamespace=default&podName=web-0&apiVersion=2",
        ]
    );
    let seen = peer.seen();
    let text = |at: usize| String::from_utf8(seen[at].body.clone()).unwrap();
    let whole = r#"{"containerID":"c1","ifName":"eth0","podNamespace":"","podName":"","podUID":"","apiVersion":2}"#;
    assert_eq!((text(2).as_str(), text(3).as_str()), (whole, whole));
    assert_eq!(text(8), r#"{"podNamespace":"default","podName":"web-0","apiVersion":2}"#);
    assert_eq!(read::<IpamDelArgs>(&seen[2].body).unwrap(), args);
    assert_eq!(read::<IpamBatchDelArgs>(&seen[3].body).unwrap().who, args);
}

#[test]
fn an_older_side_is_understood() {
    let lab = Lab::new();
    // As the reference's plugin writes it, and its agent.
    let asked =
        br#"{"cleanGateway":false,"containerID":"c1","ifName":"eth0","matchMasterSubnet":false,
        "netNamespace":"/run/netns/a","podName":"web-0","podNamespace":"default","podUID":"u"}"#;
    let args: IpamAddArgs = read(asked).unwrap();
    assert_eq!((args.api_version, args.deadline_ms), (ApiVersion::FIRST, None));
    let reply = r#"{"dns":null,"ips":[{"address":"10.6.0.10/24","enableGatewayDetection":false,
        "enableIPConflictDetection":true,"gateway":"10.6.0.1","ipPool":"blue","mac":"","nic":"eth0",
        "version":4,"vlan":0}],"routes":[{"dst":"0.0.0.0/0","gw":"10.6.0.1","ifName":"eth0"}]}"#;
    let _peer = lab.peer(Said::Json(200, reply.to_owned()));
    let reply = lab.client(20_000).add(&args).unwrap();
    let ip = IpConfig {
        version: 4,
        address: "10.6.0.10/24".into(),
        nic: "eth0".into(),
        ip_pool: Some("blue".into()),
        gateway: Some("10.6.0.1".into()),
        enable_ip_conflict_detection: true,
        ..IpConfig::default()
    };
    assert_eq!((reply.ips, reply.api_version), (vec![ip], ApiVersion::FIRST));
    assert_eq!(reply.routes.len(), 1);
}

#[test]
fn unknown_fields_are_passed_over() {
    let body =
        br#"{"apiVersion": 9, "ips": [{"version": 4, "address": "10.6.0.10/24", "nic": "eth0",
        "lease": {"until": 1}}], "moods": []}"#;
    let reply: IpamAddResponse = read(body).unwrap();
    assert_eq!((reply.api_version, reply.ips.len()), (ApiVersion(9), 1));
}

#[test]
fn nobody_listens() {
    let lab = Lab::new();
    let told = |lab: &Lab| lab.client(20_000).healthy().unwrap_err();
    let fault = told(&lab);
    assert!(matches!(fault, AgentFault::Away { .. }) && !fault.is_unsettled(), "{fault:?}");
    let path = lab.socket().display().to_string();
    let text = fault.to_string();
    assert!(text.contains(&path) && text.contains("spiderpool-agent runs"), "{text}");
    // A file that is no socket, and a socket that nobody holds any more.
    std::fs::write(lab.socket(), "").unwrap();
    assert!(matches!(told(&lab), AgentFault::Away { .. }));
    std::fs::remove_file(lab.socket()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(lab.socket()).unwrap());
    assert!(matches!(told(&lab), AgentFault::Away { .. }));
    let long = Client::new("/x".repeat(200), Instant::now() + Duration::from_secs(9));
    assert!(matches!(long.healthy(), Err(AgentFault::Away { .. })));
}

#[test]
fn a_body_comes_in_any_framing() {
    let lab = Lab::new();
    let whole = sized(CONFIG);
    let (a, b) = CONFIG.split_at(5);
    let closed = format!("HTTP/1.1 200 OK\r\n\r\n{CONFIG}");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x};x=\"y\"\r\n{a}\r\n{:X}\r\n{b}\r\n0\r\nTrailer: z\r\n\r\n",
        a.len(),
        b.len()
    );
    let interim =
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n{whole}");
    let more = format!("{whole}HTTP/1.1 200 OK\r\n\r\n");
    for text in [whole, closed, chunked, interim, more] {
        assert_eq!(
            lab.hears(text.as_bytes()).map(|config| config.mode),
            Ok("auto".into()),
            "{text}"
        );
        // However it was cut into pieces on its way.
        let _peer = lab.peer(Said::Slowly(text.clone().into_bytes(), Duration::from_micros(100)));
        lab.client(20_000).coordinator_config(&PodQuery::default()).unwrap();
    }
}

#[test]
fn a_connection_that_is_kept_open_is_no_reason_to_wait() {
    let lab = Lab::new();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{CONFIG}\r\n0\r\n\r\n",
        CONFIG.len()
    );
    for text in [sized(CONFIG), chunked] {
        let _peer = lab.peer(Said::Open(text.into_bytes()));
        let begun = Instant::now();
        lab.client(20_000).coordinator_config(&PodQuery::default()).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn every_prefix_of_a_reply_is_torn() {
    let lab = Lab::new();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{CONFIG}\r\n0\r\n",
        CONFIG.len()
    );
    for text in [sized(CONFIG), chunked] {
        assert!(lab.hears(text.as_bytes()).is_ok());
        for end in 0..text.len() {
            let fault = lab.hears(&text.as_bytes()[..end]).unwrap_err();
            assert!(matches!(fault, AgentFault::Silent { .. }), "{end}: {fault:?}");
        }
    }
}

#[test]
fn no_reply_panics() {
    let lab = Lab::new();
    let head = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let cases = [
        "\0\0\0\0".to_owned(),
        "220 smtp\r\n\r\n".to_owned(),
        format!("{head}Content-Length: -5\r\n\r\n"),
        format!("{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        format!("{head}Transfer-Encoding: gzip\r\n\r\n{CONFIG}"),
        format!("{head}X: {}\r\n\r\n", "y".repeat(1 << 20)),
        format!("{head}{}\r\n", "X: y\r\n".repeat(1000)),
        format!("{chunked}zz\r\n"),
        format!("{chunked}{}", "1".repeat(5000)),
        format!("{chunked}1;{}", "x".repeat(5000)),
        format!("{chunked}ffffffffffffffff\r\nab"),
        format!("{chunked}7fffffffffffffff\r\nab"),
        format!("{chunked}2\r\nabcd\r\n0\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(50),
        sized(""),
        sized("null"),
        sized("[]"),
        sized(r#"{"mode": 1}"#),
        sized(&"[".repeat(100_000)),
        sized(&format!(r#"{{"mode": {}"#, "[".repeat(100_000))),
        sized("{}"),
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
    ];
    for text in cases {
        let fault = lab.hears(text.as_bytes()).unwrap_err();
        assert!(matches!(fault, AgentFault::Garbled { .. }), "{fault:?}");
        assert!(fault.is_unsettled());
    }
}

#[test]
fn a_reply_has_a_largest_size() {
    let lab = Lab::new();
    let big = "y".repeat(MAX_REPLY_BYTES + 1);
    let head = "HTTP/1.1 200 OK\r\n";
    for text in [
        format!("{head}Content-Length: {}\r\n\r\n", big.len()),
        format!("{head}Content-Length: 99999999999999999999999\r\n\r\n"),
        format!("{head}\r\n{big}"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", big.len()),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", "4\r\nyyyy\r\n".repeat(1 << 20 | 1)),
    ] {
        let fault = lab.hears(text.as_bytes()).unwrap_err();
        assert!(fault.to_string().contains("a reply of more than 4194304 bytes"), "{fault}");
    }
}

#[test]
fn a_refusal_is_told() {
    let lab = Lab::new();
    let told = |status: u16, body: &str| {
        let _peer = lab.peer(Said::Json(status, body.to_owned()));
        lab.client(20_000).add(&IpamAddArgs::default()).unwrap_err()
    };
    let fault = told(500, r#""all IP addresses used out""#);
    assert_eq!(fault.to_string(), "all IP addresses used out");
    let body = r#"{"apiVersion": 2, "message": "no pool", "code": 100, "candidates": [1], "x": 1}"#;
    let AgentFault::Refused { call, status, body } = told(500, body) else { panic!("no refusal") };
    assert_eq!((call.as_str(), status, body.code), ("POST /v1/ipam/ip", 500, Some(100)));
    assert!(told(404, "404 page not found").is_unknown_call());
    assert!(told(405, "").is_unknown_call());
    assert!(!told(404, r#"{"apiVersion": 2, "message": "no such pod"}"#).is_unknown_call());
    assert_eq!(
        told(302, ""),
        AgentFault::Refused {
            call: "POST /v1/ipam/ip".into(),
            status: 302,
            body: Box::new(ErrorBody { message: "without a word".into(), ..ErrorBody::default() }),
        }
    );
}

#[test]
fn an_answer_before_the_end_of_the_request_is_heard() {
    let lab = Lab::new();
    let listener = std::os::unix::net::UnixListener::bind(lab.socket()).unwrap();
    let peer = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 500 X\r\nContent-Length: 6\r\n\r\n\"full\"").unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    });
    let long = IpamAddArgs { network_name: Some("x".repeat(1 << 22)), ..IpamAddArgs::default() };
    let fault = lab.client(20_000).add(&long).unwrap_err();
    peer.join().unwrap();
    assert_eq!(fault.to_string(), "full");
}

/// Ends after its time, and not long after.
fn in_time(begun: Instant, patience: Duration) {
    let took = begun.elapsed();
    assert!(took >= patience && took < patience + Duration::from_secs(4), "{took:?}");
}

#[test]
fn slow_bytes_end_at_the_deadline() {
    let lab = Lab::new();
    let slowly = Said::Slowly(sized(CONFIG).into_bytes(), Duration::from_millis(40));
    for said in [slowly, Said::Open(Vec::new()), Said::Open(b"HTTP/1.1 200 OK\r\n".to_vec())] {
        let _peer = lab.peer(said);
        let begun = Instant::now();
        let fault =
            lab.client(300).coordinator_config(&PodQuery::default()).unwrap_err().to_string();
        assert!(fault.contains("it was not answered to the end in time"), "{fault}");
        in_time(begun, Duration::from_millis(300));
    }
}

#[test]
fn a_request_that_is_not_read_ends_at_the_deadline() {
    let lab = Lab::new();
    let _deaf = std::os::unix::net::UnixListener::bind(lab.socket()).unwrap();
    let long = IpamAddArgs { network_name: Some("x".repeat(1 << 22)), ..IpamAddArgs::default() };
    let begun = Instant::now();
    let fault = lab.client(300).add(&long).unwrap_err();
    assert!(fault.to_string().contains("it was not taken in time"), "{fault}");
    in_time(begun, Duration::from_millis(300));
}

#[test]
fn a_full_backlog_ends_at_the_deadline() {
    let lab = Lab::new();
    let fd = || socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    let address = UnixAddr::new(&lab.socket()).unwrap();
    let (listener, first) = (fd(), fd());
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    connect(first.as_raw_fd(), &address).unwrap();
    let begun = Instant::now();
    let fault = lab.client(300).healthy().unwrap_err();
    assert!(fault.to_string().contains("it took no connection in time"), "{fault}");
    in_time(begun, Duration::from_millis(300));
    assert!(matches!(lab.client(0).healthy(), Err(AgentFault::Away { .. })));
}
