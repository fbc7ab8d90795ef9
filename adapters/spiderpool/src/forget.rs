//! Makes the host forget the tracked connections of an address that has a new owner.
//!
//! Called by ADD for what was granted anew, before any interface carries it. Packets of the new owner
//! are not taken for the old one's connections then (`a_new_owner_has_no_old_connections`). Best
//! effort: what cannot be forgotten is logged and ages.

use crate::session::Session;
use spiderpool_core::command::Granted;
use spiderpool_netlink::Errno;
use spiderpool_netlink::netfilter::{NetfilterSocket, flush_connections};
use std::fs;
use std::net::IpAddr;

/// How many connections this network namespace tracks; the file is there once the module is loaded,
/// and asking over netlink would load it.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// Forgets, in the namespace that the plugin runs in, which is the host's.
pub(crate) fn forget(session: &Session, granted: &[Granted]) {
    let fresh: Vec<_> =
        granted.iter().filter(|one| !one.kept).map(|one| one.address.addr()).collect();
    if fresh.is_empty() || !tracks_any() {
        return;
    }
    match NetfilterSocket::here_if_any() {
        Ok(Some(mut socket)) => {
            fresh.into_iter().for_each(|address| forget_one(session, &mut socket, address));
        }
        Ok(None) => {}
        Err(error) => session.log.warn(format!("old connections are not forgotten: {error}")),
    }
}

fn tracks_any() -> bool {
    fs::read_to_string(COUNT).is_ok_and(|count| count.trim() != "0")
}

fn forget_one(session: &Session, socket: &mut NetfilterSocket, address: IpAddr) {
    match flush_connections(socket, address) {
        Ok(0) => {}
        // Attaching a pod takes the same right: whoever lacks it attaches none.
        Err(error) if error.errno() == Some(Errno::EPERM) => {}
        Ok(count) => session.log.info(format!("forgot {count} old connections of {address}")),
        Err(error) => {
            session.log.warn(format!("the old connections of {address} are not forgotten: {error}"))
        }
    }
}
