//! What a runtime or an orchestrator adds to a network configuration: `runtimeConfig` and `args.cni`.
//!
//! Called by `conf`. Both are conventions, not part of the specification proper (CNI `CONVENTIONS.md`). Invariants:
//!
//! 1. What is not understood here is kept in `rest` (`what_is_not_understood_is_kept`).
//! 2. An address may come with or without a prefix length (`addresses_come_with_or_without_length`).
//! 3. Addresses that cannot be read fail only whoever asks for them: often it is the pod's author who wrote
//!    them, and the DEL that follows the refused ADD must succeed (`bad_wishes_are_kept_aside`).

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::field::{self, BadField, Place};

/// `runtimeConfig`: answers to the capabilities that the configuration declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Runtime {
    /// `ips`: addresses that the container shall have; kept as a fault if they cannot be read.
    pub ips: Result<Vec<RequestedIp>, BadField>,
    /// `mac`: the hardware address that the interface shall have, as written.
    pub mac: Option<String>,
    /// `io.kubernetes.cri.pod-annotations`: the pod's annotations, as containerd passes them.
    pub pod_annotations: BTreeMap<String, String>,
    /// Every other key, such as `portMappings`.
    pub rest: Map<String, Value>,
}

/// `args.cni`: what an orchestrator asks of any plugin that understands it.
#[derive(Debug, Clone, PartialEq)]
pub struct CniArgs {
    /// `ips`: addresses that the container shall have; kept as a fault if they cannot be read.
    pub ips: Result<Vec<RequestedIp>, BadField>,
    /// Every other key, such as `labels`.
    pub rest: Map<String, Value>,
}

/// An address that was asked for by name, with a prefix length or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestedIp {
    /// The address itself.
    pub address: IpAddr,
    /// 0 to 32 or 128, if it was given.
    pub prefix_len: Option<u8>,
}

impl Default for Runtime {
    fn default() -> Self {
        let (pod_annotations, rest) = (BTreeMap::new(), Map::new());
        Self { ips: Ok(Vec::new()), mac: None, pod_annotations, rest }
    }
}

impl Default for CniArgs {
    fn default() -> Self {
        Self { ips: Ok(Vec::new()), rest: Map::new() }
    }
}

impl FromStr for RequestedIp {
    type Err = ipnet::AddrParseError;

    /// Reads `10.1.2.3/24` or `10.1.2.3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self { address, prefix_len: None });
        }
        let net: IpNet = text.parse()?;
        Ok(Self { address: net.addr(), prefix_len: Some(net.prefix_len()) })
    }
}

impl fmt::Display for RequestedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_len {
            Some(length) => write!(f, "{}/{length}", self.address),
            None => self.address.fmt(f),
        }
    }
}

const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

impl Runtime {
    pub(crate) fn read(conf: &Map<String, Value>) -> Result<Self, BadField> {
        let place = Place::Root.key("runtimeConfig");
        let Some(config) = field::object(conf, "runtimeConfig", &Place::Root)? else {
            return Ok(Self::default());
        };
        Ok(Self {
            ips: ips(config, &place),
            mac: field::text(config, "mac", &place)?,
            pod_annotations: annotations(config, &place)?,
            rest: without(config, &["ips", "mac", POD_ANNOTATIONS]),
        })
    }
}

impl CniArgs {
    pub(crate) fn read(conf: &Map<String, Value>) -> Result<Self, BadField> {
        let place = Place::Root.key("args");
        let Some(args) = field::object(conf, "args", &Place::Root)? else {
            return Ok(Self::default());
        };
        let Some(cni) = field::object(args, "cni", &place)? else { return Ok(Self::default()) };
        Ok(Self { ips: ips(cni, &place.key("cni")), rest: without(cni, &["ips"]) })
    }
}

fn ips(parent: &Map<String, Value>, place: &Place<'_>) -> Result<Vec<RequestedIp>, BadField> {
    let read = |item: &Value, place: &Place<'_>| {
        let ip = item.as_str().and_then(|text| text.parse().ok());
        ip.ok_or_else(|| place.bad("an address, such as 10.1.2.3/24 or 10.1.2.3", item))
    };
    Ok(field::list(parent, "ips", place, read)?.unwrap_or_default())
}

fn annotations(
    config: &Map<String, Value>,
    place: &Place<'_>,
) -> Result<BTreeMap<String, String>, BadField> {
    let Some(found) = field::object(config, POD_ANNOTATIONS, place)? else {
        return Ok(BTreeMap::new());
    };
    let place = place.key(POD_ANNOTATIONS);
    let text = |(key, value): (&String, &Value)| {
        let text = value.as_str().ok_or_else(|| place.key(key).bad("text", value))?;
        Ok((key.clone(), text.to_owned()))
    };
    found.iter().map(text).collect()
}

fn without(object: &Map<String, Value>, taken: &[&str]) -> Map<String, Value> {
    let kept = object.iter().filter(|(key, _)| !taken.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn runtime(config: &Value) -> Result<Runtime, BadField> {
        Runtime::read(json!({"runtimeConfig": config}).as_object().unwrap())
    }

    fn args(args: &Value) -> Result<CniArgs, BadField> {
        CniArgs::read(json!({"args": args}).as_object().unwrap())
    }

    #[test]
    fn addresses_come_with_or_without_length() {
        let check = |text: &str, expected: Option<Option<u8>>| {
            let read = text.parse::<RequestedIp>().ok();
            assert_eq!(read.map(|ip| ip.prefix_len), expected, "{text:?}");
            assert_eq!(read.map(|ip| ip.to_string()), expected.map(|_| text.to_owned()));
        };
        check("10.1.2.3/24", Some(Some(24)));
        check("10.1.2.3", Some(None));
        check("fd00::1/64", Some(Some(64)));
        check("fd00::1", Some(None));
        for bad in ["", "10.1.2", "10.1.2.3/33", "10.1.2.3/", "10.1.2.3 ", "web-0"] {
            check(bad, None);
        }
    }

    #[test]
    fn what_is_not_understood_is_kept() {
        let mappings = json!([{"hostPort": 80}]);
        let read = runtime(&json!({
            "portMappings": mappings,
            "ips": ["10.1.2.3"],
            "mac": "02:00:00:00:00:01",
            POD_ANNOTATIONS: {"ipam.spidernet.io/ippool": "{}"},
        }));
        let read = read.unwrap();
        assert_eq!(Value::Object(read.rest), json!({"portMappings": mappings}));
        assert_eq!(read.ips, Ok(vec!["10.1.2.3".parse().unwrap()]));
        assert_eq!(read.mac.as_deref(), Some("02:00:00:00:00:01"));
        assert_eq!(read.pod_annotations["ipam.spidernet.io/ippool"], "{}");

        let read =
            args(&json!({"cni": {"ips": ["fd00::1/64"], "labels": []}, "other": 1})).unwrap();
        assert_eq!(Value::Object(read.rest), json!({"labels": []}));
        assert_eq!(read.ips, Ok(vec!["fd00::1/64".parse().unwrap()]));
    }

    #[test]
    fn nothing_asked_is_nothing() {
        for nothing in [json!(null), json!({}), json!({"ips": null})] {
            assert_eq!(runtime(&nothing), Ok(Runtime::default()));
            assert_eq!(args(&nothing), Ok(CniArgs::default()));
            assert_eq!(args(&json!({"cni": nothing})), Ok(CniArgs::default()));
        }
    }

    #[test]
    fn bad_wishes_are_kept_aside() {
        let told = |ips: Result<_, BadField>| ips.unwrap_err().to_string();
        assert_eq!(
            told(runtime(&json!({"ips": ["10.1.2.3", "x"]})).unwrap().ips),
            r#"field `runtimeConfig.ips[1]` must be an address, such as 10.1.2.3/24 or 10.1.2.3, got `"x"`"#,
        );
        assert_eq!(
            told(args(&json!({"cni": {"ips": "10.1.2.3"}})).unwrap().ips),
            r#"field `args.cni.ips` must be a list, got `"10.1.2.3"`"#,
        );
    }

    #[test]
    fn mistakes_of_the_runtime_are_named() {
        let told = |error: BadField| error.to_string();
        assert_eq!(
            runtime(&json!({POD_ANNOTATIONS: {"k": 1}})).map_err(told).unwrap_err(),
            "field `runtimeConfig.io.kubernetes.cri.pod-annotations.k` must be text, got `1`",
        );
        assert_eq!(
            args(&json!({"cni": "x"})).map_err(told).unwrap_err(),
            r#"field `args.cni` must be an object, got `"x"`"#,
        );
    }
}
