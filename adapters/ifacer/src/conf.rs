//! The plugin's own keys of the network configuration.
//!
//! | key | value | default |
//! |---|---|---|
//! | `interfaces` | names of links of the node, at least one | – |
//! | `vlanID` | 0 to 4094; 0 for no VLAN | 0 |
//! | `bond.name` | a link's name | `sp_bond0` |
//! | `bond.mode` | 0 to 6, or the kernel's name of a mode | 0, `balance-rr` |
//! | `bond.options` | `k=v;k=v` | none |
//! | `vlanProtocol`* | `802.1q` or `802.1ad` | `802.1q` |
//! | `mtu`* | bytes, of the link that pods' interfaces rest on; 0 for the kernel's choice | 0 |
//! | `takeOverAddresses`* | whether NICs that carry the node's own addresses may be enslaved | `false` |
//! | `lockPath`* | the file that ADDs take turns on | `/run/spiderpool/ifacer.lock` |
//!
//! Keys with * are this project's, the others the reference's (section 2.1). Unknown keys are passed
//! over, since configurations are shared with other versions; a key with the wrong kind of value, or a
//! value out of its range, is refused (`bad_configurations_are_refused`).

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use spiderpool_cni::{CniError, NetConf, code};
use spiderpool_core::intend::{NodeAddresses, ParentBond, ParentConfiguration};
use spiderpool_core::net::{Bond, BondOption, LinkName, Vlan, VlanId, VlanProtocol};

/// Where ADDs take turns when nothing is said.
const LOCK: &str = "/run/spiderpool/ifacer.lock";
/// The bond's name when nothing is said: the reference's.
const BOND: &str = "sp_bond0";
/// The least MTU of IPv4 (RFC 791) and the most that the kernel takes for Ethernet.
const MTU_BYTES: std::ops::RangeInclusive<u32> = 68..=65_535;

/// What the plugin is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conf {
    /// What pods' interfaces should rest on.
    pub(crate) parents: ParentConfiguration,
    /// The file that ADDs take turns on.
    pub(crate) lock: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Keys {
    interfaces: Vec<String>,
    #[serde(rename = "vlanID")]
    vlan_id: i64,
    vlan_protocol: Option<String>,
    bond: Option<BondKeys>,
    mtu: u32,
    take_over_addresses: bool,
    lock_path: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BondKeys {
    name: Option<String>,
    mode: Option<Mode>,
    options: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Mode {
    Number(u64),
    Name(String),
}

impl Conf {
    /// The plugin's own configuration.
    ///
    /// # Errors
    ///
    /// Code 6 where a key has the wrong kind of value, 7 where a value cannot be served.
    pub(crate) fn of(conf: &NetConf) -> Result<Self, CniError> {
        let keys: Keys =
            serde_json::from_value(Value::Object(conf.rest.clone())).map_err(|error| {
                let told = format!("the configuration of network `{}` cannot be read", conf.name);
                CniError::new(code::DECODING_FAILURE, told).with_details(error.to_string())
            })?;
        let interfaces = keys.interfaces.into_iter().map(|given| name("interfaces", given));
        let parents = ParentConfiguration {
            interfaces: interfaces.collect::<Result<_, _>>()?,
            bond: keys.bond.map(bond).transpose()?,
            vlan: vlan(keys.vlan_id, keys.vlan_protocol.as_deref())?,
            mtu: mtu(keys.mtu)?,
            addresses: match keys.take_over_addresses {
                true => NodeAddresses::GiveUp,
                false => NodeAddresses::Keep,
            },
        };
        Ok(Self { parents, lock: keys.lock_path.unwrap_or_else(|| LOCK.into()) })
    }
}

fn bad(told: String) -> CniError {
    CniError::new(code::BAD_NETWORK_CONFIG, told)
}

fn name(key: &str, given: String) -> Result<LinkName, CniError> {
    LinkName::new(given).map_err(|error| bad(format!("`{key}`: {error}")))
}

fn vlan(id: i64, protocol: Option<&str>) -> Result<Option<Vlan>, CniError> {
    let protocol = match protocol {
        None | Some("802.1q") => VlanProtocol::Customer,
        Some("802.1ad") => VlanProtocol::Provider,
        Some(other) => {
            return Err(bad(format!("`vlanProtocol` is `{other}`: give 802.1q or 802.1ad")));
        }
    };
    if id == 0 {
        return Ok(None);
    }
    let told = || bad(format!("`vlanID` is {id}: give 1 to 4094, or 0 for no VLAN"));
    let good = u16::try_from(id).ok().and_then(|id| VlanId::try_from(id).ok());
    Ok(Some(Vlan { id: good.ok_or_else(told)?, protocol }))
}

fn mtu(given: u32) -> Result<Option<u32>, CniError> {
    let (least, most) = (MTU_BYTES.start(), MTU_BYTES.end());
    match given {
        0 => Ok(None),
        mtu if MTU_BYTES.contains(&mtu) => Ok(Some(mtu)),
        other => Err(bad(format!(
            "`mtu` is {other}: give {least} to {most} bytes, or 0 for the kernel's choice"
        ))),
    }
}

fn bond(keys: BondKeys) -> Result<ParentBond, CniError> {
    let given = keys.name.filter(|name| !name.is_empty()).unwrap_or_else(|| BOND.to_owned());
    let name = name("bond.name", given)?;
    let mode = match keys.mode {
        None => None,
        Some(Mode::Number(number)) => Some(number.to_string()),
        Some(Mode::Name(name)) => Some(name),
    };
    let options = options(mode.as_deref(), &keys.options.unwrap_or_default())?;
    Ok(ParentBond { name, options })
}

/// The options with the mode, which may be told in either place, or in both alike.
fn options(mode: Option<&str>, text: &str) -> Result<Bond, CniError> {
    let of = |key: &str, error: &dyn std::fmt::Display| bad(format!("`bond.{key}`: {error}"));
    let mut bond = Bond::parse(text).map_err(|error| of("options", &error))?;
    let in_text = bond.options.contains_key(&BondOption::Mode);
    // A bond's mode is always wished for, so that one that is there is verified.
    if let Some(mode) = mode.or(Some("0").filter(|_| !in_text)) {
        let value = Bond::value(BondOption::Mode, mode).map_err(|error| of("mode", &error))?;
        bond.give(BondOption::Mode, value).map_err(|error| of("mode", &error))?;
    }
    bond.agreed().map_err(|error| of("options", &error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a table of `json!` values reads better")]
    fn read(keys: Value) -> Result<Conf, CniError> {
        let mut conf = json!({"cniVersion": "1.0.0", "name": "lan", "type": "ifacer"});
        for (key, value) in keys.as_object().unwrap() {
            conf[key] = value.clone();
        }
        Conf::of(&NetConf::parse(conf.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let conf = read(json!({"interfaces": ["eth1"], "bond": {}, "future": 1})).unwrap();
        assert_eq!(conf.lock, PathBuf::from("/run/spiderpool/ifacer.lock"));
        let parents = conf.parents;
        assert_eq!((parents.vlan, parents.mtu), (None, None));
        assert_eq!(parents.addresses, NodeAddresses::Keep);
        let bond = parents.bond.unwrap();
        assert_eq!(
            (bond.name.as_str(), bond.options.to_string().as_str()),
            ("sp_bond0", "mode balance-rr")
        );
    }

    #[test]
    fn every_key_is_read() {
        let conf = read(json!({
            "interfaces": ["eth1", "eth2"],
            "vlanID": 100,
            "vlanProtocol": "802.1ad",
            "mtu": 1400,
            "bond": {"name": "bond9", "mode": "active-backup", "options": "miimon=100; primary=eth1"},
            "takeOverAddresses": true,
            "lockPath": "/tmp/lock",
        }))
        .unwrap();
        let parents = conf.parents;
        let vlan = parents.vlan.unwrap();
        assert_eq!((vlan.id.number(), vlan.protocol), (100, VlanProtocol::Provider));
        assert_eq!((parents.mtu, parents.addresses), (Some(1400), NodeAddresses::GiveUp));
        let bond = parents.bond.unwrap();
        assert_eq!(bond.name.as_str(), "bond9");
        assert_eq!(bond.options.to_string(), "mode active-backup miimon 100 primary eth1");
        assert_eq!(conf.lock, PathBuf::from("/tmp/lock"));
    }

    #[test]
    fn the_mode_is_told_in_either_place() {
        let mode = |bond: Value| {
            let conf = read(json!({"interfaces": ["eth1", "eth2"], "bond": bond}));
            conf.map(|conf| conf.parents.bond.unwrap().options.mode()).map_err(|error| error.msg)
        };
        assert_eq!(mode(json!({"mode": 4})), Ok(4));
        assert_eq!(mode(json!({"mode": "802.3ad"})), Ok(4));
        assert_eq!(mode(json!({"options": "mode=802.3ad"})), Ok(4));
        assert_eq!(mode(json!({"mode": 4, "options": "mode=802.3ad"})), Ok(4));
        let told = mode(json!({"mode": 1, "options": "mode=802.3ad"})).unwrap_err();
        assert!(
            told.contains("`mode` is given twice (as `802.3ad` and as `active-backup`)"),
            "{told}"
        );
    }

    #[test]
    fn bad_configurations_are_refused() {
        let check = |keys: Value, code: u32, part: &str| {
            let error = read(keys.clone()).unwrap_err();
            let told = format!("{} {}", error.msg, error.details);
            assert!(error.code == code && told.contains(part), "{keys}: {error:?}");
        };
        let nics = ["eth1", "eth2"];
        check(json!({"interfaces": "eth1"}), 6, "expected a sequence");
        check(json!({"interfaces": ["eth1"], "vlanID": "5"}), 6, "expected i64");
        check(json!({"interfaces": ["eth1"], "takeOverAddresses": 1}), 6, "expected a boolean");
        check(json!({"interfaces": ["a/b"]}), 7, "`interfaces`: `a/b` can be no link's name");
        check(json!({"interfaces": ["eth1"], "vlanID": 4095}), 7, "give 1 to 4094");
        check(json!({"interfaces": ["eth1"], "vlanID": -1}), 7, "give 1 to 4094");
        check(json!({"interfaces": ["eth1"], "vlanProtocol": "isl"}), 7, "802.1q or 802.1ad");
        check(json!({"interfaces": ["eth1"], "mtu": 20}), 7, "`mtu` is 20: give 68 to 65535");
        check(json!({"interfaces": nics, "bond": {"name": "a b"}}), 7, "`bond.name`");
        check(json!({"interfaces": nics, "bond": {"mode": 7}}), 7, "balance-alb (6)");
        check(json!({"interfaces": nics, "bond": {"mode": "lacp"}}), 7, "balance-alb (6)");
        check(
            json!({"interfaces": nics, "bond": {"options": "x=1"}}),
            7,
            "no option `x`; it has active_slave",
        );
        check(json!({"interfaces": nics, "bond": {"options": "miimon"}}), 7, "write KEY=VALUE");
        check(
            json!({"interfaces": nics, "bond": {"mode": 1, "options": "lacp_rate=1"}}),
            7,
            "one of the modes 802.3ad",
        );
    }
}
