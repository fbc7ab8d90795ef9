//! One request to the API server, and lists of several pages.
//!
//! Every read is a quorum read, since what is decided on it may be written (no `resourceVersion` is ever
//! given). Nothing is sent twice but what the server says that it has not done (429). Invariant: a list
//! is whole or a fault.

use super::fault::Fault;
use super::{Cluster, FIELD_MANAGER};
use crate::session::Session;
use kube::core::Request;
use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::Value;
use spiderpool_kube::manifest::API_VERSION;
use std::time::{Duration, Instant};

/// So long may one request take.
const PATIENCE: Duration = Duration::from_secs(30);

/// So often is a request sent that the server has no time for.
const BUSY_TRIES: u32 = 5;

/// Objects in one page of a list.
const PAGE: u32 = 500;

/// Work that takes longer than this says how far it is.
const QUIET: Duration = Duration::from_secs(2);

/// Whether a write is only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// The server judges it and writes nothing.
    DryRun,
    /// It is written.
    Real,
}

impl Trial {
    const fn is_dry(self) -> bool {
        matches!(self, Self::DryRun)
    }
}

/// The path of a kind of this project, for all namespaces.
pub(super) fn plural(plural: &str) -> String {
    format!("/apis/{API_VERSION}/{plural}")
}

/// The path of a kind in a namespace, or of the cluster without one.
pub(super) fn kind_path(api_version: &str, namespace: Option<&str>, plural: &str) -> String {
    let root = if api_version.contains('/') { "/apis" } else { "/api" };
    match namespace {
        Some(namespace) => format!("{root}/{api_version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{api_version}/{plural}"),
    }
}

type Built = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

impl Cluster {
    /// Sends a request and reads the whole reply.
    fn send(&self, built: Built, name: Option<&str>) -> Result<Value, Fault> {
        let request = built.map_err(|error| Fault::Unclear { why: error.to_string() })?;
        let mut tries = 1;
        loop {
            let sent = self.client.request::<Value>(request.clone());
            let exchange = async { tokio::time::timeout(PATIENCE, sent).await };
            let error = match self.runtime.block_on(exchange) {
                Ok(Ok(json)) => return Ok(json),
                Ok(Err(error)) => error,
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    let why = format!("{} did not answer within {seconds} s", self.url);
                    return Err(Fault::Unclear { why });
                }
            };
            match busy_for(&error).filter(|_| tries < BUSY_TRIES) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(Fault::of(&error, name)),
            }
            tries += 1;
        }
    }

    /// One object; `None` when the server says that there is none.
    pub(super) fn read(&self, path: &str, name: &str) -> Result<Option<Value>, Fault> {
        match self.send(Request::new(path).get(name, &GetParams::default()), Some(name)) {
            Ok(json) => Ok(Some(json)),
            Err(Fault::Absent) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The metadata of one object.
    pub(super) fn read_meta(&self, path: &str, name: &str) -> Result<Option<Value>, Fault> {
        match self.send(Request::new(path).get_metadata(name, &GetParams::default()), Some(name)) {
            Ok(json) => Ok(Some(json)),
            Err(Fault::Absent) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// What stands at a path of the server itself.
    pub(super) fn raw(&self, path: &str) -> Result<Value, Fault> {
        let built = http::Request::get(path).body(Vec::new());
        self.send(built.map_err(kube::core::request::Error::BuildRequest), None)
    }

    /// Hands every object of a list to `take`, page by page, so that no more than a page is kept.
    /// `fields` and `labels` are selectors, empty for none.
    pub(super) fn each(
        &self,
        path: &str,
        (labels, fields): (&str, &str),
        progress: &mut Progress<'_>,
        mut take: impl FnMut(Value),
    ) -> Result<(), Fault> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = Some(labels.to_owned()).filter(|text| !text.is_empty());
        params.field_selector = Some(fields.to_owned()).filter(|text| !text.is_empty());
        loop {
            let mut page = self.send(Request::new(path).list(&params), None)?;
            let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
                return Err(Fault::Unclear { why: format!("{path} gave a list without items") });
            };
            progress.count(items.len());
            items.into_iter().for_each(&mut take);
            let next = page.pointer("/metadata/continue").and_then(Value::as_str);
            match next.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next.to_owned()),
                None => return Ok(()),
            }
        }
    }

    /// Makes an object.
    pub(super) fn create(&self, path: &str, json: &Value, trial: Trial) -> Result<Value, Fault> {
        let manager = Some(FIELD_MANAGER.to_owned());
        let params = PostParams { dry_run: trial.is_dry(), field_manager: manager };
        let body = json.to_string().into_bytes();
        let name = json.pointer("/metadata/name").and_then(Value::as_str);
        self.send(Request::new(path).create(&params, body), name)
    }

    /// Merges a patch into an object (RFC 7386).
    pub(super) fn patch(
        &self,
        path: &str,
        name: &str,
        patch: &Value,
        trial: Trial,
    ) -> Result<Value, Fault> {
        let mut params = PatchParams { dry_run: trial.is_dry(), ..PatchParams::default() };
        params.field_manager = Some(FIELD_MANAGER.to_owned());
        self.send(Request::new(path).patch(name, &params, &Patch::Merge(patch)), Some(name))
    }

    /// Removes an object; gives it as it still is when something keeps it.
    pub(super) fn remove(&self, path: &str, name: &str, trial: Trial) -> Result<Value, Fault> {
        let params = DeleteParams { dry_run: trial.is_dry(), ..DeleteParams::default() };
        self.send(Request::new(path).delete(name, &params), Some(name))
    }
}

/// How long a server that had no time for a request, and did nothing (429), asks to be left alone.
fn busy_for(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let asked = status.details.as_ref().map_or(1, |details| details.retry_after_seconds);
    (status.code == 429).then(|| Duration::from_secs(asked.clamp(1, 10).into()))
}

/// Tells people how far long work is.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    session: &'a Session,
    what: String,
    count: usize,
    told: Instant,
}

impl<'a> Progress<'a> {
    /// Work on `what`, in the plural.
    pub(super) fn of(session: &'a Session, what: &str) -> Self {
        Self { session, what: what.to_owned(), count: 0, told: started() }
    }

    fn count(&mut self, more: usize) {
        self.count += more;
        if self.told.elapsed() >= QUIET {
            self.told = started();
            self.session.note(&format!("read {} {} so far", self.count, self.what));
        }
    }
}

/// For how long somebody has been waiting is measured, and decides about nothing else.
fn started() -> Instant {
    Instant::now()
}
