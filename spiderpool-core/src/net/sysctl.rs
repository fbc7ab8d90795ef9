//! Sysctls of a network namespace: the few that coordination reads and sets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::LinkName;
use crate::address::Family;

/// One setting under `/proc/sys/net/FAMILY/conf/PLACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sysctl {
    /// `ipv4` or `ipv6`.
    pub family: Family,
    /// What it is a setting of.
    pub place: SysctlPlace,
    /// Which setting it is.
    pub name: SysctlName,
}

/// What a setting is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SysctlPlace {
    /// All links at once; what that means differs from setting to setting.
    All,
    /// Links that are made later.
    Default,
    /// One link.
    Link(LinkName),
}

/// Which setting (Linux `Documentation/networking/ip-sysctl.rst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SysctlName {
    /// IPv4: 0 off, 1 strict, 2 loose reverse path filter; the higher of all and link counts.
    ReversePathFilter,
    /// IPv6: 1 for no IPv6 at all.
    DisableIpv6,
    /// IPv6: whether router advertisements are believed.
    AcceptRouterAdvertisements,
    /// IPv6: 0 for no duplicate address detection.
    AcceptDad,
    /// Whether packets for others are passed on.
    Forwarding,
    /// IPv4: whether a link that comes up announces its addresses.
    ArpNotify,
    /// IPv6: the same.
    NeighbourNotify,
    /// IPv4: whether the reverse path filter looks at marks.
    SourceValidMark,
    /// IPv4: which addresses are answered for on which link.
    ArpIgnore,
    /// IPv4: which address is given as the sender's in questions.
    ArpAnnounce,
    /// IPv4: whether questions for others are answered.
    ProxyArp,
}

impl SysctlName {
    /// The file's name.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::ReversePathFilter => "rp_filter",
            Self::DisableIpv6 => "disable_ipv6",
            Self::AcceptRouterAdvertisements => "accept_ra",
            Self::AcceptDad => "accept_dad",
            Self::Forwarding => "forwarding",
            Self::ArpNotify => "arp_notify",
            Self::NeighbourNotify => "ndisc_notify",
            Self::SourceValidMark => "src_valid_mark",
            Self::ArpIgnore => "arp_ignore",
            Self::ArpAnnounce => "arp_announce",
            Self::ProxyArp => "proxy_arp",
        }
    }
}

impl Sysctl {
    /// A setting of all links.
    #[must_use]
    pub const fn all(family: Family, name: SysctlName) -> Self {
        Self { family, place: SysctlPlace::All, name }
    }

    /// A setting of one link.
    #[must_use]
    pub const fn link(family: Family, link: LinkName, name: SysctlName) -> Self {
        Self { family, place: SysctlPlace::Link(link), name }
    }

    /// Where it is, below `/proc/sys`: `net/ipv4/conf/all/rp_filter`.
    #[must_use]
    pub fn path(&self) -> String {
        let place = match &self.place {
            SysctlPlace::All => "all",
            SysctlPlace::Default => "default",
            SysctlPlace::Link(name) => name,
        };
        format!("net/ipv{}/conf/{place}/{}", self.family.version(), self.name.file())
    }
}

impl fmt::Display for Sysctl {
    /// As `sysctl` has it, with slashes where a link's name has a dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// A map of settings as a list of pairs: JSON has no keys but text.
pub(super) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Sysctl;

    pub(crate) fn serialize<S: Serializer>(
        map: &BTreeMap<Sysctl, i64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Sysctl, i64>, D::Error> {
        Ok(Vec::<(Sysctl, i64)>::deserialize(deserializer)?.into_iter().collect())
    }
}
