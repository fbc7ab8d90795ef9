//! What a reply of the API server means for the protocol.
//!
//! Owns the table from status and body to [`Outcome`]; `server` calls it with what it received. It errs
//! to one side: only a `Status` of the API server itself, about the object that was asked for, is its
//! word that something is not there or was not written. The page of a proxy, a kind that the server does
//! not know, a reply that was cut off: all that is [`Outcome::Unknown`]. Invariants:
//!
//! 1. Each status means what `port::Outcome` says (`each_status_means_one_thing`).
//! 2. A kind that is not installed is not an object that is not there
//!    (`a_missing_kind_is_not_a_missing_object`).

use crate::cluster::object::Key;
use crate::cluster::port::Outcome;
use crate::cluster::wire;
use serde_json::Value;

/// A reply that was received whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// What was asked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// All of it.
    Object,
    /// Its metadata.
    Meta,
    /// To write it.
    Write,
}

/// What the server says in place of what was asked for, before it is known what that means for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    /// This is not there: a plural and a name.
    Missing(String, String),
    /// It is otherwise by now, or there already.
    Conflict,
    /// It will not do it, and did not.
    No(String),
    /// Where a list or a watch was to go on is too far back (410).
    Expired,
    /// Nothing that can be relied on.
    Unclear(String),
}

/// What a reply holds, whatever was asked.
///
/// # Errors
/// What the server says instead.
pub(super) fn content(reply: &Reply) -> Result<Value, Instead> {
    let Reply { status, body } = reply;
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return Err(Instead::Unclear(format!("{status}: {}", excerpt(body))));
    };
    if matches!(status, 200..=299) {
        return Ok(json);
    }
    Err(instead(*status, &json))
}

/// What a reply that is no success says.
fn instead(status: u16, json: &Value) -> Instead {
    let text = |field: &str| json.pointer(field).and_then(Value::as_str).unwrap_or_default();
    let why = || format!("{status} {}: {}", text("/reason"), text("/message"));
    if text("/kind") != "Status" || text("/apiVersion") != "v1" {
        return Instead::Unclear(format!("{status}: {}", excerpt(json.to_string().as_bytes())));
    }
    let (plural, name) = (text("/details/kind"), text("/details/name"));
    match (status, text("/reason")) {
        (404, "NotFound") if !plural.is_empty() && !name.is_empty() => {
            Instead::Missing(plural.to_owned(), name.to_owned())
        }
        (409, "Conflict" | "AlreadyExists") => Instead::Conflict,
        (410, _) => Instead::Expired,
        (400 | 401 | 403 | 405 | 406 | 413 | 415 | 422, _) => Instead::No(why()),
        _ => Instead::Unclear(why()),
    }
}

/// How a call ended, and what is unclear about it, for people.
pub(super) fn outcome(
    key: &Key,
    sought: Sought,
    reply: &Reply,
    agent_namespace: &str,
) -> (Outcome, Option<String>) {
    let at = wire::path(key);
    let unclear = |why: String| (Outcome::Unknown, Some(why));
    let instead = match (content(reply), sought) {
        (Ok(json), Sought::Object) => {
            return (Outcome::Found(Box::new(wire::lift(key, &json, agent_namespace))), None);
        }
        (Ok(json), Sought::Meta | Sought::Write) => {
            let told = if sought == Sought::Meta { Outcome::Meta } else { Outcome::Done };
            return match wire::lift_meta(&json) {
                Ok(meta) => (told(meta), None),
                Err(why) => unclear(why.to_string()),
            };
        }
        (Err(instead), _) => instead,
    };
    match (instead, sought) {
        (Instead::Missing(plural, name), Sought::Object | Sought::Meta) => {
            if (plural.as_str(), name.as_str()) == (at.plural, at.name.as_str()) {
                (Outcome::Absent, None)
            } else {
                unclear(format!("404: {plural} `{name}` is not there"))
            }
        }
        // The object, or the namespace that it was to be made in.
        (Instead::Missing(..), Sought::Write) => (Outcome::Missing, None),
        (Instead::Conflict, Sought::Write) => (Outcome::Conflict, None),
        (Instead::No(why), _) => (Outcome::Refused { why }, None),
        (other @ (Instead::Conflict | Instead::Expired | Instead::Unclear(_)), _) => {
            unclear(other.text())
        }
    }
}

impl Instead {
    /// What is said, for people.
    pub(super) fn text(self) -> String {
        match self {
            Self::Missing(plural, name) => format!("{plural} `{name}` is not there"),
            Self::Conflict => "409".to_owned(),
            Self::Expired => "410: too far back".to_owned(),
            Self::No(why) | Self::Unclear(why) => why,
        }
    }
}

/// The beginning of a body, for people.
fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::object::{Body, EndpointKey, Ledger, Meta, Object};
    use serde_json::json;
    use spiderpool_core::name::Name;

    fn reply(status: u16, body: &Value) -> Reply {
        Reply { status, body: body.to_string().into_bytes() }
    }

    fn status(code: u16, reason: &str, kind: &str, name: &str) -> Reply {
        let details = json!({"name": name, "group": "spiderpool.spidernet.io", "kind": kind});
        reply(
            code,
            &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": "said", "reason": reason, "details": details, "code": code}),
        )
    }

    fn judge(sought: Sought, reply: &Reply) -> Outcome {
        outcome(&Key::Ledger, sought, reply, "kube-system").0
    }

    fn refused(text: &str) -> Outcome {
        Outcome::Refused { why: text.into() }
    }

    const ALL: [Sought; 3] = [Sought::Object, Sought::Meta, Sought::Write];

    #[test]
    fn each_status_means_one_thing() {
        use Outcome::{Absent, Conflict, Missing, Unknown};
        let table = [
            (404, "NotFound", [Absent, Absent, Missing]),
            (409, "Conflict", [Unknown, Unknown, Conflict]),
            (409, "AlreadyExists", [Unknown, Unknown, Conflict]),
            (409, "Otherwise", [Unknown, Unknown, Unknown]),
            (400, "BadRequest", [(); 3].map(|()| refused("400 BadRequest: said"))),
            (401, "Unauthorized", [(); 3].map(|()| refused("401 Unauthorized: said"))),
            (403, "Forbidden", [(); 3].map(|()| refused("403 Forbidden: said"))),
            (
                413,
                "RequestEntityTooLarge",
                [(); 3].map(|()| refused("413 RequestEntityTooLarge: said")),
            ),
            (422, "Invalid", [(); 3].map(|()| refused("422 Invalid: said"))),
            (302, "", [Unknown, Unknown, Unknown]),
            (408, "Timeout", [Unknown, Unknown, Unknown]),
            (410, "Expired", [Unknown, Unknown, Unknown]),
            (429, "TooManyRequests", [Unknown, Unknown, Unknown]),
            (500, "InternalError", [Unknown, Unknown, Unknown]),
            (503, "ServiceUnavailable", [Unknown, Unknown, Unknown]),
            (504, "Timeout", [Unknown, Unknown, Unknown]),
        ];
        for (code, reason, meanings) in table {
            for (sought, meaning) in ALL.into_iter().zip(meanings) {
                let reply = status(code, reason, "spiderledgers", "cluster");
                assert_eq!(judge(sought, &reply), meaning, "{code} {reason} {sought:?}");
            }
        }
    }

    #[test]
    fn what_is_well_is_lifted() {
        let meta = Meta { revision: 7, generation: 2, deleting: false };
        let json = json!({"apiVersion": "spiderpool.spidernet.io/v2beta1", "kind": "SpiderLedger",
            "metadata": {"name": "cluster", "resourceVersion": "7", "generation": 2},
            "spec": {"format": 1, "epoch": 3}});
        let body = Body::Ledger(Ledger { epoch: 3, recovery: None });
        let object = Outcome::Found(Box::new(Object { key: Key::Ledger, meta, body }));
        let meanings = [object, Outcome::Meta(meta), Outcome::Done(meta)];
        for (sought, meaning) in ALL.into_iter().zip(meanings) {
            assert_eq!(judge(sought, &reply(200, &json)), meaning);
        }
        assert_eq!(judge(Sought::Write, &reply(201, &json)), Outcome::Done(meta));
        // A write that is said to be done, of what nobody knows.
        assert_eq!(judge(Sought::Write, &reply(200, &json!({}))), Outcome::Unknown);
        let cut = Reply { status: 200, body: br#"{"apiVersion": "spiderp"#.to_vec() };
        for sought in ALL {
            assert_eq!(judge(sought, &cut), Outcome::Unknown);
        }
    }

    #[test]
    fn a_missing_kind_is_not_a_missing_object() {
        let page = Reply { status: 404, body: b"404 page not found\n".to_vec() };
        let kindless = reply(
            404,
            &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": "the server could not find the requested resource", "reason": "NotFound",
            "details": {}, "code": 404}),
        );
        let proxy = reply(404, &json!({"error": "no route"}));
        for reply in [page, kindless, proxy] {
            for sought in ALL {
                assert_eq!(judge(sought, &reply), Outcome::Unknown, "{reply:?}");
            }
        }
        let other = status(404, "NotFound", "spiderledgers", "another");
        assert_eq!(judge(Sought::Object, &other), Outcome::Unknown);
    }

    #[test]
    fn an_endpoint_of_a_namespace_that_is_gone_is_missing() {
        let name = |text| Name::new(text).unwrap();
        let key = Key::Endpoint(EndpointKey { namespace: name("gone"), name: name("web-0") });
        let reply = status(404, "NotFound", "namespaces", "gone");
        assert_eq!(outcome(&key, Sought::Write, &reply, "").0, Outcome::Missing);
        assert_eq!(outcome(&key, Sought::Object, &reply, "").0, Outcome::Unknown);
    }
}
