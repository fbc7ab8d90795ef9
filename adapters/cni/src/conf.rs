//! The network configuration on standard input, as far as every plugin shares it.
//!
//! Called by `request`. What a plugin defines for itself is left in [`NetConf::rest`] and [`NetConf::ipam`].
//! Invariants:
//!
//! 1. Unknown keys never fail (`unknown_keys_are_kept`).
//! 2. An absent list of valid attachments is never taken for an empty one, which would order the removal
//!    of everything (`no_list_is_not_an_empty_list`).
//! 3. A `prevResult` that cannot be read fails only the verb that needs it: a DEL that failed over it would
//!    be repeated for ever (`a_bad_previous_result_is_kept_aside`). So it is with requested addresses.
//! 4. Bad input gives an error that names the place (`table_of_bad_input`).

use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    call::is_identifier,
    field::{self, BadField, Place},
    lift::{self, BadResult},
    result::{CniResult, Dns},
    runtime::{CniArgs, RequestedIp, Runtime},
    version::{BadVersion, SpecVersion},
};

/// The longest configuration that is read, in bytes: 4 MiB, room for GC with some 30,000 attachments.
pub const MAX_STDIN_BYTES: usize = 4 * 1024 * 1024;

/// A network configuration (CNI spec 1.1.0, section 1, and section 2 for what the runtime adds).
#[derive(Debug, Clone, PartialEq)]
pub struct NetConf {
    /// `cniVersion`: the version to answer in.
    pub version: SpecVersion,
    /// `name`: of the network, unique on the node; shaped like a container id.
    pub name: String,
    /// `type`: the plugin's file name. For an IPAM plugin, that of the plugin that calls it.
    pub plugin: Option<String>,
    /// `ipam`: for the IPAM plugin to read.
    pub ipam: Option<Value>,
    /// `dns`: what the administrator configured.
    pub dns: Dns,
    /// `runtimeConfig`: what the runtime fills in for the capabilities that the configuration declares.
    pub runtime: Runtime,
    /// `args.cni`: what an orchestrator asks by the convention for arguments.
    pub args: CniArgs,
    /// `prevResult`: of the plugin before in the chain, or of ADD; kept as a fault if it cannot be read.
    /// `conf.prev_result.transpose()?` for whoever needs it.
    pub prev_result: Option<Result<CniResult, BadResult>>,
    /// The same as it came, for [`CniResult::lower_over`]: others may have put more into it than any
    /// version of the specification defines.
    pub prev_result_as_given: Option<Value>,
    /// `cni.dev/valid-attachments`, in GC. `None`, if there is no list or it is `null`, says nothing about
    /// which attachments are valid; an empty list says that none is. (The reference library writes `null` for
    /// a list that its caller left nil, so `null` must not order the removal of everything.)
    pub valid_attachments: Option<Vec<ValidAttachment>>,
    /// Every other key, as it came.
    pub rest: Map<String, Value>,
}

/// An attachment that GC must leave alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValidAttachment {
    /// `containerID`, not empty.
    pub container_id: String,
    /// `ifname`, not empty.
    pub ifname: String,
}

/// Why a network configuration cannot be served: CNI code 7 for the name, 1 for the version, else 6.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadConf {
    /// There is more than [`MAX_STDIN_BYTES`].
    #[error(
        "the network configuration on standard input is longer than {MAX_STDIN_BYTES} bytes: {got}"
    )]
    TooLong {
        /// How long it is, in bytes.
        got: usize,
    },
    /// There is nothing.
    #[error("there is no network configuration on standard input")]
    Empty,
    /// It begins with a byte order mark.
    #[error(
        "the network configuration begins with a UTF-8 byte order mark: save the file without it"
    )]
    ByteOrderMark,
    /// It is not JSON, or nested more than 127 deep.
    #[error("the network configuration on standard input is not JSON: {why}")]
    NotJson {
        /// What the parser says, with line and column.
        why: String,
    },
    /// It is JSON, and no object.
    #[error("the network configuration must be a JSON object, got `{got}`")]
    NotAnObject {
        /// What it is, cut to 64 characters.
        got: String,
    },
    /// A field has the wrong kind of value.
    #[error("the network configuration on standard input cannot be decoded")]
    Field(#[source] BadField),
    /// The version is not supported.
    #[error("the network configuration cannot be served")]
    Version(#[source] BadVersion),
    /// There is no name, or an empty one.
    #[error(
        "the network configuration has no `name`: give the network one that is unique on the node"
    )]
    NoName,
    /// The name breaks the rules.
    #[error(
        "the network configuration's `name` is `{got}`; it must start with a letter or digit, and go on with letters, digits, `_`, `.` and `-`"
    )]
    BadName {
        /// The name.
        got: String,
    },
}

impl From<BadField> for BadConf {
    fn from(bad: BadField) -> Self {
        Self::Field(bad)
    }
}

impl From<BadVersion> for BadConf {
    fn from(bad: BadVersion) -> Self {
        Self::Version(bad)
    }
}

impl NetConf {
    /// The configuration in `stdin`.
    ///
    /// ```
    /// use spiderpool_cni::{NetConf, SpecVersion};
    ///
    /// let conf = NetConf::parse(br#"{"cniVersion": "1.0.0", "name": "blue", "mtu": 9000}"#)?;
    /// assert_eq!((conf.version, conf.name.as_str()), (SpecVersion::V1_0_0, "blue"));
    /// assert_eq!(conf.rest["mtu"], 9000);
    /// # Ok::<(), spiderpool_cni::BadConf>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BadConf`], for the first mistake found. The version is judged before anything that depends on it.
    pub fn parse(stdin: &[u8]) -> Result<Self, BadConf> {
        let mut object = decode(stdin)?;
        let version = version(&object)?;
        let name = name(&object)?;
        let plugin = field::text(&object, "type", &Place::Root)?;
        let dns = lift::dns(&object, &Place::Root)?;
        let runtime = Runtime::read(&object)?;
        let args = CniArgs::read(&object)?;
        let valid_attachments = valid_attachments(&object)?;
        let ipam = object.remove("ipam").filter(|ipam| !ipam.is_null());
        let prev_result_as_given = object.remove("prevResult").filter(|result| !result.is_null());
        let lift = |result: &Value| lift::lift(result, &Place::Root.key("prevResult"));
        let prev_result = prev_result_as_given.as_ref().map(lift);
        for taken in TAKEN {
            object.remove(taken);
        }
        let rest = object;
        Ok(Self {
            version,
            name,
            plugin,
            ipam,
            dns,
            runtime,
            args,
            prev_result,
            prev_result_as_given,
            valid_attachments,
            rest,
        })
    }

    /// The addresses that the container shall have: those of `runtimeConfig`, then those of `args.cni`.
    ///
    /// ```
    /// use spiderpool_cni::NetConf;
    ///
    /// let conf = br#"{"cniVersion": "1.0.0", "name": "blue", "args": {"cni": {"ips": ["10.1.2.3"]}}}"#;
    /// assert_eq!(NetConf::parse(conf)?.requested_ips()?[0].to_string(), "10.1.2.3");
    /// # Ok::<(), spiderpool_cni::BadConf>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BadConf::Field`] if one of the two lists cannot be read. DEL need not look.
    pub fn requested_ips(&self) -> Result<Vec<RequestedIp>, BadConf> {
        let mut ips = self.runtime.ips.clone()?;
        ips.extend(self.args.ips.clone()?);
        Ok(ips)
    }
}

const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";

/// The keys that have fields of their own, besides `ipam` and `prevResult`.
const TAKEN: [&str; 7] =
    ["cniVersion", "name", "type", "dns", "runtimeConfig", "args", VALID_ATTACHMENTS];

fn decode(stdin: &[u8]) -> Result<Map<String, Value>, BadConf> {
    if stdin.len() > MAX_STDIN_BYTES {
        return Err(BadConf::TooLong { got: stdin.len() });
    }
    if stdin.starts_with(b"\xef\xbb\xbf") {
        return Err(BadConf::ByteOrderMark);
    }
    if stdin.trim_ascii().is_empty() {
        return Err(BadConf::Empty);
    }
    let value: Value =
        serde_json::from_slice(stdin).map_err(|why| BadConf::NotJson { why: why.to_string() })?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(BadConf::NotAnObject { got: field::excerpt(&value) })
        }
    }
}

fn version(object: &Map<String, Value>) -> Result<SpecVersion, BadConf> {
    let text = field::text(object, "cniVersion", &Place::Root)?.ok_or(BadVersion::Missing)?;
    Ok(text.parse()?)
}

fn name(object: &Map<String, Value>) -> Result<String, BadConf> {
    let name = field::text(object, "name", &Place::Root)?.ok_or(BadConf::NoName)?;
    if is_identifier(&name) { Ok(name) } else { Err(BadConf::BadName { got: name }) }
}

fn valid_attachments(
    object: &Map<String, Value>,
) -> Result<Option<Vec<ValidAttachment>>, BadField> {
    field::objects(object, VALID_ATTACHMENTS, &Place::Root, |item, place| {
        Ok(ValidAttachment {
            container_id: field::required_text(item, "containerID", place)?,
            ifname: field::required_text(item, "ifname", place)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::CniError;

    fn parse(extra: &Value) -> Result<NetConf, BadConf> {
        let mut conf = json!({"cniVersion": "1.1.0", "name": "blue"});
        let extra = extra.as_object().unwrap().clone();
        conf.as_object_mut().unwrap().extend(extra);
        NetConf::parse(conf.to_string().as_bytes())
    }

    #[test]
    fn unknown_keys_are_kept() {
        let conf = parse(&json!({"mtu": 9000, "type": "macvlan", "ipam": {"type": "spiderpool"}}));
        let conf = conf.unwrap();
        assert_eq!(Value::Object(conf.rest), json!({"mtu": 9000}));
        assert_eq!(conf.plugin.as_deref(), Some("macvlan"));
        assert_eq!(conf.ipam, Some(json!({"type": "spiderpool"})));
    }

    #[test]
    fn no_list_is_not_an_empty_list() {
        let list = |extra: Value| parse(&extra).unwrap().valid_attachments;
        assert_eq!(list(json!({})), None);
        assert_eq!(list(json!({VALID_ATTACHMENTS: null})), None);
        assert_eq!(list(json!({VALID_ATTACHMENTS: []})), Some(vec![]));
        assert_eq!(
            list(json!({VALID_ATTACHMENTS: [{"containerID": "c", "ifname": "eth0", "x": 1}]})),
            Some(vec![ValidAttachment { container_id: "c".into(), ifname: "eth0".into() }]),
        );
    }

    #[test]
    fn a_bad_previous_result_is_kept_aside() {
        let conf =
            parse(&json!({"prevResult": {"ips": [{"address": "10.1.2.3/24"}, {}]}})).unwrap();
        let error = CniError::from(conf.prev_result.transpose().unwrap_err());
        assert_eq!(error.code, 6);
        assert_eq!(
            error.details,
            "caused by: field `prevResult.ips[1].address` must be an address with a prefix length, such as 10.1.2.3/24, got `nothing`",
        );
        assert_eq!(parse(&json!({"prevResult": null})).unwrap().prev_result, None);
        let read = parse(&json!({"prevResult": {}})).unwrap().prev_result;
        assert_eq!(read, Some(Ok(CniResult::default())));
    }

    #[test]
    fn requested_addresses_come_from_both_places() {
        let both = |runtime: Value, args: Value| {
            let conf = json!({"runtimeConfig": {"ips": runtime}, "args": {"cni": {"ips": args}}});
            parse(&conf).unwrap().requested_ips()
        };
        let found = both(json!(["10.1.2.3/24"]), json!(["fd00::3"])).unwrap();
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.1.2.3/24", "fd00::3"]
        );
        assert_eq!(both(json!(null), json!(null)), Ok(vec![]));
        for bad in [both(json!([1]), json!([])), both(json!([]), json!([1]))] {
            assert_eq!(CniError::from(bad.unwrap_err()).code, 6);
        }
    }

    #[test]
    fn table_of_bad_input() {
        let check = |stdin: &[u8], code: u32, expected: &str| {
            let error = CniError::from(NetConf::parse(stdin).unwrap_err());
            let told = format!("{} {}", error.msg, error.details);
            assert!(told.contains(expected), "{told:?}");
            assert_eq!(error.code, code, "{told}");
        };
        check(b"", 6, "there is no network configuration");
        check(b" \n", 6, "there is no network configuration");
        check(b"\xef\xbb\xbf{}", 6, "byte order mark");
        check(b"[]", 6, "must be a JSON object, got `[]`");
        check(b"null", 6, "must be a JSON object, got `null`");
        check(b"{\"a\": \xff}", 6, "line 1 column 7");
        check(b"{} {}", 6, "trailing characters at line 1 column 4");
        check("[".repeat(100_000).as_bytes(), 6, "recursion limit");
        check(format!("{{\"a\":{}", "[".repeat(100_000)).as_bytes(), 6, "recursion limit");
        check(&vec![b' '; 10 * 1024 * 1024], 6, "longer than 4194304 bytes: 10485760");
        check(b"{}", 1, "cniVersion is missing");
        check(br#"{"cniVersion": "0.2.0"}"#, 1, "cniVersion `0.2.0` is not supported");
        check(br#"{"cniVersion": 1}"#, 6, "field `cniVersion` must be text, got `1`");
        check(br#"{"cniVersion": "1.0.0"}"#, 7, "has no `name`");
        check(br#"{"cniVersion": "1.0.0", "name": ""}"#, 7, "has no `name`");
        check(br#"{"cniVersion": "1.0.0", "name": "a b"}"#, 7, "`name` is `a b`");
        check(br#"{"cniVersion": "1.0.0", "name": {}}"#, 6, "field `name` must be text");
    }

    #[test]
    fn a_mistake_is_named_by_its_place() {
        let check = |extra: Value, expected: &str| {
            let error = CniError::from(parse(&extra).unwrap_err());
            assert_eq!((error.code, error.details), (6, format!("caused by: field {expected}")));
        };
        check(json!({"type": 7}), "`type` must be text, got `7`");
        check(json!({"dns": {"search": "x"}}), r#"`dns.search` must be a list, got `"x"`"#);
        check(json!({"dns": []}), "`dns` must be an object, got `[]`");
        check(
            json!({VALID_ATTACHMENTS: [{"containerID": "c"}]}),
            "`cni.dev/valid-attachments[0].ifname` must be text, got `nothing`",
        );
        check(
            json!({VALID_ATTACHMENTS: {}}),
            "`cni.dev/valid-attachments` must be a list, got `{}`",
        );
    }
}
