//! The text of a bond's options, `miimon=100;mode=active-backup`, as values that the kernel takes.
//!
//! Called by whoever reads a configuration. Invariants:
//!
//! 1. Nothing is passed over: what is not understood is refused, and the refusal says what would be
//!    (`what_is_not_understood_is_refused`).
//! 2. What parses prints to what parses to the same (`a_parsed_bond_survives_its_own_text`).

use std::net::IpAddr;
use std::str::FromStr;

use super::{Bond, BondKind, BondOption, BondValue, DEFAULT_MIIMON_MS, bond_mode};
use crate::net::{HardwareAddress, LinkName};

/// How many addresses a list of targets takes (`BOND_MAX_ARP_TARGETS`).
const MOST_TARGETS: usize = 16;

/// Why a text can be no bond's options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBond {
    /// A segment is no pair.
    #[error("`{segment}` is no option of a bond: write KEY=VALUE, pairs apart by `;`")]
    NoPair {
        /// The segment, trimmed.
        segment: String,
    },
    /// No option has that name.
    #[error("a bond has no option `{key}`; it has {known}")]
    Unknown {
        /// What was given.
        key: String,
        /// All names, in alphabetical order.
        known: String,
    },
    /// One option has two values.
    #[error(
        "the bond option `{option}` is given twice (as `{first}` and as `{second}`): give it once"
    )]
    Twice {
        /// The kernel's name of it.
        option: &'static str,
        /// Its first value.
        first: String,
        /// Its second value.
        second: String,
    },
    /// An option does not take that value.
    #[error("the bond option `{option}` cannot be `{given}`: give {takes}")]
    Value {
        /// The kernel's name of it.
        option: &'static str,
        /// What was given.
        given: String,
        /// What it takes.
        takes: String,
    },
    /// A bond of that mode does not have that option.
    #[error(
        "a bond of mode {mode} has no option `{option}`: leave it out, or choose one of the modes {modes}"
    )]
    Mode {
        /// The kernel's name of it.
        option: &'static str,
        /// The bond's mode.
        mode: String,
        /// The modes that have it.
        modes: String,
    },
    /// Carriers are watched in two ways.
    #[error(
        "a bond watches its ports by `miimon` or by `arp_interval`, not by both: give one of them, or 0"
    )]
    TwoMonitors,
    /// A delay without what it is a multiple of.
    #[error(
        "the bond option `{option}` counts in steps of `miimon`, which is off: give `miimon` too"
    )]
    DelayWithoutMonitor {
        /// The kernel's name of it.
        option: &'static str,
    },
}

impl Bond {
    /// The bond that a text such as `mode=active-backup; miimon=100; up_delay=200` describes.
    ///
    /// Names are the kernel's, those of `ip`, or the reference's; enumerations are taken by name and
    /// by number; blanks around keys and values do not count; lists are JSON's or apart by commas;
    /// nought is a value like others. Delays are rounded down to multiples of `miimon`, as the kernel
    /// does, so that what is wished is what is then seen.
    ///
    /// ```
    /// use spiderpool_core::net::Bond;
    ///
    /// let bond = Bond::parse("mode=1; miimon=100; up_delay=250")?;
    /// assert_eq!(bond.to_string(), "mode active-backup miimon 100 updelay 200");
    /// assert!(Bond::parse("miimom=100").is_err());
    /// # Ok::<(), spiderpool_core::net::BadBond>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BadBond`] with the first thing that is wrong. Whether the options agree with each other is
    /// judged by [`Bond::agreed`].
    pub fn parse(text: &str) -> Result<Self, BadBond> {
        let mut bond = Self::default();
        for segment in text.split(';').map(str::trim).filter(|segment| !segment.is_empty()) {
            let Some((key, value)) = segment.split_once('=') else {
                return Err(BadBond::NoPair { segment: segment.to_owned() });
            };
            let option = option_of(key.trim())?;
            bond.give(option, value_of(option, value.trim())?)?;
        }
        Ok(bond.rounded())
    }

    /// The value of one option as people write it.
    ///
    /// # Errors
    ///
    /// [`BadBond::Value`] with what the option takes.
    pub fn value(option: BondOption, given: &str) -> Result<BondValue, BadBond> {
        value_of(option, given.trim())
    }

    /// Gives an option its value, unless it has another already.
    ///
    /// # Errors
    ///
    /// [`BadBond::Twice`].
    pub fn give(&mut self, option: BondOption, value: BondValue) -> Result<(), BadBond> {
        match self.options.get(&option) {
            Some(first) if *first != value => Err(BadBond::Twice {
                option: option.name(),
                first: option.show(first),
                second: option.show(&value),
            }),
            _ => {
                self.options.insert(option, value);
                Ok(())
            }
        }
    }

    /// This bond, its delays rounded, if a kernel could make it.
    ///
    /// # Errors
    ///
    /// [`BadBond`] where options exclude each other, or its mode does not have one of them.
    pub fn agreed(self) -> Result<Self, BadBond> {
        let mode = self.mode();
        if let Some(option) = self.options.keys().find(|option| !option.is_for(mode)) {
            return Err(not_in_mode(*option, mode));
        }
        let miimon = self.miimon();
        if miimon > 0 && self.number(BondOption::ArpInterval).is_some_and(|interval| interval > 0) {
            return Err(BadBond::TwoMonitors);
        }
        let delayed = DELAYS.into_iter().find(|delay| self.number(*delay).is_some_and(|ms| ms > 0));
        match delayed {
            Some(option) if miimon == 0 => {
                Err(BadBond::DelayWithoutMonitor { option: option.name() })
            }
            _ => Ok(self.rounded()),
        }
    }

    /// The `miimon` that it will have.
    fn miimon(&self) -> u32 {
        let by_mode = match self.mode() {
            bond_mode::LACP | bond_mode::BALANCE_TLB | bond_mode::BALANCE_ALB => DEFAULT_MIIMON_MS,
            _ => 0,
        };
        self.number(BondOption::Miimon).unwrap_or(by_mode)
    }

    fn rounded(mut self) -> Self {
        let step = self.miimon().max(1);
        for delay in DELAYS {
            if let Some(ms) = self.number(delay) {
                let whole = ms.saturating_sub(ms % step);
                self.options.insert(delay, BondValue::Number(whole));
            }
        }
        self
    }
}

/// Options that the kernel keeps as multiples of `miimon` (`_bond_option_delay_set`).
const DELAYS: [BondOption; 3] =
    [BondOption::UpDelay, BondOption::DownDelay, BondOption::PeerNotifDelay];

fn option_of(key: &str) -> Result<BondOption, BadBond> {
    BondOption::named(key).ok_or_else(|| {
        let mut known: Vec<_> = BondOption::all().map(BondOption::name).collect();
        known.sort_unstable();
        BadBond::Unknown { key: key.to_owned(), known: known.join(", ") }
    })
}

fn value_of(option: BondOption, given: &str) -> Result<BondValue, BadBond> {
    let plain = unquoted(given);
    let value = match option.kind() {
        BondKind::Number(least, most) => {
            plain.parse().ok().filter(|n| (least..=most).contains(n)).map(BondValue::Number)
        }
        BondKind::Names(names) => {
            let found = names.iter().find(|(name, number)| {
                *name == plain || plain.parse::<u32>().is_ok_and(|given| given == *number)
            });
            found.map(|(_, number)| BondValue::Number(*number))
        }
        BondKind::Mac => hardware_address(plain).map(BondValue::Mac),
        BondKind::Link => LinkName::new(plain).ok().map(BondValue::Link),
        BondKind::V4 => addresses(given).map(BondValue::V4),
        BondKind::V6 => addresses(given).map(BondValue::V6),
    };
    value.ok_or_else(|| BadBond::Value {
        option: option.name(),
        given: given.to_owned(),
        takes: takes(option.kind()),
    })
}

fn takes(kind: BondKind) -> String {
    match kind {
        BondKind::Number(least, most) => format!("a number from {least} to {most}"),
        BondKind::Names(names) => {
            let names: Vec<_> =
                names.iter().map(|(name, number)| format!("{name} ({number})")).collect();
            format!("one of {}", names.join(", "))
        }
        BondKind::Mac => "an Ethernet address of one station, such as 02:00:00:00:00:01".to_owned(),
        BondKind::Link => "the name of one of the bond's ports".to_owned(),
        BondKind::V4 => list_of("IPv4", r#"["10.0.0.1","10.0.0.2"]"#),
        BondKind::V6 => list_of("IPv6", r#"["fd00::1","fd00::2"]"#),
    }
}

fn list_of(family: &str, example: &str) -> String {
    format!("1 to {MOST_TARGETS} unicast {family} addresses, such as {example}")
}

/// The text without the quotes that a JSON string has.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

fn addresses<T: FromStr + Copy + Into<IpAddr>>(given: &str) -> Option<Vec<T>> {
    let bare = given.strip_prefix('[').map_or(Some(given), |rest| rest.strip_suffix(']'))?;
    let items: Option<Vec<T>> =
        bare.split(',').map(|item| unquoted(item.trim()).parse().ok()).collect();
    let is_target = |item: &T| {
        let address: IpAddr = (*item).into();
        !(address.is_unspecified() || address.is_multicast())
    };
    items.filter(|items| items.len() <= MOST_TARGETS && items.iter().all(is_target))
}

fn hardware_address(text: &str) -> Option<HardwareAddress> {
    let bytes: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|byte| {
            Some(byte).filter(|byte| byte.len() == 2).and_then(|b| u8::from_str_radix(b, 16).ok())
        })
        .collect();
    bytes.map(HardwareAddress).filter(HardwareAddress::is_station)
}

fn not_in_mode(option: BondOption, mode: u32) -> BadBond {
    let show = |mode| BondOption::Mode.show(&BondValue::Number(mode));
    let modes: Vec<_> = (bond_mode::BALANCE_RR..=bond_mode::BALANCE_ALB)
        .filter(|mode| option.is_for(*mode))
        .map(show)
        .collect();
    BadBond::Mode { option: option.name(), mode: show(mode), modes: modes.join(", ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        let bond = Bond::parse(text).and_then(Bond::agreed);
        let told = bond.map_or_else(|error| error.to_string(), |bond| bond.to_string());
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn values_are_taken_by_name_and_by_number() {
        check("", "");
        check("mode=1", "mode active-backup");
        check("mode=active-backup", "mode active-backup");
        check(
            " mode = 4 ; xmit_hash_policy = layer3+4 ;",
            "mode 802.3ad xmit_hash_policy layer3+4",
        );
        check("mode=4;xmit_hash_policy=1", "mode 802.3ad xmit_hash_policy layer3+4");
        check("mode=4;lacp_rate=fast;ad_select=2", "mode 802.3ad lacp_rate fast ad_select count");
        check("miimon=0;num_peer_notif=0", "miimon 0 num_grat_arp 0");
        check("mode=1;primary=\"eth0\"", "mode active-backup primary eth0");
        check("mode=1;arp_validate=filter_backup", "mode active-backup arp_validate filter_backup");
        check(
            "mode=4;ad_actor_system=02:00:00:00:00:0A",
            "mode 802.3ad ad_actor_system 02:00:00:00:00:0a",
        );
        check("ns_ip6_target=fd00::1, fd00::2", "ns_ip6_target fd00::1,fd00::2");
        check("arp_ip_target=[ \"10.0.0.1\" ]", "arp_ip_target 10.0.0.1");
    }

    #[test]
    fn delays_are_multiples_of_miimon() {
        check("miimon=100;up_delay=250;downdelay=99", "miimon 100 updelay 200 downdelay 0");
        check("mode=4;updelay=150", "mode 802.3ad updelay 100");
        check("updelay=0", "updelay 0");
        let told = "the bond option `updelay` counts in steps of `miimon`, which is off: give `miimon` too";
        check("updelay=100", told);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let no_pair = "`miimon` is no option of a bond: write KEY=VALUE, pairs apart by `;`";
        check("mode=1;miimon", no_pair);
        let told = Bond::parse("miimom=1").unwrap_err().to_string();
        assert!(told.starts_with("a bond has no option `miimom`; it has active_slave, ad_actor"));
        check(
            "updelay=1;up_delay=2",
            "the bond option `updelay` is given twice (as `1` and as `2`): give it once",
        );
    }

    #[test]
    fn what_an_option_does_not_take_is_refused() {
        let bad = |text: &str, takes: &str| {
            let (key, given) = text.split_once('=').unwrap();
            check(text, &format!("the bond option `{key}` cannot be `{given}`: give {takes}"));
        };
        bad("miimon=-1", "a number from 0 to 2147483647");
        bad("miimon=", "a number from 0 to 2147483647");
        bad("lp_interval=0", "a number from 1 to 2147483647");
        bad("ad_select=3", "one of stable (0), bandwidth (1), count (2)");
        bad("primary=a/b", "the name of one of the bond's ports");
        bad("ad_actor_system=01:00:5e:00:00:01", &takes(BondKind::Mac));
        bad("ad_actor_system=02:00:00:00:00", &takes(BondKind::Mac));
        for list in ["", "[]", "[\"10.0.0.1\"", "fd00::1", "0.0.0.0", "224.0.0.1"] {
            bad(&format!("arp_ip_target={list}"), &takes(BondKind::V4));
        }
        let seventeen = ["10.0.0.1"; 17].join(",");
        bad(&format!("arp_ip_target={seventeen}"), &takes(BondKind::V4));
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        check(
            "mode=1;lacp_rate=1",
            "a bond of mode active-backup has no option `lacp_rate`: leave it out, or choose one of the modes 802.3ad",
        );
        check("miimon=100;arp_interval=100", &BadBond::TwoMonitors.to_string());
        check("miimon=0;arp_interval=100", "miimon 0 arp_interval 100");
        check("miimon=100;arp_interval=0", "miimon 100 arp_interval 0");
    }

    proptest! {
        #[test]
        fn a_parsed_bond_survives_its_own_text(text in "[a-z_]{1,8}=[a-z0-9:.,;=\\[\\]\"]{0,24}") {
            if let Ok(bond) = Bond::parse(&text) {
                prop_assert_eq!(Bond::parse(&again(&bond)).unwrap(), bond);
            }
        }

        #[test]
        fn numbers_survive_their_own_text(numbers in prop::collection::vec((0_usize..33, 0_u32..400), 0..8)) {
            let mut bond = Bond::default();
            for (position, number) in numbers {
                let option = BondOption::all().nth(position).unwrap();
                if let Ok(value) = Bond::value(option, &number.to_string()) {
                    bond.options.insert(option, value);
                }
            }
            let bond = bond.rounded();
            prop_assert_eq!(Bond::parse(&again(&bond)).unwrap(), bond);
        }
    }

    fn again(bond: &Bond) -> String {
        let pairs = bond.options.iter().map(|(option, value)| (option.name(), option.show(value)));
        pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";")
    }
}
