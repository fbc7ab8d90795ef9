//! Rules: what the kernel's `RTM_NEWRULE` messages say, as [`Rule`] values.
//!
//! Called by [`observe`](crate::observe). A selector that has no field here sets [`Rule::has_more`], and
//! one that the kernel only seems to set does not (`unset_selectors_are_no_selectors`,
//! `what_has_no_field_is_told`).

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::rule::{
    RuleAction as Action, RuleAttribute, RuleFlags, RuleHeader, RuleMessage,
};
use spiderpool_core::address::Family;
use spiderpool_core::net::{LinkName, Mark, RouteProtocol, Rule, RuleAction};

use super::number;

/// The question for all rules of a family.
pub(super) fn question(family: Family) -> RouteNetlinkMessage {
    let mut message = RuleMessage::default();
    message.header.family = number(family);
    RouteNetlinkMessage::GetRule(message)
}

/// The rule that a message tells; none if it tells another thing.
pub(crate) fn lift(message: RouteNetlinkMessage, family: Family) -> Result<Option<Rule>, String> {
    let RouteNetlinkMessage::NewRule(message) = message else {
        return Ok(None);
    };
    let header = &message.header;
    if header.family != number(family) {
        return Ok(None);
    }
    let mut found = Found::default();
    for attribute in &message.attributes {
        found.take(attribute)?;
    }
    Ok(Some(Rule {
        family,
        priority: found.priority,
        is_inverted: header.flags.contains(RuleFlags::Invert),
        from: prefix(found.from, header.src_len, family)?,
        to: prefix(found.to, header.dst_len, family)?,
        action: action(header, found.table),
        input: found.input,
        output: found.output,
        mark: mark(found.mark, found.mask),
        protocol: found.protocol,
        has_more: found.has_more || header.tos != 0,
    }))
}

struct Found {
    priority: u32,
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    input: Option<LinkName>,
    output: Option<LinkName>,
    mark: Option<u32>,
    mask: Option<u32>,
    table: Option<u32>,
    protocol: RouteProtocol,
    has_more: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            // The kernel leaves the priority 0 out.
            priority: 0,
            from: None,
            to: None,
            input: None,
            output: None,
            mark: None,
            mask: None,
            table: None,
            protocol: RouteProtocol::UNSPECIFIED,
            has_more: false,
        }
    }
}

impl Found {
    #[expect(clippy::wildcard_enum_match_arm, reason = "new kernels add attributes")]
    fn take(&mut self, attribute: &RuleAttribute) -> Result<(), String> {
        match attribute {
            RuleAttribute::Priority(priority) => self.priority = *priority,
            RuleAttribute::Source(address) => self.from = Some(*address),
            RuleAttribute::Destination(address) => self.to = Some(*address),
            RuleAttribute::Iifname(name) => self.input = Some(link_name(name)?),
            RuleAttribute::Oifname(name) => self.output = Some(link_name(name)?),
            RuleAttribute::FwMark(mark) => self.mark = Some(*mark),
            RuleAttribute::FwMask(mask) => self.mask = Some(*mask),
            RuleAttribute::Table(table) => self.table = Some(*table),
            RuleAttribute::Protocol(protocol) => {
                self.protocol = RouteProtocol(u8::from(*protocol));
            }
            // The kernel tells -1 where nothing is suppressed.
            RuleAttribute::SuppressPrefixLen(u32::MAX)
            | RuleAttribute::SuppressIfGroup(u32::MAX)
            | RuleAttribute::L3MDev(false) => {}
            _ => self.has_more = true,
        }
        Ok(())
    }
}

fn link_name(name: &str) -> Result<LinkName, String> {
    LinkName::new(name).map_err(|bad| format!("a rule with a bad link: {bad}"))
}

fn prefix(address: Option<IpAddr>, length: u8, family: Family) -> Result<Option<IpNet>, String> {
    let Some(address) = address else { return Ok(None) };
    let net = IpNet::new(address, length);
    let net = net.ok().filter(|net| Family::of(net.addr()) == family);
    net.map(Some).ok_or_else(|| format!("a rule about {address}/{length}"))
}

fn mark(value: Option<u32>, mask: Option<u32>) -> Option<Mark> {
    let is_any = value.is_some() || mask.is_some();
    is_any.then(|| Mark { value: value.unwrap_or(0), mask: mask.unwrap_or(u32::MAX) })
}

fn action(header: &RuleHeader, table: Option<u32>) -> RuleAction {
    if header.action == Action::ToTable {
        RuleAction::Lookup(table.unwrap_or_else(|| header.table.into()))
    } else {
        RuleAction::Other(header.action.into())
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;
    use proptest::prelude::*;

    use super::*;
    use crate::observe::{hostile_body, hostile_message};

    /// Types and sizes of FRA_DST, _SRC, _IIFNAME, _PRIORITY, _FWMARK, _FWMASK, _TABLE, _PROTOCOL.
    const USUAL: [(u16, usize); 10] =
        [(1, 4), (1, 16), (2, 4), (2, 16), (3, 5), (6, 4), (10, 4), (16, 4), (15, 4), (21, 1)];

    fn lifted(attributes: Vec<RuleAttribute>) -> Rule {
        let mut message = RuleMessage::default();
        message.header.family = number(Family::V4);
        message.header.action = Action::ToTable;
        message.header.table = 100;
        message.attributes = attributes;
        lift(RouteNetlinkMessage::NewRule(message), Family::V4).unwrap().unwrap()
    }

    #[test]
    fn unset_selectors_are_no_selectors() {
        let unset = vec![
            RuleAttribute::SuppressPrefixLen(u32::MAX),
            RuleAttribute::L3MDev(false),
            RuleAttribute::Priority(1000),
            RuleAttribute::Protocol(137.into()),
        ];
        assert_eq!(lifted(unset), Rule::new(Family::V4, 1000, 100));
    }

    #[test]
    fn what_has_no_field_is_told() {
        for more in [
            RuleAttribute::SuppressPrefixLen(0),
            RuleAttribute::L3MDev(true),
            RuleAttribute::Other(DefaultNla::new(99, vec![1])),
        ] {
            assert!(lifted(vec![more.clone()]).has_more, "{more:?}");
        }
    }

    #[test]
    fn a_mark_without_a_mask_counts_whole() {
        let whole = Some(Mark { value: 7, mask: u32::MAX });
        assert_eq!(lifted(vec![RuleAttribute::FwMark(7)]).mark, whole);
        let zero = vec![RuleAttribute::FwMark(0), RuleAttribute::FwMask(0xff)];
        assert_eq!(lifted(zero).mark, Some(Mark { value: 0, mask: 0xff }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hostile_messages_are_lifted_or_refused(body in hostile_body(12, &USUAL)) {
            if let Some(message) = hostile_message(32, &body) {
                for family in Family::BOTH {
                    if let Ok(Some(rule)) = lift(message.clone(), family) {
                        let ends = [rule.from, rule.to];
                        let is_of_family = |net: &IpNet| Family::of(net.addr()) == family;
                        prop_assert!(ends.iter().flatten().all(is_of_family));
                    }
                }
            }
        }
    }
}
