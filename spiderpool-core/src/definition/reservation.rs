//! Reservations: addresses that nobody may be given, whatever the pool.

use super::common::Flaws;
use super::{BadDefinition, Flaw, lower_set};
use crate::address::{AddressSet, BadEntry, Family, parse_list, parse_range};
use crate::name::Name;
use serde::{Deserialize, Serialize};

/// A reservation as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReservationDraft {
    /// The reservation's name.
    pub name: String,
    /// The address space; empty means `default`.
    pub space: String,
    /// 4 or 6; follows from the first entry of `ranges` when left out.
    pub version: Option<i64>,
    /// The addresses.
    pub ranges: Vec<String>,
}

/// A reservation whose fields have been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ReservationDraft", into = "ReservationDraft")]
pub struct Reservation {
    pub(crate) name: Name,
    pub(crate) space: Name,
    pub(crate) addresses: AddressSet,
}

impl Reservation {
    /// The reservation's name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The address space that its addresses belong to.
    #[must_use]
    pub const fn space(&self) -> &Name {
        &self.space
    }

    /// The addresses that nobody may be given.
    #[must_use]
    pub const fn addresses(&self) -> &AddressSet {
        &self.addresses
    }
}

impl TryFrom<ReservationDraft> for Reservation {
    type Error = BadDefinition;

    fn try_from(draft: ReservationDraft) -> Result<Self, BadDefinition> {
        let mut flaws = Flaws::default();
        let checked = check(&draft, &mut flaws);
        flaws.finish(format!("reservation {}", draft.name), checked)
    }
}

fn check(draft: &ReservationDraft, flaws: &mut Flaws) -> Option<Reservation> {
    let name = flaws.name(&draft.name);
    let space = flaws.space(&draft.space);
    let family = flaws.keep("ipVersion", family(draft))?;
    let addresses = flaws.keep("ips", parse_list(family, &draft.ranges))?;
    Some(Reservation { name: name?, space: space?, addresses })
}

/// The stated version, else that of the first entry.
fn family(draft: &ReservationDraft) -> Result<Family, Flaw> {
    match draft.version {
        Some(4) => return Ok(Family::V4),
        Some(6) => return Ok(Family::V6),
        Some(got) => return Err(Flaw::Address { got: got.to_string() }),
        None => {}
    }
    let first = draft.ranges.first().ok_or(Flaw::EmptyList)?;
    let range = parse_range(first).map_err(|why| BadEntry::Range {
        position: 0,
        text: first.clone(),
        why,
    })?;
    Ok(range.family())
}

impl From<Reservation> for ReservationDraft {
    fn from(reservation: Reservation) -> Self {
        Self {
            name: reservation.name.to_string(),
            space: reservation.space.to_string(),
            version: Some(reservation.addresses.family().version().into()),
            ranges: lower_set(&reservation.addresses),
        }
    }
}
