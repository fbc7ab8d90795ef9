//! An op in the words of an error, to complete "cannot …".

use std::fmt;

use spiderpool_core::net::{Neighbour, Route, Rule, RuleAction, Side};
use spiderpool_core::plan::{LinkChange, NewLink, Op};

/// What an op is about, with its side.
pub(super) fn subject(side: Side, op: &Op) -> String {
    format!("{} on the {side} side", deed(op))
}

fn deed(op: &Op) -> String {
    match op {
        Op::CreateLink(new) => create(new),
        Op::DeleteLink(name) => format!("delete link `{name}`"),
        Op::SetLink { name, change } => set(name, change),
        Op::MoveLink { name, target } => {
            format!("move link `{name}` to the other side as `{target}`")
        }
        Op::AddAddress(address) => format!("add address `{}` to `{}`", address.net, address.device),
        Op::DeleteAddress(address) => {
            format!("delete address `{}` from `{}`", address.net, address.device)
        }
        Op::SetNeighbour(neighbour) => format!("set neighbour {}", told(neighbour)),
        Op::DeleteNeighbour(neighbour) => format!("delete neighbour {}", told(neighbour)),
        Op::AddRoute(route) => format!("add route to {}", Way(route)),
        Op::AppendRoute(route) => format!("append route to {}", Way(route)),
        Op::DeleteRoute(route) => format!("delete route to {}", Way(route)),
        Op::AddRule(rule) => format!("add rule {}", Selection(rule)),
        Op::DeleteRule(rule) => format!("delete rule {}", Selection(rule)),
        Op::SetSysctl(which, value) => format!("set sysctl `{which}` to {value}"),
        Op::AddMarks(marks) => format!("mark the connections that come in by `{}`", marks.input),
        Op::DeleteMarks => "delete table `inet spiderpool`".to_owned(),
    }
}

fn create(new: &NewLink) -> String {
    format!("create link `{}`", new.name)
}

fn set(name: &str, change: &LinkChange) -> String {
    match change {
        LinkChange::Up(true) => format!("set link `{name}` up"),
        LinkChange::Up(false) => format!("set link `{name}` down"),
        LinkChange::Mtu(mtu) => format!("set the MTU of link `{name}` to {mtu}"),
        LinkChange::Mac(mac) => format!("set the hardware address of link `{name}` to {mac}"),
        LinkChange::Name(new) => format!("rename link `{name}` to `{new}`"),
        LinkChange::Controller(Some(controller)) => {
            format!("make link `{name}` a port of `{controller}`")
        }
        LinkChange::Controller(None) => format!("release link `{name}` from its controller"),
        LinkChange::TxQueueLength(length) => {
            format!("set the queue length of link `{name}` to {length}")
        }
        LinkChange::Alias(_) => format!("set the alias of link `{name}`"),
        LinkChange::Bond(_) => format!("set options of bond `{name}`"),
    }
}

fn told(neighbour: &Neighbour) -> String {
    format!("`{}` on `{}`", neighbour.address, neighbour.device)
}

/// A rule, to stand in a sentence.
pub(super) fn rule(rule: &Rule) -> String {
    format!("rule {}", Selection(rule))
}

/// A route by its destination, hops and table.
struct Way<'a>(&'a Route);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(route) = self;
        write!(f, "`{}`", route.destination)?;
        for (position, hop) in route.hops.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { " and" })?;
            if let Some(gateway) = hop.gateway {
                write!(f, " via `{gateway}`")?;
            }
            if let Some(device) = &hop.device {
                write!(f, " dev `{device}`")?;
            }
        }
        write!(f, " in table {}", route.table)
    }
}

/// A rule by its priority, selectors and action.
struct Selection<'a>(&'a Rule);

impl fmt::Display for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rule) = self;
        write!(f, "{}", rule.priority)?;
        if let Some(from) = rule.from {
            write!(f, " from `{from}`")?;
        }
        if let Some(to) = rule.to {
            write!(f, " to `{to}`")?;
        }
        if let Some(mark) = rule.mark {
            write!(f, " of mark {:#x}/{:#x}", mark.value, mark.mask)?;
        }
        match rule.action {
            RuleAction::Lookup(table) => write!(f, ", {} lookup {table}", rule.family),
            RuleAction::Other(action) => write!(f, ", {} action {action}", rule.family),
        }
    }
}

#[cfg(test)]
mod tests {
    use spiderpool_core::address::Family;
    use spiderpool_core::net::{Hop, LinkName};

    use super::*;

    #[test]
    fn ops_are_told_in_words() {
        let eth0 = LinkName::new("eth0").unwrap();
        let gateway = "10.0.0.1".parse().unwrap();
        let route = Route::via("10.1.0.0/16".parse().unwrap(), 500, gateway, eth0.clone());
        let check = |op, expected: &str| {
            assert_eq!(subject(Side::Pod, &op), format!("{expected} on the pod side"));
        };
        let told = "add route to `10.1.0.0/16` via `10.0.0.1` dev `eth0` in table 500";
        check(Op::AddRoute(route.clone()), told);
        let hops = vec![Hop::on(eth0.clone()), Hop::on(LinkName::new("eth1").unwrap())];
        let told = "delete route to `10.1.0.0/16` dev `eth0` and dev `eth1` in table 500";
        check(Op::DeleteRoute(Route { hops, ..route }), told);
        let rule = Rule::new(Family::V6, 1001, 101);
        let rule = Rule { from: Some("fd00::9/128".parse().unwrap()), ..rule };
        check(Op::AddRule(rule), "add rule 1001 from `fd00::9/128`, IPv6 lookup 101");
        let change = LinkChange::Mtu(1400);
        check(Op::SetLink { name: eth0, change }, "set the MTU of link `eth0` to 1400");
    }
}
