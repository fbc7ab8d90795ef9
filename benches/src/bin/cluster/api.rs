//! One request to the API server, as the layouts without a driver of their own send it.
//!
//! Owns [`Api`]: one client with its own connections, as a node has. Like the driver's, it sends each
//! request once.

use crate::fault::Fault;
use http::{Method, Request, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};
use serde_json::Value;
use std::path::Path;

/// Where the objects of the project are.
pub(crate) const GROUP: &str = "/apis/spiderpool.spidernet.io/v2beta1";

/// A client.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
}

/// What the API server said instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The object is at another revision, or exists (409).
    Conflict,
    /// There is none (404).
    Missing,
    /// Anything else.
    Other(String),
}

/// The configuration of a client.
///
/// # Errors
/// When the file is no kubeconfig.
pub(crate) async fn config(kubeconfig: &Path) -> Result<Config, Fault> {
    let fault = |why: String| Fault::Client { path: kubeconfig.to_owned(), why };
    let file = Kubeconfig::read_from(kubeconfig).map_err(|error| fault(error.to_string()))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(|error| fault(error.to_string()))
}

impl Api {
    /// A client with connections of its own.
    ///
    /// # Errors
    /// When the file is no kubeconfig.
    pub(crate) async fn new(kubeconfig: &Path) -> Result<Self, Fault> {
        let mut config = config(kubeconfig).await?;
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| Fault::Client {
            path: kubeconfig.to_owned(),
            why: error.to_string(),
        })?;
        Ok(Self { client })
    }

    /// Sends a request and gives the body of the answer; a `PATCH` is a merge patch.
    ///
    /// # Errors
    /// What the API server says instead.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, Said> {
        let kind = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::ACCEPT, "application/json");
        let request = request.header(header::CONTENT_TYPE, kind).body(bytes);
        let request = request.map_err(|error| Said::Other(error.to_string()))?;
        self.client.request_text(request).await.map_err(|error| {
            let code = if let Error::Api(status) = &error { status.code } else { 0 };
            match code {
                409 => Said::Conflict,
                404 => Said::Missing,
                _ => Said::Other(error.to_string()),
            }
        })
    }

    /// Sends a request that must succeed, and gives the body as JSON.
    ///
    /// # Errors
    /// What the API server says instead.
    pub(crate) async fn must(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Fault> {
        let what = format!("{method} {path}");
        let fault = |why: String| Fault::Server { what: what.clone(), why };
        let text =
            self.send(method, path, body).await.map_err(|said| fault(format!("{said:?}")))?;
        serde_json::from_str(&text).map_err(|error| fault(error.to_string()))
    }
}
