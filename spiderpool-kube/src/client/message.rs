//! The requests that the protocol's calls become.
//!
//! Owns their URLs, headers and bodies; `server` sends them. Invariants:
//!
//! 1. A read is a quorum read: it names no `resourceVersion`, and a watch names the one of a quorum
//!    list (`no_read_names_a_revision`).
//! 2. A write of an object that exists names the revision that it must have, but for an entry of the
//!    index (`a_replacement_names_its_revision`).
//! 3. A field that the server's definition of a kind does not know is refused by it, not dropped: every
//!    write asks for strict validation (`writes_are_strict`).

use crate::cluster::object::{Body, Index, IndexKey, Key, Listing};
use crate::cluster::wire;
use crate::manifest::API_VERSION;
use http::{Method, Request as HttpRequest, header};
use kube::client::Body as HttpBody;
use serde_json::Value;
use spiderpool_core::event::Revision;
use spiderpool_core::name::Name;
use std::fmt::Write;

/// Asks for an object's metadata instead of the object.
const ACCEPT_META: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Objects that a page of a list has at most.
const PAGE: u32 = 250;

/// What writes are marked with in `managedFields`: one name for all versions and programs, so that an
/// object does not grow with their number.
const WRITER: &str = "spiderpool";

/// A request, ready to be sent more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    method: Method,
    uri: String,
    accept: &'static str,
    /// The media type of the body and the body.
    content: Option<(&'static str, Vec<u8>)>,
}

impl Message {
    /// Reads an object.
    pub(super) fn read(key: &Key) -> Self {
        Self::get(place(key))
    }

    /// Reads an object's metadata.
    pub(super) fn read_meta(key: &Key) -> Self {
        Self { accept: ACCEPT_META, ..Self::get(place(key)) }
    }

    /// Reads the metadata of a Node.
    pub(super) fn node(name: &Name) -> Self {
        Self { accept: ACCEPT_META, ..Self::get(format!("/api/v1/nodes/{}", escaped(name))) }
    }

    /// Makes an object.
    pub(super) fn create(key: &Key, body: &Body) -> Self {
        let wire::Path { plural, namespace, .. } = wire::path(key);
        Self::write(Method::POST, &collection(plural, namespace.as_ref()), &wire::create(key, body))
    }

    /// Makes an object another one.
    pub(super) fn replace(key: &Key, base: Revision, was: &Body, body: &Body) -> Self {
        Self::write(Method::PATCH, &place(key), &wire::patch(key, base, was, body))
    }

    /// Merges an entry into a shard of the index.
    pub(super) fn list_in(index: &IndexKey, first: u128, listing: &Listing) -> Self {
        let place = place(&Key::Index(index.clone()));
        Self::write(Method::PATCH, &place, &wire::list_patch(index, first, listing))
    }

    /// Makes a shard of the index with one entry.
    pub(super) fn create_index(index: &IndexKey, first: u128, listing: Listing) -> Self {
        let body = Body::Index(Index { blocks: [(first, listing)].into() });
        Self::create(&Key::Index(index.clone()), &body)
    }

    /// Lists a page of the endpoints that are labelled with a node.
    pub(super) fn endpoints_of(node: &Name, from: Option<&str>) -> Self {
        let label = format!("{}={}", wire::NODE_LABEL, wire::node_label(node));
        let uri =
            format!("{}?labelSelector={}", collection("spiderendpoints", None), escaped(&label));
        Self::page(uri, from)
    }

    /// Lists a page of the objects of a kind.
    pub(super) fn list(plural: &str, from: Option<&str>) -> Self {
        Self::page(format!("{}?", collection(plural, None)), from)
    }

    /// Lists a page of the Nodes.
    pub(super) fn nodes(from: Option<&str>) -> Self {
        Self::page("/api/v1/nodes?".to_owned(), from)
    }

    /// Watches the objects of a kind from a revision on, for some seconds.
    pub(super) fn watch(plural: &str, revision: Revision, seconds: u64) -> Self {
        let collection = collection(plural, None);
        Self::get(format!(
            "{collection}?watch=true&allowWatchBookmarks=true&resourceVersion={revision}&timeoutSeconds={seconds}"
        ))
    }

    /// Asks the server, too, not to take longer than this; not for a watch.
    pub(super) fn within(mut self, seconds: u64) -> Self {
        let mark = if self.uri.contains('?') { '&' } else { '?' };
        let _ = write!(self.uri, "{mark}timeout={seconds}s");
        self
    }

    /// What people are told about it.
    pub(super) fn summary(&self) -> String {
        let path = self.uri.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    /// The request.
    ///
    /// # Errors
    /// When the URL is none.
    pub(super) fn request(&self) -> http::Result<HttpRequest<HttpBody>> {
        let mut request = HttpRequest::builder().method(self.method.clone()).uri(&self.uri);
        request = request.header(header::ACCEPT, self.accept);
        match &self.content {
            None => request.body(HttpBody::empty()),
            Some((kind, body)) => {
                request.header(header::CONTENT_TYPE, *kind).body(HttpBody::from(body.clone()))
            }
        }
    }

    const fn get(uri: String) -> Self {
        Self { method: Method::GET, uri, accept: "application/json", content: None }
    }

    fn page(mut uri: String, from: Option<&str>) -> Self {
        let _ = write!(uri, "{}limit={PAGE}", if uri.ends_with('?') { "" } else { "&" });
        if let Some(from) = from {
            let _ = write!(uri, "&continue={}", escaped(from));
        }
        Self::get(uri)
    }

    fn write(method: Method, place: &str, body: &Value) -> Self {
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let uri = format!("{place}?fieldManager={WRITER}&fieldValidation=Strict");
        let content = Some((kind, body.to_string().into_bytes()));
        Self { method, uri, accept: ACCEPT_META, content }
    }
}

/// Where the objects of a kind are.
fn collection(plural: &str, namespace: Option<&Name>) -> String {
    match namespace {
        Some(namespace) => {
            format!("/apis/{API_VERSION}/namespaces/{}/{plural}", escaped(namespace))
        }
        None => format!("/apis/{API_VERSION}/{plural}"),
    }
}

/// Where an object is.
fn place(key: &Key) -> String {
    let wire::Path { plural, namespace, name } = wire::path(key);
    format!("{}/{}", collection(plural, namespace.as_ref()), escaped(&name))
}

/// A text as part of a path or a query (RFC 3986, 2.1 and 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::object::{EndpointKey, Ledger};
    use serde_json::json;

    const APIS: &str = "/apis/spiderpool.spidernet.io/v2beta1";

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn json(message: &Message) -> Value {
        serde_json::from_slice(&message.content.as_ref().unwrap().1).unwrap()
    }

    fn ledger(epoch: u64) -> Body {
        Body::Ledger(Ledger { epoch, recovery: None })
    }

    #[test]
    fn no_read_names_a_revision() {
        let endpoint = Key::Endpoint(EndpointKey { namespace: name("ns"), name: name("web-0") });
        let read = Message::read(&endpoint).within(9);
        assert_eq!(read.uri, format!("{APIS}/namespaces/ns/spiderendpoints/web-0?timeout=9s"));
        assert_eq!(
            (read.summary(), read.accept),
            (format!("GET {APIS}/namespaces/ns/spiderendpoints/web-0"), "application/json")
        );
        let meta = Message::read_meta(&Key::Pool(name("blue")));
        assert_eq!(
            (meta.uri.as_str(), meta.accept),
            (&*format!("{APIS}/spiderippools/blue"), ACCEPT_META)
        );
        let list = Message::endpoints_of(&name("worker-1"), Some("a/b="));
        assert_eq!(
            list.uri,
            format!(
                "{APIS}/spiderendpoints?labelSelector=ipam.spidernet.io%2Fnode%3Dworker-1&limit=250&continue=a%2Fb%3D"
            )
        );
        assert_eq!(Message::nodes(None).within(9).uri, "/api/v1/nodes?limit=250&timeout=9s");
        assert_eq!(Message::node(&name("worker-1")).uri, "/api/v1/nodes/worker-1");
        for read in [read, meta, list, Message::list("spiderippools", None), Message::nodes(None)] {
            assert!(!read.uri.contains("resourceVersion"), "{read:?}");
            assert_eq!((&read.method, &read.content), (&Method::GET, &None));
        }
        let watch = Message::watch("spiderledgers", 12, 300);
        assert_eq!(
            watch.uri,
            format!(
                "{APIS}/spiderledgers?watch=true&allowWatchBookmarks=true&resourceVersion=12&timeoutSeconds=300"
            )
        );
    }

    #[test]
    fn a_replacement_names_its_revision() {
        let message = Message::replace(&Key::Ledger, 41, &ledger(1), &ledger(2));
        assert_eq!(
            json(&message),
            json!({"metadata": {"resourceVersion": "41"}, "spec": {"epoch": 2}})
        );
        let request = message.request().unwrap();
        assert_eq!(request.headers()[header::CONTENT_TYPE], "application/merge-patch+json");
        assert_eq!(request.method(), Method::PATCH);
        let create = Message::create(&Key::Ledger, &ledger(1));
        assert_eq!(create.request().unwrap().headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(
            (create.summary(), json(&create)["kind"].as_str()),
            (format!("POST {APIS}/spiderledgers"), Some("SpiderLedger"))
        );
        let index = IndexKey {
            space: name("default"),
            family: spiderpool_core::address::Family::V4,
            first: 0,
        };
        let listing = Listing { incarnation: 7, full: false };
        let list = Message::list_in(&index, 64, &listing);
        assert_eq!(json(&list).pointer("/metadata"), None);
        let made = json(&Message::create_index(&index, 64, listing));
        assert_eq!(made.pointer("/spec/blocks"), json(&list).pointer("/spec/blocks"));
    }

    #[test]
    fn writes_are_strict() {
        for write in [
            Message::create(&Key::Ledger, &ledger(1)),
            Message::replace(&Key::Ledger, 1, &ledger(1), &ledger(2)),
        ] {
            assert!(
                write.uri.ends_with("?fieldManager=spiderpool&fieldValidation=Strict"),
                "{write:?}"
            );
            assert_eq!(write.accept, ACCEPT_META);
        }
    }

    #[test]
    fn what_is_not_plain_is_escaped() {
        assert_eq!(escaped("a-b._~Z9"), "a-b._~Z9");
        assert_eq!(escaped("a/b?c#é%"), "a%2Fb%3Fc%23%C3%A9%25");
    }
}
