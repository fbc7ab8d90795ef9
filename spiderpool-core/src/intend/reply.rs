//! Replies to what came in by the pair leave by the pair (node ports, probes through another address).

use super::situation::Situation;
use super::to_pod::PRIORITY;
use super::{Reason, Style, Tenure, Want, Wish};
use crate::address::Family;
use crate::net::{Mark, Marks, Route, Rule, Side, table};

/// The mark of connections that came in by the pair.
const MARK: Mark = Mark { value: 1, mask: 1 };

/// In an underlay pod: the marks, and for each family that the node has an address of a rule and a route.
pub(super) fn wishes(situation: &Situation<'_>) -> Vec<Wish> {
    let is_known = situation.founder.is_some();
    if situation.standing.style != Style::Underlay || !is_known {
        return Vec::new();
    }
    let link = &situation.ends.pod.link;
    let marks = Marks { input: link.clone(), mark: MARK };
    let ways = situation.node.gateways.iter().flat_map(|(family, gateway)| {
        let rule = Rule { mark: Some(MARK), ..Rule::new(*family, PRIORITY, table::REPLY) };
        let route = Route {
            source: situation.source_for(*family),
            ..Route::via(everything(*family), table::REPLY, *gateway, link.clone())
        };
        [Want::Rule(rule), Want::Route(route)]
    });
    std::iter::once(Want::Marks(marks))
        .chain(ways)
        .map(|want| Wish { side: Side::Pod, want, tenure: Tenure::Pod, reason: Reason::ReplyPath })
        .collect()
}

/// The prefix of all addresses of a family.
fn everything(family: Family) -> ipnet::IpNet {
    match family {
        Family::V4 => ipnet::Ipv4Net::default().into(),
        Family::V6 => ipnet::Ipv6Net::default().into(),
    }
}
