//! What has to be looked at for an attachment.
//!
//! A node may have many routes that are nobody's business here, and settings have to be asked for one by
//! one: so what intents and records speak of is named beforehand.

use super::Entry;
use spiderpool_core::address::Family;
use spiderpool_core::intend::{Configuration, Intent, POD_END, Want, host_end};
use spiderpool_core::net::{LinkName, Side, Sysctl, SysctlName, table};
use spiderpool_netlink::{Focus, Tables, Wanted};
use std::collections::BTreeSet;

/// What to look at for one container: whatever its records speak of, and what an attachment of these
/// interfaces with this configuration would.
pub(super) fn focus(
    container: &str,
    entries: &[Entry],
    wanted: Option<(&LinkName, &Configuration)>,
) -> Focus {
    let mut tables = BTreeSet::from([table::HOST]);
    let mut host = BTreeSet::new();
    let mut pod = of_all();
    let mut links: BTreeSet<LinkName> = LinkName::new(POD_END).into_iter().collect();
    links.extend(wanted.iter().map(|(interface, _)| (*interface).clone()));
    let records: Vec<_> = entries.iter().filter_map(Entry::kept).map(|kept| &kept.record).collect();
    let of_records = records.iter().map(|record| &record.configuration);
    for configuration in of_records.chain(wanted.map(|(_, configuration)| configuration)) {
        tables.insert(configuration.host_table.number());
        links.insert(configuration.default_nic.clone());
    }
    pod.extend(links.into_iter().flat_map(of_link));
    for record in &records {
        extend((&mut host, &mut pod), &record.intent);
    }
    if let Ok(end) = host_end(container) {
        host.insert(Sysctl::link(Family::V6, end, SysctlName::AcceptRouterAdvertisements));
    }
    Focus {
        host: Wanted {
            tables: Tables::Only(tables),
            neighbours: true,
            sysctls: host,
            ..Wanted::default()
        },
        pod: Wanted { sysctls: pod, ..Wanted::everything() },
    }
}

/// Looks at the settings of an intent, too.
pub(super) fn look_at(focus: &mut Focus, intent: &Intent) {
    extend((&mut focus.host.sysctls, &mut focus.pod.sysctls), intent);
}

fn extend((host, pod): (&mut BTreeSet<Sysctl>, &mut BTreeSet<Sysctl>), intent: &Intent) {
    for wish in &intent.wishes {
        let Want::Sysctl(sysctl, _) = &wish.want else { continue };
        match wish.side {
            Side::Host => host.insert(sysctl.clone()),
            Side::Pod => pod.insert(sysctl.clone()),
        };
    }
}

fn of_all() -> BTreeSet<Sysctl> {
    BTreeSet::from([
        Sysctl::all(Family::V4, SysctlName::ReversePathFilter),
        Sysctl::all(Family::V6, SysctlName::DisableIpv6),
    ])
}

fn of_link(link: LinkName) -> [Sysctl; 3] {
    [
        Sysctl::link(Family::V4, link.clone(), SysctlName::ReversePathFilter),
        Sysctl::link(Family::V4, link.clone(), SysctlName::SourceValidMark),
        Sysctl::link(Family::V6, link, SysctlName::DisableIpv6),
    ]
}
