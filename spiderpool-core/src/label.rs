//! Labels and the selectors that match them, by the rules of Kubernetes label selectors.
//!
//! Called by the shortlist to judge affinities. A selector without any requirement matches
//! everything; definitions refuse it where that would surprise.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// The labels of a pod, a node or a namespace.
pub type Labels = BTreeMap<String, String>;

/// Which labels an object must carry: every requirement has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// Labels that must be present with exactly this value.
    pub labels: Labels,
    /// Further requirements, judged in this order.
    pub requirements: Vec<Requirement>,
}

/// One line of a selector's `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of it.
    pub test: Test,
}

/// What a [`Requirement`] asks of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// The label is present with one of these values.
    In(Vec<String>),
    /// The label is absent, or present with none of these values.
    NotIn(Vec<String>),
    /// The label is present.
    Exists,
    /// The label is absent.
    Absent,
}

/// A requirement that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadSelector {
    /// The operator is none of the four.
    #[error(
        "the operator `{got}` of key `{key}` is unknown; write In, NotIn, Exists or DoesNotExist"
    )]
    Operator {
        /// The label's key.
        key: String,
        /// What was written.
        got: String,
    },
    /// `In` or `NotIn` without values, or `Exists` or `DoesNotExist` with some.
    #[error("key `{key}` has {got} values with the operator {operator}, which takes {expected}")]
    Values {
        /// The label's key.
        key: String,
        /// What was written.
        operator: String,
        /// How many values were given.
        got: usize,
        /// How many it takes.
        expected: &'static str,
    },
    /// The key is empty.
    #[error("a requirement has no key")]
    Key,
}

impl Requirement {
    /// A requirement from the three parts that manifests write.
    ///
    /// # Errors
    /// [`BadSelector`] for an empty key, an unknown operator, or the wrong number of values.
    pub fn parse(key: &str, operator: &str, values: Vec<String>) -> Result<Self, BadSelector> {
        if key.is_empty() {
            return Err(BadSelector::Key);
        }
        let wrong = |expected| BadSelector::Values {
            key: key.to_owned(),
            operator: operator.to_owned(),
            got: values.len(),
            expected,
        };
        let test = match (operator, values.is_empty()) {
            ("In" | "NotIn", true) => return Err(wrong("at least one")),
            ("Exists" | "DoesNotExist", false) => return Err(wrong("none")),
            ("In", false) => Test::In(values),
            ("NotIn", false) => Test::NotIn(values),
            ("Exists", true) => Test::Exists,
            ("DoesNotExist", true) => Test::Absent,
            _ => {
                return Err(BadSelector::Operator {
                    key: key.to_owned(),
                    got: operator.to_owned(),
                });
            }
        };
        Ok(Self { key: key.to_owned(), test })
    }

    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|v| values.contains(v)),
            Test::NotIn(values) => !value.is_some_and(|v| values.contains(v)),
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
        }
    }
}

impl Selector {
    /// Whether it asks for nothing, and so matches everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.requirements.is_empty()
    }

    /// Whether the labels meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.labels.iter().map(|(key, value)| format!("{key}={value}"));
        let others = self.requirements.iter().map(|r| match &r.test {
            Test::In(values) => format!("{} in ({})", r.key, values.join(",")),
            Test::NotIn(values) => format!("{} notin ({})", r.key, values.join(",")),
            Test::Exists => r.key.clone(),
            Test::Absent => format!("!{}", r.key),
        });
        f.write_str(&labels.chain(others).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: &str, values: &[&str], labels: &[(&str, &str)], expected: bool) {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        let requirement = Requirement::parse("zone", operator, values).unwrap();
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(requirement.matches(&labels), expected, "{requirement:?} on {labels:?}");
    }

    #[test]
    fn operators_judge_as_in_kubernetes() {
        check("In", &["a", "b"], &[("zone", "a")], true);
        check("In", &["a"], &[("zone", "c")], false);
        check("In", &["a"], &[], false);
        check("NotIn", &["a"], &[], true);
        check("NotIn", &["a"], &[("zone", "a")], false);
        check("Exists", &[], &[("zone", "")], true);
        check("DoesNotExist", &[], &[("zone", "")], false);
        check("DoesNotExist", &[], &[("rack", "1")], true);
    }

    #[test]
    fn errors_name_the_key() {
        let error = |operator, values: Vec<String>| {
            Requirement::parse("zone", operator, values).unwrap_err().to_string()
        };
        assert_eq!(
            error("In", vec![]),
            "key `zone` has 0 values with the operator In, which takes at least one"
        );
        assert_eq!(
            error("Exists", vec!["x".into()]),
            "key `zone` has 1 values with the operator Exists, which takes none"
        );
        assert_eq!(
            error("Near", vec!["x".into()]),
            "the operator `Near` of key `zone` is unknown; write In, NotIn, Exists or DoesNotExist"
        );
    }
}
