//! The agent's state, and the way from a request to the verb that answers it.
//!
//! Invariants:
//! 1. Verbs of one container follow each other (`two_interfaces_at_once` in `tests/conversations`).
//! 2. A request in a form that only the reference has (a body on a GET, an error as a JSON string) is
//!    answered in that form (`an_older_plugin_is_understood`).

use crate::conf::Conf;
use crate::conf::reload::Present;
use crate::duty::project::Outbox;
use crate::facts::Facts;
use crate::failure::Failure;
use crate::health::Health;
use crate::herald::Herald;
use crate::http::{Answers, Asked, Reply};
use crate::metrics::Metrics;
use crate::order::{Order, Turn};
use crate::soon::Soon;
use crate::store::Store;
use crate::verb;
use hyper::{Method, StatusCode};
use serde::Serialize;
use spiderpool_agent_api::message::{IpamStatusQuery, PodQuery};
use spiderpool_agent_api::{ApiVersion, ErrorBody, Message, path, read, reason, status};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What does not change while the agent runs.
#[derive(Clone, Debug)]
pub struct Site {
    /// The name of this node.
    pub node: Name,
    /// The namespace that the agent runs in: where a bare name of a first network lies.
    pub namespace: String,
    /// The network of `eth0` that the environment names (`MULTUS_CLUSTER_NETWORK`).
    pub network: Option<String>,
    /// `SPIDERPOOL_ENABLED_RELEASE_CONFLICT_IPS`.
    pub releases_conflicts: bool,
}

/// All that the verbs work with.
pub struct Agent {
    /// What does not change.
    pub site: Site,
    /// The configuration at present.
    pub conf: Present,
    /// The cluster.
    pub facts: Arc<dyn Facts>,
    /// The ledger.
    pub store: Arc<dyn Store>,
    /// What is to be shown of pods.
    pub outbox: Arc<Outbox>,
    /// What is told on pods.
    pub herald: Arc<Herald>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// What the probes are told.
    pub health: Arc<Health>,
    /// The turns of containers.
    pub order: Order,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("site", &self.site).finish_non_exhaustive()
    }
}

/// A verb under way.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) turn: Turn<'a>,
    /// The verb ends by then, in milliseconds since the Unix epoch.
    pub(crate) deadline_ms: u64,
    /// How long the turn was waited for.
    pub(crate) waited: Duration,
}

/// What is kept of a plugin's deadline for the answer's way back.
const RESERVE_MS: u64 = 200;

impl Agent {
    /// The configuration at present.
    pub(crate) fn conf(&self) -> Arc<Conf> {
        Arc::clone(&self.conf.borrow())
    }

    /// Now, with a draw of chance.
    pub(crate) fn moment() -> Result<Moment, Failure> {
        let moment = spiderpool_host::moment();
        moment.map_err(|bad| Failure::new(reason::INTERNAL, 999, bad.to_string()))
    }

    /// Waits for a container's turn; `patience_ms` is how long the plugin waits for the reply.
    pub(crate) async fn session(
        &self,
        container: &str,
        patience_ms: Option<u64>,
    ) -> Result<Session<'_>, Failure> {
        let (container, now_ms) = (Name::new(container)?, Self::moment()?.now_ms);
        let own = u64::try_from(self.conf().own.add_timeout.as_millis()).unwrap_or(u64::MAX);
        let theirs = patience_ms.map_or(own, |ms| ms.saturating_sub(RESERVE_MS));
        let patience = own.min(theirs);
        let begun = Instant::now();
        let turn = self.order.turn(&container, now_ms.saturating_mul(1000));
        let turn = tokio::time::timeout(Duration::from_millis(patience), turn).await;
        let turn = turn.map_err(|_| {
            let told = "another verb of the container was under way until the deadline; ask again";
            Failure::new(reason::TOO_LATE, 11, told)
        })?;
        let waited = begun.elapsed();
        let left = patience.saturating_sub(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
        let deadline_ms = self.store.now_ms().saturating_add(left);
        Ok(Session { turn, deadline_ms, waited })
    }

    async fn route(&self, asked: Asked) -> Reply {
        let Asked { method, path, query, body } = asked;
        let query = Some(query.as_str()).filter(|query| !query.is_empty());
        match (method.as_str(), path.as_str()) {
            ("GET", path::HEALTHY) => crate::health::reply(self.health.ready()),
            ("POST", path::IP) => with(&body, |args| verb::add::run(self, args)).await,
            ("DELETE", path::IP) => with(&body, |args| verb::del::run(self, args)).await,
            ("POST", path::IPS) => Reply::empty(),
            ("DELETE", path::IPS) => with(&body, |args| verb::batch::run(self, args)).await,
            ("POST", path::CHECK) => with(&body, |args| verb::check::run(self, args)).await,
            ("POST", path::GC) => with(&body, |args| verb::gc::run(self, args)).await,
            ("POST", path::CONFLICT) => with(&body, |args| verb::conflict::run(self, args)).await,
            ("GET", path::STATUS) => {
                let query = IpamStatusQuery::read(query);
                lower(query.api_version, verb::status::run(self, &query).await)
            }
            ("GET" | "POST", path::COORDINATOR_CONFIG) => {
                about(query, &body, |pod| verb::coordinator::run(self, pod)).await
            }
            ("GET" | "POST", path::WORKLOAD_ENDPOINT) => {
                about(query, &body, |pod| verb::endpoint::run(self, pod)).await
            }
            _ => unknown(&method, &path, version(&body)),
        }
    }
}

impl Answers for Agent {
    fn answer(&self, asked: Asked) -> Soon<'_, Reply> {
        Box::pin(self.route(asked))
    }
}

/// Reads a message, and has it answered.
async fn with<M, T, F>(body: &[u8], answer: impl FnOnce(M) -> F) -> Reply
where
    M: Message,
    T: Serialize,
    F: Future<Output = Result<T, Failure>>,
{
    let version = version(body);
    match read(body) {
        Ok(message) => lower(version, answer(message).await),
        Err(bad) => Failure::from(bad).reply(version),
    }
}

/// Reads which pod is asked about, and has it answered.
async fn about<T, F>(query: Option<&str>, body: &[u8], answer: impl FnOnce(PodQuery) -> F) -> Reply
where
    T: Serialize,
    F: Future<Output = Result<T, Failure>>,
{
    let pod = match PodQuery::read(query, body) {
        Ok(pod) => pod,
        Err(bad) => return Failure::from(bad).reply(version(body)),
    };
    let version = pod.api_version;
    if pod.pod_namespace.is_empty() || pod.pod_name.is_empty() {
        let told = "which pod? give podNamespace and podName, in the query or as a JSON body";
        return Failure::bad(told).with_status(status::BAD_REQUEST).reply(version);
    }
    lower(version, answer(pod).await)
}

fn lower(version: ApiVersion, answer: Result<impl Serialize, Failure>) -> Reply {
    match answer {
        Ok(answer) => Reply::json(StatusCode::OK, &answer),
        Err(failure) => failure.reply(version),
    }
}

/// The version that a body names, if it is one of ours at all.
fn version(body: &[u8]) -> ApiVersion {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        #[serde(default)]
        api_version: Option<ApiVersion>,
    }
    let read = serde_json::from_slice::<Versioned>(body).ok();
    read.and_then(|read| read.api_version).unwrap_or_default()
}

fn unknown(method: &Method, path: &str, version: ApiVersion) -> Reply {
    let told = format!("the agent has no `{method} {path}`; docs/agent-api.md lists what it has");
    let body = Box::new(ErrorBody::new(reason::NOT_FOUND, told));
    let failure =
        Failure { status: status::NOT_FOUND, body, outcome: crate::metrics::Outcome::Internal };
    failure.reply(version)
}
