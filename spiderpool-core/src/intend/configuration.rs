//! What an attachment was configured with, parsed once.
//!
//! Whoever reads text (the `coordinator` plugin) fills a [`Configuration`] through the constructors here;
//! each says what is wrong with a value and what would do. There is no `validate` to forget.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::address::Family;
use crate::net::LinkName;

/// What one attachment is to be like.
///
/// [`Configuration::new`] has the defaults of every field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// How pod and node are joined.
    pub mode: Mode,
    /// The pod's first interface (`podDefaultCniNic`): `eth0`.
    pub default_nic: LinkName,
    /// An address for the pod's end of the pair (`vethLinkAddress`), which some service meshes need.
    pub veth_link_address: Option<Ipv4Addr>,
    /// The maximum transmission unit of both ends of the pair (`vethMTU`).
    pub veth_mtu: VethMtu,
    /// The first two bytes of the interface's hardware address (`podMACPrefix`).
    pub mac_prefix: Option<MacPrefix>,
    /// Where the overlay's pods are (`overlayPodCIDR`).
    pub pod_prefixes: Vec<IpNet>,
    /// Where services are (`serviceCIDR`).
    pub service_prefixes: Vec<IpNet>,
    /// What else is reached through the node (`hijackCIDR`).
    pub hijack_prefixes: Vec<IpNet>,
    /// Routes of the user's (`policyRoutes`).
    pub policy_routes: Vec<PolicyRoute>,
    /// Whether default routes are moved so that each interface answers for itself (`tunePodRoutes`).
    pub tunes_routes: bool,
    /// The interface that has the pod's default route (`podDefaultRouteNic`); none for the one that has it.
    pub default_route_nic: Option<LinkName>,
    /// The node's table of ways to its pods (`hostRuleTable`).
    pub host_table: HostTable,
    /// The reverse path filter in the pod (`podRPFilter`).
    pub rp_filter: Setting<RpFilter>,
    /// Packets that the interface's queue takes (`txQueueLen`).
    pub tx_queue_length: Setting<u32>,
}

impl Configuration {
    /// The defaults: mode auto, routes tuned, filter off, table 500, MTU 1500, no prefixes.
    ///
    /// ```
    /// use spiderpool_core::intend::{Configuration, Mode};
    /// use spiderpool_core::net::LinkName;
    ///
    /// let configuration = Configuration::new(LinkName::new("eth0")?);
    /// assert_eq!(configuration.mode, Mode::Auto);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn new(default_nic: LinkName) -> Self {
        Self {
            mode: Mode::Auto,
            default_nic,
            veth_link_address: None,
            veth_mtu: VethMtu::DEFAULT,
            mac_prefix: None,
            pod_prefixes: Vec::new(),
            service_prefixes: Vec::new(),
            hijack_prefixes: Vec::new(),
            policy_routes: Vec::new(),
            tunes_routes: true,
            default_route_nic: None,
            host_table: HostTable::DEFAULT,
            rp_filter: Setting::Set(RpFilter::Off),
            tx_queue_length: Setting::Leave,
        }
    }
}

/// A value that a configuration cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` cannot be `{given}`: {reason}; use {remedy}")]
pub struct BadSetting {
    /// The key, as it is written in configurations.
    pub key: &'static str,
    /// What was given.
    pub given: String,
    /// What is wrong with it.
    pub reason: &'static str,
    /// What would do.
    pub remedy: &'static str,
}

/// How pod and node are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Mode {
    /// As the pod's interfaces suggest.
    #[default]
    Auto,
    /// By a pair of links of our own.
    Underlay,
    /// By the pair that another plugin made for the pod's first interface.
    Overlay,
    /// Not at all.
    Disabled,
}

impl TryFrom<&str> for Mode {
    type Error = BadSetting;

    /// Both spellings of the last are in use.
    fn try_from(given: &str) -> Result<Self, BadSetting> {
        match given {
            "auto" => Ok(Self::Auto),
            "underlay" => Ok(Self::Underlay),
            "overlay" => Ok(Self::Overlay),
            "disable" | "disabled" => Ok(Self::Disabled),
            _ => Err(BadSetting {
                key: "mode",
                given: given.to_owned(),
                reason: "there is no such mode",
                remedy: "auto, underlay, overlay or disabled",
            }),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Underlay => "underlay",
            Self::Overlay => "overlay",
            Self::Disabled => "disabled",
        })
    }
}

/// A setting that may be left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Setting<T> {
    /// As it is.
    #[default]
    Leave,
    /// Set to this.
    Set(T),
}

impl<T> Setting<T> {
    /// The value, if there is one to set.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Leave => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// How sources of packets are checked (RFC 3704; `rp_filter` in `ip-sysctl.rst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RpFilter {
    /// Not at all.
    Off,
    /// A packet must come in by the link that its source would be reached by.
    Strict,
    /// The source must be reachable by some link.
    Loose,
}

impl RpFilter {
    /// The sysctl's value: 0, 1 or 2.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Off => 0,
            Self::Strict => 1,
            Self::Loose => 2,
        }
    }
}

impl TryFrom<i64> for Setting<RpFilter> {
    type Error = BadSetting;

    /// 0, 1 and 2 are the kernel's; every negative number leaves it as it is.
    fn try_from(given: i64) -> Result<Self, BadSetting> {
        match given {
            ..0 => Ok(Self::Leave),
            0 => Ok(Self::Set(RpFilter::Off)),
            1 => Ok(Self::Set(RpFilter::Strict)),
            2 => Ok(Self::Set(RpFilter::Loose)),
            _ => Err(BadSetting {
                key: "podRPFilter",
                given: given.to_string(),
                reason: "the kernel has no such filter",
                remedy: "0 (off), 1 (strict), 2 (loose), or -1 to leave it as it is",
            }),
        }
    }
}

/// The length of a queue: 0 leaves it as it is.
///
/// # Errors
///
/// [`BadSetting`] for what is negative or needs more than 32 bits.
pub fn tx_queue_length(given: i64) -> Result<Setting<u32>, BadSetting> {
    match u32::try_from(given) {
        Ok(0) => Ok(Setting::Leave),
        Ok(length) => Ok(Setting::Set(length)),
        Err(_) => Err(BadSetting {
            key: "txQueueLen",
            given: given.to_string(),
            reason: "a queue takes a count of packets",
            remedy: "0 to leave it as it is, or up to 4294967295",
        }),
    }
}

/// The maximum transmission unit of a pair: 68 to 65535 bytes (`ETH_MIN_MTU`, `ETH_MAX_MTU`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct VethMtu(u32);

impl VethMtu {
    /// Ethernet's own.
    pub const DEFAULT: Self = Self(1500);

    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for VethMtu {
    type Error = BadSetting;

    fn try_from(given: i64) -> Result<Self, BadSetting> {
        match u32::try_from(given) {
            Ok(bytes @ 68..=65535) => Ok(Self(bytes)),
            _ => Err(BadSetting {
                key: "vethMTU",
                given: given.to_string(),
                reason: "no pair of links takes it",
                remedy: "68 to 65535 bytes, at least 1280 with IPv6",
            }),
        }
    }
}

impl From<VethMtu> for i64 {
    fn from(mtu: VethMtu) -> Self {
        mtu.0.into()
    }
}

/// The number of the node's table of ways to its pods: 1 to 4294967295, but not the kernel's own
/// (253 default, 254 main, 255 local).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct HostTable(u32);

impl HostTable {
    /// Table 500.
    pub const DEFAULT: Self = Self(crate::net::table::HOST);

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for HostTable {
    type Error = BadSetting;

    fn try_from(given: i64) -> Result<Self, BadSetting> {
        let bad = |reason| BadSetting {
            key: "hostRuleTable",
            given: given.to_string(),
            reason,
            remedy: "a number of your own, such as 500",
        };
        match u32::try_from(given) {
            Ok(253..=255) => Err(bad("this table is the kernel's own")),
            Ok(0) | Err(_) => Err(bad("tables have numbers from 1 to 4294967295")),
            Ok(number) => Ok(Self(number)),
        }
    }
}

impl From<HostTable> for i64 {
    fn from(table: HostTable) -> Self {
        table.0.into()
    }
}

/// The first two bytes of a hardware address, such as `0a:1b`; always those of a single station's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacPrefix([u8; 2]);

impl MacPrefix {
    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 2] {
        self.0
    }
}

impl TryFrom<&str> for MacPrefix {
    type Error = BadSetting;

    fn try_from(given: &str) -> Result<Self, BadSetting> {
        let bad = |reason| BadSetting {
            key: "podMACPrefix",
            given: given.to_owned(),
            reason,
            remedy: "two bytes such as `0a:1b`, the first of them even",
        };
        let shape = "it is not two bytes in hexadecimal with `:` or `-` between them";
        let (first, second) = given.split_once([':', '-']).ok_or_else(|| bad(shape))?;
        let (Some(first), Some(second)) = (byte(first), byte(second)) else {
            return Err(bad(shape));
        };
        if first & 1 == 1 {
            return Err(bad("an odd first byte is a group's, which no station may have"));
        }
        Ok(Self([first, second]))
    }
}

/// Two hexadecimal digits: `from_str_radix` alone would take `+f`.
fn byte(text: &str) -> Option<u8> {
    let is_pair = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_pair.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

impl TryFrom<String> for MacPrefix {
    type Error = BadSetting;

    fn try_from(given: String) -> Result<Self, BadSetting> {
        Self::try_from(given.as_str())
    }
}

impl From<MacPrefix> for String {
    fn from(prefix: MacPrefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0;
        write!(f, "{first:02x}:{second:02x}")
    }
}

/// A route of the user's; destination and gateway are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PolicyRoute {
    destination: IpNet,
    gateway: IpAddr,
}

impl PolicyRoute {
    /// The route that two texts say: an address or a prefix, and an address. Host bits are dropped.
    ///
    /// # Errors
    ///
    /// [`BadSetting`] for what is no address, or of two families.
    pub fn new(destination: &str, gateway: &str) -> Result<Self, BadSetting> {
        let destination_net = prefix("policyRoutes.dst", destination)?;
        let bad = |reason| BadSetting {
            key: "policyRoutes.gw",
            given: gateway.trim().to_owned(),
            reason,
            remedy: "the address of a router, of the family of `dst`",
        };
        let gateway: IpAddr = gateway.trim().parse().map_err(|_| bad("it is no address"))?;
        if Family::of(gateway) != Family::of(destination_net.addr()) {
            return Err(bad("it is not of the family of `dst`"));
        }
        Ok(Self { destination: destination_net, gateway })
    }

    /// Where to.
    #[must_use]
    pub const fn destination(&self) -> IpNet {
        self.destination
    }

    /// By which router.
    #[must_use]
    pub const fn gateway(&self) -> IpAddr {
        self.gateway
    }
}

/// The prefix that a text says; an address alone is a prefix of its full length, host bits are dropped.
///
/// # Errors
///
/// [`BadSetting`] under `key` for what is neither.
pub fn prefix(key: &'static str, given: &str) -> Result<IpNet, BadSetting> {
    let given = given.trim();
    let net = given.parse::<IpNet>().or_else(|_| given.parse::<IpAddr>().map(IpNet::from));
    net.map(|net| net.trunc()).map_err(|_| BadSetting {
        key,
        given: given.to_owned(),
        reason: "it is neither a prefix nor an address",
        remedy: "a prefix such as `10.96.0.0/12` or `fd00::/108`",
    })
}

/// The address of the pod's end of the pair; an empty text is none.
///
/// # Errors
///
/// [`BadSetting`] for what is no IPv4 address, or none that a link can have.
pub fn veth_link_address(given: &str) -> Result<Option<Ipv4Addr>, BadSetting> {
    let given = given.trim();
    if given.is_empty() {
        return Ok(None);
    }
    let bad = |reason| BadSetting {
        key: "vethLinkAddress",
        given: given.to_owned(),
        reason,
        remedy: "an IPv4 address such as `169.254.100.1`, or nothing",
    };
    let address: Ipv4Addr = given.parse().map_err(|_| bad("it is no IPv4 address"))?;
    let is_odd = address.is_unspecified() || address.is_multicast() || address.is_broadcast();
    if is_odd || address.is_loopback() {
        Err(bad("no link can have it"))
    } else {
        Ok(Some(address))
    }
}
