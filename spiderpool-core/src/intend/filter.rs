//! The reverse path filter in the pod.
//!
//! The kernel takes the higher of what `all` and the link say (`IN_DEV_MAXCONF`), so each link of an
//! attachment is set beside `all`: a link that was made under `default` 1 stays strict otherwise.

use super::situation::Situation;
use super::{Note, Reason, RpFilter, Setting, Style, Tenure, Want, Wish};
use crate::address::Family;
use crate::net::{LinkName, Side, Sysctl, SysctlName};

/// The filter of all links together, of the interface, and of the pod's way to its node.
pub(super) fn wishes(situation: &Situation<'_>, notes: &mut Vec<Note>) -> Vec<Wish> {
    let own = situation.configuration.rp_filter;
    let shared = match situation.shared_configuration().rp_filter {
        Setting::Leave => own,
        set @ Setting::Set(_) => set,
    };
    let mut wishes = Vec::new();
    if let Setting::Set(filter) = shared {
        let all = Sysctl::all(Family::V4, SysctlName::ReversePathFilter);
        wishes.push(set(all, filter.number(), Tenure::Pod, Reason::Interface));
        wishes.extend(of_way_to_node(situation, filter, notes));
    }
    if let Setting::Set(filter) = own {
        wishes.push(of_link(&situation.topology.interface, filter, Tenure::Attachment));
    }
    wishes
}

/// The filter of the link that leads to the node, and in a pod with an overlay of its first interface.
///
/// Packets of clients beyond the node come in by this link (node ports, an overlay's pods), and the way
/// back to them, without the mark that only replies carry, is the default route by another link: strict
/// would drop them. Loose wants some way back, and has it, but only on a link with an address: on one
/// without, the kernel is as strict (`fib_validate_source`, `no_addr`). Where marks count
/// (`src_valid_mark`) each packet of a marked connection is looked up as its reply will be.
fn of_way_to_node(situation: &Situation<'_>, filter: RpFilter, notes: &mut Vec<Note>) -> Vec<Wish> {
    let link = &situation.ends.pod.link;
    let loosened = match filter {
        RpFilter::Strict => {
            notes.push(Note::LooseFilter { link: link.clone() });
            RpFilter::Loose
        }
        RpFilter::Off | RpFilter::Loose => filter,
    };
    let mut wishes = vec![of_link(link, loosened, Tenure::Pod)];
    if situation.standing.style == Style::Underlay && filter != RpFilter::Off {
        let sysctl = Sysctl::link(Family::V4, link.clone(), SysctlName::SourceValidMark);
        wishes.push(set(sysctl, 1, Tenure::Pod, Reason::ReplyPath));
    }
    wishes
}

fn of_link(link: &LinkName, filter: RpFilter, tenure: Tenure) -> Wish {
    let sysctl = Sysctl::link(Family::V4, link.clone(), SysctlName::ReversePathFilter);
    set(sysctl, filter.number(), tenure, Reason::Interface)
}

fn set(sysctl: Sysctl, value: i64, tenure: Tenure, reason: Reason) -> Wish {
    Wish { side: Side::Pod, want: Want::Sysctl(sysctl, value), tenure, reason }
}
