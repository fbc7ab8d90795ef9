//! The program itself: how it begins, waits, and ends.

#![cfg(test)]

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_spiderpool-agent");

/// A node whose API server is away: nothing listens at the port that its kubeconfig names.
struct Node {
    dir: tempfile::TempDir,
    health_port: u16,
    metrics_port: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Node {
    fn new() -> Self {
        let node = Self {
            dir: tempfile::tempdir().unwrap(),
            health_port: free_port(),
            metrics_port: free_port(),
        };
        let server = format!("https://127.0.0.1:{}", free_port());
        node.write(
            "kubeconfig",
            &format!(
                "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}], clusters: [{{name: k, cluster: {{server: '{server}', insecure-skip-tls-verify: true}}}}], users: [{{name: u, user: {{token: t}}}}]}}"
            ),
        );
        node.write("machine-id", "0123456789abcdef0123456789abcdef\n");
        node.write(
            "conf.yml",
            &format!(
                "ipamUnixSocketPath: {}\ntuneSysctlConfig: false\nagent: {{coordinatorStateDir: {}}}\n",
                node.at("agent.sock").display(),
                node.at("state").display()
            ),
        );
        node
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("KUBECONFIG", self.at("kubeconfig"))
            .env("SPIDERPOOL_NODE_NAME", "worker-1")
            .env("SPIDERPOOL_HEALTH_PORT", self.health_port.to_string())
            .env("SPIDERPOOL_METRIC_HTTP_PORT", self.metrics_port.to_string())
            .env("SPIDERPOOL_ENABLED_METRIC", "true")
            .env("SPIDERPOOL_LISTEN_ADDRESS", "127.0.0.1")
            .env("SPIDERPOOL_RECORD_PATH", self.at("record"))
            .env("SPIDERPOOL_MACHINE_ID_PATH", self.at("machine-id"))
            .arg("daemon")
            .arg("--config-path")
            .arg(self.at("conf.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// An agent with its log in `NAME.log`.
    fn start(&self, name: &str) -> Agent {
        let log = fs::File::create(self.at(&format!("{name}.log"))).unwrap();
        let agent = Agent(self.command().stderr(log).spawn().unwrap());
        wait("the socket", || UnixStream::connect(self.at("agent.sock")).is_ok());
        for port in [self.health_port, self.metrics_port] {
            wait("a port", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        agent
    }

    fn get(&self, port: u16, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        ask(&mut stream, path)
    }
}

/// A process that ends with the test.
struct Agent(Child);

impl Agent {
    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        let told = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(told.success());
        (self.0.wait().unwrap().code(), begun.elapsed())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn ask(stream: &mut (impl std::io::Read + std::io::Write), path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..400 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("{what} did not come");
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_api_server_that_is_away_is_waited_for() {
    let node = Node::new();
    let mut agent = node.start("agent");
    let log = || fs::read_to_string(node.at("agent.log")).unwrap();
    wait("a word in the log", || log().contains("waiting for the API server"));
    let ready = node.get(node.health_port, "/v1/runtime/readiness");
    assert!(ready.starts_with("HTTP/1.1 500") && ready.contains("the API server: "), "{ready}");
    let alive = node.get(node.health_port, "/v1/runtime/liveness");
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    let healthy = ask(&mut UnixStream::connect(node.at("agent.sock")).unwrap(), "/v1/ipam/healthy");
    assert!(healthy.starts_with("HTTP/1.1 500"), "{healthy}");
    let metrics = node.get(node.metrics_port, "/metrics");
    assert!(metrics.contains("spiderpool_ipam_allocation_counts_total 0"), "{metrics}");
    // A caller that sends half a request holds nothing up at the end.
    let mut half = UnixStream::connect(node.at("agent.sock")).unwrap();
    half.write_all(b"POST /v1/ipam/ip HTTP/1.1\r\n").unwrap();
    let (code, took) = agent.terminate();
    assert_eq!(code, Some(0), "{}", log());
    assert!(took < Duration::from_secs(7), "{took:?}");
    assert!(!node.at("agent.sock").exists());
}

#[test]
fn a_second_agent_is_refused() {
    let node = Node::new();
    let _first = node.start("first");
    let second = node.command().env("SPIDERPOOL_HEALTH_PORT", "0").output().unwrap();
    let (code, why) = told(&second);
    assert_eq!(code, Some(1));
    assert!(why.contains("another agent answers at"), "{why}");
    assert!(UnixStream::connect(node.at("agent.sock")).is_ok());
}

#[test]
fn a_killed_agent_is_followed_by_another() {
    let node = Node::new();
    drop(node.start("first"));
    assert!(node.at("agent.sock").exists());
    let mut second = node.start("second");
    assert_eq!(second.terminate().0, Some(0));
}

#[test]
fn a_configuration_is_read_again_while_it_runs() {
    let node = Node::new();
    let _agent = node.start("agent");
    let log = || fs::read_to_string(node.at("agent.log")).unwrap();
    let before = fs::read_to_string(node.at("conf.yml")).unwrap();
    node.write("conf.yml", &format!("{before}enableIPv6: [\n"));
    wait("the fault", || log().contains("cannot be used; the one before it stays in force"));
    node.write("conf.yml", &before.replace("agent: {", "agent: {logLevel: debug, "));
    wait("the change", || log().contains("the level of the log has changed"));
}

#[test]
fn what_cannot_be_used_is_told_at_once() {
    let node = Node::new();
    node.write("conf.yml", "agent: {requestTimeoutSeconds: 1000}\n");
    let (code, why) = told(&node.command().output().unwrap());
    assert_eq!(code, Some(2));
    assert!(why.contains("`agent.requestTimeoutSeconds` is 1000"), "{why}");
    let node = Node::new();
    let nameless = node.command().env("SPIDERPOOL_NODE_NAME", "").output().unwrap();
    let (code, why) = told(&nameless);
    assert_eq!(code, Some(2));
    assert!(why.contains("SPIDERPOOL_NODE_NAME"), "{why}");
}

#[test]
fn plugins_are_installed_by_an_init_step() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    for plugin in ["spiderpool", "coordinator", "ifacer", "rdma"] {
        fs::write(from.join(plugin), plugin).unwrap();
    }
    let install = |from: &Path| {
        Command::new(PROGRAM).arg("install").arg(&to).arg("--from").arg(from).output().unwrap()
    };
    assert_eq!(told(&install(&from)), (Some(0), String::new()));
    assert_eq!(fs::read_to_string(to.join("ifacer")).unwrap(), "ifacer");
    fs::remove_file(from.join("rdma")).unwrap();
    let (code, why) = told(&install(&from));
    assert!(code == Some(1) && why.contains("rdma"), "{why}");
}

#[test]
fn help_page_and_completion_are_there() {
    let told = |args: &[&str]| {
        let output = Command::new(PROGRAM).args(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let help = told(&["--help"]);
    assert!(help.contains("SPIDERPOOL_NODE_NAME") && help.contains("Exit codes:"), "{help}");
    assert!(told(&["daemon", "--help"]).contains("--install-cni-binaries"));
    assert!(told(&["man"]).contains(".TH spiderpool-agent"));
    assert!(told(&["completion", "bash"]).contains("--install-cni-binaries"));
    let dir = tempfile::tempdir().unwrap();
    told(&["man", dir.path().to_str().unwrap()]);
    assert!(dir.path().join("spiderpool-agent-install.1").exists());
}
