//! Addresses come and go.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::derived::{prefix_v4, settle, speaks_v6};
use super::journal::Journal;
use super::life::{Cause, end_v4, forget_source};
use super::link::present;
use super::lookup::addresses;
use super::{Errno, KernelRefusal};
use crate::address::Family;
use crate::net::{Address, AddressFlags, Observed, Scope, Side};

pub(super) fn add(
    journal: &mut Journal<'_>,
    side: Side,
    address: &Address,
) -> Result<(), KernelRefusal> {
    let observed = journal.side(side);
    let link = present(observed, &address.device)?;
    let made = match address.net {
        IpNet::V4(net) => v4(observed, address, net)?,
        IpNet::V6(_) => {
            if link.mtu < super::derived::V6_MTU {
                return Err(Errno::Invalid.because("its link's MTU is too small for IPv6"));
            }
            if !speaks_v6(observed, link) {
                return Err(Errno::NoAccess.because("IPv6 is disabled on its link"));
            }
            v6(observed, address)?
        }
    };
    settle(journal, side, &address.device, |journal| journal.add_address(side, made));
    Ok(())
}

/// The address as it will be: the second of its prefix is a secondary one.
fn v4(observed: &Observed, address: &Address, net: Ipv4Net) -> Result<Address, KernelRefusal> {
    let prefix = prefix_v4(address, net);
    let mut flags = AddressFlags { is_secondary: false, ..settled(address.flags) };
    for other in addresses(observed, &address.device) {
        let IpNet::V4(other_net) = other.net else { continue };
        if prefix_v4(other, other_net) != prefix {
            continue;
        }
        if other_net.addr() == net.addr() {
            return Err(Errno::Exists.because("the link has that address already"));
        }
        if other.scope != address.scope {
            return Err(Errno::Invalid.because("addresses of one prefix have one scope"));
        }
        flags.is_secondary = true;
    }
    Ok(Address { flags, ..address.clone() })
}

/// The address as it will be: its scope follows from what it is.
fn v6(observed: &Observed, address: &Address) -> Result<Address, KernelRefusal> {
    let ip = address.net.addr();
    if addresses(observed, &address.device).any(|other| other.net.addr() == ip) {
        return Err(Errno::Exists.because("the link has that address already"));
    }
    let scope = match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Scope::Link,
        IpAddr::V6(ip) if ip.is_loopback() => Scope::Host,
        IpAddr::V4(_) | IpAddr::V6(_) => Scope::Universe,
    };
    Ok(Address { scope, flags: settled(address.flags), ..address.clone() })
}

/// The flags of an address once it is in use, for good.
const fn settled(flags: AddressFlags) -> AddressFlags {
    AddressFlags {
        is_permanent: true,
        is_tentative: false,
        has_dad_failed: false,
        is_deprecated: false,
        ..flags
    }
}

pub(super) fn delete(
    journal: &mut Journal<'_>,
    side: Side,
    address: &Address,
) -> Result<(), KernelRefusal> {
    let observed = journal.side(side);
    present(observed, &address.device)?;
    let is_it = |other: &&Address| other.net == address.net && other.peer == address.peer;
    let found = addresses(observed, &address.device)
        .find(is_it)
        .cloned()
        .ok_or(Errno::AddressNotAvailable.because("the link has not that address"))?;
    let gone = along(observed, &found);
    settle(journal, side, &address.device, |journal| {
        for address in &gone {
            journal.drop_address(side, address);
        }
    });
    for address in &gone {
        forget_source(journal, side, address);
    }
    let is_left = |family| {
        addresses(journal.side(side), &address.device).any(|other| other.family() == family)
    };
    if found.family() == Family::V4 && !is_left(Family::V4) {
        end_v4(journal, side, &address.device, Cause::Down);
    }
    Ok(())
}

/// An address, and the secondary ones that go before it (`promote_secondaries` is off by default).
fn along(observed: &Observed, found: &Address) -> Vec<Address> {
    let mut gone = Vec::new();
    if let IpNet::V4(net) = found.net
        && !found.flags.is_secondary
    {
        let prefix = prefix_v4(found, net);
        let goes = |other: &&Address| match other.net {
            IpNet::V4(other_net) => {
                other.flags.is_secondary && prefix_v4(other, other_net) == prefix
            }
            IpNet::V6(_) => false,
        };
        gone.extend(addresses(observed, &found.device).filter(goes).cloned());
    }
    gone.push(found.clone());
    gone
}
