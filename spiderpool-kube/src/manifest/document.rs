//! From a tree to manifests: which kind it is, lists opened, every flaw collected.
//!
//! Called by [`read_value`] and the YAML reader. Invariants:
//! 1. A document gives its manifests or at least one flaw (`a_document_is_never_lost`).
//! 2. One input defines an object once (`an_object_is_defined_once`).

use super::API_VERSION;
use super::error::{BadDocument, BadField, DocumentFlaw, FieldFlaw, Warning};
use super::node::{Content, Node, beginning};
use super::object::{Object, Spec, SpiderIPPool, SpiderReservedIP, SpiderSubnet};
use super::shape::{Field, MAX_FLAWS, POOL, RESERVED_IP, SUBNET, judge};
use super::spec::{PoolSpec, ReservedIPSpec, SubnetSpec};
use super::typo::nearest;
use crate::position::Position;
use serde_json::Value;
use std::collections::BTreeMap;

/// The kinds of manifests.
const KINDS: [&str; 3] = [PoolSpec::KIND, SubnetSpec::KIND, ReservedIPSpec::KIND];

/// The kind that holds manifests, which a list cannot hold in turn.
const LIST: &str = "List";

/// A manifest of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most manifests are pools, so a box would cost an allocation and save nothing"
)]
pub enum Manifest {
    /// A pool.
    Pool(SpiderIPPool),
    /// A subnet.
    Subnet(SpiderSubnet),
    /// A reservation.
    Reservation(SpiderReservedIP),
}

impl Manifest {
    /// Its kind, as `kind:` writes it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pool(_) => PoolSpec::KIND,
            Self::Subnet(_) => SubnetSpec::KIND,
            Self::Reservation(_) => ReservedIPSpec::KIND,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Pool(pool) => &pool.metadata.name,
            Self::Subnet(subnet) => &subnet.metadata.name,
            Self::Reservation(reservation) => &reservation.metadata.name,
        }
    }

    /// The manifest as a JSON value, which [`read_value`] takes back.
    ///
    /// # Errors
    /// Only if serde has no JSON for it, which none of the three kinds brings about.
    pub fn to_json(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Pool(pool) => serde_json::to_value(pool),
            Self::Subnet(subnet) => serde_json::to_value(subnet),
            Self::Reservation(reservation) => serde_json::to_value(reservation),
        }
    }
}

/// A manifest, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Which document of the input, from 1; empty ones do not count.
    pub number: usize,
    /// Which item, from 0, when the document was a list.
    pub item: Option<usize>,
    /// Its place, when the source knows places.
    pub at: Option<Position>,
    /// What was written.
    pub manifest: Manifest,
    /// What has no effect.
    pub warnings: Vec<Warning>,
    /// The place of each field of `spec`, for complaints that come later.
    pub fields: BTreeMap<String, Position>,
}

/// Reads a manifest, or a list of them, from a JSON value.
///
/// # Errors
/// Every flaw of the value: unknown fields, values of another shape, an object that is defined
/// twice. There are no places, as a value has none.
///
/// ```
/// use serde_json::json;
/// use spiderpool_kube::manifest::{Manifest, read_value};
/// let value = json!({
///     "apiVersion": "spiderpool.spidernet.io/v2beta1",
///     "kind": "SpiderReservedIP",
///     "metadata": {"name": "hosts"},
///     "spec": {"ips": ["10.6.0.1-10.6.0.9"]},
/// });
/// let documents = read_value(&value).map_err(|mut flaws| flaws.remove(0))?;
/// assert!(matches!(&documents[0].manifest, Manifest::Reservation(r) if r.spec.ips.len() == 1));
///
/// let mistyped = json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderIPool"});
/// let flaws = read_value(&mistyped).unwrap_err();
/// assert!(flaws[0].to_string().contains("did you mean `SpiderIPPool`?"));
/// # Ok::<(), spiderpool_kube::manifest::BadDocument>(())
/// ```
pub fn read_value(value: &Value) -> Result<Vec<Document>, Vec<BadDocument>> {
    let mut reader = Reader::default();
    reader.document(1, &Node::from(value));
    reader.finish()
}

/// What has been read of an input so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    documents: Vec<Document>,
    bad: Vec<BadDocument>,
    defined: BTreeMap<(&'static str, String), usize>,
}

/// Which document is being read.
#[derive(Clone, Copy, Debug)]
struct Source {
    number: usize,
    item: Option<usize>,
}

impl Reader {
    /// Takes one document.
    pub(super) fn document(&mut self, number: usize, node: &Node) {
        self.object(Source { number, item: None }, node);
    }

    /// Notes a flaw of the text itself.
    #[cfg(feature = "yaml")]
    pub(super) fn refuse(&mut self, number: usize, at: Option<Position>, flaw: DocumentFlaw) {
        self.note(BadDocument { number, item: None, at, object: None, flaw });
    }

    /// Whether so much is wrong that nothing further is told.
    pub(super) const fn is_full(&self) -> bool {
        self.bad.len() > MAX_FLAWS
    }

    /// Keeps a flaw, or says once that there are more.
    fn note(&mut self, mut bad: BadDocument) {
        if self.bad.len() == MAX_FLAWS {
            bad.flaw = DocumentFlaw::TooMany;
        }
        if !self.is_full() {
            self.bad.push(bad);
        }
    }

    /// All manifests, or all flaws.
    pub(super) fn finish(self) -> Result<Vec<Document>, Vec<BadDocument>> {
        if self.bad.is_empty() { Ok(self.documents) } else { Err(self.bad) }
    }

    fn object(&mut self, source: Source, node: &Node) {
        let kind = node.get("kind").and_then(Node::text);
        match kind {
            Some(PoolSpec::KIND) => self.manifest(source, node, POOL, Manifest::Pool),
            Some(SubnetSpec::KIND) => self.manifest(source, node, SUBNET, Manifest::Subnet),
            Some(ReservedIPSpec::KIND) => {
                self.manifest(source, node, RESERVED_IP, Manifest::Reservation);
            }
            Some(kind) if is_list(kind) && source.item.is_none() => self.list(source, node),
            _ => self.note(not_ours(source, node)),
        }
    }

    fn list(&mut self, source: Source, node: &Node) {
        match node.get("items").map(|items| (&items.content, items)) {
            None => {}
            Some((Content::List(items), _)) => {
                for (at, item) in items.iter().enumerate() {
                    self.object(Source { item: Some(at), ..source }, item);
                }
            }
            Some((_, other)) => {
                let (got, expected) = (other.describe(), "a list of manifests".to_owned());
                let flaw = FieldFlaw::Unexpected { got, expected };
                let field = BadField { path: "items".to_owned(), flaw };
                self.note(bad(source, node, other.at, DocumentFlaw::Field(field)));
            }
        }
    }

    fn manifest<S: Spec>(
        &mut self,
        source: Source,
        node: &Node,
        fields: &'static [Field],
        wrap: impl FnOnce(Object<S>) -> Manifest,
    ) {
        let version = node.get("apiVersion");
        if let Some(got) = version.and_then(Node::text).filter(|got| *got != API_VERSION) {
            let flaw = DocumentFlaw::ApiVersion { got: beginning(got) };
            return self.note(bad(source, node, version.and_then(|v| v.at), flaw));
        }
        let findings = judge(node, fields);
        if !findings.bad.is_empty() {
            for (at, field) in findings.bad {
                self.note(bad(source, node, at, DocumentFlaw::Field(field)));
            }
            return;
        }
        match serde_json::from_value::<Object<S>>(node.to_json()) {
            Ok(object) => {
                let manifest = wrap(object);
                self.define(source, node, findings.warnings, manifest);
            }
            Err(why) => {
                let flaw = DocumentFlaw::Syntax { why: why.to_string() };
                self.note(bad(source, node, node.at, flaw));
            }
        }
    }

    fn define(&mut self, source: Source, node: &Node, warnings: Vec<Warning>, manifest: Manifest) {
        let key = (manifest.kind(), manifest.name().to_owned());
        if let Some(earlier) = self.defined.get(&key) {
            let flaw = DocumentFlaw::Twice { earlier: *earlier };
            return self.note(bad(source, node, node.at, flaw));
        }
        self.defined.insert(key, source.number);
        let entries = node.get("spec").map(Node::entries).unwrap_or_default();
        let fields = entries.iter().filter_map(|entry| Some((entry.key.clone(), entry.at?)));
        let fields = fields.collect();
        let Source { number, item } = source;
        self.documents.push(Document { number, item, at: node.at, manifest, warnings, fields });
    }
}

/// `List` as `kubectl` writes it, or the typed list that an API server gives.
fn is_list(kind: &str) -> bool {
    kind == LIST || kind.strip_suffix("List").is_some_and(|item| KINDS.contains(&item))
}

fn bad(source: Source, node: &Node, at: Option<Position>, flaw: DocumentFlaw) -> BadDocument {
    let text = |key| node.get(key).and_then(Node::text).map(beginning);
    let name = node.get("metadata").and_then(|m| m.get("name")).and_then(Node::text).map(beginning);
    let object = match (text("kind"), name) {
        (Some(kind), Some(name)) => Some(format!("{kind} {name}")),
        (kind, name) => kind.or(name),
    };
    BadDocument { number: source.number, item: source.item, at, object, flaw }
}

/// Why an object is of no kind that is read here.
fn not_ours(source: Source, node: &Node) -> BadDocument {
    let Content::Mapping(_) = &node.content else {
        let flaw = DocumentFlaw::NotAManifest { got: node.describe() };
        return bad(source, node, node.at, flaw);
    };
    let kind = node.get("kind");
    let flaw = match kind.map(|kind| (kind.text(), kind)) {
        None => DocumentFlaw::Field(BadField {
            path: "kind".to_owned(),
            flaw: FieldFlaw::Missing { expected: "SpiderIPPool, SpiderSubnet or SpiderReservedIP" },
        }),
        Some((None, other)) => DocumentFlaw::Field(BadField {
            path: "kind".to_owned(),
            flaw: FieldFlaw::Unexpected { got: other.describe(), expected: "text".to_owned() },
        }),
        Some((Some(got), _)) => {
            let mut known = KINDS.to_vec();
            known.extend(source.item.is_none().then_some(LIST));
            DocumentFlaw::Kind { got: beginning(got), nearest: nearest(got, &known), known }
        }
    };
    bad(source, node, kind.map_or(node.at, |kind| kind.at), flaw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reservation(name: &str) -> Value {
        json!({"apiVersion": API_VERSION, "kind": "SpiderReservedIP", "metadata": {"name": name},
               "spec": {"ips": ["10.0.0.1"]}, "status": {"anything": [1.5]}})
    }

    fn refused(value: &Value, expected: &[&str]) {
        let got: Vec<_> = read_value(value).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn lists_are_opened() {
        for kind in ["List", "SpiderReservedIPList"] {
            let list = json!({"apiVersion": "v1", "kind": kind, "items": [reservation("a"), reservation("b")]});
            let read = read_value(&list).unwrap();
            assert_eq!(read.iter().map(|d| d.manifest.name()).collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(read[1].item, Some(1));
        }
        let list = json!({"kind": "List", "items": [{"kind": "List"}]});
        refused(
            &list,
            &[
                "document 1 item 0, List: `kind` is `List`, which is not read here; known: SpiderIPPool, SpiderSubnet, SpiderReservedIP",
            ],
        );
    }

    #[test]
    fn an_object_is_defined_once() {
        let list = json!({"kind": "List", "items": [reservation("a"), reservation("a")]});
        refused(
            &list,
            &[
                "document 1 item 1, SpiderReservedIP a: is already defined by document 1; leave one of them out",
            ],
        );
    }

    #[test]
    fn a_document_is_never_lost() {
        refused(
            &json!([1]),
            &[
                "document 1: is a list, but a manifest is a mapping with `apiVersion`, `kind`, `metadata` and `spec`",
            ],
        );
        refused(
            &json!({}),
            &[
                "document 1: `kind` is missing; write SpiderIPPool, SpiderSubnet or SpiderReservedIP",
            ],
        );
        refused(&json!({"kind": 7}), &["document 1: `kind` is the number 7; write text"]);
        refused(
            &json!({"kind": "List", "items": {}}),
            &["document 1, List: `items` is a mapping; write a list of manifests"],
        );
        refused(
            &json!({"kind": "SpiderSubnet", "apiVersion": "spiderpool.spidernet.io/v1"}),
            &[
                "document 1, SpiderSubnet: `apiVersion` is `spiderpool.spidernet.io/v1`; write `spiderpool.spidernet.io/v2beta1`",
            ],
        );
        assert!(read_value(&json!({"kind": "List"})).unwrap().is_empty());
    }
}
