//! Why the API server did not do it, in words.
//!
//! Invariants:
//! 1. Only the server's own word about the object that was asked for says that it is not there
//!    (`a_missing_kind_is_not_a_missing_object`).
//! 2. Each cause that the server names is told with its field (`causes_are_told_with_their_fields`).

use crate::failure::Failure;
use kube::Error;
use kube::core::Status;

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The object is not there.
    Absent,
    /// It is otherwise by now, or there already (409).
    Conflict { why: String },
    /// The kind is not known to the server.
    NoKind,
    /// The server says no (400, 401, 403, 422); `causes` is what each rule says.
    Refused { code: u16, why: String, causes: Vec<String> },
    /// Nothing is known for certain: a time-out, a lost connection, a 5xx.
    Unclear { why: String },
}

impl Fault {
    /// What a failed request means. `name` is the object that it was about, if it was about one.
    pub(super) fn of(error: &Error, name: Option<&str>) -> Self {
        let Error::Api(status) = error else {
            return Self::Unclear { why: chain(error) };
        };
        let Status { code, message, reason, details, .. } = &**status;
        let about = details.as_ref().map(|details| details.name.as_str()).unwrap_or_default();
        let why = message.clone();
        match *code {
            404 if name.is_some_and(|name| name == about) => Self::Absent,
            404 => Self::NoKind,
            409 => Self::Conflict { why },
            400 | 401 | 403 | 405 | 406 | 413 | 415 | 422 => {
                let causes = details.iter().flat_map(|details| &details.causes);
                let causes = causes.map(|cause| match cause.field.as_str() {
                    "" | "<nil>" => cause.message.clone(),
                    field => format!("{field}: {}", cause.message),
                });
                Self::Refused { code: *code, why, causes: causes.collect() }
            }
            _ => Self::Unclear { why: format!("{code} {reason}: {why}") },
        }
    }

    /// As the failure of a command; `doing` says what was attempted.
    pub(super) fn tell(&self, doing: &str) -> Failure {
        match self {
            Self::Absent => Failure::bad(format!("{doing}: it is not there")),
            Self::Conflict { why } => Failure::refused(format!("{doing}: somebody else changed it in the meantime"))
                .with_flaws(vec![why.clone()])
                .try_this("look at it again, then run the same command once more"),
            Self::NoKind => Failure::world(format!("{doing}: the API server does not know that kind"))
                .try_this("install the custom resource definitions of Spiderpool; `spiderpoolctl --cluster version` shows which are there"),
            Self::Refused { code: 401, .. } => Failure::world(format!("{doing}: the API server does not know who asks"))
                .try_this("renew the credentials in the kubeconfig"),
            Self::Refused { code: 403, why, .. } => Failure::refused(format!("{doing}: it is not allowed"))
                .with_flaws(vec![why.clone()])
                .try_this("ask for a role that allows it, or use another --context"),
            Self::Refused { why, causes, .. } => {
                let flaws = if causes.is_empty() { vec![why.clone()] } else { causes.clone() };
                Failure::refused(format!("{doing}: the API server refused it")).with_flaws(flaws)
            }
            Self::Unclear { why } => Failure::world(format!("{doing}: {why}"))
                .try_this("look whether the API server can be reached, and ask again"),
        }
    }
}

/// An error and its causes on one line; a layer that the text before it has already told is left out.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(status: serde_json::Value, name: Option<&str>) -> Fault {
        let status: Status = serde_json::from_value(status).unwrap();
        Fault::of(&Error::Api(Box::new(status)), name)
    }

    #[test]
    fn a_missing_kind_is_not_a_missing_object() {
        let object = json!({"code": 404, "reason": "NotFound", "message": "not found",
            "details": {"name": "blue", "kind": "spiderippools"}});
        assert_eq!(fault(object.clone(), Some("blue")), Fault::Absent);
        assert_eq!(fault(object, Some("green")), Fault::NoKind);
        let page = json!({"code": 404, "message": "404 page not found"});
        assert_eq!(fault(page.clone(), Some("blue")), Fault::NoKind);
        assert_eq!(fault(page, None), Fault::NoKind);
    }

    #[test]
    fn causes_are_told_with_their_fields() {
        let status = json!({"code": 422, "reason": "Invalid", "message": "is invalid: …",
        "details": {"name": "blue", "causes": [
            {"field": "spec.gateway", "message": "is not an IP address"},
            {"field": "<nil>", "message": "some validation rules were not checked"},
        ]}});
        let told = fault(status, Some("blue")).tell("pool blue").to_string();
        assert_eq!(
            told,
            "error: pool blue: the API server refused it\n  - spec.gateway: is not an IP address\n  - some validation rules were not checked"
        );
    }

    #[test]
    fn a_conflict_says_what_to_do() {
        let status = json!({"code": 409, "message": "the object has been modified"});
        let told = fault(status, Some("blue")).tell("pool blue").to_string();
        assert!(told.contains("- the object has been modified\n  try: look at it again"), "{told}");
    }
}
