//! A proxy between clients and the API server that loses requests and replies.
//!
//! Owns [`Proxy`]. It listens without TLS on loopback, and speaks to the API server as one identity,
//! whatever the client says of itself: one proxy stands for one component, and its counters are what
//! that component asked. A request that is lost, and a reply that is lost, look the same to the client: a
//! closed connection. Watches stream through it; upgrades (`exec`) do not. Invariants:
//!
//! 1. A lost reply is lost after the API server has answered: the write is there
//!    (`a_lost_reply_is_a_write_that_happened`), and a lost request is not
//!    (`a_lost_request_is_a_write_that_did_not_happen`).
//! 2. A proxy that is cut passes nothing, and open connections break; once healed it passes all
//!    (`a_cut_proxy_passes_nothing`).
//! 3. Each client's connection has one of its own to the API server, so what one client does to its
//!    connection is not felt by another.

mod faults;

mod request;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsConnector;

use crate::identity::{kubeconfig, loopback};
use crate::{Fault, Identity};

pub use faults::Faults;
pub use request::Asked;

use faults::Fate;

/// What passed through a proxy, and what did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// What was sent on to the API server, with how often.
    pub forwarded: BTreeMap<Asked, u64>,
    /// Requests that were never sent on.
    pub lost_requests: BTreeMap<Asked, u64>,
    /// Requests that were sent on and answered, and whose answers were thrown away.
    pub lost_replies: BTreeMap<Asked, u64>,
}

impl Counters {
    /// Gives how many requests with that verb for that resource were sent on.
    #[must_use]
    pub fn forwarded(&self, verb: &str, resource: &str) -> u64 {
        let asked = Asked { verb: verb.to_owned(), resource: resource.to_owned() };
        self.forwarded.get(&asked).copied().unwrap_or_default()
    }
}

/// A proxy that ends with this value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy that speaks to the API server as this identity.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(identity: &Identity, faults: Faults) -> Result<Self, Fault> {
        let failed = |verb| Fault::process(verb, "the proxy");
        let listener = std::net::TcpListener::bind(loopback(0)).map_err(failed("bind"))?;
        listener.set_nonblocking(true).map_err(failed("bind"))?;
        let address = listener.local_addr().map_err(failed("bind"))?;
        let place = std::env::temp_dir();
        let directory =
            tempfile::tempdir().map_err(Fault::file("create a directory in", &place))?;
        let path = directory.path().join("kubeconfig");
        let cluster = json!({ "server": format!("http://{address}") });
        std::fs::write(&path, kubeconfig(&identity.user, &cluster, &json!({})))
            .map_err(Fault::file("write", &path))?;
        let state = Arc::new(State::new(identity.clone(), faults));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed("start"))?;
        let shared = Arc::clone(&state);
        let work = async move {
            tokio::select! {
                () = accept(listener, shared) => {}
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new().name("proxy".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work)).map_err(failed("start"))?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { address, state, stop, thread, kubeconfig: path, _directory: directory })
    }

    /// Gives the address that clients use: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives a file that leads client libraries to the proxy. It goes with the proxy.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Gives what has passed so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.inner().counters.clone()
    }

    /// Does these faults to the requests that come from here on. The numbers of requests, by which the
    /// seed decides, begin anew.
    pub fn replace(&self, faults: Faults) {
        let mut inner = self.state.inner();
        inner.faults = faults;
        inner.number = 0;
    }

    /// Breaks every connection, and each new one, until the proxy is healed.
    pub fn cut(&self) {
        self.state.is_cut.send_replace(true);
    }

    /// Passes connections again.
    pub fn heal(&self) {
        self.state.is_cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A proxy that panicked has closed its connections, too.
            drop(thread.join());
        }
    }
}

/// What the connections share.
#[derive(Debug)]
struct State {
    identity: Identity,
    inner: Mutex<Inner>,
    is_cut: watch::Sender<bool>,
}

#[derive(Debug)]
struct Inner {
    faults: Faults,
    /// How many mutating requests have come.
    number: u64,
    counters: Counters,
}

impl State {
    fn new(identity: Identity, faults: Faults) -> Self {
        let inner = Mutex::new(Inner { faults, number: 0, counters: Counters::default() });
        Self { identity, inner, is_cut: watch::Sender::new(false) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, asked: &Asked) -> (Fate, Faults) {
        let mut inner = self.inner();
        let faults = inner.faults;
        if !asked.is_mutating() {
            return (Fate::Passed, faults);
        }
        let number = inner.number;
        inner.number += 1;
        (faults.fate(number), faults)
    }

    fn count(&self, which: fn(&mut Counters) -> &mut BTreeMap<Asked, u64>, asked: &Asked) {
        *which(&mut self.inner().counters).entry(asked.clone()).or_default() += 1;
    }
}

async fn accept(listener: std::net::TcpListener, state: Arc<State>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    // A client that is gone before it was accepted is no reason to end.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&state)));
        }
    }
}

/// Serves one client's connection until either side closes it or the proxy is cut.
async fn serve(stream: TcpStream, state: Arc<State>) {
    // Small replies go out at once; where the kernel refuses, they only go out later.
    drop(stream.set_nodelay(true));
    let mut is_cut = state.is_cut.subscribe();
    let link = tokio::sync::Mutex::new(None);
    let service = service_fn(|request| forward(request, &link, &state));
    let connection = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
    }
}

type Link = tokio::sync::Mutex<Option<SendRequest<Incoming>>>;

/// Why a client gets no reply.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("lost on purpose")]
    Purposely,
    #[error("no connection to the API server")]
    Connection(#[from] std::io::Error),
    #[error("the API server does not speak HTTP")]
    Http(#[from] hyper::Error),
}

async fn forward(
    mut request: Request<Incoming>,
    link: &Link,
    state: &State,
) -> Result<Response<Incoming>, Lost> {
    let uri = request.uri();
    let (method, query) = (request.method().as_str(), uri.query().unwrap_or_default());
    let asked = Asked::read(method, uri.path(), query);
    let (fate, faults) = state.decide(&asked);
    tokio::time::sleep(faults.delay).await;
    if fate == Fate::RequestLost {
        state.count(|counters| &mut counters.lost_requests, &asked);
        return Err(Lost::Purposely);
    }
    sign(&mut request, &state.identity);
    let mut link = link.lock().await;
    let mut sender = match link.take() {
        Some(sender) if !sender.is_closed() => sender,
        _ => connect(&state.identity).await?,
    };
    sender.ready().await?;
    state.count(|counters| &mut counters.forwarded, &asked);
    let reply = sender.send_request(request).await?;
    *link = Some(sender);
    if fate == Fate::ReplyLost {
        state.count(|counters| &mut counters.lost_replies, &asked);
        return Err(Lost::Purposely);
    }
    Ok(reply)
}

/// Puts the proxy's own credentials in place of the client's.
fn sign(request: &mut Request<Incoming>, identity: &Identity) {
    let headers = request.headers_mut();
    headers.remove(AUTHORIZATION);
    let proof = identity.token.as_ref().map(|token| format!("Bearer {token}"));
    if let Some(proof) = proof.and_then(|proof| HeaderValue::try_from(proof).ok()) {
        headers.insert(AUTHORIZATION, proof);
    }
    if let Ok(host) = HeaderValue::try_from(identity.server.to_string()) {
        headers.insert(HOST, host);
    }
}

/// Opens a connection to the API server; it ends when its sender is dropped.
async fn connect(identity: &Identity) -> Result<SendRequest<Incoming>, Lost> {
    let stream = TcpStream::connect(identity.server).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::clone(&identity.tls));
    let stream = connector.connect(ServerName::from(identity.server.ip()), stream).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // How it ends, the sender hears.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
