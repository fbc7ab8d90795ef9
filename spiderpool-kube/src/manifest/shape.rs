//! Which fields each kind has and what each may hold, as tables; and the one walk that judges by them.
//!
//! Called by the readers before serde builds the value, because serde stops at the first flaw and
//! forgets its place. Invariants:
//! 1. Every field that serde knows is in the tables, and the other way round
//!    (`tables_and_types_agree`).
//! 2. An unknown field is an error with its nearest neighbour (`unknown_fields_name_their_neighbour`).
//! 3. The walk tells every flaw of a mapping, missing fields last (`every_flaw_is_told`).

use super::error::{BadField, FieldFlaw, Warning};
use super::node::{Content, Node};
use super::typo::nearest;
use crate::position::Position;

/// One field that may stand in a mapping.
pub(super) struct Field {
    name: &'static str,
    shape: Shape,
    rule: Rule,
}

/// Whether a field has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Required,
    Optional,
    /// It may stand there, but does nothing, for this reason.
    Unused(&'static str),
}

/// What a field may hold.
enum Shape {
    Text,
    Boolean,
    Integer,
    /// An integer that is not negative.
    Count,
    OneOf(&'static [&'static str]),
    Texts,
    TextMapping,
    Mapping(&'static [Field]),
    /// A mapping with further fields that are ignored.
    OpenMapping(&'static [Field]),
    Mappings(&'static [Field]),
    Anything,
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, rule: Rule::Required }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, rule: Rule::Optional }
}

const METADATA: &[Field] = &[
    required("name", Shape::Text),
    optional("labels", Shape::TextMapping),
    optional("annotations", Shape::TextMapping),
];

const ROUTE: &[Field] = &[required("dst", Shape::Text), required("gw", Shape::Text)];

const EXPRESSION: &[Field] = &[
    required("key", Shape::Text),
    required("operator", Shape::Text),
    optional("values", Shape::Texts),
];

const SELECTOR: &[Field] = &[
    optional("matchLabels", Shape::TextMapping),
    optional("matchExpressions", Shape::Mappings(EXPRESSION)),
];

const VLAN: Rule = Rule::Unused(
    "has no effect: pools have had no VLAN since about version 0.9; state it in the CNI configuration",
);

const POOL_SPEC: &[Field] = &[
    optional("ipVersion", Shape::Integer),
    required("subnet", Shape::Text),
    optional("ips", Shape::Texts),
    optional("excludeIPs", Shape::Texts),
    optional("gateway", Shape::Text),
    optional("routes", Shape::Mappings(ROUTE)),
    optional("podAffinity", Shape::Mapping(SELECTOR)),
    optional("namespaceAffinity", Shape::Mapping(SELECTOR)),
    optional("namespaceName", Shape::Texts),
    optional("nodeAffinity", Shape::Mapping(SELECTOR)),
    optional("nodeName", Shape::Texts),
    optional("multusName", Shape::Texts),
    optional("default", Shape::Boolean),
    optional("disable", Shape::Boolean),
    optional("policy", Shape::OneOf(&["sequential", "spread", "rotate"])),
    optional("coolDownSeconds", Shape::Count),
    optional("space", Shape::Text),
    Field { name: "vlan", shape: Shape::Anything, rule: VLAN },
];

const SUBNET_SPEC: &[Field] = &[
    optional("ipVersion", Shape::Integer),
    required("subnet", Shape::Text),
    optional("ips", Shape::Texts),
    optional("excludeIPs", Shape::Texts),
    optional("gateway", Shape::Text),
    optional("routes", Shape::Mappings(ROUTE)),
    optional("space", Shape::Text),
    Field { name: "vlan", shape: Shape::Anything, rule: VLAN },
];

const RESERVED_IP_SPEC: &[Field] = &[
    optional("ipVersion", Shape::Integer),
    optional("ips", Shape::Texts),
    optional("space", Shape::Text),
];

/// Declares what stands at the top of an object with the given spec.
macro_rules! object {
    ($spec:expr) => {
        &[
            required("apiVersion", Shape::Text),
            required("kind", Shape::Text),
            required("metadata", Shape::OpenMapping(METADATA)),
            required("spec", Shape::Mapping($spec)),
            optional("status", Shape::Anything),
        ]
    };
}

/// The fields of a `SpiderIPPool`.
pub(super) const POOL: &[Field] = object!(POOL_SPEC);

/// The fields of a `SpiderSubnet`.
pub(super) const SUBNET: &[Field] = object!(SUBNET_SPEC);

/// The fields of a `SpiderReservedIP`.
pub(super) const RESERVED_IP: &[Field] = object!(RESERVED_IP_SPEC);

/// How many flaws are told before the rest is left unread: more than anybody mends in one go.
pub(super) const MAX_FLAWS: usize = 1_000;

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What cannot be taken, each with its place; ends after one more than [`MAX_FLAWS`].
    pub(super) bad: Vec<(Option<Position>, BadField)>,
    /// What can be taken, but has no effect.
    pub(super) warnings: Vec<Warning>,
}

/// Judges an object by the table of its kind.
pub(super) fn judge(object: &Node, fields: &'static [Field]) -> Findings {
    let mut findings = Findings::default();
    findings.mapping(object, fields, "", Others::Refused);
    findings
}

/// What becomes of fields that the table does not name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Refused,
    Ignored,
}

impl Findings {
    fn add(&mut self, at: Option<Position>, path: &str, flaw: FieldFlaw) {
        if !self.is_full() {
            self.bad.push((at, BadField { path: path.to_owned(), flaw }));
        }
    }

    const fn is_full(&self) -> bool {
        self.bad.len() > MAX_FLAWS
    }

    fn unexpected(&mut self, node: &Node, path: &str, expected: &str) {
        let (got, expected) = (node.describe(), expected.to_owned());
        self.add(node.at, path, FieldFlaw::Unexpected { got, expected });
    }

    fn mapping(&mut self, node: &Node, fields: &'static [Field], path: &str, others: Others) {
        let Content::Mapping(entries) = &node.content else {
            return self.unexpected(node, path, Shape::Mapping(fields).expected());
        };
        for entry in entries {
            let inner = join(path, &entry.key);
            match fields.iter().find(|field| field.name == entry.key) {
                Some(field) => self.field(field, &entry.value, entry.at, &inner),
                None if others == Others::Ignored || self.is_full() => {}
                None => {
                    let known = known(fields);
                    let nearest = nearest(&entry.key, &known);
                    self.add(entry.at, &inner, FieldFlaw::Unknown { nearest, known });
                }
            }
        }
        for field in fields.iter().filter(|field| field.rule == Rule::Required) {
            if node.get(field.name).is_none() {
                let expected = field.shape.expected();
                self.add(node.at, &join(path, field.name), FieldFlaw::Missing { expected });
            }
        }
    }

    fn field(&mut self, field: &'static Field, value: &Node, at: Option<Position>, path: &str) {
        if let Rule::Unused(text) = field.rule {
            self.warnings.push(Warning { path: path.to_owned(), at, text });
        } else if value.content != Content::Null {
            self.value(&field.shape, value, path);
        }
    }

    fn value(&mut self, shape: &'static Shape, node: &Node, path: &str) {
        let fits = match (shape, &node.content) {
            (Shape::Mapping(fields), _) => {
                return self.mapping(node, fields, path, Others::Refused);
            }
            (Shape::OpenMapping(fields), _) => {
                return self.mapping(node, fields, path, Others::Ignored);
            }
            (Shape::Mappings(fields), Content::List(items)) => {
                return items.iter().enumerate().for_each(|(at, item)| {
                    self.mapping(item, fields, &format!("{path}[{at}]"), Others::Refused);
                });
            }
            (Shape::Texts, Content::List(items)) => {
                return items.iter().enumerate().for_each(|(at, item)| {
                    self.value(&Shape::Text, item, &format!("{path}[{at}]"));
                });
            }
            (Shape::TextMapping, Content::Mapping(entries)) => {
                return entries.iter().for_each(|entry| {
                    self.value(&Shape::Text, &entry.value, &join(path, &entry.key));
                });
            }
            (Shape::OneOf(choices), Content::Text(text)) => choices.contains(&text.as_str()),
            (Shape::Count, Content::Integer(value)) => *value >= 0,
            (Shape::Text, Content::Text(_))
            | (Shape::Boolean, Content::Boolean(_))
            | (Shape::Integer, Content::Integer(_))
            | (Shape::Anything, _) => true,
            _ => false,
        };
        if !fits {
            self.unexpected(node, path, &shape.wanted(&node.content));
        }
    }
}

impl Shape {
    /// What to write, in the words of an error.
    const fn expected(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Boolean => "true or false",
            Self::Integer => "a whole number",
            Self::Count => "a whole number from 0",
            Self::OneOf(_) => "one of a few words",
            Self::Texts => "a list of texts",
            Self::TextMapping => "a mapping from text to text",
            Self::Mapping(_) | Self::OpenMapping(_) => "a mapping",
            Self::Mappings(_) => "a list of mappings",
            Self::Anything => "anything",
        }
    }

    /// The same, with the words to choose from, and the remedy for a text that was taken for a number.
    fn wanted(&self, got: &Content) -> String {
        match (self, got) {
            (Self::OneOf(choices), _) => choices.join(" or "),
            (Self::Text, Content::Boolean(_) | Content::Integer(_) | Content::Number(_)) => {
                "text, in quotes".to_owned()
            }
            _ => self.expected().to_owned(),
        }
    }
}

/// The names to suggest: those of fields that do something.
fn known(fields: &[Field]) -> Vec<&'static str> {
    let useful = fields.iter().filter(|field| !matches!(field.rule, Rule::Unused(_)));
    useful.map(|field| field.name).collect()
}

fn join(path: &str, key: &str) -> String {
    let key = super::node::beginning(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Expression, LabelSelector, PoolSpec, ReservedIPSpec, SubnetSpec};
    use super::*;
    use serde_json::{Value, json};
    use spiderpool_core::definition::{Policy, RouteDraft};

    fn told(spec: &Value) -> Vec<String> {
        let object =
            json!({"apiVersion": "a", "kind": "k", "metadata": {"name": "n"}, "spec": spec});
        judge(&Node::from(&object), POOL).bad.iter().map(|(_, bad)| bad.to_string()).collect()
    }

    fn check(spec: &Value, expected: &str) {
        assert_eq!(told(spec), [expected], "for {spec}");
    }

    #[test]
    fn unknown_fields_name_their_neighbour() {
        let error = told(&json!({"subnet": "s", "nodename": ["a"]})).join("");
        assert!(error.starts_with("`spec.nodename` is not a field; did you mean `nodeName`? known: ipVersion, subnet, ips,"), "{error}");
        assert!(!error.contains("vlan"), "{error}");
        check(
            &json!({"subnet": "s", "routes": [{"dst": "d", "gw": "g", "via": "v"}]}),
            "`spec.routes[0].via` is not a field; known: dst, gw",
        );
    }

    #[test]
    fn values_of_another_shape() {
        check(&json!({}), "`spec.subnet` is missing; write text");
        check(&json!({"subnet": null}), "`spec.subnet` is missing; write text");
        check(&json!({"subnet": 10.5}), "`spec.subnet` is the number 10.5; write text, in quotes");
        check(
            &json!({"subnet": "s", "ips": "10.0.0.1"}),
            "`spec.ips` is the text `10.0.0.1`; write a list of texts",
        );
        check(
            &json!({"subnet": "s", "ips": ["a", 7]}),
            "`spec.ips[1]` is the number 7; write text, in quotes",
        );
        check(
            &json!({"subnet": "s", "coolDownSeconds": -1}),
            "`spec.coolDownSeconds` is the number -1; write a whole number from 0",
        );
        check(
            &json!({"subnet": "s", "policy": "random"}),
            "`spec.policy` is the text `random`; write sequential or spread or rotate",
        );
        check(
            &json!({"subnet": "s", "default": "yes"}),
            "`spec.default` is the text `yes`; write true or false",
        );
        check(
            &json!({"subnet": "s", "podAffinity": {"matchLabels": {"tier": 1}}}),
            "`spec.podAffinity.matchLabels.tier` is the number 1; write text, in quotes",
        );
        assert!(told(&json!({"subnet": "s", "gateway": null, "routes": []})).is_empty());
    }

    #[test]
    fn every_flaw_is_told() {
        let told = told(&json!({"ips": 1, "disable": 2, "zzzzzzzz": 3}));
        assert_eq!(told.len(), 4, "{told:?}");
    }

    #[test]
    fn vlan_is_only_a_warning() {
        let object = json!({"apiVersion": "a", "kind": "k", "metadata": {"name": "n"},
                            "spec": {"subnet": "s", "vlan": 5}});
        let findings = judge(&Node::from(&object), POOL);
        assert!(findings.bad.is_empty());
        assert!(findings.warnings[0].to_string().starts_with("`spec.vlan` has no effect"));
    }

    fn keys(value: impl serde::Serialize) -> Vec<String> {
        let mut keys: Vec<_> =
            serde_json::to_value(value).unwrap().as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    }

    fn names(fields: &'static [Field]) -> Vec<String> {
        let mut names: Vec<_> = known(fields).iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn tables_and_types_agree() {
        let selector = LabelSelector {
            match_labels: [("a".to_owned(), "b".to_owned())].into(),
            match_expressions: vec![Expression {
                values: vec![String::new()],
                ..Expression::default()
            }],
        };
        let (text, texts) = (Some(String::new()), vec![String::new()]);
        let pool = PoolSpec {
            ip_version: Some(4),
            subnet: String::new(),
            ips: texts.clone(),
            exclude_ips: texts.clone(),
            gateway: text.clone(),
            routes: Some(vec![RouteDraft::default()]),
            pod_affinity: Some(selector.clone()),
            namespace_affinity: Some(selector.clone()),
            namespace_name: texts.clone(),
            node_affinity: Some(selector.clone()),
            node_name: texts.clone(),
            multus_name: texts.clone(),
            default: Some(true),
            disable: Some(true),
            policy: Some(Policy::Rotate),
            cool_down_seconds: Some(1),
            space: text.clone(),
        };
        let subnet = SubnetSpec {
            ip_version: Some(4),
            subnet: String::new(),
            ips: texts.clone(),
            exclude_ips: texts.clone(),
            gateway: text.clone(),
            routes: Some(vec![]),
            space: text.clone(),
        };
        let reserved = ReservedIPSpec { ip_version: Some(4), ips: texts, space: text };
        assert_eq!(keys(pool), names(POOL_SPEC));
        assert_eq!(keys(subnet), names(SUBNET_SPEC));
        assert_eq!(keys(reserved), names(RESERVED_IP_SPEC));
        assert_eq!(keys(&selector), names(SELECTOR));
        assert_eq!(keys(&selector.match_expressions[0]), names(EXPRESSION));
        assert_eq!(keys(RouteDraft::default()), names(ROUTE));
    }
}
