//! A pure model of what the kernel does with an op, side effects included.
//!
//! Called by the planner, which tries each step here first, and by tests, which hold it against a real
//! kernel op by op. Modelled, as a kernel 6.18 was seen to do:
//!
//! 1. Addresses make routes (connected, local, broadcast; fe80::/64, anycast and ff00::/8), and take them
//!    along; a primary IPv4 address takes its secondary ones; the last one takes every IPv4 route and
//!    neighbour of its link (`addresses_make_routes`, `a_primary_takes_its_secondaries`).
//! 2. A link that goes down keeps its IPv4 addresses and their local routes, and loses every other route,
//!    its IPv6 addresses and its neighbours, permanent and proxy ones included (`down_takes_along`).
//!    A route over several links stays while one of them is up.
//! 3. An MTU below 1280 ends IPv6 on a link, its settings included (`a_small_mtu_ends_ipv6`);
//!    `disable_ipv6` ends it too, but keeps the settings (`disabling_ipv6_takes_along`).
//! 4. A link that carries gets a link-local address of its hardware address; another hardware address
//!    does not change it while the link is up, but takes the neighbours, proxies excepted
//!    (`a_new_mac_takes_neighbours`).
//! 5. A deleted link takes its pair's other end and what rests on it, in both namespaces; a moved one
//!    arrives down and bare, and what rests on it stays (`deleting_takes_along`, `moving_takes_along`).
//!    VLANs go up and down with their parent; macvlans only lose their carrier. MTUs of children
//!    follow a smaller parent. Rules wait for a link that is gone.
//! 6. Routes need links that are up, gateways on a connected subnet (of their own table, else by the
//!    rules), and sources that are addresses here. In IPv4 and IPv6 alike, one is in the way of another
//!    with the same destination, table and metric (`routes_are_refused_as_by_the_kernel`). Rules that
//!    differ in their protocol alone stand side by side.
//!
//! A refused op leaves no trace here. The kernel is not always as clean: it moves a link before it finds that
//! the new name is taken, and keeps it there under the old one.
//!
//! Not modelled: hardware addresses, txqueuelen and flags that drivers choose by themselves (a new link
//! without a given hardware address gets no link-local address here), what a bridge takes over from its
//! ports, the move of addresses into a VRF's table, lifetimes, duplicate address detection (an address is
//! usable at once), router advertisements, `promote_secondaries` and `keep_addr_on_down` (both taken to be
//! off), the path MTU that routes keep, and links whose other end is in a third namespace: these are taken to
//! carry while they are up.

mod address;
mod derived;
pub(super) mod journal;
mod life;
mod link;
pub(super) mod lookup;
pub(super) mod normal;
mod reach;
mod refusal;
mod rest;
pub(super) mod route;
mod setting;

pub use normal::normal;
pub use refusal::{Errno, KernelRefusal};

use serde::{Deserialize, Serialize};

use super::Op;
use crate::net::{Object, Scene, Side};
use journal::{Edit, Journal};

/// One thing that an op changed: made if it was not there before, gone if it is not there after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change {
    /// In which namespace.
    pub side: Side,
    /// What it was; none for what is new.
    pub before: Option<Object>,
    /// What it is; none for what is gone.
    pub after: Option<Object>,
}

/// Does an op as the kernel would: changes the scene, and says what changed, side effects included,
/// in the order in which it changed.
///
/// ```
/// use spiderpool_core::net::{LinkName, Scene, Side};
/// use spiderpool_core::plan::kernel::{Errno, perform};
/// use spiderpool_core::plan::Op;
///
/// let refusal = perform(&mut Scene::default(), Side::Pod, &Op::DeleteLink(LinkName::new("eth0")?));
/// assert_eq!(refusal.unwrap_err().errno, Errno::NoDevice);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`KernelRefusal`], as the kernel would refuse it; the scene is then as it was.
pub fn perform(scene: &mut Scene, side: Side, op: &Op) -> Result<Vec<Change>, KernelRefusal> {
    let mut journal = Journal::new(scene);
    attempt(&mut journal, side, op)?;
    Ok(journal.into_edits().into_iter().filter_map(Edit::into_change).collect())
}

/// Does an op in a journal; a refused one leaves no trace.
pub(super) fn attempt(journal: &mut Journal<'_>, side: Side, op: &Op) -> Result<(), KernelRefusal> {
    let mark = journal.mark();
    let result = dispatch(journal, side, op);
    if result.is_err() {
        journal.rewind(mark);
    }
    result
}

fn dispatch(journal: &mut Journal<'_>, side: Side, op: &Op) -> Result<(), KernelRefusal> {
    match op {
        Op::CreateLink(new) => link::create(journal, side, new),
        Op::DeleteLink(name) => link::delete(journal, side, name),
        Op::SetLink { name, change } => setting::set(journal, side, name, change),
        Op::MoveLink { name, target } => link::relocate(journal, side, name, target),
        Op::AddAddress(it) => address::add(journal, side, it),
        Op::DeleteAddress(it) => address::delete(journal, side, it),
        Op::SetNeighbour(it) => rest::set_neighbour(journal, side, it),
        Op::DeleteNeighbour(it) => rest::delete_neighbour(journal, side, it),
        Op::AddRoute(it) => route::add(journal, side, it),
        Op::AppendRoute(it) => route::append(journal, side, it),
        Op::DeleteRoute(it) => route::delete(journal, side, it),
        Op::AddRule(it) => rest::add_rule(journal, side, it),
        Op::DeleteRule(it) => rest::delete_rule(journal, side, it),
        Op::SetSysctl(name, value) => rest::set_sysctl(journal, side, name, *value),
        Op::AddMarks(marks) => rest::add_marks(journal, side, marks),
        Op::DeleteMarks => rest::delete_marks(journal, side),
    }
}
