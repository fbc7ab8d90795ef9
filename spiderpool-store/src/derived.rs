//! What is derived of each pool: runs of exhausted blocks, and the order in which addresses rest.
//!
//! A run is a longest stretch of blocks without a free usable address of its pool: blocks between
//! them in which the pool has no usable address do not end it. It lets a search step over any number
//! of full blocks at once. Called by `write` for each changed block, and by `check`.
//!
//! Invariants:
//! 1. Following single changes gives the rows that a rebuild gives (`Store::check`, in every test).
//! 2. The pool that a block lies under is found without reading other pools: prefixes of one space
//!    are equal or disjoint, which the core demands of definitions.

use crate::error::StoreError;
use crate::load::Loader;
use crate::rows;
use crate::write::execute;
use rusqlite::OptionalExtension;
use spiderpool_core::address::{AddressSet, Family, Range};
use spiderpool_core::name::Name;
use spiderpool_core::slots::{Block, BlockKey, BlockSize};
use spiderpool_core::view::View;
use std::sync::Arc;

/// One block before and after a commit.
pub(crate) struct Change<'a> {
    pub(crate) key: &'a BlockKey,
    pub(crate) id: i64,
    pub(crate) before: Option<&'a Block>,
    pub(crate) after: &'a Block,
}

/// A pool as far as derived rows depend on it.
pub(crate) struct Ground {
    pub(crate) pool: Name,
    pub(crate) space: Name,
    pub(crate) family: Family,
    pub(crate) ends: (u128, u128),
    pub(crate) usable: Arc<AddressSet>,
    pub(crate) size: BlockSize,
}

impl Ground {
    pub(crate) fn of(view: &View, pool: &Name) -> Option<Self> {
        let entry = view.pool(pool).ok().flatten()?;
        let (space, family) = (entry.pool.space().clone(), entry.pool.family());
        let ends = Range::of_prefix(entry.pool.prefix()).ends();
        let size = view.block_size(&space, family);
        let usable = Arc::clone(&entry.usable);
        Some(Self { pool: pool.clone(), space, family, ends, usable, size })
    }

    /// A bit for each slot of a block that the pool may give out.
    fn mask(&self, first: u128) -> u64 {
        let slots = self.size.slots();
        let count = self.usable.count_within(first, rows::end(first, slots));
        if count == 0 {
            return 0;
        }
        if count == u128::from(slots) {
            return u64::MAX >> (64 - u32::from(slots));
        }
        let bit = |slot: u8| u64::from(self.usable.holds(rows::end(first, slot + 1))) << slot;
        (0..slots).fold(0, |mask, slot| mask | bit(slot))
    }

    /// Whether a block has usable addresses, and all of them are busy.
    fn is_exhausted(&self, first: u128, busy: u64) -> bool {
        let mask = self.mask(first);
        mask != 0 && busy & mask == mask
    }

    /// The last block below `first` in which the pool has a usable address.
    fn block_before(&self, first: u128) -> Option<u128> {
        let below = self.usable.rank(self.family.address(first)).checked_sub(1)?;
        let number = spiderpool_core::address::bits(self.usable.select(below)?);
        Some(self.size.align(number))
    }

    /// The first block above `first` in which the pool has a usable address.
    fn block_after(&self, first: u128) -> Option<u128> {
        let next = first.checked_add(self.size.slots().into())?;
        self.usable.next_from(next).map(|number| self.size.align(number))
    }

    /// The runs that these blocks (name and busy mask, in order) make up.
    pub(crate) fn runs(&self, blocks: impl Iterator<Item = (u128, u64)>) -> Vec<(u128, u128)> {
        let mut runs: Vec<(u128, u128)> = Vec::new();
        for (first, _) in blocks.filter(|(first, busy)| self.is_exhausted(*first, *busy)) {
            match runs.last_mut() {
                Some(run) if self.block_after(run.1) == Some(first) => run.1 = first,
                _ => runs.push((first, first)),
            }
        }
        runs
    }

    /// The resting addresses of the pool in one block: since when, and number.
    pub(crate) fn rests(&self, first: u128, block: &Block) -> Vec<(u64, u128)> {
        let rests = block
            .resting()
            .iter()
            .map(|rest| (rest.since_ms, first.saturating_add(rest.slot.into())));
        rests.filter(|(_, number)| self.usable.holds(*number)).collect()
    }
}

/// Brings the rows of every pool over a block from its former state to its present one.
pub(crate) fn follow(
    loader: &Loader<'_>,
    view: &mut View,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    let first = change.key.first;
    let (was, is) = (change.before.map_or(0, Block::busy), change.after.busy());
    let rested = change.before.map(Block::resting).unwrap_or_default();
    if was == is && rested == change.after.resting() {
        return Ok(());
    }
    for pool in pools_over(loader, change)? {
        if view.pool(&pool).is_err() {
            loader.pool(view, &pool)?;
        }
        let Some(ground) = Ground::of(view, &pool) else { continue };
        match (ground.is_exhausted(first, was), ground.is_exhausted(first, is)) {
            (false, true) => join(loader, &ground, first)?,
            (true, false) => part(loader, &ground, first)?,
            _ => {}
        }
        follow_rests(loader, &ground, change)?;
    }
    Ok(())
}

fn follow_rests(
    loader: &Loader<'_>,
    ground: &Ground,
    change: &Change<'_>,
) -> Result<(), StoreError> {
    let first = change.key.first;
    let old = change.before.map(|block| ground.rests(first, block)).unwrap_or_default();
    let new = ground.rests(first, change.after);
    let pool = ground.pool.as_str();
    for (since_ms, number) in old.iter().filter(|rest| !new.contains(rest)) {
        let sql = "DELETE FROM resting WHERE pool = ?1 AND since_ms = ?2 AND number = ?3";
        execute(loader, sql, (pool, rows::whole(*since_ms), rows::number(*number)))?;
    }
    for (since_ms, number) in new.iter().filter(|rest| !old.contains(rest)) {
        let row = (pool, rows::whole(*since_ms), rows::number(*number), change.id);
        execute(loader, "INSERT OR REPLACE INTO resting VALUES (?1, ?2, ?3, ?4)", row)?;
    }
    Ok(())
}

/// Derives the rows of one pool from all blocks under it; of a pool that is gone none stay.
pub(crate) fn rebuild(loader: &Loader<'_>, view: &mut View, pool: &Name) -> Result<(), StoreError> {
    execute(loader, "DELETE FROM run WHERE pool = ?1", [pool.as_str()])?;
    execute(loader, "DELETE FROM resting WHERE pool = ?1", [pool.as_str()])?;
    if view.pool(pool).is_err() {
        loader.pool(view, pool)?;
    }
    let Some(ground) = Ground::of(view, pool) else { return Ok(()) };
    let stored = stored_blocks(loader, &ground)?;
    let busy = stored.iter().map(|block| (block.first, block.busy));
    for (first, last) in ground.runs(busy) {
        insert_run(loader, &ground, (first, last))?;
    }
    for block in stored.iter().filter(|block| block.rests) {
        let key =
            BlockKey { space: ground.space.clone(), family: ground.family, first: block.first };
        let sql = "SELECT id FROM block WHERE id = ?1";
        loader.blocks(view, sql, [block.id])?;
        let Ok(Some(body)) = view.block(&key, None) else { continue };
        for (since_ms, number) in ground.rests(block.first, body) {
            let row = (pool.as_str(), rows::whole(since_ms), rows::number(number), block.id);
            execute(loader, "INSERT OR REPLACE INTO resting VALUES (?1, ?2, ?3, ?4)", row)?;
        }
    }
    Ok(())
}

struct Stored {
    id: i64,
    first: u128,
    busy: u64,
    rests: bool,
}

fn stored_blocks(loader: &Loader<'_>, ground: &Ground) -> Result<Vec<Stored>, StoreError> {
    let fault = |error| loader.site.sql("read the blocks of a pool", error);
    let sql = "SELECT id, first, allocated, resting, quarantined FROM block
               WHERE space = ?1 AND family = ?2 AND first BETWEEN ?3 AND ?4 ORDER BY first";
    let mut statement = loader.db.prepare_cached(sql).map_err(fault)?;
    let from = rows::number(ground.size.align(ground.ends.0));
    let extent = (ground.space.as_str(), rows::family(ground.family), from);
    let params = (extent.0, extent.1, extent.2, rows::number(ground.ends.1));
    let blocks = statement.query_map(params, |row| {
        let masks: [i64; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
        let busy = masks.into_iter().fold(0, |busy, mask| busy | mask.cast_unsigned());
        let first = u128::from_be_bytes(row.get(1)?);
        Ok(Stored { id: row.get(0)?, first, busy, rests: masks[1] != 0 })
    });
    blocks.and_then(Iterator::collect).map_err(fault)
}

fn pools_over(loader: &Loader<'_>, change: &Change<'_>) -> Result<Vec<Name>, StoreError> {
    let fault = |error| loader.site.sql("read the pools over a block", error);
    let sql = "SELECT pool FROM pool_prefix
               WHERE space = ?1 AND family = ?2 AND first <= ?4 AND last >= ?3
               AND first >= coalesce((SELECT max(first) FROM pool_prefix
                   WHERE space = ?1 AND family = ?2 AND first <= ?3), ?3)";
    let (space, family, first) = rows::block_name(change.key);
    let last = rows::number(rows::end(change.key.first, change.after.size().slots()));
    let mut statement = loader.db.prepare_cached(sql).map_err(fault)?;
    let names = statement
        .query_map((space, family, first, last), |row| row.get::<_, String>(0))
        .map_err(fault)?;
    let name = |text: String| Name::new(&text).map_err(|bad| loader.site.damaged(bad.to_string()));
    names.map(|text| text.map_err(fault).and_then(name)).collect()
}

/// A block became exhausted: its run takes in the runs on either side.
fn join(loader: &Loader<'_>, ground: &Ground, first: u128) -> Result<(), StoreError> {
    let mut run = (first, first);
    if let Some(left) = ground.block_before(first)
        && let Some(found) = run_of(loader, ground, left)?
    {
        remove_run(loader, ground, found.0)?;
        run.0 = found.0;
    }
    if let Some(right) = ground.block_after(first)
        && let Some(found) = run_of(loader, ground, right)?
    {
        remove_run(loader, ground, found.0)?;
        run.1 = found.1;
    }
    insert_run(loader, ground, run)
}

/// A block is no longer exhausted: its run falls into what is on either side.
fn part(loader: &Loader<'_>, ground: &Ground, first: u128) -> Result<(), StoreError> {
    let Some(run) = run_of(loader, ground, first)? else { return Ok(()) };
    remove_run(loader, ground, run.0)?;
    if let Some(left) = ground.block_before(first).filter(|left| run.0 <= *left) {
        insert_run(loader, ground, (run.0, left))?;
    }
    if let Some(right) = ground.block_after(first).filter(|right| *right <= run.1) {
        insert_run(loader, ground, (right, run.1))?;
    }
    Ok(())
}

fn run_of(
    loader: &Loader<'_>,
    ground: &Ground,
    first: u128,
) -> Result<Option<(u128, u128)>, StoreError> {
    let sql = "SELECT first, last FROM run WHERE pool = ?1 AND first <= ?2
               ORDER BY first DESC LIMIT 1";
    let found = loader.db.prepare_cached(sql).and_then(|mut statement| {
        let params = (ground.pool.as_str(), rows::number(first));
        let read = |row: &rusqlite::Row<'_>| {
            Ok((u128::from_be_bytes(row.get(0)?), u128::from_be_bytes(row.get(1)?)))
        };
        statement.query_row(params, read).optional()
    });
    let found = found.map_err(|error| loader.site.sql("read the runs of a pool", error))?;
    Ok(found.filter(|(_, last)| *last >= first))
}

fn insert_run(
    loader: &Loader<'_>,
    ground: &Ground,
    (first, last): (u128, u128),
) -> Result<(), StoreError> {
    let row = (ground.pool.as_str(), rows::number(first), rows::number(last));
    execute(loader, "INSERT OR REPLACE INTO run VALUES (?1, ?2, ?3)", row)
}

fn remove_run(loader: &Loader<'_>, ground: &Ground, first: u128) -> Result<(), StoreError> {
    let run = (ground.pool.as_str(), rows::number(first));
    execute(loader, "DELETE FROM run WHERE pool = ?1 AND first = ?2", run)
}
