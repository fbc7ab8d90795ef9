//! Which way a packet of the pod takes: the rules that are asked, and the route that is found.
//!
//! A pure reading of what was observed; the order is the kernel's (`fib_rules_lookup`, `fib_lookup`,
//! `fib6_rule_lookup`): rules by priority, in a table the longest prefix, then the lowest metric. It is a
//! packet that the pod itself sends, without a mark, from a socket that is bound to no link. Invariant:
//! the kernel says the same (`the_way_is_the_kernels`).

use serde::Serialize;
use spiderpool_core::address::Family;
use spiderpool_core::net::{Object, Observed, Route, RouteType, Rule, RuleAction};
use std::cmp::Reverse;
use std::net::IpAddr;

/// `FR_ACT_NOP` of `include/uapi/linux/fib_rules.h`: the next rule is asked.
const NO_ACTION: u8 = 3;

/// A packet's way; the names of the fields are a promise.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Way {
    /// Each rule that was asked, in order.
    asked: Vec<Asked>,
    /// The table that had the route.
    table: Option<u32>,
    /// The route that is taken.
    route: Option<String>,
    /// The link it leaves by; the first, where there are several.
    device: Option<String>,
    gateway: Option<IpAddr>,
    /// The source that the route gives to packets that have none.
    source: Option<IpAddr>,
    /// What becomes of it, in words.
    verdict: String,
}

/// A rule, and what it came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    rule: String,
    outcome: String,
}

/// The way of a packet to an address, from one of the pod's or from none yet.
pub(crate) fn way(pod: &Observed, to: IpAddr, from: Option<IpAddr>) -> Way {
    let family = Family::of(to);
    let mut way = Way::default();
    let mut rules: Vec<&Rule> = pod.rules.iter().filter(|rule| rule.family == family).collect();
    rules.sort_by_key(|rule| rule.priority);
    for rule in rules.into_iter().filter(|rule| matches(rule, to, from)) {
        if ask(pod, rule, to, &mut way) {
            return way;
        }
    }
    way.verdict = format!("no rule leads to a route to {to}: the network is unreachable");
    way
}

/// Asks one rule; says whether that was the end of it.
fn ask(pod: &Observed, rule: &Rule, to: IpAddr, way: &mut Way) -> bool {
    let shown = Object::Rule(rule.clone()).to_string();
    let mut tell = |outcome: String| way.asked.push(Asked { rule: shown.clone(), outcome });
    if rule.has_more {
        tell("passed over: it has conditions that are not looked at here".to_owned());
        return false;
    }
    let table = match rule.action {
        RuleAction::Lookup(table) => table,
        RuleAction::Other(NO_ACTION) => {
            tell("does nothing".to_owned());
            return false;
        }
        RuleAction::Other(action) => {
            tell(format!("ends the search by action {action}"));
            way.verdict = format!("a rule ends the search: the packet to {to} is not sent");
            return true;
        }
    };
    let Some(route) = best(pod, table, to) else {
        tell("no route".to_owned());
        return false;
    };
    let shown = Object::Route(route.clone()).to_string();
    tell(shown.clone());
    if route.kind == RouteType::Throw {
        return false;
    }
    take(way, route, shown, to);
    true
}

fn take(way: &mut Way, route: &Route, shown: String, to: IpAddr) {
    let hop = route.hops.first();
    way.table = Some(route.table);
    way.route = Some(shown);
    way.device = hop.and_then(|hop| hop.device.as_ref()).map(ToString::to_string);
    way.gateway = hop.and_then(|hop| hop.gateway);
    way.source = route.source;
    way.verdict = match (route.kind, &way.device) {
        (RouteType::Unicast, Some(device)) => {
            let via = way.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
            let others = match route.hops.len() {
                0 | 1 => String::new(),
                hops => format!(", or by another of its {hops} hops"),
            };
            format!("it leaves by {device}{via}{others}, by table {}", route.table)
        }
        (RouteType::Local, _) => format!("{to} is the pod's own: it does not leave the pod"),
        (RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit, _) => {
            format!("it is dropped, by table {}", route.table)
        }
        _ => format!("it goes by table {}", route.table),
    };
}

/// Whether a rule is about the packet.
fn matches(rule: &Rule, to: IpAddr, from: Option<IpAddr>) -> bool {
    let is_from = rule
        .from
        .is_none_or(|net| net.prefix_len() == 0 || from.is_some_and(|from| net.contains(&from)));
    let is_to = rule.to.is_none_or(|net| net.contains(&to));
    // What the pod itself sends came in by no link but `lo`, and is bound to none.
    let is_input = rule.input.as_ref().is_none_or(|link| link.as_str() == "lo");
    let is_marked = rule.mark.is_none_or(|mark| mark.value & mark.mask == 0);
    let all = is_from && is_to && is_input && is_marked && rule.output.is_none();
    all != rule.is_inverted
}

fn best(pod: &Observed, table: u32, to: IpAddr) -> Option<&Route> {
    let fits =
        |route: &&Route| route.table == table && route.tos == 0 && route.destination.contains(&to);
    pod.routes.iter().filter(fits).min_by_key(|route| {
        (Reverse(route.destination.prefix_len()), route.metric, Reverse(route.preference))
    })
}

/// The way as text, for people.
pub(crate) fn print(way: &Way, to: IpAddr, from: Option<IpAddr>) -> String {
    let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
    let mut text = format!("a packet of the pod{from} to {to}:\n");
    for Asked { rule, outcome } in &way.asked {
        text.push_str(&format!("  {rule}\n    {outcome}\n"));
    }
    text.push_str(&format!("  {}\n", way.verdict));
    if let Some(source) = way.source.filter(|_| from.is_empty()) {
        text.push_str(&format!("  without an address of its own it is sent from {source}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::net::{LinkName, Mark, table};

    fn link(name: &str) -> LinkName {
        LinkName::new(name).unwrap()
    }

    /// A pod with eth0 in main, net1 in table 101 for what is sent from its address, and a mark rule.
    fn pod() -> Observed {
        let via = |net: &str, table, gateway: &str, device: &str| {
            Route::via(net.parse().unwrap(), table, gateway.parse().unwrap(), link(device))
        };
        let own = Route {
            kind: RouteType::Local,
            ..Route::on_link("10.1.0.9/32".parse().unwrap(), table::LOCAL, link("eth0"))
        };
        let worse = Route { metric: 50, ..via("0.0.0.0/0", table::MAIN, "10.1.0.8", "eth0") };
        let hole =
            Route { kind: RouteType::Throw, ..Route::new("10.7.0.0/16".parse().unwrap(), 101) };
        let lookup = |priority, table| Rule::new(Family::V4, priority, table);
        let marked = Rule { mark: Some(Mark { value: 4, mask: 7 }), ..lookup(900, 100) };
        let source = Rule { from: Some("10.2.0.9/32".parse().unwrap()), ..lookup(1001, 101) };
        Observed {
            routes: [
                own,
                worse,
                hole,
                via("0.0.0.0/0", table::MAIN, "10.1.0.1", "eth0"),
                via("10.96.0.0/12", table::MAIN, "10.1.0.2", "veth0"),
                via("0.0.0.0/0", 101, "10.2.0.1", "net1"),
                via("0.0.0.0/0", 100, "10.9.9.9", "veth0"),
            ]
            .into(),
            rules: [lookup(0, table::LOCAL), marked, source, lookup(32766, table::MAIN)].into(),
            ..Observed::default()
        }
    }

    #[track_caller]
    fn check(to: &str, from: &str, expected: &str) {
        let way = way(&pod(), to.parse().unwrap(), from.parse().ok());
        assert!(way.verdict.starts_with(expected), "{to} from {from}: {way:?}");
    }

    #[test]
    fn rules_are_asked_in_order() {
        check("8.8.8.8", "", "it leaves by eth0 via 10.1.0.1");
        check("10.97.0.1", "", "it leaves by veth0 via 10.1.0.2");
        check("10.97.0.1", "10.2.0.9", "it leaves by net1 via 10.2.0.1");
        check("10.7.0.1", "10.2.0.9", "it leaves by eth0 via 10.1.0.1");
        check("10.1.0.9", "10.2.0.9", "10.1.0.9 is the pod's own");
        check("fd00::1", "", "no rule leads to a route");
    }
}
