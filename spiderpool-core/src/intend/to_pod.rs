//! The node's way to the interface: a route and a neighbour for each address, and the rule that asks
//! for them first.

use ipnet::IpNet;

use super::situation::Situation;
use super::{Reason, Tenure, Want, Wish};
use crate::net::{Neighbour, Route, Rule, Side};

/// The priority of the node's rule, and of the mark's: before main, after local.
pub(super) const PRIORITY: u32 = 1000;

/// One rule for each family for the whole node; one route and one neighbour for each address.
pub(super) fn wishes(situation: &Situation<'_>) -> Vec<Wish> {
    let table = situation.configuration.host_table.number();
    let wish = |want, tenure| Wish { side: Side::Host, want, tenure, reason: Reason::NodeToPod };
    let (host, mac) = (&situation.ends.host.link, &situation.ends.pod.mac);
    let rules = situation
        .families
        .iter()
        .map(|family| wish(Want::Rule(Rule::new(*family, PRIORITY, table)), Tenure::Node));
    let ways = situation.addresses.iter().flat_map(|address| {
        let neighbour = Neighbour::permanent(host.clone(), *address, mac.clone());
        let route = Route::on_link(IpNet::from(*address), table, host.clone());
        [Want::Neighbour(neighbour), Want::Route(route)].map(|want| wish(want, Tenure::Attachment))
    });
    rules.chain(ways).collect()
}
