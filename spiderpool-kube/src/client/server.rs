//! The API server, one request at a time.
//!
//! Owns how a message is sent and its reply is received: deadlines, lists of several pages, being asked
//! to come back later. `driver` and `watch` call in here. Nothing is sent twice but what the server said
//! it has not done (429), and the entry of the index, which may be merged as often as one likes.
//! Invariants:
//!
//! 1. A request without a whole reply in time is `Unknown`, whatever happened to it
//!    (`what_is_not_answered_is_unknown`).
//! 2. A request that the server has no time for is sent again, not before it says and not for ever
//!    (`a_busy_server_is_asked_again`).
//! 3. A list is whole or nothing (`a_list_is_whole_or_nothing`).

use super::backoff::jitter;
use super::clock::{Clock, chance};
use super::frames::Frames;
use super::message::Message;
use super::verdict::{self, Instead, Reply, Sought};
use super::watch::{RESERVATIONS, Watched};
use crate::cluster::object::{Body, Endpoint, IndexKey, Key, Listing, Object};
use crate::cluster::port::{Outcome, Request};
use crate::cluster::wire;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body as HttpBody;
use serde_json::Value;
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that a reply may have: a page of definitions of the usual size is a hundredth of it.
const REPLY_MAX: usize = 64 * 1024 * 1024;

/// How often a request is sent that the server has no time for.
const BUSY_TRIES: u32 = 5;

/// The longest that a server is believed when it says when to come back.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How often an entry is merged into a shard of the index that is made or changed at the same time.
const LIST_TRIES: u32 = 4;

/// Pages that a list may have: more objects than any cluster holds.
const PAGES_MAX: u32 = 10_000;

/// Where requests go.
#[derive(Clone)]
pub(super) struct Server {
    pub client: Client,
    pub clock: Arc<Clock>,
    /// How long one request may take.
    pub patience: Duration,
    /// Where a bare network name in a pool lies.
    pub agent_namespace: Arc<str>,
}

/// Something was asked of the server, and it is not known what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unclear(pub String);

/// A list as it stood at a revision.
#[derive(Debug, PartialEq)]
pub(super) struct Listed {
    pub revision: Revision,
    pub items: Vec<Value>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Server {
    /// Does what the protocol asks for, to its end; and says what was unclear about it, for people.
    pub(super) async fn call(&self, request: &Request) -> (Outcome, Option<String>) {
        match request {
            Request::Read(key) => self.one(key, Sought::Object, &Message::read(key)).await,
            Request::ReadMeta(key) => self.one(key, Sought::Meta, &Message::read_meta(key)).await,
            Request::Create { body: Body::Unreadable { why }, .. }
            | Request::Replace { body: Body::Unreadable { why }, .. }
            | Request::Replace { was: Body::Unreadable { why }, .. } => {
                (Outcome::Refused { why: format!("not sent: {why}") }, None)
            }
            Request::Create { key, body } => {
                self.one(key, Sought::Write, &Message::create(key, body)).await
            }
            Request::Replace { key, base, was, body } => {
                self.one(key, Sought::Write, &Message::replace(key, *base, was, body)).await
            }
            Request::List { index, first, listing } => self.list_in(index, *first, *listing).await,
            Request::EndpointsOf(node) => self.endpoints_of(node).await,
            Request::Reservations => self.reservations().await,
        }
    }

    async fn one(&self, key: &Key, sought: Sought, message: &Message) -> (Outcome, Option<String>) {
        match self.exchange(message).await {
            Ok(reply) => verdict::outcome(key, sought, &reply, &self.agent_namespace),
            Err(Unclear(why)) => (Outcome::Unknown, Some(why)),
        }
    }

    async fn list_in(
        &self,
        index: &IndexKey,
        first: u128,
        listing: Listing,
    ) -> (Outcome, Option<String>) {
        let key = Key::Index(index.clone());
        let merge = Message::list_in(index, first, &listing);
        let make = Message::create_index(index, first, listing);
        let mut last = self.one(&key, Sought::Write, &merge).await;
        for _ in 1..LIST_TRIES {
            if last.0 == Outcome::Missing {
                last = self.one(&key, Sought::Write, &make).await;
            }
            if last.0 != Outcome::Conflict {
                break;
            }
            // Somebody made it, or changed it, at the same time.
            last = self.one(&key, Sought::Write, &merge).await;
        }
        last
    }

    async fn endpoints_of(&self, node: &Name) -> (Outcome, Option<String>) {
        let listed = match self.pages(|from| Message::endpoints_of(node, from)).await {
            Ok(listed) => listed,
            Err(Instead::No(why)) => return (Outcome::Refused { why }, None),
            Err(other) => return (Outcome::Unknown, Some(other.text())),
        };
        let objects = self.lift_all(wire::ENDPOINT_KIND, &listed.items);
        // A label may stand for more than one node.
        let ours = objects.into_iter().filter(|object| {
            !matches!(&object.body, Body::Endpoint(Endpoint { facts, .. }) if facts.node != node.as_str())
        });
        (Outcome::Objects(ours.collect()), None)
    }

    async fn reservations(&self) -> (Outcome, Option<String>) {
        let Watched { plural, kind } = RESERVATIONS;
        match self.pages(|from| Message::list(plural, from)).await {
            Ok(listed) => (Outcome::Objects(self.lift_all(kind, &listed.items)), None),
            Err(Instead::No(why)) => (Outcome::Refused { why }, None),
            Err(other) => (Outcome::Unknown, Some(other.text())),
        }
    }

    /// Lists all objects of a kind.
    ///
    /// # Errors
    /// What the server says instead.
    pub(super) async fn list(&self, plural: &str) -> Result<Listed, Unclear> {
        self.pages(|from| Message::list(plural, from)).await.map_err(|said| Unclear(said.text()))
    }

    /// Lists the nodes that are ready.
    ///
    /// # Errors
    /// What the server says instead.
    pub(super) async fn ready_nodes(&self) -> Result<BTreeSet<Name>, Unclear> {
        let listed = self.pages(Message::nodes).await.map_err(|said| Unclear(said.text()))?;
        Ok(listed.items.iter().filter(|node| is_ready(node)).filter_map(name_of).collect())
    }

    /// The UID of a Node; `None` when there is no such node.
    ///
    /// # Errors
    /// What the server says instead.
    pub(super) async fn node_uid(&self, node: &Name) -> Result<Option<String>, Unclear> {
        let reply = self.exchange(&Message::node(node)).await?;
        match verdict::content(&reply) {
            Ok(json) => {
                let uid = json.pointer("/metadata/uid").and_then(Value::as_str);
                uid.map(|uid| Some(uid.to_owned()))
                    .ok_or(Unclear("a Node without a UID".to_owned()))
            }
            Err(Instead::Missing(plural, name)) if plural == "nodes" && name == node.as_str() => {
                Ok(None)
            }
            Err(instead) => Err(Unclear(instead.text())),
        }
    }

    /// Items of a list as objects of a kind; those whose name is none of that kind are left out.
    pub(super) fn lift_all(&self, kind: &str, items: &[Value]) -> Vec<Object> {
        items.iter().filter_map(|item| self.lift(kind, item)).collect()
    }

    /// An item as an object of a kind; `None` when its name is none of that kind.
    pub(super) fn lift(&self, kind: &str, item: &Value) -> Option<Object> {
        let text = |field| item.pointer(field).and_then(Value::as_str);
        let key = wire::key_of(kind, text("/metadata/name")?, text("/metadata/namespace"))?;
        Some(wire::lift(&key, item, &self.agent_namespace))
    }

    async fn pages(&self, message: impl Fn(Option<&str>) -> Message) -> Result<Listed, Instead> {
        let mut listed = Listed { revision: 0, items: Vec::new() };
        let mut from: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let reply = self.exchange(&message(from.as_deref())).await;
            let reply = reply.map_err(|Unclear(why)| Instead::Unclear(why))?;
            let mut page = verdict::content(&reply)?;
            let text = |field| page.pointer(field).and_then(Value::as_str).unwrap_or_default();
            let revision = text("/metadata/resourceVersion").parse();
            listed.revision =
                revision.map_err(|_| Instead::Unclear("a list without a revision".to_owned()))?;
            from = Some(text("/metadata/continue").to_owned()).filter(|from| !from.is_empty());
            let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
                return Err(Instead::Unclear("a list without items".to_owned()));
            };
            listed.items.extend(items);
            if from.is_none() {
                return Ok(listed);
            }
        }
        Err(Instead::Unclear("a list without end".to_owned()))
    }

    /// Sends a message and receives the whole reply; again when the server has no time for it.
    async fn exchange(&self, message: &Message) -> Result<Reply, Unclear> {
        let message = message.clone().within(self.patience.as_secs().max(1));
        let mut tries = 1;
        loop {
            let attempt = self.attempt(&message);
            let (head, reply) = match tokio::time::timeout(self.patience, attempt).await {
                Ok(result) => result?,
                Err(_) => {
                    let why = format!("no reply within {} s", self.patience.as_secs_f32());
                    return Err(Unclear(format!("{}: {why}", message.summary())));
                }
            };
            if reply.status != 429 || tries == BUSY_TRIES {
                return Ok(reply);
            }
            tries += 1;
            tokio::time::sleep(busy_pause(&head, chance())).await;
        }
    }

    async fn attempt(&self, message: &Message) -> Result<(HeaderMap, Reply), Unclear> {
        let explain = |why: &dyn Error| Unclear(format!("{}: {}", message.summary(), chain(why)));
        let (head, body) = self.send(message).await?.into_parts();
        let body = Limited::new(body, REPLY_MAX).collect().await;
        let body = body.map_err(|error| explain(&*error))?.to_bytes().to_vec();
        Ok((head.headers, Reply { status: head.status.as_u16(), body }))
    }

    /// Sends a message and receives the head of the reply, whose date sets the clock.
    async fn send(&self, message: &Message) -> Result<Response<HttpBody>, Unclear> {
        let explain = |why: &dyn Error| Unclear(format!("{}: {}", message.summary(), chain(why)));
        let request = message.request().map_err(|error| explain(&error))?;
        let sent_ms = self.clock.mono_ms();
        let response = self.client.send(request).await.map_err(|error| explain(&error))?;
        self.clock.observe(sent_ms, response.headers());
        Ok(response)
    }

    /// Watches the objects of a kind; asks again when the server has no time for it, as it says when it
    /// has just started.
    ///
    /// # Errors
    /// [`Instead::Expired`] when the revision is too far back, or what else the server says.
    pub(super) async fn watch(
        &self,
        plural: &str,
        revision: Revision,
        seconds: u64,
    ) -> Result<Events, Instead> {
        let message = Message::watch(plural, revision, seconds);
        let late = |_| Instead::Unclear(format!("{}: no reply", message.summary()));
        let mut tries = 1;
        loop {
            let response = tokio::time::timeout(self.patience, self.send(&message)).await;
            let response = response.map_err(late)?.map_err(|Unclear(why)| Instead::Unclear(why))?;
            let (head, body) = response.into_parts();
            let status = head.status.as_u16();
            if status == 200 {
                return Ok(Events { body, frames: Frames::default() });
            }
            if status == 429 && tries < BUSY_TRIES {
                tries += 1;
                tokio::time::sleep(busy_pause(&head.headers, chance())).await;
                continue;
            }
            let body = Limited::new(body, REPLY_MAX).collect();
            let body = tokio::time::timeout(self.patience, body).await.map_err(late)?;
            let body = body.map_err(|error| Instead::Unclear(chain(&*error)))?.to_bytes().to_vec();
            let instead = verdict::content(&Reply { status, body }).err();
            return Err(instead.unwrap_or_else(|| Instead::Unclear(format!("{status} to a watch"))));
        }
    }
}

/// The events of a watch as they arrive.
#[derive(Debug)]
pub(super) struct Events {
    body: HttpBody,
    frames: Frames,
}

impl Events {
    /// The next event; `None` when the server has ended the watch.
    ///
    /// # Errors
    /// When the connection is lost, or what arrives is no event.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, Unclear> {
        loop {
            if let Some(event) = self.frames.next().map_err(Unclear)? {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| Unclear(chain(&error)))?;
            if let Some(bytes) = frame.data_ref() {
                self.frames.push(bytes);
            }
        }
    }
}

/// How long to wait before a busy server is asked again (RFC 9110, 10.2.3, in seconds).
fn busy_pause(head: &HeaderMap, chance: u64) -> Duration {
    let asked = head.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let asked = Duration::from_secs(asked.unwrap_or(1)).min(BUSY_PAUSE_MAX);
    asked + jitter(Duration::from_millis(500), chance)
}

fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type").is_some_and(|kind| kind == "Ready")
            && condition.get("status").is_some_and(|status| status == "True")
    })
}

fn name_of(object: &Value) -> Option<Name> {
    Name::new(object.pointer("/metadata/name")?.as_str()?).ok()
}

/// An error and its causes on one line; a layer that only repeats the next is left out.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
