//! Bonds: several links as one, and the options that say how.
//!
//! `spiderpool-netlink` reads and writes them, [`intend::parents`](crate::intend::parents) wishes for
//! them. Invariants:
//!
//! 1. A value that a [`Bond`] got from a text is one that its option takes
//!    (`values_are_taken_by_name_and_by_number`, `what_an_option_does_not_take_is_refused`).
//! 2. Options that the kernel would refuse together are refused before anything is made
//!    (`options_that_exclude_each_other_are_refused`).

mod option;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{HardwareAddress, LinkName};

pub use option::{BondKind, BondNeeds, BondOption};
pub use text::BadBond;

/// How the ports of a bond share the work (`BOND_MODE_*` in `include/uapi/linux/if_bonding.h`).
pub mod bond_mode {
    /// Each packet on the next port.
    pub const BALANCE_RR: u32 = 0;
    /// One port works, the others wait.
    pub const ACTIVE_BACKUP: u32 = 1;
    /// The port follows from a hash.
    pub const BALANCE_XOR: u32 = 2;
    /// Each packet on all ports.
    pub const BROADCAST: u32 = 3;
    /// Link aggregation with the switch's help (LACP).
    pub const LACP: u32 = 4;
    /// What is sent is balanced by load.
    pub const BALANCE_TLB: u32 = 5;
    /// What is sent and what is received is balanced by load.
    pub const BALANCE_ALB: u32 = 6;
}

/// What the kernel sets `miimon` to when a mode that cannot do without is chosen, in milliseconds
/// (`BOND_DEFAULT_MIIMON`).
const DEFAULT_MIIMON_MS: u32 = 100;

/// A bond's options; what is not named is the driver's default, or not observed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Bond {
    /// Each option's value.
    pub options: BTreeMap<BondOption, BondValue>,
}

/// The value of a bond's option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BondValue {
    /// A number, or an enumeration by its number.
    Number(u32),
    /// A hardware address.
    Mac(HardwareAddress),
    /// A port of the bond.
    Link(LinkName),
    /// IPv4 addresses, in the kernel's order.
    V4(Vec<Ipv4Addr>),
    /// IPv6 addresses, in the kernel's order.
    V6(Vec<Ipv6Addr>),
}

impl Bond {
    /// The bond that has one option.
    #[must_use]
    pub fn with(option: BondOption, value: BondValue) -> Self {
        Self { options: BTreeMap::from([(option, value)]) }
    }

    /// The number that an option has, if it is given and is a number.
    #[must_use]
    pub fn number(&self, option: BondOption) -> Option<u32> {
        let value = self.options.get(&option)?;
        if let BondValue::Number(number) = value { Some(*number) } else { None }
    }

    /// Its mode: the driver's default where none is given.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.number(BondOption::Mode).unwrap_or(bond_mode::BALANCE_RR)
    }

    /// The port that an option names, if one does: `primary` or `active_slave`.
    #[must_use]
    pub fn port(&self) -> Option<&LinkName> {
        self.options
            .values()
            .find_map(|value| if let BondValue::Link(name) = value { Some(name) } else { None })
    }

    /// Those options of this bond that `other` has with another value, or not at all.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let differs = |(option, value): &(&BondOption, &BondValue)| {
            other.options.get(*option) != Some(*value)
        };
        let options = self.options.iter().filter(differs);
        Self { options: options.map(|(option, value)| (*option, value.clone())).collect() }
    }

    /// What has to be so of a bond before all of these options can be set: the strictest need.
    #[must_use]
    pub fn needs(&self) -> BondNeeds {
        self.options.keys().map(|option| option.needs()).max().unwrap_or(BondNeeds::Nothing)
    }
}

impl fmt::Display for Bond {
    /// As the end of `ip link add NAME type bond …`: `mode 802.3ad miimon 100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (option, value)) in self.options.iter().enumerate() {
            let separator = if position == 0 { "" } else { " " };
            write!(f, "{separator}{} {}", option.command(), option.show(value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_prints_as_its_command_has_it() {
        let bond = Bond::parse("miimon=100; mode=4; lacp_rate=1; peer_notif_delay=200").unwrap();
        let expected = "mode 802.3ad miimon 100 peer_notify_delay 200 lacp_rate fast";
        assert_eq!(bond.to_string(), expected);
        let bond = Bond::parse(r#"mode=1;arp_interval=50;arp_ip_target=["10.0.0.1","10.0.0.2"]"#);
        let expected = "mode active-backup arp_interval 50 arp_ip_target 10.0.0.1,10.0.0.2";
        assert_eq!(bond.unwrap().to_string(), expected);
    }

    #[test]
    fn what_differs_is_what_the_other_has_not() {
        let wished = Bond::parse("mode=1;miimon=100").unwrap();
        let seen = Bond::parse("mode=1;miimon=50;resend_igmp=1").unwrap();
        assert_eq!(wished.beyond(&seen).to_string(), "miimon 100");
        assert_eq!(wished.beyond(&wished), Bond::default());
    }

    #[test]
    fn the_strictest_option_says_what_is_needed() {
        let needs = |text| Bond::parse(text).unwrap().needs();
        assert_eq!(needs(""), BondNeeds::Nothing);
        assert_eq!(needs("miimon=100"), BondNeeds::Nothing);
        assert_eq!(needs("miimon=100;ad_select=count"), BondNeeds::Down);
        assert_eq!(needs("miimon=100;fail_over_mac=1"), BondNeeds::NoPorts);
        assert_eq!(needs("fail_over_mac=1;mode=1;ad_select=count"), BondNeeds::DownWithoutPorts);
    }
}
