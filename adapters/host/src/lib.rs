//! What the programs of one host share.
//!
//! On one host nobody else notices that a container is gone when its DEL was lost or the host was
//! rebooted. Each ADD leaves a witness of its namespace beside the grant; `survey` judges all
//! witnesses, and `sweep` gives back what is certainly dead. The plugin sweeps when a pool is
//! exhausted, `spiderpoolctl reclaim` on request. [`attachment`] keeps what pods' interfaces were given,
//! holds them against it and mends them; [`log`] is the file that plugins write to.
//!
//! The feature `store`, on unless it is switched off, is for witnesses and the sweep: they need the
//! embedded store, and with it SQLite.
//!
//! Invariants:
//! 1. What cannot be known is never reclaimed, nor is what belongs to a static identity
//!    (`only_the_dead_are_swept`).
//! 2. A reclaim presents the generation that was surveyed, and is committed only if the witnesses are
//!    what they were, so that a container that came back in the meantime loses nothing
//!    (`a_container_that_came_back_keeps_its_address`).

pub mod attachment;
pub mod log;
pub mod plugin;

mod moment;
#[cfg(feature = "store")]
mod sweep;

#[cfg(test)]
#[cfg(feature = "store")]
mod tests;

pub use moment::{BadClock, moment};
#[cfg(feature = "store")]
pub use sweep::{Fate, Judged, Survey, SweepError, survey, sweep, witness};
