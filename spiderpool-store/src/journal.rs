//! The journal: every command that changed something, with what it wrote, bounded by count and age.
//!
//! Called by `commit`; read by `history` and `replay`. Invariants:
//! 1. The number of the newest entry is the revision of the store; the newest entry is never pruned.
//! 2. Base objects plus the journal's writes are the present state (`replay_gives_the_present`):
//!    what is pruned is applied to the base in the same transaction.
//! 3. A commit prunes a few entries at most, so that none takes long.

use crate::commit::query_last;
use crate::error::{Site, StoreError, violation};
use crate::load::Loader;
use crate::write::execute;
use crate::{object, rows};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use spiderpool_core::command::{Answer, Command, Decision};
use spiderpool_core::event::{ObjectKey, Revision, Write};
use spiderpool_core::moment::Moment;
use spiderpool_core::view::View;
use std::collections::BTreeSet;

/// How many entries one commit prunes at most; more when the disk is full, to make room.
const PRUNE: usize = 2;
const PRUNE_TIGHT: usize = 8;

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalLimits {
    /// Entries at most; the newest one always stays.
    pub entries: u64,
    /// Milliseconds that an entry is kept at most, by the clock of the commits that follow.
    pub age_ms: u64,
}

impl Default for JournalLimits {
    /// 20,000 entries, 30 days.
    fn default() -> Self {
        Self { entries: 20_000, age_ms: 30 * 24 * 3_600 * 1_000 }
    }
}

/// One command that changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, which is also the revision of every object that it wrote.
    #[serde(skip)]
    pub seq: Revision,
    /// Time and chance that it was decided with.
    pub moment: Moment,
    /// What was asked.
    pub command: Command,
    /// What was written.
    pub writes: Vec<Write>,
    /// What was answered.
    pub answer: Answer,
}

/// The number of the newest entry; 0 when nothing was ever written.
pub(crate) fn last(site: &Site, db: &Connection) -> Result<Revision, StoreError> {
    query_last(db).map(rows::counter).map_err(|error| site.sql("read the ledger's revision", error))
}

pub(crate) fn append(
    loader: &Loader<'_>,
    seq: Revision,
    command: &Command,
    moment: Moment,
    decision: &Decision,
) -> Result<(), StoreError> {
    let Decision { writes, answer } = decision.clone();
    let entry = Entry { seq, moment, command: command.clone(), writes, answer };
    let body = serde_json::to_string(&entry)
        .map_err(|error| violation(format!("a journal entry has no form: {error}")))?;
    let row = (rows::whole(seq), rows::whole(moment.now_ms), body);
    execute(loader, "INSERT INTO journal VALUES (?1, ?2, ?3)", row)
}

/// Takes the oldest entries that are beyond a limit into the base.
pub(crate) fn prune(
    loader: &Loader<'_>,
    limits: JournalLimits,
    moment: Moment,
    is_tight: bool,
) -> Result<(), StoreError> {
    for _ in 0..if is_tight { PRUNE_TIGHT } else { PRUNE } {
        let Some(seq) = oldest_to_go(loader, limits, moment, is_tight)? else { return Ok(()) };
        for entry in entries(loader, (seq, seq))? {
            absorb(loader, &entry)?;
        }
        execute(loader, "DELETE FROM journal WHERE seq = ?1", [rows::whole(seq)])?;
    }
    Ok(())
}

fn oldest_to_go(
    loader: &Loader<'_>,
    limits: JournalLimits,
    moment: Moment,
    is_tight: bool,
) -> Result<Option<Revision>, StoreError> {
    let fault = |error| loader.site.sql("read the journal", error);
    let oldest: Option<(i64, i64)> = loader
        .db
        .prepare_cached("SELECT seq, at_ms FROM journal ORDER BY seq LIMIT 1")
        .and_then(|mut oldest| {
            oldest.query_row((), |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(fault)?;
    let Some((seq, at_ms)) = oldest else { return Ok(None) };
    let (seq, newest) = (rows::counter(seq), last(loader.site, loader.db)?);
    let count = newest.saturating_sub(seq) + 1;
    let age_ms = moment.now_ms.saturating_sub(rows::counter(at_ms));
    let goes = is_tight || count > limits.entries || age_ms > limits.age_ms;
    Ok((goes && count > 1).then_some(seq))
}

/// The entries between two numbers, both included, oldest first.
pub(crate) fn entries(
    loader: &Loader<'_>,
    (from, to): (Revision, Revision),
) -> Result<Vec<Entry>, StoreError> {
    let fault = |error| loader.site.sql("read the journal", error);
    let mut statement = loader
        .db
        .prepare_cached("SELECT seq, body FROM journal WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq")
        .map_err(fault)?;
    let mut found = statement.query((rows::whole(from), rows::whole(to))).map_err(fault)?;
    let mut entries = Vec::new();
    while let Some(row) = found.next().map_err(fault)? {
        let seq: i64 = row.get(0).map_err(fault)?;
        let body: String = row.get(1).map_err(fault)?;
        let name = format!("journal entry {seq}");
        let mut entry: Entry = object::decode(loader.site, &name, body.as_bytes())?;
        entry.seq = rows::counter(seq);
        entries.push(entry);
    }
    Ok(entries)
}

/// Applies the writes of an entry to the base.
fn absorb(loader: &Loader<'_>, entry: &Entry) -> Result<(), StoreError> {
    let mut view = View::complete();
    let objects: BTreeSet<_> = entry.writes.iter().map(|write| &write.object).collect();
    for object in &objects {
        load_base(loader, &mut view, object)?;
    }
    for write in &entry.writes {
        for event in &write.events {
            view.apply(&write.object, event);
        }
    }
    for object in objects {
        let name = base_name(object)?;
        match object::encode(&view, object)? {
            Some(body) => {
                let row = (name, rows::whole(entry.seq), body);
                execute(loader, "INSERT OR REPLACE INTO base VALUES (?1, ?2, ?3)", row)?;
            }
            None => execute(loader, "DELETE FROM base WHERE object = ?1", [name])?,
        }
    }
    Ok(())
}

fn load_base(loader: &Loader<'_>, view: &mut View, object: &ObjectKey) -> Result<(), StoreError> {
    let name = base_name(object)?;
    let found: Option<(i64, Vec<u8>)> = loader
        .db
        .prepare_cached("SELECT revision, body FROM base WHERE object = ?1")
        .and_then(|mut base| {
            base.query_row([&name], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .map_err(|error| loader.site.sql("read the journal's base", error))?;
    match found {
        Some((revision, body)) => {
            object::load(loader.site, view, object, (&body, rows::counter(revision)))
        }
        None => Ok(()),
    }
}

/// The objects that the base holds.
pub(crate) fn base_names(loader: &Loader<'_>) -> Result<BTreeSet<ObjectKey>, StoreError> {
    Ok(base_rows(loader)?.into_iter().map(|(object, ..)| object).collect())
}

/// The state before the oldest entry.
pub(crate) fn base(loader: &Loader<'_>) -> Result<View, StoreError> {
    let mut objects = base_rows(loader)?;
    // Definitions sort before blocks, and reservations before pools.
    objects.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut view = View::complete();
    for (object, revision, body) in objects {
        object::load(loader.site, &mut view, &object, (&body, revision))?;
    }
    Ok(view)
}

fn base_rows(loader: &Loader<'_>) -> Result<Vec<(ObjectKey, Revision, Vec<u8>)>, StoreError> {
    let fault = |error| loader.site.sql("read the journal's base", error);
    let mut statement =
        loader.db.prepare_cached("SELECT object, revision, body FROM base").map_err(fault)?;
    let mut found = statement.query(()).map_err(fault)?;
    let mut objects = Vec::new();
    while let Some(row) = found.next().map_err(fault)? {
        let name: String = row.get(0).map_err(fault)?;
        let revision: i64 = row.get(1).map_err(fault)?;
        let body: Vec<u8> = row.get(2).map_err(fault)?;
        let object: ObjectKey = object::decode(loader.site, "the journal's base", name.as_bytes())?;
        objects.push((object, rows::counter(revision), body));
    }
    Ok(objects)
}

fn base_name(object: &ObjectKey) -> Result<String, StoreError> {
    serde_json::to_string(object)
        .map_err(|error| violation(format!("the name of {object} has no form: {error}")))
}
