//! Networks as Multus names them: `namespace/name@interface`, in a comma list or as JSON.
//!
//! The forms are those of the network attachment selection annotation in the Kubernetes Network
//! Custom Resource Definition De-facto Standard (`tests::networks_read_in_all_forms`). Fields of the
//! JSON form that ask for addresses or bandwidth are for other plugins and are left alone.

use super::{Flaw, json};
use serde::Deserialize;
use spiderpool_core::name::Name;
use std::fmt;
use thiserror::Error;

/// A network that a pod is attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkRef {
    /// Where its definition lies; absent means the pod's namespace for a further network, and the
    /// agent's for the first one.
    pub namespace: Option<String>,
    /// The name of its definition.
    pub name: String,
    /// What the pod's NIC is to be called; absent means `net1` and so on, in order.
    pub interface: Option<String>,
}

impl fmt::Display for NetworkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        match &self.interface {
            Some(interface) => write!(f, "@{interface}"),
            None => Ok(()),
        }
    }
}

/// A text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadNetwork {
    /// An entry of the comma list, or a field of the JSON form.
    #[error(
        "entry {entry} `{got}` is not a network; write `name`, `namespace/name` or `namespace/name@interface`"
    )]
    Form {
        /// Counted from 0.
        entry: usize,
        /// What was written.
        got: String,
    },
    /// More or less than one where a single network is meant.
    #[error("names {got} networks; name exactly one")]
    NotOne {
        /// How many it names.
        got: usize,
    },
}

/// Reads any number of networks; an empty text names none.
pub(super) fn read_list(text: &str) -> Result<Vec<NetworkRef>, Flaw> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    // None of these can be part of a name, so their presence tells the forms apart.
    if text.contains(['[', '{', '"']) { read_json(text) } else { read_commas(text) }
}

/// Reads the text of an annotation that names one network; an empty text names none.
pub(super) fn read_single(text: &str) -> Result<Option<NetworkRef>, Flaw> {
    let mut networks = read_list(text)?;
    match networks.len() {
        1 => Ok(networks.pop()),
        0 if text.trim().is_empty() => Ok(None),
        got => Err(BadNetwork::NotOne { got }.into()),
    }
}

fn read_commas(text: &str) -> Result<Vec<NetworkRef>, Flaw> {
    let entries = text.split(',').map(str::trim).enumerate();
    let networks = entries.map(|(entry, got)| {
        let (path, interface) = match got.split_once('@') {
            Some((path, interface)) => (path, Some(interface)),
            None => (got, None),
        };
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, path),
        };
        check(namespace, name, interface).ok_or_else(|| form(entry, got.to_owned()))
    });
    Ok(networks.collect::<Result<_, BadNetwork>>()?)
}

/// An element as it is written; further fields are ignored.
#[derive(Deserialize)]
struct Element {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    interface: Option<String>,
}

fn read_json(text: &str) -> Result<Vec<NetworkRef>, Flaw> {
    let expected = r#"[{"name": "macvlan", "namespace": "kube-system", "interface": "net1"}]"#;
    let elements: Vec<Element> = json::read(text, expected)?;
    let networks = elements.into_iter().enumerate().map(|(entry, element)| {
        let namespace = element.namespace.filter(|text| !text.is_empty());
        let interface = element.interface.filter(|text| !text.is_empty());
        check(namespace.as_deref(), &element.name, interface.as_deref()).ok_or_else(|| {
            form(entry, NetworkRef { namespace, name: element.name, interface }.to_string())
        })
    });
    Ok(networks.collect::<Result<_, BadNetwork>>()?)
}

const fn form(entry: usize, got: String) -> BadNetwork {
    BadNetwork::Form { entry, got }
}

/// The network, if each part is a name without the characters that divide parts.
fn check(namespace: Option<&str>, name: &str, interface: Option<&str>) -> Option<NetworkRef> {
    let parts = [namespace, Some(name), interface];
    let fits = |part: &str| Name::new(part).is_ok() && !part.contains(['/', '@', ',']);
    parts.into_iter().flatten().all(fits).then(|| NetworkRef {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        interface: interface.map(str::to_owned),
    })
}
