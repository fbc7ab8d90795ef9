//! Questions to the journal: what happened to an address or an owner, and who had an address when.
//!
//! Called by `spiderpoolctl history`. The journal is read from end to end: it is bounded. Invariant:
//! tenures follow the order of commits, whatever the clock did (`a_clock_that_steps_back_harms_nothing`).

use crate::error::StoreError;
use crate::journal::{self, Entry};
use crate::load::Loader;
use crate::open::Store;
use serde::{Deserialize, Serialize};
use spiderpool_core::address::{Family, bits};
use spiderpool_core::command::{Answer, Command, Place};
use spiderpool_core::event::{Ending, Event, ObjectKey, Revision, Write};
use spiderpool_core::slots::{Allocation, BlockKey};

/// Which entries of the journal are wanted: those that every part that is set agrees to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Something happened to this address.
    pub place: Option<Place>,
    /// Something was given to or taken from this owner (its text).
    pub owner: Option<String>,
    /// Something was given to or taken from this container.
    pub container: Option<String>,
    /// Not before this moment, in milliseconds since the Unix epoch.
    pub from_ms: Option<u64>,
    /// Not after this moment.
    pub to_ms: Option<u64>,
}

/// A time in which one incarnation of an owner had an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenure {
    /// The text of the owner.
    pub owner: String,
    /// The container id; empty where there was none.
    pub container: String,
    /// The pod's UID; empty where there was none.
    pub pod_uid: String,
    /// The node.
    pub node: String,
    /// The pool.
    pub pool: String,
    /// The interface.
    pub attachment: String,
    /// The generation.
    pub generation: u64,
    /// When it began, in milliseconds since the Unix epoch, by the clock of that commit.
    pub from_ms: u64,
    /// When it ended; `None` while it lasts.
    pub until_ms: Option<u64>,
    /// Why it ended, where that was said.
    pub ending: Option<Ending>,
    /// The entry that began it; `None` when it began before the journal.
    pub entry: Option<Revision>,
}

impl Store {
    /// The entries of the journal that a filter lets through, oldest first.
    ///
    /// # Errors
    /// As any read: [`StoreError::Busy`], [`StoreError::Damaged`], [`StoreError::Fault`].
    pub fn history(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let loader = Loader::new(&tx, &self.site);
        let mut entries = journal::entries(&loader, (0, Revision::MAX))?;
        entries.retain(|entry| filter.admits(entry));
        Ok(entries)
    }

    /// Who had an address, as far back as the journal goes, oldest first.
    ///
    /// # Errors
    /// As [`Store::history`].
    pub fn tenures(&self, place: &Place) -> Result<Vec<Tenure>, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let loader = Loader::new(&tx, &self.site);
        let size = loader.start()?.block_size(&place.space, Family::of(place.address));
        let key = BlockKey::of(&place.space, place.address, size);
        let slot = key.slot(bits(place.address));
        let mut view = journal::base(&loader)?;
        let mut tenures = Vec::new();
        let now = |view: &spiderpool_core::view::View| {
            let block = view.block(&key, None).ok().flatten();
            block.and_then(|block| block.allocation(slot)).map(tenure)
        };
        tenures.extend(now(&view));
        for entry in journal::entries(&loader, (0, Revision::MAX))? {
            let writes = entry.writes.iter().filter(|w| w.object == ObjectKey::Block(key.clone()));
            for event in writes.flat_map(|write| &write.events) {
                let was = now(&view);
                view.apply(&ObjectKey::Block(key.clone()), event);
                let is = now(&view);
                step(&mut tenures, (was, is), &entry, event);
            }
        }
        Ok(tenures)
    }
}

/// Ends a tenure and begins another when an event passed an address on.
fn step(
    tenures: &mut Vec<Tenure>,
    (was, is): (Option<Tenure>, Option<Tenure>),
    entry: &Entry,
    event: &Event,
) {
    let key = |t: &Tenure| (t.owner.clone(), t.container.clone(), t.generation);
    if was.as_ref().map(key) == is.as_ref().map(key) {
        return;
    }
    if was.is_some()
        && let Some(last) = tenures.last_mut()
    {
        last.until_ms = Some(entry.moment.now_ms);
        if let Event::Freed { ending, .. } = event {
            last.ending = Some(*ending);
        }
    }
    tenures.extend(is.map(|tenure| Tenure { entry: Some(entry.seq), ..tenure }));
}

fn tenure(allocation: Allocation<'_>) -> Tenure {
    Tenure {
        owner: allocation.owner.to_owned(),
        container: allocation.container.to_owned(),
        pod_uid: allocation.pod_uid.to_owned(),
        node: allocation.node.to_owned(),
        pool: allocation.placement.pool.to_string(),
        attachment: allocation.placement.attachment.to_string(),
        generation: allocation.generation,
        from_ms: allocation.since_ms,
        until_ms: None,
        ending: None,
        entry: None,
    }
}

impl Filter {
    fn admits(&self, entry: &Entry) -> bool {
        let at_ms = entry.moment.now_ms;
        self.from_ms.is_none_or(|from| from <= at_ms)
            && self.to_ms.is_none_or(|to| at_ms <= to)
            && self.place.as_ref().is_none_or(|place| touches(&entry.writes, place))
            && self.owner.as_ref().is_none_or(|owner| names(entry).any(|(name, _)| name == owner))
            && self.container.as_ref().is_none_or(|id| {
                names(entry).any(|(_, name)| name == id) || container_of(&entry.command) == Some(id)
            })
    }
}

fn container_of(command: &Command) -> Option<&str> {
    match command {
        Command::Release(release) => Some(&release.container),
        Command::Allocate(request) => request.holder.container.as_deref(),
        Command::DefineSpace(_)
        | Command::DefineSubnet(_)
        | Command::RemoveSubnet(_)
        | Command::DefineReservation(_)
        | Command::RemoveReservation(_)
        | Command::DefinePool(_)
        | Command::RemovePool(_)
        | Command::Reclaim(_)
        | Command::Collect(_)
        | Command::Hold(_)
        | Command::Conflict(_)
        | Command::Clear(_)
        | Command::Tidy { .. } => None,
    }
}

fn touches(writes: &[Write], place: &Place) -> bool {
    let (family, number) = (Family::of(place.address), bits(place.address));
    writes.iter().any(|write| {
        let ObjectKey::Block(key) = &write.object else { return false };
        let mut slots = write.events.iter().filter_map(slot_of);
        key.space == place.space
            && key.family == family
            && slots.any(|slot| key.first.saturating_add(slot.into()) == number)
    })
}

const fn slot_of(event: &Event) -> Option<u8> {
    match event {
        Event::Granted { slot, .. }
        | Event::Adopted { slot, .. }
        | Event::Restaged { slot, .. }
        | Event::Freed { slot, .. }
        | Event::Quarantined { slot, .. }
        | Event::Cleared { slot } => Some(*slot),
        Event::SpaceDefined(_)
        | Event::SubnetDefined(_)
        | Event::SubnetRemoved
        | Event::ReservationDefined(_)
        | Event::ReservationRemoved
        | Event::PoolDefined(_)
        | Event::PoolRemoved
        | Event::Opened { .. }
        | Event::Buried(_)
        | Event::Forgotten => None,
    }
}

/// Every owner and container that an entry gave something to or took something from.
fn names(entry: &Entry) -> impl Iterator<Item = (&str, &str)> {
    let events = entry.writes.iter().flat_map(|write| &write.events);
    let given = events.filter_map(|event| {
        let (Event::Granted { grant, .. } | Event::Adopted { grant, .. }) = event else {
            return None;
        };
        let container = grant.holder.container.as_deref().unwrap_or_default();
        Some((grant.holder.owner.as_str(), container))
    });
    let freed = if let Answer::Freed(standing) = &entry.answer { standing.as_slice() } else { &[] };
    given.chain(freed.iter().map(|standing| (standing.owner.as_str(), standing.container.as_str())))
}
