//! The one place where programs of this host read the clock and draw chance.

use spiderpool_core::moment::Moment;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The clock stands before 1970.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the clock of this host stands before 1970; set it")]
pub struct BadClock;

/// Now, with a fresh seed from the operating system's randomness.
///
/// # Errors
/// [`BadClock`] when the clock stands before 1970.
pub fn moment() -> Result<Moment, BadClock> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| BadClock)?;
    let now_ms = u64::try_from(since.as_millis()).map_err(|_| BadClock)?;
    let seed = RandomState::new().hash_one((now_ms, std::process::id()));
    Ok(Moment { now_ms, seed })
}
