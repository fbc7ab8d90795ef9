//! Attachments of pods' interfaces: made, held against what is recorded, mended, and taken back.
//!
//! Called by the `coordinator` plugin for each of its verbs, and by whoever keeps pods as they should be
//! ([`repair()`]). What should be is decided by the core (`intend`, `plan`); this module joins it with the
//! kernel and with the [`Records`]. It asks no cluster: what the cluster says is in the configuration that
//! an attachment is made with, and later in its record. Invariants, kept by tests in
//! `adapters/coordinator/tests`:
//!
//! 1. A record is written before anything is changed, and goes after the last thing is taken back
//!    (`a_record_is_there_before_anything_is_changed`).
//! 2. A failed [`attach()`] leaves both namespaces, and the records, as they were
//!    (`a_failed_add_leaves_all_as_it_was`).
//! 3. [`detach()`] succeeds whatever is gone already (`del_works_with_the_namespace_gone`).
//! 4. [`foresee()`], [`foresee_repair`] and [`look()`] change nothing, and make no file
//!    (`looking_changes_nothing` in `adapters/spiderpoolctl/tests`).
//! 5. What other attachments of the pod need stays (`one_interface_leaves_and_the_other_works`).

mod attach;
mod collect;
mod detach;
mod drift;
mod fault;
mod foresee;
mod look;
mod records;
mod site;
mod view;

#[cfg(test)]
mod tests;

pub use attach::{Attached, Wanted, attach};
pub use collect::{Collected, Collection, collect};
pub use detach::{Detached, Withdrawal, detach};
pub use drift::{Drift, Renewed, drift, repair};
pub use fault::{AttachmentFault, NotReady, SiteFault};
pub use foresee::{Foreseen, foresee, foresee_repair};
pub use look::{Seen, Sight, look};
pub use records::{Entry, Kept, RecordFault, Records, Turn};
pub use site::try_out;

use spiderpool_core::net::LinkName;
use std::error::Error;
use std::time::Instant;

/// Which attachment is worked on, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The container's id, as the runtime gives it.
    pub container: &'a str,
    /// The pod's interface.
    pub interface: &'a LinkName,
    /// When the work must have ended; waiting for another verb of the container ends then.
    pub until: Instant,
}

/// An error with its causes, on one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let causes: String = causes.map(|cause| format!("; caused by: {cause}")).collect();
    format!("{error}{causes}")
}
