//! The options of a bond: their names, their values, and when they may be changed.
//!
//! One table, [`ROWS`], after `bond_opts` in the kernel's `drivers/net/bonding/bond_options.c`
//! (flags `BOND_OPTFLAG_NOSLAVES` and `_IFDOWN`, `unsuppmodes`, and the tables of values).
//! Invariant: each option has exactly one row, under its own position (`each_option_has_its_row`).

use serde::{Deserialize, Serialize};

use super::{BondValue, bond_mode};

/// An option of a bond (`IFLA_BOND_*` in `include/uapi/linux/if_link.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BondOption {
    /// How the ports share the work; see [`bond_mode`].
    Mode,
    /// How often carriers are looked at, in milliseconds; 0 for never.
    Miimon,
    /// How long a carrier must be back before its port is used, in milliseconds.
    UpDelay,
    /// How long a carrier must be away before its port is given up, in milliseconds.
    DownDelay,
    /// Whether the driver's carrier counts, rather than MII registers.
    UseCarrier,
    /// How often the targets are asked for by ARP, in milliseconds; 0 for never.
    ArpInterval,
    /// Whom ARP asks for.
    ArpIpTarget,
    /// Whom neighbour discovery asks for.
    NsIp6Target,
    /// Which ports' answers to ARP count.
    ArpValidate,
    /// Whether one target that answers is enough.
    ArpAllTargets,
    /// After how many questions without an answer a port is given up.
    MissedMax,
    /// Which hardware address the ports have.
    FailOverMac,
    /// What the hash that picks a port is taken of.
    XmitHashPolicy,
    /// The port that works now.
    ActiveSlave,
    /// The port that works whenever it can.
    Primary,
    /// When the primary port takes over again.
    PrimaryReselect,
    /// How many IGMP reports follow a change of ports.
    ResendIgmp,
    /// How many announcements to neighbours follow a change of ports.
    NumPeerNotif,
    /// How long one announcement is after the other, in milliseconds.
    PeerNotifDelay,
    /// Whether what comes in by a waiting port is delivered.
    AllSlavesActive,
    /// How many ports must carry for the bond to carry.
    MinLinks,
    /// How often switches are taught where the bond is, in seconds.
    LpInterval,
    /// How many packets go out of a port before the next one's turn; 0 for a random port.
    PacketsPerSlave,
    /// How often the switch is asked to send LACP's packets.
    LacpRate,
    /// Whether LACP's packets are sent before the switch sends any.
    LacpActive,
    /// Which aggregate of ports is chosen.
    AdSelect,
    /// This side's priority in LACP.
    AdActorSysPrio,
    /// The upper bits of this side's port key in LACP.
    AdUserPortKey,
    /// This side's name in LACP.
    AdActorSystem,
    /// Whether flows move from port to port as the load changes.
    TlbDynamicLb,
    /// Whether LACP starts to send and to receive together.
    CoupledControl,
    /// Whether ARP and neighbour discovery go out of all ports, for switches that learn apart.
    BroadcastNeighbour,
    /// Whether the bond carries only once the switch has answered.
    LacpStrict,
}

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BondKind {
    /// A number from the first to the second.
    Number(u32, u32),
    /// One of these, each a name and its number.
    Names(&'static [(&'static str, u32)]),
    /// An Ethernet address that one station may have.
    Mac,
    /// A port's name.
    Link,
    /// Up to 16 IPv4 addresses.
    V4,
    /// Up to 16 IPv6 addresses.
    V6,
}

/// What has to be so of a bond before an option can be set, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BondNeeds {
    /// Nothing.
    Nothing,
    /// The bond is down.
    Down,
    /// The bond has no ports.
    NoPorts,
    /// The bond is down and has no ports.
    DownWithoutPorts,
}

impl BondNeeds {
    /// Whether the bond must be down.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Down | Self::DownWithoutPorts)
    }

    /// Whether the bond must have no ports.
    #[must_use]
    pub const fn is_without_ports(self) -> bool {
        matches!(self, Self::NoPorts | Self::DownWithoutPorts)
    }
}

struct Row {
    option: BondOption,
    /// The kernel's name, then others that are taken, the reference's among them.
    names: &'static [&'static str],
    kind: BondKind,
    needs: BondNeeds,
    modes: Modes,
}

enum Modes {
    All,
    Only(&'static [u32]),
    Not(&'static [u32]),
}

const fn row(
    option: BondOption,
    names: &'static [&'static str],
    kind: BondKind,
    needs: BondNeeds,
    modes: Modes,
) -> Row {
    Row { option, names, kind, needs, modes }
}

use BondKind::{Link, Mac, Names, Number, V4, V6};
use BondNeeds::{Down, DownWithoutPorts, NoPorts, Nothing};
use BondOption as O;
use Modes::{All, Not, Only};

const INT_MAX: u32 = 0x7fff_ffff;
const ANY: BondKind = Number(0, INT_MAX);
const BYTE: BondKind = Number(0, 255);
const BIT: BondKind = Number(0, 1);
const SWITCH: BondKind = Names(&[("off", 0), ("on", 1)]);

const MODE: BondKind = Names(&[
    ("balance-rr", bond_mode::BALANCE_RR),
    ("active-backup", bond_mode::ACTIVE_BACKUP),
    ("balance-xor", bond_mode::BALANCE_XOR),
    ("broadcast", bond_mode::BROADCAST),
    ("802.3ad", bond_mode::LACP),
    ("balance-tlb", bond_mode::BALANCE_TLB),
    ("balance-alb", bond_mode::BALANCE_ALB),
]);
const VALIDATE: BondKind = Names(&[
    ("none", 0),
    ("active", 1),
    ("backup", 2),
    ("all", 3),
    ("filter", 4),
    ("filter_active", 5),
    ("filter_backup", 6),
]);
const HASH: BondKind = Names(&[
    ("layer2", 0),
    ("layer3+4", 1),
    ("layer2+3", 2),
    ("encap2+3", 3),
    ("encap3+4", 4),
    ("vlan+srcmac", 5),
]);
const TARGETS: BondKind = Names(&[("any", 0), ("all", 1)]);
const FAIL_OVER: BondKind = Names(&[("none", 0), ("active", 1), ("follow", 2)]);
const RESELECT: BondKind = Names(&[("always", 0), ("better", 1), ("failure", 2)]);
const RATE: BondKind = Names(&[("slow", 0), ("fast", 1)]);
const SELECT: BondKind = Names(&[("stable", 0), ("bandwidth", 1), ("count", 2)]);

/// Modes that need a carrier's state at once: ARP cannot watch them (`bond_mode_uses_arp`).
const CARRIER_MODES: &[u32] = &[bond_mode::LACP, bond_mode::BALANCE_TLB, bond_mode::BALANCE_ALB];
const NO_ARP: Modes = Not(CARRIER_MODES);
const LACP: Modes = Only(&[bond_mode::LACP]);
/// Modes that have one port which counts most (`bond_mode_uses_primary`).
const PRIMARY: Modes =
    Only(&[bond_mode::ACTIVE_BACKUP, bond_mode::BALANCE_TLB, bond_mode::BALANCE_ALB]);
const ROUND_ROBIN: Modes = Only(&[bond_mode::BALANCE_RR]);
const BALANCED: Modes = Only(&[bond_mode::BALANCE_TLB, bond_mode::BALANCE_ALB]);

/// In the order of [`BondOption`].
const ROWS: [Row; 33] = [
    row(O::Mode, &["mode"], MODE, DownWithoutPorts, All),
    row(O::Miimon, &["miimon"], ANY, Nothing, All),
    row(O::UpDelay, &["updelay", "up_delay"], ANY, Nothing, All),
    row(O::DownDelay, &["downdelay", "down_delay"], ANY, Nothing, All),
    row(O::UseCarrier, &["use_carrier"], BIT, Nothing, All),
    row(O::ArpInterval, &["arp_interval"], ANY, Nothing, NO_ARP),
    row(O::ArpIpTarget, &["arp_ip_target"], V4, Nothing, All),
    row(O::NsIp6Target, &["ns_ip6_target"], V6, Nothing, All),
    row(O::ArpValidate, &["arp_validate"], VALIDATE, Nothing, NO_ARP),
    row(O::ArpAllTargets, &["arp_all_targets"], TARGETS, Nothing, All),
    row(O::MissedMax, &["arp_missed_max", "missed_max"], Number(1, 255), Nothing, NO_ARP),
    row(O::FailOverMac, &["fail_over_mac"], FAIL_OVER, NoPorts, All),
    row(O::XmitHashPolicy, &["xmit_hash_policy"], HASH, Nothing, All),
    row(O::ActiveSlave, &["active_slave"], Link, Nothing, PRIMARY),
    row(O::Primary, &["primary"], Link, Nothing, PRIMARY),
    row(O::PrimaryReselect, &["primary_reselect"], RESELECT, Nothing, All),
    row(O::ResendIgmp, &["resend_igmp"], BYTE, Nothing, All),
    row(O::NumPeerNotif, &["num_peer_notif", "num_grat_arp", "num_unsol_na"], BYTE, Nothing, All),
    row(
        O::PeerNotifDelay,
        &["peer_notif_delay", "peer_notify_delay"],
        Number(0, 300_000),
        Nothing,
        All,
    ),
    row(O::AllSlavesActive, &["all_slaves_active"], BIT, Nothing, All),
    row(O::MinLinks, &["min_links"], ANY, Nothing, All),
    row(O::LpInterval, &["lp_interval"], Number(1, INT_MAX), Nothing, All),
    row(O::PacketsPerSlave, &["packets_per_slave"], Number(0, 65_535), Nothing, ROUND_ROBIN),
    row(O::LacpRate, &["lacp_rate", "ad_lacp_rate"], RATE, Down, LACP),
    row(O::LacpActive, &["lacp_active", "ad_lacp_active"], SWITCH, Down, LACP),
    row(O::AdSelect, &["ad_select"], SELECT, Down, All),
    row(O::AdActorSysPrio, &["ad_actor_sys_prio"], Number(1, 65_535), Nothing, LACP),
    row(O::AdUserPortKey, &["ad_user_port_key"], Number(0, 1023), Down, LACP),
    row(O::AdActorSystem, &["ad_actor_system"], Mac, Nothing, LACP),
    row(O::TlbDynamicLb, &["tlb_dynamic_lb"], BIT, Down, BALANCED),
    row(O::CoupledControl, &["coupled_control"], SWITCH, Down, LACP),
    row(O::BroadcastNeighbour, &["broadcast_neighbor", "broadcast_neigh"], SWITCH, Nothing, LACP),
    row(O::LacpStrict, &["lacp_strict"], SWITCH, Down, LACP),
];

/// What `ip link add type bond` calls otherwise than the kernel does.
const COMMANDS: [(BondOption, &str); 2] =
    [(O::NumPeerNotif, "num_grat_arp"), (O::PeerNotifDelay, "peer_notify_delay")];

impl BondOption {
    /// Every option, in the order of the enumeration.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.option)
    }

    /// The option of a name, be it the kernel's, that of `ip`, or the reference's (`up_delay`).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.names.contains(&name)).map(|row| row.option)
    }

    /// The kernel's name, as under `/sys/class/net/BOND/bonding/`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().and_then(|row| row.names.first()).copied().unwrap_or_default()
    }

    /// The name that `ip link add type bond` takes.
    #[must_use]
    pub fn command(self) -> &'static str {
        let own = COMMANDS.iter().find(|(option, _)| *option == self);
        own.map_or_else(|| self.name(), |(_, name)| *name)
    }

    /// What values it takes.
    #[must_use]
    pub fn kind(self) -> BondKind {
        self.row().map_or(ANY, |row| row.kind)
    }

    /// What has to be so of the bond before it can be set.
    #[must_use]
    pub fn needs(self) -> BondNeeds {
        self.row().map_or(Nothing, |row| row.needs)
    }

    /// Whether a bond of this mode has it.
    #[must_use]
    pub fn is_for(self, mode: u32) -> bool {
        match self.row().map(|row| &row.modes) {
            Some(Only(modes)) => modes.contains(&mode),
            Some(Not(modes)) => !modes.contains(&mode),
            Some(All) | None => true,
        }
    }

    /// A value as people write it: by name where it has one.
    #[must_use]
    pub fn show(self, value: &BondValue) -> String {
        match value {
            BondValue::Number(number) => self.name_of(*number),
            BondValue::Mac(address) => address.to_string(),
            BondValue::Link(name) => name.to_string(),
            BondValue::V4(addresses) => list(addresses),
            BondValue::V6(addresses) => list(addresses),
        }
    }

    fn name_of(self, number: u32) -> String {
        let names = if let Names(names) = self.kind() { names } else { &[] };
        let name = names.iter().find(|(_, value)| *value == number);
        name.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.option == self)
    }
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_option_has_its_row() {
        let in_order: Vec<_> = BondOption::all().collect();
        let sorted: BTreeSet<_> = BondOption::all().collect();
        assert!(in_order.iter().eq(sorted.iter()), "in the order of the enumeration, none twice");
        // The last one of the enumeration: a new option without a row changes this number.
        assert_eq!(O::LacpStrict as usize + 1, ROWS.len());
        for option in BondOption::all() {
            assert_eq!(BondOption::named(option.name()), Some(option));
            assert_eq!(BondOption::named(option.command()), Some(option));
        }
    }

    #[test]
    fn no_name_means_two_options() {
        let names: Vec<_> = ROWS.iter().flat_map(|row| row.names).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn the_reference_s_keys_are_known() {
        for key in [
            "active_slave",
            "ad_actor_sys_prio",
            "ad_actor_system",
            "ad_select",
            "ad_user_port_key",
            "all_slaves_active",
            "arp_interval",
            "arp_ip_target",
            "arp_validate",
            "arp_all_targets",
            "downdelay",
            "fail_over_mac",
            "lacp_rate",
            "miimon",
            "min_links",
            "packets_per_slave",
            "primary",
            "primary_reselect",
            "tlb_dynamic_lb",
            "up_delay",
            "use_carrier",
            "xmit_hash_policy",
            "lp_interval",
            "resend_igmp",
            "peer_notif_delay",
        ] {
            assert!(BondOption::named(key).is_some(), "{key}");
        }
    }

    #[test]
    fn some_modes_lack_some_options() {
        let check = |option: BondOption, expected: &[u32]| {
            let modes: Vec<_> = (0..7).filter(|mode| option.is_for(*mode)).collect();
            assert_eq!(modes, expected, "{}", option.name());
        };
        check(O::Miimon, &[0, 1, 2, 3, 4, 5, 6]);
        check(O::ArpInterval, &[0, 1, 2, 3]);
        check(O::Primary, &[1, 5, 6]);
        check(O::LacpRate, &[4]);
        check(O::PacketsPerSlave, &[0]);
    }
}
