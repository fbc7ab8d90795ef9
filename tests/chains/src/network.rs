//! A network's configuration: a chain of plugins, as a `.conflist` has it.

use crate::lab::Lab;
use serde_json::{Value, json};

/// Which families a network gives addresses of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Both,
}

/// A chain of plugins under a name.
#[derive(Debug, Clone)]
pub struct Network {
    /// The network's name.
    pub name: String,
    /// The version of the CNI specification to speak.
    pub version: String,
    /// The plugins in their order; the one with an IPAM makes the interface.
    pub plugins: Vec<Value>,
    /// Annotations of the pod that the runtime hands on.
    pub annotations: Value,
}

impl Network {
    pub(crate) fn macvlan(lab: &Lab, net: usize) -> Self {
        let name = format!("net{net}");
        let main = json!({
            "type": "macvlan", "master": format!("up{net}"), "mode": "bridge",
            "ipam": ipam(lab, &name),
        });
        let tuning = json!({
            "type": "tuning", "dataDir": lab.path("tuning"),
            "sysctl": {"net.core.somaxconn": "777"},
        });
        Self::of(name, vec![main, lab.coordinator(), tuning])
    }

    pub(crate) fn overlay(lab: &Lab, kind: &str) -> Self {
        let mut main = json!({"type": kind, "ipam": ipam(lab, "overlay")});
        if kind == "bridge" {
            main["bridge"] = "cni0".into();
            main["isGateway"] = true.into();
        }
        Self::of("overlay".to_owned(), vec![main])
    }

    fn of(name: String, plugins: Vec<Value>) -> Self {
        Self { name, version: "1.0.0".to_owned(), plugins, annotations: Value::Null }
    }

    /// Sets a key of every plugin of a kind.
    #[must_use]
    pub fn set(mut self, kind: &str, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        for plugin in self.plugins.iter_mut().filter(|plugin| plugin["type"] == kind) {
            plugin[key] = value.clone();
        }
        self
    }

    /// Sets a key of the coordinator.
    #[must_use]
    pub fn with(self, key: &str, value: impl Into<Value>) -> Self {
        self.set("coordinator", key, value)
    }

    /// The coordinator knows the cluster's service and overlay prefixes.
    #[must_use]
    pub fn in_cluster(self) -> Self {
        self.with("serviceCIDR", json!(["10.96.0.0/16", "fd96::/112"]))
            .with("overlayPodCIDR", json!(["10.244.0.0/16", "fd44::/48"]))
    }

    /// The chain without the plugins of a kind.
    #[must_use]
    pub fn without(mut self, kind: &str) -> Self {
        self.plugins.retain(|plugin| plugin["type"] != kind);
        self
    }

    /// The plugin that makes the interface, with another IPAM key.
    #[must_use]
    pub fn ipam(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.main()["ipam"][key] = value.into();
        self
    }

    /// With another plugin that makes the interface, on the same addresses.
    #[must_use]
    pub fn made_by(mut self, mut plugin: Value) -> Self {
        let main = self.main();
        plugin["ipam"] = main["ipam"].take();
        *main = plugin;
        self
    }

    /// With a plugin before all others, or behind the first so many.
    #[must_use]
    pub fn insert(mut self, place: usize, plugin: Value) -> Self {
        self.plugins.insert(place, plugin);
        self
    }

    fn main(&mut self) -> &mut Value {
        self.plugins.iter_mut().find(|plugin| !plugin["ipam"].is_null()).unwrap()
    }

    /// Addresses of these families only.
    #[must_use]
    pub fn families(self, families: Families) -> Self {
        match families {
            Families::Both => self,
            Families::V4 => self.ipam("default_ipv6_ippool", json!([])),
            Families::V6 => self.ipam("default_ipv4_ippool", json!([])),
        }
    }

    /// In another version of the specification.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// A pod's annotation that the runtime hands to every plugin.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations[key] = value.into();
        self
    }

    /// The configuration of the plugin at a place, as a runtime hands it over.
    #[must_use]
    pub fn conf(&self, place: usize, previous: Option<&Value>) -> Value {
        let mut conf = self.plugins[place].clone();
        conf["name"] = self.name.as_str().into();
        conf["cniVersion"] = self.version.as_str().into();
        if !self.annotations.is_null() {
            conf["runtimeConfig"] =
                json!({"io.kubernetes.cri.pod-annotations": self.annotations.clone()});
        }
        if let Some(previous) = previous {
            conf["prevResult"] = previous.clone();
        }
        conf
    }

    /// The kind of the plugin at a place.
    #[must_use]
    pub fn kind(&self, place: usize) -> &str {
        self.plugins[place]["type"].as_str().unwrap()
    }

    /// The whole list, as a runtime reads it from a file.
    #[must_use]
    pub fn list(&self) -> Value {
        json!({"cniVersion": self.version, "name": self.name, "plugins": self.plugins})
    }
}

/// Our IPAM on the pools of a name.
fn ipam(lab: &Lab, name: &str) -> Value {
    json!({
        "type": "spiderpool",
        "store_path": lab.path("store"),
        "log_file_path": lab.path("ipam.log"),
        "node_name": "node",
        "default_ipv4_ippool": [format!("{name}-v4")],
        "default_ipv6_ippool": [format!("{name}-v6")],
    })
}
