//! HTTP/1.1 for the socket, the probes and the metrics: bytes in, one function asked, bytes out.
//!
//! Invariants:
//! 1. No caller holds the agent up: the head of a request, its body, and the number of callers are
//!    bounded in size and time (`tests/conversations/hostile.rs`).
//! 2. What was begun is brought to its end when its caller goes away, since the verb that follows waits
//!    for it (`a_caller_that_leaves_abandons_nothing`).
//! 3. Once told to close, no new caller is taken, and those being answered are answered
//!    (`requests_under_way_are_answered_at_the_end`).

use crate::soon::Soon;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

/// How much a request's body may have: GC lists every attachment of the node.
pub const BODY_MAX_BYTES: usize = spiderpool_agent_api::MAX_REQUEST_BYTES;

/// How much the head of a request may have.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// How long a caller may take for the head, and again for the body.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many callers are answered at once; further ones wait.
const CALLERS: usize = 512;

/// Content of JSON.
pub const JSON: &str = "application/json";

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What is to be done.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, undecoded; empty without one.
    pub query: String,
    /// The body.
    pub body: Bytes,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// What kind of text the body is.
    pub content: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A value as JSON.
    #[must_use]
    pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, content: JSON, body: body.into() },
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// A plain text.
    #[must_use]
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self { status, content: "text/plain; charset=utf-8", body: text.into() }
    }

    /// Success with nothing to say.
    #[must_use]
    pub fn empty() -> Self {
        Self::text(StatusCode::OK, "")
    }
}

/// Whoever answers requests.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, asked: Asked) -> Soon<'_, Reply>;
}

/// Where callers come from.
#[derive(Debug)]
pub enum Listener {
    /// Processes of this node.
    Unix(UnixListener),
    /// The kubelet, and whoever reads metrics.
    Tcp(TcpListener),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Answers callers until `closing` says true; comes back when the last one has been answered.
#[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
pub async fn serve(
    listener: Listener,
    answers: Arc<dyn Answers>,
    mut closing: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CALLERS));
    let (guard, mut all_gone) = mpsc::channel::<Infallible>(1);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed(&mut closing) => break,
        };
        match accepted {
            Ok(stream) => {
                let caller = Caller { guard: guard.clone(), place, closing: closing.clone() };
                drop(tokio::spawn(caller.attend(stream, Arc::clone(&answers))));
            }
            Err(error) => {
                // Out of descriptors, as a rule: those that end give some back.
                tracing::warn!(%error, "a caller could not be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop((listener, guard));
    // Nothing is ever sent: it ends when the last caller has dropped its sender.
    while all_gone.recv().await.is_some() {}
}

/// Comes back once the flag is up, or nobody is left who could raise it.
pub async fn closed(closing: &mut watch::Receiver<bool>) {
    drop(closing.wait_for(|is_closing| *is_closing).await);
}

/// What a caller holds while it is attended to.
struct Caller {
    guard: mpsc::Sender<Infallible>,
    place: OwnedSemaphorePermit,
    closing: watch::Receiver<bool>,
}

impl Caller {
    async fn attend(mut self, stream: Box<dyn Stream>, answers: Arc<dyn Answers>) {
        let guard = self.guard.clone();
        let service = service_fn(move |request| {
            let (answers, guard) = (Arc::clone(&answers), guard.clone());
            async move { Ok::<_, Infallible>(lower(take(request, answers, guard).await)) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(HEAD_MAX_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = closed(&mut self.closing) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a caller left before its answer, or spoke no HTTP");
        }
        drop((self.guard, self.place));
    }
}

/// Reads a request and has it answered, to the end even if the caller leaves.
async fn take(
    request: Request<Incoming>,
    answers: Arc<dyn Answers>,
    guard: mpsc::Sender<Infallible>,
) -> Reply {
    let (head, body) = request.into_parts();
    let body = match whole(body).await {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body,
    };
    let answered = tokio::spawn(async move {
        let reply = answers.answer(asked).await;
        drop(guard);
        reply
    });
    answered.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request was not answered: a bug");
        let told = "the agent failed on this request: a bug; its log has more";
        Reply::json(StatusCode::INTERNAL_SERVER_ERROR, &told)
    })
}

/// The whole body, or why it is not taken.
async fn whole(body: Incoming) -> Result<Bytes, Reply> {
    let too_large = || {
        let told = format!("the body has more than {BODY_MAX_BYTES} bytes");
        Reply::json(StatusCode::PAYLOAD_TOO_LARGE, &told)
    };
    let most = u64::try_from(BODY_MAX_BYTES).unwrap_or(u64::MAX);
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    match timeout(PATIENCE, Limited::new(body, BODY_MAX_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let told = format!("the body ends early: {error}");
            Err(Reply::json(StatusCode::BAD_REQUEST, &told))
        }
        Err(_) => {
            let told = format!("the body did not come within {} s", PATIENCE.as_secs());
            Err(Reply::json(StatusCode::REQUEST_TIMEOUT, &told))
        }
    }
}

fn lower(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.content));
    response
}
