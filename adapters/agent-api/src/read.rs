//! Reading a message that somebody else wrote.
//!
//! Called by the agent for requests and by the client for replies. Invariants: `null` is as good as absent,
//! since the reference's writer has both (`null_is_absent`); a required field that is not there is
//! named (`what_is_missing_is_named`).

use crate::ErrorBody;
use crate::error::reason;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// A message of the socket.
pub trait Message: DeserializeOwned {
    /// What it is called, such as `IpamAddArgs`.
    const NAME: &'static str;

    /// The required fields that are absent or empty.
    fn missing(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// A body is not the message that it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadMessage {
    /// It cannot be decoded.
    #[error("the body is no {name}: {why}")]
    NotDecoded {
        /// The message that was expected.
        name: &'static str,
        /// What the parser says, with line and column.
        why: String,
    },
    /// A required field is absent or empty.
    #[error("the {name} lacks {}", fields.join(", "))]
    Missing {
        /// The message.
        name: &'static str,
        /// The fields.
        fields: Vec<&'static str>,
    },
}

/// The message in a body.
///
/// ```
/// use spiderpool_agent_api::{message::IpamDelArgs, read};
///
/// let body = br#"{"containerID": "c1", "ifName": "eth0", "podNamespace": "a", "podName": "b", "podUID": "u"}"#;
/// let args: IpamDelArgs = read(body)?;
/// assert_eq!((args.container_id.as_str(), args.net_namespace), ("c1", None));
/// # Ok::<(), spiderpool_agent_api::BadMessage>(())
/// ```
///
/// # Errors
/// [`BadMessage`] when it cannot be decoded or lacks a required field.
pub fn read<M: Message>(body: &[u8]) -> Result<M, BadMessage> {
    let not_decoded = |why: String| BadMessage::NotDecoded { name: M::NAME, why };
    // serde would take a list for the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(not_decoded("it is no JSON object".to_owned()));
    }
    let message: M =
        serde_json::from_slice(body).map_err(|error| not_decoded(error.to_string()))?;
    let fields = message.missing();
    if fields.is_empty() { Ok(message) } else { Err(BadMessage::Missing { name: M::NAME, fields }) }
}

impl From<BadMessage> for ErrorBody {
    /// What an agent answers, with status 400; CNI code 6.
    fn from(bad: BadMessage) -> Self {
        Self { code: Some(6), ..Self::new(reason::BAD_REQUEST, bad.to_string()) }
    }
}

/// The names of those fields that are empty.
pub(crate) fn empty(fields: &[(&'static str, &str)]) -> Vec<&'static str> {
    fields.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| *name).collect()
}

/// For `deserialize_with`: `null` is the default.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// For `deserialize_with`: `null` and an empty text are none.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

/// For `skip_serializing_if`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}

/// For `skip_serializing_if`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{IpamAddArgs, IpamAddResponse, IpamGcArgs};

    #[test]
    fn what_is_missing_is_named() {
        let check = |body: &str, told: &str| {
            let error = read::<IpamAddArgs>(body.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), told);
        };
        check("[]", "the body is no IpamAddArgs: it is no JSON object");
        check("", "the body is no IpamAddArgs: it is no JSON object");
        check(
            "{}",
            "the IpamAddArgs lacks containerID, ifName, netNamespace, podNamespace, podName",
        );
        let cut = read::<IpamAddArgs>(br#"{"containerID": 1}"#).unwrap_err();
        assert!(matches!(cut, BadMessage::NotDecoded { .. }), "{cut}");
        let told = read::<IpamGcArgs>(br#"{"networkName": "blue"}"#).unwrap_err().to_string();
        assert_eq!(told, "the IpamGcArgs lacks validAttachments");
    }

    #[test]
    fn null_is_absent() {
        let body = br#"{"ips": [{"version": 4, "address": "10.6.0.1/24", "nic": "eth0", "gateway": null,
            "vlan": null, "mac": "", "generation": null}], "routes": null, "dns": null, "apiVersion": null}"#;
        let reply: IpamAddResponse = read(body).unwrap();
        assert_eq!((reply.routes.len(), reply.api_version.0), (0, 1));
        let ip = &reply.ips[0];
        assert_eq!((&ip.gateway, &ip.mac, ip.generation), (&None, &None, None));
    }
}
