//! Rules as messages.

use ipnet::IpNet;
use netlink_packet_route::rule::{RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage};
use spiderpool_core::net::{RouteProtocol, Rule, RuleAction};

use crate::observe::number;

pub(super) fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = number(rule.family);
    message.header.src_len = length(rule.from);
    message.header.dst_len = length(rule.to);
    message.header.flags.set(RuleFlags::Invert, rule.is_inverted);
    let attributes = &mut message.attributes;
    match rule.action {
        RuleAction::Lookup(table) => {
            message.header.action = Action::ToTable;
            // Above 255 only the attribute counts.
            message.header.table = u8::try_from(table).unwrap_or(0);
            attributes.push(RuleAttribute::Table(table));
        }
        RuleAction::Other(number) => message.header.action = number.into(),
    }
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.extend(rule.from.map(|net| RuleAttribute::Source(net.addr())));
    attributes.extend(rule.to.map(|net| RuleAttribute::Destination(net.addr())));
    attributes.extend(rule.input.as_ref().map(|name| RuleAttribute::Iifname(name.to_string())));
    attributes.extend(rule.output.as_ref().map(|name| RuleAttribute::Oifname(name.to_string())));
    if let Some(mark) = rule.mark {
        attributes.push(RuleAttribute::FwMark(mark.value));
        attributes.push(RuleAttribute::FwMask(mark.mask));
    }
    if rule.protocol != RouteProtocol::UNSPECIFIED {
        attributes.push(RuleAttribute::Protocol(rule.protocol.0.into()));
    }
    message
}

fn length(net: Option<IpNet>) -> u8 {
    net.map_or(0, |net| net.prefix_len())
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use spiderpool_core::address::Family;
    use spiderpool_core::net::{LinkName, Mark};

    use super::*;
    use crate::observe::hostile_message;
    use crate::observe::rule::lift;

    #[test]
    fn what_is_lowered_lifts_to_itself() {
        let plain = Rule::new(Family::V4, 1000, 500);
        let eth0 = LinkName::new("eth0").unwrap();
        for expected in [
            plain.clone(),
            Rule { from: Some("10.0.0.9/32".parse().unwrap()), ..plain.clone() },
            Rule {
                to: Some("fd00::/64".parse().unwrap()),
                is_inverted: true,
                ..Rule::new(Family::V6, 1, 100_100)
            },
            Rule { mark: Some(Mark { value: 0, mask: 0xff }), input: Some(eth0), ..plain.clone() },
            Rule { action: RuleAction::Other(6), protocol: RouteProtocol::UNSPECIFIED, ..plain },
        ] {
            let message = message(&expected);
            let mut bytes = vec![0; message.buffer_len()];
            message.emit(&mut bytes);
            let message = hostile_message(32, &bytes).unwrap();
            assert_eq!(lift(message, expected.family), Ok(Some(expected)));
        }
    }
}
