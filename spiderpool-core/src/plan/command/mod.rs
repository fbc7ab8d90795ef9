//! Ops, wishes and objects as the commands that they equal.
//!
//! Called by whoever prints a plan. `OTHER` stands for the other one of the two namespaces: an op does
//! not know what it is called. Every variant has its golden line (`tests/plan/golden.rs`).

mod link;
mod route;

pub(super) use link::kind;

use std::fmt;

use super::Op;
use crate::address::Family;
use crate::intend::Want;
use crate::net::{
    Address, Marking, Marks, Neighbour, NeighbourState, Object, RouteProtocol, Rule, RuleAction,
    Scope,
};

/// A word as a shell takes it: quoted if it must be.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._@:/=,+-".contains(c);
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        write!(f, "'{}'", self.0.replace('\'', "'\\''"))
    }
}

/// `ip` with its family.
const fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip -6",
    }
}

impl fmt::Display for Op {
    /// The `ip`, `sysctl` or `nft` command that it equals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateLink(new) => write!(f, "ip link add {}", link::Made(new)),
            Self::DeleteLink(name) => write!(f, "ip link delete {}", Word(name)),
            Self::SetLink { name, change } => {
                write!(f, "ip link set {} {}", Word(name), link::Changed(change))
            }
            Self::MoveLink { name, target } => {
                write!(f, "ip link set {} netns OTHER name {}", Word(name), Word(target))
            }
            Self::AddAddress(it) => write!(f, "{} address add {}", ip(it.family()), Told(it)),
            Self::DeleteAddress(it) => {
                let (net, device) = (Net(it), Word(&it.device));
                write!(f, "{} address delete {net} dev {device}", ip(it.family()))
            }
            Self::SetNeighbour(it) => set_neighbour(f, it),
            Self::DeleteNeighbour(it) => delete_neighbour(f, it),
            Self::AddRoute(it) => write!(f, "{} route add {}", ip(it.family()), route::Told(it)),
            Self::AppendRoute(it) => {
                write!(f, "{} route append {}", ip(it.family()), route::Told(it))
            }
            Self::DeleteRoute(it) => {
                write!(f, "{} route delete {}", ip(it.family()), route::Told(it))
            }
            Self::AddRule(it) => write!(f, "{} rule add {}", ip(it.family), Ruled(it)),
            Self::DeleteRule(it) => write!(f, "{} rule delete {}", ip(it.family), Ruled(it)),
            Self::SetSysctl(name, value) => write!(f, "sysctl -w {name}={value}"),
            Self::AddMarks(marks) => write!(f, "nft '{}'", Marked(marks)),
            Self::DeleteMarks => write!(f, "nft delete table inet {}", Marking::TABLE),
        }
    }
}

impl fmt::Display for Object {
    /// What `ip` would show of it, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(it) => write!(f, "link {}", link::Described(it)),
            Self::Address(it) => write!(f, "address {}", Told(it)),
            Self::Neighbour(it) => write!(f, "neighbour {} dev {}", it.address, Word(&it.device)),
            Self::Route(it) => write!(f, "route {}", route::Told(it)),
            Self::Rule(it) => write!(f, "rule {}", Ruled(it)),
            Self::Sysctl(name, value) => write!(f, "sysctl {name}={value}"),
            Self::Marks(marks) => {
                write!(f, "nftables table inet {} for {}", Marking::TABLE, Word(&marks.input))
            }
        }
    }
}

impl fmt::Display for Want {
    /// The command that would make it so, or what should not be there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.clone() {
            Self::Link(new) => Op::CreateLink(new).fmt(f),
            Self::Setting { link, change } => Op::SetLink { name: link, change }.fmt(f),
            Self::Address(it) => Op::AddAddress(it).fmt(f),
            Self::Neighbour(it) => Op::SetNeighbour(it).fmt(f),
            Self::Route(it) => Op::AddRoute(it).fmt(f),
            Self::Rule(it) => Op::AddRule(it).fmt(f),
            Self::Sysctl(name, value) => Op::SetSysctl(name, value).fmt(f),
            Self::Marks(marks) => Op::AddMarks(marks).fmt(f),
            Self::NoLink(name) => Op::DeleteLink(name).fmt(f),
            Self::NoAddress(it) => Op::DeleteAddress(it).fmt(f),
            Self::NoNeighbour(it) => Op::DeleteNeighbour(it).fmt(f),
            Self::NoRoute(it) => Op::DeleteRoute(it).fmt(f),
            Self::NoRule(it) => Op::DeleteRule(it).fmt(f),
            Self::NoMarks => Op::DeleteMarks.fmt(f),
        }
    }
}

/// An address with its prefix length, and its peer if it has one.
struct Net<'a>(&'a Address);

impl fmt::Display for Net<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address) = self;
        match address.peer {
            Some(peer) => {
                write!(f, "{} peer {peer}/{}", address.net.addr(), address.net.prefix_len())
            }
            None => address.net.fmt(f),
        }
    }
}

/// An address with all that can be told about it.
struct Told<'a>(&'a Address);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address) = self;
        Net(address).fmt(f)?;
        if let Some(broadcast) = address.broadcast {
            write!(f, " broadcast {broadcast}")?;
        }
        if address.scope != Scope::Universe {
            write!(f, " scope {}", route::scope(address.scope))?;
        }
        write!(f, " dev {}", Word(&address.device))?;
        let flags = [
            (address.flags.has_no_dad, " nodad"),
            (address.flags.has_no_prefix_route, " noprefixroute"),
            (address.flags.is_managed, " mngtmpaddr"),
        ];
        flags.iter().filter(|(is_set, _)| *is_set).try_for_each(|(_, word)| f.write_str(word))
    }
}

fn set_neighbour(f: &mut fmt::Formatter<'_>, it: &Neighbour) -> fmt::Result {
    let (ip, address, device) = (ip(Family::of(it.address)), it.address, Word(&it.device));
    match (&it.state, &it.mac) {
        (NeighbourState::Permanent | NeighbourState::Learned, Some(mac)) => {
            write!(f, "{ip} neighbour replace {address} lladdr {mac} nud permanent dev {device}")?;
        }
        (NeighbourState::Proxy, _) | (_, None) => {
            write!(f, "{ip} neighbour replace proxy {address} dev {device}")?;
        }
    }
    protocol(f, "protocol", it.protocol)
}

fn delete_neighbour(f: &mut fmt::Formatter<'_>, it: &Neighbour) -> fmt::Result {
    let proxy = if it.state == NeighbourState::Proxy { "proxy " } else { "" };
    let ip = ip(Family::of(it.address));
    write!(f, "{ip} neighbour delete {proxy}{} dev {}", it.address, Word(&it.device))
}

fn protocol(f: &mut fmt::Formatter<'_>, word: &str, protocol: RouteProtocol) -> fmt::Result {
    if protocol == RouteProtocol::UNSPECIFIED {
        return Ok(());
    }
    write!(f, " {word} {protocol}")
}

/// A rule with its selectors.
struct Ruled<'a>(&'a Rule);

impl fmt::Display for Ruled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rule) = self;
        write!(f, "priority {}", rule.priority)?;
        if rule.is_inverted {
            f.write_str(" not")?;
        }
        match rule.from {
            Some(from) => write!(f, " from {from}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(to) = rule.to {
            write!(f, " to {to}")?;
        }
        if let Some(input) = &rule.input {
            write!(f, " iif {}", Word(input))?;
        }
        if let Some(output) = &rule.output {
            write!(f, " oif {}", Word(output))?;
        }
        if let Some(mark) = rule.mark {
            write!(f, " fwmark {:#x}/{:#x}", mark.value, mark.mask)?;
        }
        match rule.action {
            RuleAction::Lookup(table) => write!(f, " lookup {table}")?,
            RuleAction::Other(number) => write!(f, " type {}", rule_type(number))?,
        }
        protocol(f, "protocol", rule.protocol)
    }
}

/// The names of actions other than a lookup (`FR_ACT_*` in `include/uapi/linux/fib_rules.h`).
const fn rule_type(number: u8) -> &'static str {
    match number {
        2 => "goto",
        3 => "nop",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        _ => "unknown",
    }
}

/// The table that marks connections, as `nft` takes it.
struct Marked<'a>(&'a Marks);

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Marks { input, mark } = self.0;
        let (table, value, mask, rest) = (Marking::TABLE, mark.value, mark.mask, !mark.mask);
        write!(f, "create table inet {table}; ")?;
        write!(f, "create chain inet {table} prerouting ")?;
        write!(f, "{{ type filter hook prerouting priority mangle; }}; ")?;
        write!(f, "add rule inet {table} prerouting iifname \"{input}\" ct state new ")?;
        write!(f, "meta mark set meta mark & {rest:#x} | {value:#x} ")?;
        write!(f, "ct mark set ct mark & {rest:#x} | {value:#x}; ")?;
        write!(f, "add rule inet {table} prerouting iifname \"{input}\" ")?;
        write!(f, "ct mark & {mask:#x} == {value:#x} ")?;
        write!(f, "meta mark set meta mark & {rest:#x} | {value:#x}; ")?;
        write!(f, "create chain inet {table} output ")?;
        write!(f, "{{ type route hook output priority mangle; }}; ")?;
        write!(f, "add rule inet {table} output ct mark & {mask:#x} == {value:#x} ")?;
        write!(f, "meta mark set meta mark & {rest:#x} | {value:#x}")
    }
}
