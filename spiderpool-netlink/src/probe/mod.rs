//! Asks the wire whether somebody else has an address and whether a gateway answers, and announces
//! addresses that are a NIC's own.
//!
//! Called by the IPAM plugin between allocating and answering. What is sent when, and what an answer
//! means, is decided by [`Prober`], which does no I/O and is given time and chance; [`ask`] and
//! [`tell`] are the loops around a packet socket that carry it out. In reading order: [`Target`] and
//! [`Finding`] (what is asked, what was found), [`Timing`], [`Prober`], announcements, the loops,
//! and below them the wire formats `arp` and `nd`. Invariants:
//!
//! 1. All addresses are probed at once: four cost the time of one
//!    (`four_addresses_cost_the_time_of_one`).
//! 2. The gateway is asked only once the address is known to be free, since the question tells the
//!    gateway the pod's MAC for that address (`the_gateway_is_asked_after_the_address_is_free`).
//! 3. Nothing is found to be free or unreachable that was not asked as often as was said
//!    (`what_was_cut_short_is_unsettled`).
//! 4. No frame makes it panic (`hostile_frames_end`), and no end is later than the deadline
//!    (`a_link_without_carrier_is_waited_for_until_the_deadline`).
//! 5. The socket hears the link before the first frame is sent, so no answer is missed for being
//!    fast (`an_address_that_a_neighbour_has_is_taken`).

mod prober;
mod target;
mod timing;

mod announce;

mod ears;
mod fault;
mod run;

mod arp;
mod nd;

#[cfg(test)]
mod tests;

pub use announce::{NotOwn, announcements};
pub use fault::ProbeFault;
pub use prober::{Poll, Prober};
pub use run::{Announcement, Inquiry, ask, tell};
pub use target::{BadTarget, Evidence, Finding, Mac, Occupancy, Reach, Target};
pub use timing::{AnnounceTiming, ConflictTiming, GatewayTiming, Timing};
