//! An API server, asked by path: JSON in and out, whatever the kind.
//!
//! Reads are quorum reads: none says `resourceVersion`.
//!
//! Invariant: what is no name of an object is never put in a path (`a_path_stays_where_it_belongs`).

use super::FactsFault;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request};
use kube::Client;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Notify;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The API server with an eye on whether it answers.
pub struct Server {
    client: Client,
    /// Somebody had no answer: whoever watches the server should look.
    pub(super) troubled: Notify,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// How much of an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Whole,
    /// Its metadata.
    Metadata,
}

/// What is written, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// A new object.
    Create,
    /// A JSON merge patch (RFC 7386).
    Merge,
}

impl Server {
    /// The server that a client speaks to.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, troubled: Notify::new() }
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it answers, and says that it is ready.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), String> {
        let request =
            Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
        let asked = tokio::time::timeout(PATIENCE, self.client.request_text(request));
        match asked.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(crate::log::chain(&error)),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// An object or a list; `None` where there is none, or no such kind.
    pub(crate) async fn read(
        &self,
        path: &str,
        extent: Extent,
    ) -> Result<Option<Value>, FactsFault> {
        let accept = match extent {
            Extent::Whole => "application/json",
            Extent::Metadata => {
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
            }
        };
        let request = Request::get(path).header(ACCEPT, accept).body(Vec::new());
        self.send(path, request).await
    }

    /// Writes an object; `None` where what is to be changed is not there.
    pub(crate) async fn write(
        &self,
        path: &str,
        writing: Writing,
        body: &Value,
    ) -> Result<Option<Value>, FactsFault> {
        let (method, content) = match writing {
            Writing::Create => (Method::POST, "application/json"),
            Writing::Merge => (Method::PATCH, "application/merge-patch+json"),
        };
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content);
        self.send(path, request.body(body.to_string().into_bytes())).await
    }

    /// Writes an object, unless somebody else wrote it meanwhile or it is gone: then `false`.
    pub(crate) async fn replace(
        &self,
        path: &str,
        writing: Writing,
        body: &Value,
    ) -> Result<bool, FactsFault> {
        match self.write(path, writing, body).await {
            Ok(written) => Ok(written.is_some()),
            Err(fault) if fault.is_conflict => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    async fn send(
        &self,
        path: &str,
        request: Result<Request<Vec<u8>>, hyper::http::Error>,
    ) -> Result<Option<Value>, FactsFault> {
        let fault = |why: String| FactsFault { what: path.to_owned(), why, is_conflict: false };
        let request = request.map_err(|error| fault(error.to_string()))?;
        match tokio::time::timeout(PATIENCE, self.client.request::<Value>(request)).await {
            Ok(Ok(object)) => Ok(Some(object)),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                Err(FactsFault { is_conflict: true, ..fault(status.message) })
            }
            Ok(Err(error)) => {
                self.troubled.notify_one();
                Err(fault(crate::log::chain(&error)))
            }
            Err(_) => {
                self.troubled.notify_one();
                Err(fault(format!("no answer within {} s", PATIENCE.as_secs())))
            }
        }
    }
}

/// A path of these segments; `None` if one of them names no object that could exist, or another path.
#[must_use]
pub(crate) fn path(segments: &[&str]) -> Option<String> {
    let fits = |segment: &&str| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        !segment.is_empty() && !segment.starts_with('.') && segment.chars().all(is_name)
    };
    segments.iter().all(fits).then(|| format!("/{}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_where_it_belongs() {
        assert_eq!(
            path(&["api", "v1", "namespaces", "a", "pods", "b.c-0"]).as_deref(),
            Some("/api/v1/namespaces/a/pods/b.c-0")
        );
        for bad in ["", ".", "..", "a/b", "a?x", "a%2f", "ü", "a b"] {
            assert_eq!(path(&["api", bad]), None, "{bad}");
        }
    }
}
