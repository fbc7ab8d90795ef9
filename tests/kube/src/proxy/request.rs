//! What a request asks of the API server, in Kubernetes' own words.
//!
//! Owns [`Asked`], which a proxy counts by. Called by `proxy`. The words are those of RBAC rules and
//! audit logs (Kubernetes, "Authorization", determining the request verb). Invariant: a path that names
//! no resource is its own (`what_is_asked_is_read`).

/// A verb and a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The resource with its group and subresource, `pods/status` or `leases.coordination.k8s.io`; the
    /// path itself when it names none, `/readyz`.
    pub resource: String,
}

impl Asked {
    /// Reads a request's method, path and query.
    pub(crate) fn read(method: &str, path: &str, query: &str) -> Self {
        let (resource, is_named) = resource(path).unwrap_or_else(|| (path.to_owned(), true));
        let is_watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        let verb = match method {
            "GET" if is_watch => "watch",
            "GET" if !is_named => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if !is_named => "deletecollection",
            "DELETE" => "delete",
            _ => "get",
        };
        Self { verb: verb.to_owned(), resource }
    }

    /// Whether it changes something.
    pub(crate) fn is_mutating(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// Gives the resource of a path, and whether the path names one object.
fn resource(path: &str) -> Option<(String, bool)> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let group = match parts.next()? {
        "api" => None,
        "apis" => Some(parts.next()?),
        _ => return None,
    };
    let _version = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let rest = match rest.as_slice() {
        // What is below a namespace, but for the subresources of the namespace itself.
        ["namespaces", _, below @ ..] if !matches!(below, [] | ["status" | "finalize"]) => below,
        whole => whole,
    };
    let (kind, name, subresource) = match rest {
        [kind] => (kind, None, None),
        [kind, name] => (kind, Some(name), None),
        [kind, name, subresource, ..] => (kind, Some(name), Some(subresource)),
        [] => return None,
    };
    let group = group.map(|group| format!(".{group}")).unwrap_or_default();
    let subresource = subresource.map(|text| format!("/{text}")).unwrap_or_default();
    Some((format!("{kind}{group}{subresource}"), name.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read() {
        let check = |method: &str, path: &str, verb: &str, resource: &str| {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let asked = Asked::read(method, path, query);
            assert_eq!((asked.verb.as_str(), asked.resource.as_str()), (verb, resource), "{path}");
        };
        check("GET", "/readyz", "get", "/readyz");
        check("GET", "/api", "get", "/api");
        check("GET", "/apis/apps/v1", "get", "/apis/apps/v1");
        check("GET", "/api/v1/pods?limit=500", "list", "pods");
        check("GET", "/api/v1/pods?limit=5&watch=true", "watch", "pods");
        check("GET", "/api/v1/namespaces/a/pods/b", "get", "pods");
        check("POST", "/api/v1/namespaces/a/pods", "create", "pods");
        check("POST", "/api/v1/namespaces/a/pods/b/eviction", "create", "pods/eviction");
        check("PATCH", "/api/v1/namespaces/a/pods/b/status", "patch", "pods/status");
        check("GET", "/api/v1/namespaces", "list", "namespaces");
        check("DELETE", "/api/v1/namespaces/a", "delete", "namespaces");
        check("PUT", "/api/v1/namespaces/a/finalize", "update", "namespaces/finalize");
        let leases = "/apis/coordination.k8s.io/v1/namespaces/a/leases";
        check("DELETE", leases, "deletecollection", "leases.coordination.k8s.io");
        check("PUT", &format!("{leases}/b"), "update", "leases.coordination.k8s.io");
    }

    #[test]
    fn reading_changes_nothing() {
        for (method, is_mutating) in [("GET", false), ("HEAD", false), ("POST", true)] {
            assert_eq!(Asked::read(method, "/api/v1/pods", "").is_mutating(), is_mutating);
        }
    }
}
