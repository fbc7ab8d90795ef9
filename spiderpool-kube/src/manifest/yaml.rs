//! Manifests as YAML text: several documents in, one document out.
//!
//! Called by the command line tool only; the CNI plugin is built without this module. JSON is read
//! as well, being YAML. The work of the YAML reader is bounded by [`budget`], since manifests are
//! small and their authors may not be friends: aliases cannot grow out of proportion to the input
//! (`bombs_are_refused`), nesting cannot exhaust the stack (`depth_is_bounded`), and reading ends when
//! more is wrong than anybody would read (`flaws_are_bounded`).

use super::document::{Document, Manifest, Reader};
use super::error::{BadDocument, DocumentFlaw};
use super::node::{Content, Entry, Node, beginning};
use crate::position::Position;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{
    Budget, DeserializeError as Flaw, Location, MessageFormatter as _, Options, SerializeError,
    Spanned, UserMessageFormatter,
};
use std::fmt;
use thiserror::Error;

/// The longest input that [`read_manifests`] reads, in bytes.
pub const MAX_INPUT_BYTES: usize = 64 * 1024 * 1024;

/// Reads every manifest of a YAML (or JSON) text, in the order of the text.
///
/// Documents are divided by `---`; empty ones are left out, and a `kind: List` is opened.
///
/// # Errors
/// Every flaw of the whole text, each with its document, place and field; a thousand of them at the
/// most. After a flaw of the YAML itself the rest of the text is not read.
///
/// ```
/// use spiderpool_kube::manifest::read_manifests;
/// let text = "
/// apiVersion: spiderpool.spidernet.io/v2beta1
/// kind: SpiderIPPool
/// metadata: {name: blue}
/// spec:
///   subnet: 10.6.0.0/16
///   gatway: 10.6.0.1
/// ";
/// let flaws = read_manifests(text).unwrap_err();
/// assert!(flaws[0].to_string().starts_with(
///     "document 1, line 7 column 3, SpiderIPPool blue: `spec.gatway` is not a field; did you mean `gateway`?"
/// ));
/// let text = text.replace("gatway", "gateway");
/// assert_eq!(read_manifests(&text).unwrap()[0].manifest.name(), "blue");
/// ```
pub fn read_manifests(text: &str) -> Result<Vec<Document>, Vec<BadDocument>> {
    let mut reader = Reader::default();
    if text.len() > MAX_INPUT_BYTES {
        let flaw = DocumentFlaw::TooLong { got: text.len(), limit: MAX_INPUT_BYTES };
        reader.refuse(1, None, flaw);
        return reader.finish();
    }
    let mut bytes = text.as_bytes();
    let documents = serde_saphyr::read_with_options::<_, Tree>(&mut bytes, options());
    for (number, document) in (1..).zip(documents) {
        if reader.is_full() {
            break;
        }
        match document {
            Ok(tree) => reader.document(number, &tree.0),
            Err(why) => {
                let at = why.location().and_then(place);
                reader.refuse(number, at, DocumentFlaw::Syntax { why: message(&why) });
            }
        }
    }
    reader.finish()
}

/// A manifest as YAML text, its fields in the canonical order.
///
/// # Errors
/// [`Unwritable`], which no manifest of the three kinds brings about.
///
/// ```
/// use spiderpool_kube::manifest::{Manifest, ReservedIPSpec, SpiderReservedIP, write_manifest};
/// let spec = ReservedIPSpec { ips: vec!["10.6.0.1".into()], ..ReservedIPSpec::default() };
/// let text = write_manifest(&Manifest::Reservation(SpiderReservedIP::named("hosts", spec)))?;
/// assert!(text.starts_with("apiVersion: spiderpool.spidernet.io/v2beta1\nkind: SpiderReservedIP\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_manifest(manifest: &Manifest) -> Result<String, Unwritable> {
    let written = match manifest {
        Manifest::Pool(pool) => serde_saphyr::to_string(pool),
        Manifest::Subnet(subnet) => serde_saphyr::to_string(subnet),
        Manifest::Reservation(reservation) => serde_saphyr::to_string(reservation),
    };
    written.map_err(|source| Unwritable { name: manifest.name().to_owned(), source })
}

/// The YAML writer refused a manifest.
#[derive(Debug, Error)]
#[error("cannot write `{name}` as YAML")]
pub struct Unwritable {
    /// The name of the object.
    pub name: String,
    /// What the writer says.
    source: SerializeError,
}

/// How many lists and mappings may lie within one another. A list of manifests with all that an API
/// server notes in their metadata takes about 14; the reader recurses, at up to 36 KiB of stack for
/// each level, and has to do with the 2 MiB of a thread.
const MAX_DEPTH: usize = 24;

fn options() -> Options {
    serde_saphyr::options! {
        budget: budget(),
        emit_comments: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
        },
    }
}

/// What one document may ask of the reader. Two million nodes hold a list of some fifty thousand
/// pools. Text that aliases repeat counts as if it were written out.
fn budget() -> Option<Budget> {
    serde_saphyr::budget! {
        max_reader_input_bytes: Some(MAX_INPUT_BYTES),
        max_events: 4_000_000,
        max_nodes: 2_000_000,
        max_depth: MAX_DEPTH,
        max_recorded_anchor_events: 10_000,
        max_total_scalar_bytes: MAX_INPUT_BYTES,
    }
}

/// The reader's message without its place, which is told elsewhere.
fn message(why: &Flaw) -> String {
    if let Flaw::AliasError { error, .. } | Flaw::WithSnippet { error, .. } = why {
        message(error)
    } else if let Flaw::Budget { breach, .. } = why {
        overrun(breach)
    } else if let Flaw::DuplicateMappingKey { key, .. } = why {
        let key = key.as_deref().map(|key| format!(" `{}`", beginning(key))).unwrap_or_default();
        format!("the key{key} is written twice in one mapping; leave one of them out")
    } else {
        UserMessageFormatter.format_message(why).into_owned()
    }
}

/// What a document has too much of.
fn overrun(breach: &BudgetBreach) -> String {
    if let BudgetBreach::Depth { .. } = breach {
        format!("its lists and mappings nest more than {MAX_DEPTH} deep")
    } else {
        format!("it holds more than one document may ({breach:?}); split it, or write aliases out")
    }
}

fn place(location: Location) -> Option<Position> {
    (location != Location::UNKNOWN)
        .then(|| Position::saturating(location.line(), location.column()))
}

/// A [`Node`] that knows how to read itself.
struct Tree(Node);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: Bare(content), referenced, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self(Node { at: place(referenced), content }))
    }
}

/// The content of a [`Node`], which is read before its place is known.
struct Bare(Content);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor).map(Self)
    }
}

/// A number that no field takes, kept for the sake of the error.
fn beyond(value: &impl ToString) -> Content {
    Content::Number(value.to_string().parse().unwrap_or(f64::INFINITY))
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a boolean, a list or a mapping")
    }

    fn visit_unit<E: Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Content, E> {
        Ok(i64::try_from(value).map_or_else(|_| beyond(&value), Content::Integer))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Content, E> {
        Ok(i64::try_from(value).map_or_else(|_| beyond(&value), Content::Integer))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Content, E> {
        Ok(i64::try_from(value).map_or_else(|_| beyond(&value), Content::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Content, E> {
        Ok(Content::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(node)) = items.next_element()? {
            list.push(node);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut lines: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(Spanned { value: key, referenced, .. }) =
            lines.next_key::<Spanned<String>>()?
        {
            let Tree(value) = lines.next_value()?;
            entries.push(Entry { key, at: place(referenced), value });
        }
        Ok(Content::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::MAX_FLAWS;
    use super::*;

    const HOSTS: &str = "apiVersion: spiderpool.spidernet.io/v2beta1\nkind: SpiderReservedIP\nmetadata: {name: hosts}\nspec:\n  ips: [10.0.0.1]\n";

    fn refused(text: &str) -> String {
        let flaws = read_manifests(text).unwrap_err();
        flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn names(text: &str) -> Vec<String> {
        let documents = read_manifests(text).unwrap();
        documents.iter().map(|document| document.manifest.name().to_owned()).collect()
    }

    #[test]
    fn empty_documents_are_left_out() {
        let text = format!(
            "---\n---\n# a comment\n---\n{HOSTS}---\n---\n{}---\n",
            HOSTS.replace("hosts", "more")
        );
        assert_eq!(names(&text), ["hosts", "more"]);
        assert!(read_manifests("").unwrap().is_empty());
        assert!(read_manifests("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn json_is_read_as_well() {
        let json = read_manifests(HOSTS).unwrap()[0].manifest.to_json().unwrap();
        assert_eq!(names(&serde_json::to_string_pretty(&json).unwrap()), ["hosts"]);
        assert_eq!(names(&json.to_string()), ["hosts"]);
    }

    #[test]
    fn fields_have_places() {
        let document = read_manifests(HOSTS).unwrap().remove(0);
        assert_eq!(document.fields["ips"], Position { line: 5, column: 3 });
        assert_eq!(document.at, Some(Position { line: 1, column: 1 }));
    }

    #[test]
    fn a_flaw_does_not_hide_the_next_document() {
        let text = format!(
            "{}---\n{}---\n{HOSTS}",
            HOSTS.replace("ips", "ipz"),
            HOSTS.replace("hosts", "7")
        );
        let told = refused(&text);
        assert!(
            told.contains("document 1, line 5 column 3, SpiderReservedIP hosts: `spec.ipz`"),
            "{told}"
        );
        assert!(told.contains("document 2, line 9 column 18, SpiderReservedIP: `metadata.name` is the number 7; write text, in quotes"), "{told}");
    }

    #[test]
    fn an_object_is_defined_once_in_a_file() {
        let told = refused(&format!("{HOSTS}---\n{HOSTS}"));
        assert_eq!(
            told,
            "document 2, line 7 column 1, SpiderReservedIP hosts: is already defined by document 1; leave one of them out"
        );
    }

    #[test]
    fn a_key_is_written_once() {
        let told = refused(&format!("{HOSTS}  ips: [10.0.0.2]\n"));
        assert!(
            told.starts_with("document 1, line 6 column 3: cannot be read as YAML: "),
            "{told}"
        );
    }

    #[test]
    fn long_inputs_are_refused() {
        let told = refused(&" ".repeat(MAX_INPUT_BYTES + 1));
        assert_eq!(
            told,
            "document 1: the input has 67108865 bytes, and at most 67108864 are read; split it"
        );
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        let long =
            format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 9_000].join(", "));
        for bomb in [laughs, long] {
            let told = refused(&bomb);
            assert!(told.contains("cannot be read as YAML"), "{told}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let too_deep = |text: &str| {
            let told = refused(text);
            assert!(
                told.contains("nest more than 24 deep") || told.contains("recursion limit"),
                "{told}"
            );
        };
        for depth in [25, 60, 1_000, 100_000] {
            too_deep(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        }
        for depth in [25, 60, 5_000] {
            too_deep(
                &(0..depth).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>(),
            );
        }
        // What an alias stands for nests as if it were written out.
        for width in [1, 5, 20] {
            let (open, close) = ("[".repeat(width), "]".repeat(width));
            let link = |level: usize| format!("a{level}: &a{level} {open}*a{}{close}\n", level - 1);
            too_deep(&format!(
                "a0: &a0 {open}x{close}\n{}",
                (1..100).map(link).collect::<String>()
            ));
        }
        let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(refused(&deepest).starts_with("document 1, line 1 column 1: is a list, but"));
    }

    #[test]
    fn flaws_are_bounded() {
        let many = "---\na\n".repeat(MAX_FLAWS + 10);
        let wide: String = (0..2 * MAX_FLAWS).map(|at| format!("k{at}: v\n")).collect();
        for text in [many, format!("{HOSTS}{wide}")] {
            let flaws = read_manifests(&text).unwrap_err();
            assert_eq!(flaws.len(), MAX_FLAWS + 1);
            assert_eq!(flaws[MAX_FLAWS].flaw, DocumentFlaw::TooMany);
        }
    }

    #[test]
    fn merge_keys_are_read_within_bounds() {
        let text = HOSTS.replace(
            "metadata: {name: hosts}",
            "metadata: {labels: &l {a: b}, annotations: {<<: *l, c: d}, name: hosts}",
        );
        assert_eq!(names(&text), ["hosts"]);
        let link =
            |level: usize| format!("a{level}: &a{level} {{<<: *a{}, k{level}: v}}\n", level - 1);
        let chain = format!("a0: &a0 {{k: v}}\n{}", (1..2_000).map(link).collect::<String>());
        assert!(refused(&chain).contains("cannot be read as YAML"));
    }

    #[test]
    fn anchors_of_ordinary_size_are_read() {
        let text = HOSTS
            .replace("[10.0.0.1]", "&ips [10.0.0.1]")
            .replace("name: hosts", "name: hosts, labels: &l {a: b}, annotations: *l");
        assert_eq!(names(&text), ["hosts"]);
    }

    #[test]
    fn many_documents_are_read() {
        let text: String = (0..2_000)
            .map(|at| format!("---\n{}", HOSTS.replace("hosts", &format!("h{at}"))))
            .collect();
        assert_eq!(names(&text).len(), 2_000);
    }
}
