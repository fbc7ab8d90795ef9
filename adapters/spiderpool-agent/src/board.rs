//! Events on pods and on the node, written to an API server (`core/v1` Event).
//!
//! Invariant: an event that is told again is the same object, with a higher count
//! (`an_event_keeps_its_name`).

use crate::facts::server::{Server, Writing, path};
use crate::herald::{About, Board, Notice, Weight};
use crate::soon::Soon;
use serde_json::{Value, json};
use spiderpool_core::name::Name;
use spiderpool_kube::cluster::stamp;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// Events name their writer so.
const COMPONENT: &str = "spiderpool-agent";

/// Where an event about the node lies, as the kubelet's do.
const NODE_EVENTS: &str = "default";

/// The board of a cluster.
#[derive(Debug)]
pub struct Events {
    server: Arc<Server>,
    node: Name,
}

impl Events {
    /// The board behind a server, for the events of a node.
    #[must_use]
    pub const fn new(server: Arc<Server>, node: Name) -> Self {
        Self { server, node }
    }

    async fn write(&self, notice: Notice) -> Result<(), String> {
        let (namespace, name) = (namespace(&notice), name(&notice, &self.node));
        let Some(all) = path(&["api", "v1", "namespaces", namespace, "events"]) else {
            return Err(format!("`{namespace}` is no namespace"));
        };
        if notice.count > 1 {
            let again =
                json!({"count": notice.count, "lastTimestamp": stamp::text(notice.last_ms)});
            let one = path(&["api", "v1", "namespaces", namespace, "events", &name]);
            let one = one.ok_or_else(|| format!("`{name}` is no name"))?;
            let written = self.server.write(&one, Writing::Merge, &again).await;
            if written.map_err(|fault| fault.to_string())?.is_some() {
                return Ok(());
            }
        }
        let event = lower(&notice, &self.node, (namespace, &name));
        let written = self.server.write(&all, Writing::Create, &event).await;
        written.map(|_| ()).map_err(|fault| fault.to_string())
    }
}

impl Board for Events {
    fn post(&self, notice: Notice) -> Soon<'_, Result<(), String>> {
        Box::pin(self.write(notice))
    }
}

fn namespace(notice: &Notice) -> &str {
    match &notice.told.about {
        About::Pod { namespace, .. } => namespace,
        About::Node => NODE_EVENTS,
    }
}

/// The same for each repetition, and another for another story.
fn name(notice: &Notice, node: &Name) -> String {
    let mut hasher = DefaultHasher::new();
    (&notice.told.text, notice.told.reason, notice.first_ms).hash(&mut hasher);
    let subject: &str = match &notice.told.about {
        About::Pod { name, .. } => name,
        About::Node => node,
    };
    // A name has at most 253 bytes (RFC 1123 subdomain), and the subject may take all of them.
    let subject: String = subject.chars().take(200).collect();
    format!("{}.{:016x}", subject.trim_end_matches(['.', '-']), hasher.finish())
}

fn lower(notice: &Notice, node: &Name, (namespace, name): (&str, &str)) -> Value {
    let told = &notice.told;
    let involved = match &told.about {
        About::Pod { namespace, name, uid } => {
            json!({"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name, "uid": uid})
        }
        // The kubelet's events name a node by its name as UID.
        About::Node => json!({"apiVersion": "v1", "kind": "Node", "name": node, "uid": node}),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": namespace, "name": name},
        "involvedObject": involved,
        "type": match told.weight { Weight::Normal => "Normal", Weight::Warning => "Warning" },
        "reason": told.reason,
        "message": told.text,
        "count": notice.count,
        "firstTimestamp": stamp::text(notice.first_ms),
        "lastTimestamp": stamp::text(notice.last_ms),
        "source": {"component": COMPONENT, "host": node},
        "reportingComponent": COMPONENT,
        "reportingInstance": node,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::herald::Told;

    fn notice(text: &str, first_ms: u64, count: u32) -> Notice {
        let named = |text: &str| Name::new(text).unwrap();
        let about =
            About::Pod { namespace: named("a"), name: named("web-0"), uid: "u1".to_owned() };
        let (weight, reason) = (Weight::Warning, "NoAddress");
        let told = Told { about, weight, reason, text: text.to_owned() };
        Notice { told, count, first_ms, last_ms: first_ms }
    }

    #[test]
    fn an_event_keeps_its_name() {
        let node = Name::new("worker-1").unwrap();
        let first = name(&notice("full", 1_000, 1), &node);
        assert_eq!(name(&notice("full", 1_000, 9), &node), first);
        assert_ne!(name(&notice("full", 2_000, 1), &node), first);
        assert_ne!(name(&notice("other", 1_000, 1), &node), first);
        assert!(first.starts_with("web-0.") && path(&[&first]).is_some());
    }

    #[test]
    fn an_event_is_of_its_pod() {
        let node = Name::new("worker-1").unwrap();
        let event = lower(&notice("full", 1_000, 2), &node, ("a", "web-0.1"));
        assert_eq!(event["involvedObject"]["uid"], "u1");
        assert_eq!((&event["type"], &event["count"]), (&json!("Warning"), &json!(2)));
        assert_eq!(event["firstTimestamp"], "1970-01-01T00:00:01Z");
    }
}
