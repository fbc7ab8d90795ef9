//! An API server in memory: objects with revisions, merge patches, watches with a past that can be
//! forgotten, and faults that a test orders.
//!
//! It answers as a real one does where the client looks (statuses, `Status` bodies, `Date`), which
//! `tests/kube_store` checks against the real one by asking the same of both.

use http::{Method, Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tower::{BoxError, service_fn};

/// The definitions' part of every URL.
pub(super) const APIS: &str = "/apis/spiderpool.spidernet.io/v2beta1";

type Look = Box<dyn Fn(&str) + Send>;

type ReplyBody = UnsyncBoxBody<Bytes, BoxError>;

/// What happens to a request.
pub(super) enum Fault {
    /// It is not carried out, and answered like this: status, `Retry-After`, body.
    Answer(u16, Option<&'static str>, Value),
    /// It is not carried out, and the connection is lost.
    LoseRequest,
    /// It is carried out, and the connection is lost.
    LoseReply,
    /// Nothing comes for a long time.
    Silence,
    /// Something else happens first; it is then carried out.
    After(Box<dyn FnOnce(&mut State) + Send>),
}

/// The server's memory.
#[derive(Default)]
pub(super) struct State {
    /// Each object by its path.
    objects: BTreeMap<String, Value>,
    pub revision: u64,
    /// What happened: the revision, the collection, the event.
    past: Vec<(u64, String, Value)>,
    /// The revisions up to this one are forgotten.
    forgotten: u64,
    watchers: Vec<(String, Sender<Bytes, BoxError>)>,
    /// Faults for requests whose method and URL begin like this.
    faults: VecDeque<(String, Fault)>,
    /// Every request answers with this.
    pub down: bool,
    /// Objects that a page of a list has at most, whatever is asked for.
    pub page: usize,
    /// How long a request takes.
    pub pace: Duration,
    /// What was sent: method and URL, and the body.
    pub log: Vec<(String, Value)>,
    running: usize,
    /// The most requests that were on their way at once, watches aside.
    pub most: usize,
    /// By how much its clock is ahead of the host's.
    pub ahead: Duration,
    /// Called with each request before it is carried out.
    pub look: Option<Look>,
}

#[derive(Clone, Default)]
pub(super) struct Double(Arc<Mutex<State>>);

impl fmt::Debug for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Double")
    }
}

impl Double {
    pub(super) fn new() -> Self {
        let double = Self::default();
        double
            .state()
            .put("/api/v1/nodes/here", json!({"metadata": {"name": "here", "uid": "node-uid"}}));
        double
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Orders a fault for the next request that begins like this: `GET /api/v1/nodes`.
    pub(super) fn fault(&self, begin: &str, fault: Fault) {
        self.state().faults.push_back((begin.to_owned(), fault));
    }

    /// Requests that begin like this, in the order in which they came.
    pub(super) fn sent(&self, begin: &str) -> Vec<(String, Value)> {
        let state = self.state();
        state.log.iter().filter(|(line, _)| line.starts_with(begin)).cloned().collect()
    }

    pub(super) fn client(&self) -> Client {
        let double = self.clone();
        Client::new(service_fn(move |request| double.clone().serve(request)), "default")
    }

    async fn serve(self, request: Request<Body>) -> Result<Response<ReplyBody>, BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let line = format!("{} {}", head.method, head.uri);
        let is_watch = line.contains("watch=true");
        let pace = self.state().enter(&line, &body, is_watch);
        tokio::time::sleep(pace).await;
        let fault = self.state().take_fault(&line);
        let result = match fault {
            Some(Fault::Silence) => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Err(lost())
            }
            Some(Fault::LoseRequest) => Err(lost()),
            Some(Fault::LoseReply) => {
                self.state().carry_out(&head.method, &head.uri, &body);
                Err(lost())
            }
            Some(Fault::Answer(status, after, body)) => {
                let mut response = reply(status, &body);
                if let Some(after) = after {
                    response.headers_mut().insert("retry-after", after.parse().unwrap());
                }
                Ok(response)
            }
            Some(Fault::After(happens)) => {
                let mut state = self.state();
                happens(&mut state);
                Ok(state.carry_out(&head.method, &head.uri, &body))
            }
            None => Ok(self.state().carry_out(&head.method, &head.uri, &body)),
        };
        self.state().leave(is_watch, result)
    }
}

fn lost() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

impl State {
    fn enter(&mut self, line: &str, body: &Value, is_watch: bool) -> Duration {
        self.log.push((line.to_owned(), body.clone()));
        if let Some(look) = &self.look {
            look(line);
        }
        if !is_watch {
            self.running += 1;
            self.most = self.most.max(self.running);
        }
        self.pace
    }

    fn leave(
        &mut self,
        is_watch: bool,
        result: Result<Response<ReplyBody>, BoxError>,
    ) -> Result<Response<ReplyBody>, BoxError> {
        if !is_watch {
            self.running -= 1;
        }
        if self.down {
            return Err(lost());
        }
        let mut response = result?;
        let date = httpdate::fmt_http_date(SystemTime::now() + self.ahead);
        response.headers_mut().insert("date", date.parse()?);
        Ok(response)
    }

    fn take_fault(&mut self, line: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|(begin, _)| line.starts_with(begin))?;
        self.faults.remove(at).map(|(_, fault)| fault)
    }

    /// Makes or changes an object, by its path.
    pub(super) fn put(&mut self, path: &str, mut object: Value) {
        self.revision += 1;
        let kind = if self.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        self.happened(path, kind, &object);
    }

    /// Removes an object.
    pub(super) fn remove(&mut self, path: &str) {
        self.revision += 1;
        if let Some(mut object) = self.objects.remove(path) {
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            self.happened(path, "DELETED", &object);
        }
    }

    pub(super) fn object(&self, path: &str) -> Value {
        self.objects.get(path).cloned().unwrap_or_default()
    }

    fn happened(&mut self, path: &str, kind: &str, object: &Value) {
        let (collection, _) = split(path);
        let event = json!({"type": kind, "object": object});
        self.tell(&collection, &event);
        self.past.push((self.revision, collection, event));
    }

    fn tell(&mut self, collection: &str, event: &Value) {
        let line = Bytes::from(format!("{event}\n"));
        self.watchers.retain_mut(|(watched, listener)| {
            watched != collection
                || listener.try_send(hyper::body::Frame::data(line.clone())).is_ok()
        });
    }

    /// Tells each watch of a collection where it stands.
    pub(super) fn bookmark(&mut self, collection: &str) {
        let object = json!({"metadata": {"resourceVersion": self.revision.to_string()}});
        self.tell(collection, &json!({"type": "BOOKMARK", "object": object}));
    }

    /// Ends all watches; in the middle of an event when `torn`.
    pub(super) fn end_watches(&mut self, torn: bool) {
        for (_, mut watcher) in std::mem::take(&mut self.watchers) {
            if torn {
                let _sent =
                    watcher.try_send(hyper::body::Frame::data(Bytes::from("{\"type\":\"ADD")));
                watcher.abort(lost());
            }
        }
    }

    /// Forgets what happened so far: a watch from before is told 410.
    pub(super) const fn forget(&mut self) {
        self.forgotten = self.revision;
    }

    pub(super) fn watches(&mut self) -> usize {
        self.watchers.len()
    }

    fn carry_out(&mut self, method: &Method, uri: &http::Uri, body: &Value) -> Response<ReplyBody> {
        let path = uri.path();
        match method.as_str() {
            "POST" => {
                let name =
                    body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                let place = format!("{path}/{name}");
                if self.objects.contains_key(&place) {
                    return status(409, "AlreadyExists", &place);
                }
                self.put(&place, body.clone());
                reply(201, &self.object(&place))
            }
            "PATCH" => self.patch(path, body),
            _ if is_object(path) => match self.objects.get(path) {
                Some(object) => reply(200, object),
                None => status(404, "NotFound", path),
            },
            _ => self.list_or_watch(path, &query(uri)),
        }
    }

    fn patch(&mut self, path: &str, body: &Value) -> Response<ReplyBody> {
        let Some(object) = self.objects.get(path) else { return status(404, "NotFound", path) };
        let asked = body.pointer("/metadata/resourceVersion");
        if asked.is_some_and(|asked| Some(asked) != object.pointer("/metadata/resourceVersion")) {
            return status(409, "Conflict", path);
        }
        let mut object = object.clone();
        merge(&mut object, body);
        self.put(path, object);
        reply(200, &self.object(path))
    }

    fn list_or_watch(
        &mut self,
        path: &str,
        query: &BTreeMap<String, String>,
    ) -> Response<ReplyBody> {
        if query.contains_key("watch") {
            return self.watch(path, query);
        }
        let begin = format!("{path}/");
        let mut items: Vec<Value> = self
            .objects
            .iter()
            .filter(|(at, _)| at.starts_with(&begin))
            .map(|(_, o)| o.clone())
            .collect();
        let from: usize = query.get("continue").map_or(0, |from| from.parse().unwrap());
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        let page = if self.page == 0 { usize::MAX } else { self.page };
        items = items.split_off(from);
        if items.len() > page {
            items.truncate(page);
            metadata["continue"] = json!((from + page).to_string());
        }
        reply(200, &json!({"kind": "List", "metadata": metadata, "items": items}))
    }

    fn watch(&mut self, path: &str, query: &BTreeMap<String, String>) -> Response<ReplyBody> {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        if from < self.forgotten {
            return status(410, "Expired", path);
        }
        let (mut listener, body) = Channel::<Bytes, BoxError>::new(1_000);
        for (_, _, event) in self.past.iter().filter(|(at, place, _)| *at > from && place == path) {
            listener.try_send(hyper::body::Frame::data(Bytes::from(format!("{event}\n")))).unwrap();
        }
        self.watchers.push((path.to_owned(), listener));
        Response::new(body.boxed_unsync())
    }
}

/// The collection of an object and its name.
fn split(path: &str) -> (String, String) {
    let (collection, name) = path.rsplit_once('/').unwrap();
    (collection.to_owned(), name.to_owned())
}

fn is_object(path: &str) -> bool {
    let collections =
        ["/nodes", "/spiderippools", "/spidersubnets", "/spiderreservedips", "/spiderledgers"];
    let more = ["/spiderblocks", "/spiderblockindexes", "/spiderendpoints"];
    !collections.iter().chain(&more).any(|collection| path.ends_with(collection))
}

fn query(uri: &http::Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let target = target.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn reply(status: u16, body: &Value) -> Response<ReplyBody> {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// What the server says instead of an object.
pub(super) fn status_body(code: u16, reason: &str, kind: &str, name: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "said",
           "reason": reason, "code": code, "details": {"kind": kind, "name": name}})
}

fn status(code: u16, reason: &str, path: &str) -> Response<ReplyBody> {
    let (collection, name) = split(path);
    let (_, kind) = split(&collection);
    reply(code, &status_body(code, reason, &kind, &name))
}
