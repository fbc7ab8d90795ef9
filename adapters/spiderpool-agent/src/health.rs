//! What the probes are told: each part of the agent says whether it works, and if not, why.
//!
//! Invariants:
//! 1. Being alive does not depend on anything outside of the process, so that an API server that is away
//!    restarts no agent (`an_api_server_that_is_away_kills_nobody`).
//! 2. Who is not ready says why (`not_ready_says_why`).

use crate::http::{Answers, Asked, Reply};
use crate::soon::Soon;
use hyper::{Method, StatusCode};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The state of all parts.
#[derive(Debug, Default)]
pub struct Health {
    parts: Mutex<BTreeMap<Part, Result<(), String>>>,
}

/// What has to work before pods can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The socket that plugins call.
    Socket,
    /// The API server.
    Server,
    /// The node's own pods.
    Pods,
    /// The store of addresses.
    Store,
}

impl Part {
    const ALL: [Self; 4] = [Self::Socket, Self::Server, Self::Pods, Self::Store];

    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "the socket",
            Self::Server => "the API server",
            Self::Pods => "the node's pods",
            Self::Store => "the address store",
        }
    }
}

impl Health {
    /// Says how a part is. A change is logged.
    #[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
    pub fn set(&self, part: Part, state: Result<(), String>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parts.insert(part, state.clone());
        if before.as_ref() == Some(&state) {
            return;
        }
        match state {
            Ok(()) => tracing::info!("{} is ready", part.name()),
            Err(why) => tracing::warn!("{} is not ready: {why}", part.name()),
        }
    }

    /// Whether pods can be served.
    ///
    /// # Errors
    /// Each part that does not work, and why.
    pub fn ready(&self) -> Result<(), String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let told = Part::ALL.iter().filter_map(|part| match parts.get(part) {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(format!("{}: {why}", part.name())),
            None => Some(format!("{}: not tried yet", part.name())),
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
    }

    /// Whether the socket is there: all that being alive takes.
    ///
    /// # Errors
    /// Why not.
    pub fn alive(&self) -> Result<(), String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        match parts.get(&Part::Socket) {
            Some(state) => state.clone(),
            None => Err("the socket is not open yet".to_owned()),
        }
    }
}

/// Answers the kubelet's probes: `/v1/runtime/startup`, `/readiness`, `/liveness`.
#[derive(Clone, Debug)]
pub struct Probes {
    /// What they tell.
    pub health: std::sync::Arc<Health>,
}

impl Answers for Probes {
    fn answer(&self, asked: Asked) -> Soon<'_, Reply> {
        Box::pin(async move {
            if asked.method != Method::GET && asked.method != Method::HEAD {
                return Reply::text(StatusCode::METHOD_NOT_ALLOWED, "probes are GETs\n");
            }
            match asked.path.as_str() {
                "/v1/runtime/startup" | "/v1/runtime/liveness" => reply(self.health.alive()),
                "/v1/runtime/readiness" => reply(self.health.ready()),
                _ => Reply::text(
                    StatusCode::NOT_FOUND,
                    "there are /v1/runtime/startup, /v1/runtime/readiness and /v1/runtime/liveness\n",
                ),
            }
        })
    }
}

/// 200, or 500 with the reason.
pub(crate) fn reply(state: Result<(), String>) -> Reply {
    match state {
        Ok(()) => Reply::text(StatusCode::OK, "ok\n"),
        Err(why) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_that_is_away_kills_nobody() {
        let health = Health::default();
        assert!(health.alive().is_err());
        health.set(Part::Socket, Ok(()));
        health.set(Part::Server, Err("connection refused".to_owned()));
        assert_eq!(health.alive(), Ok(()));
    }

    #[test]
    fn not_ready_says_why() {
        let health = Health::default();
        for part in [Part::Socket, Part::Server, Part::Pods] {
            health.set(part, Ok(()));
        }
        assert_eq!(health.ready(), Err("the address store: not tried yet".to_owned()));
        health.set(Part::Store, Ok(()));
        assert_eq!(health.ready(), Ok(()));
        health.set(Part::Server, Err("connection refused".to_owned()));
        assert_eq!(health.ready(), Err("the API server: connection refused".to_owned()));
    }
}
