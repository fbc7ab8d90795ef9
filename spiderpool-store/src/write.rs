//! Writing out what a decision changed, with everything that is derived from it.
//!
//! Called by `commit`, inside its transaction. Invariants:
//! 1. A write whose base is not what is stored is a bug, and nothing is committed.
//! 2. `holding`, `run` and `resting` follow the blocks in the same transaction
//!    (`Store::check` compares them; every test of the crate ends with it).

use crate::derived::{self, Change};
use crate::error::{StoreError, violation};
use crate::load::Loader;
use crate::{object, rows};
use rusqlite::{OptionalExtension, Params};
use spiderpool_core::address::Range;
use spiderpool_core::event::{ObjectKey, Revision, Write};
use spiderpool_core::name::Name;
use spiderpool_core::slots::{Block, BlockKey};
use spiderpool_core::view::View;
use std::collections::{BTreeMap, BTreeSet};

/// Applies the writes to the view and to the tables; every changed object gets `revision`.
pub(crate) fn commit(
    loader: &Loader<'_>,
    view: &mut View,
    writes: &[Write],
    revision: Revision,
) -> Result<(), StoreError> {
    let mut before: BTreeMap<BlockKey, Option<Block>> = BTreeMap::new();
    for write in writes {
        judge_base(loader, view, write)?;
        if let ObjectKey::Container(container) = &write.object {
            // The decision is made: from here on the view only has to tell what it became.
            view.know_container_all(container);
        }
        if let ObjectKey::Block(key) = &write.object {
            let block = view.block(key, None).ok().flatten().cloned();
            before.entry(key.clone()).or_insert(block);
        }
    }
    for write in writes {
        for event in &write.events {
            view.apply(&write.object, event);
        }
        view.committed(&write.object, revision);
    }
    let mut touched = BTreeSet::new();
    for write in writes {
        touched.extend(store(loader, view, &write.object, revision)?);
    }
    for (key, before) in &before {
        let Ok(Some(after)) = view.block(key, None) else {
            return Err(violation(format!("block {key} is gone after its events")));
        };
        let after = after.clone();
        let id = block_id(loader, key)?;
        hold(loader, id, before.as_ref(), &after)?;
        derived::follow(loader, view, &Change { key, id, before: before.as_ref(), after: &after })?;
    }
    for pool in &touched {
        derived::rebuild(loader, view, pool)?;
    }
    Ok(())
}

/// The revision that is stored has to be the one that was decided on.
fn judge_base(loader: &Loader<'_>, view: &View, write: &Write) -> Result<(), StoreError> {
    let stored = stored_revision(loader, &write.object)?;
    if stored == write.base && view.revision(&write.object) == write.base {
        return Ok(());
    }
    Err(violation(format!(
        "the write to {} is based on revision {}, but {stored} is stored",
        write.object, write.base
    )))
}

fn stored_revision(loader: &Loader<'_>, object: &ObjectKey) -> Result<Revision, StoreError> {
    let found = match object {
        ObjectKey::Block(key) => {
            let (space, family, first) = rows::block_name(key);
            number(
                loader,
                "SELECT revision FROM block WHERE space = ?1 AND family = ?2 AND first = ?3",
                (space, family, first),
            )?
        }
        ObjectKey::Container(name) => {
            let sql = "SELECT revision FROM tombstone WHERE container = ?1";
            number(loader, sql, [name.as_str()])?
        }
        ObjectKey::Space(name)
        | ObjectKey::Subnet(name)
        | ObjectKey::Reservation(name)
        | ObjectKey::Pool(name) => {
            let sql = "SELECT revision FROM definition WHERE kind = ?1 AND name = ?2";
            number(loader, sql, (kind(object), name.as_str()))?
        }
    };
    Ok(found.map_or(0, rows::counter))
}

/// The number of a kind of definition, as [`crate::load::KINDS`] lists them.
const fn kind(object: &ObjectKey) -> i64 {
    match object {
        ObjectKey::Space(_) => 0,
        ObjectKey::Subnet(_) => 1,
        ObjectKey::Reservation(_) => 2,
        ObjectKey::Pool(_) => 3,
        ObjectKey::Block(_) | ObjectKey::Container(_) => -1,
    }
}

/// Writes one object as the view has it. Gives the pools whose derived rows have to be made anew.
fn store(
    loader: &Loader<'_>,
    view: &View,
    object: &ObjectKey,
    revision: Revision,
) -> Result<BTreeSet<Name>, StoreError> {
    let revision = rows::whole(revision);
    let body = object::encode(view, object)?;
    match object {
        ObjectKey::Block(key) => store_block(loader, view, key, revision)?,
        ObjectKey::Container(name) => store_tombstone(loader, view, name, revision)?,
        ObjectKey::Space(name)
        | ObjectKey::Subnet(name)
        | ObjectKey::Reservation(name)
        | ObjectKey::Pool(name) => {
            let key = (kind(object), name.as_str());
            if let Some(body) = body {
                let body = String::from_utf8(body).map_err(|bad| violation(bad.to_string()))?;
                let sql = "INSERT OR REPLACE INTO definition VALUES (?1, ?2, ?3, ?4)";
                execute(loader, sql, (key.0, key.1, revision, body))?;
            } else {
                execute(loader, "DELETE FROM definition WHERE kind = ?1 AND name = ?2", key)?;
            }
        }
    }
    match object {
        ObjectKey::Pool(name) => {
            store_prefix(loader, view, name)?;
            Ok(BTreeSet::from([name.clone()]))
        }
        ObjectKey::Reservation(_) => pools(loader),
        ObjectKey::Block(_)
        | ObjectKey::Container(_)
        | ObjectKey::Space(_)
        | ObjectKey::Subnet(_) => Ok(BTreeSet::new()),
    }
}

fn store_block(
    loader: &Loader<'_>,
    view: &View,
    key: &BlockKey,
    revision: i64,
) -> Result<(), StoreError> {
    let Ok(Some(block)) = view.block(key, None) else {
        return Err(violation(format!("block {key} is gone after its events")));
    };
    let (space, family, first) = rows::block_name(key);
    let [allocated, resting, quarantined] = rows::masks(block);
    let body = object::encode_block(block)?;
    execute(
        loader,
        "INSERT INTO block (space, family, first, allocated, resting, quarantined, revision, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (space, family, first) DO UPDATE SET
         allocated = ?4, resting = ?5, quarantined = ?6, revision = ?7, body = ?8",
        (space, family, first, allocated, resting, quarantined, revision, body),
    )
}

fn store_tombstone(
    loader: &Loader<'_>,
    view: &View,
    container: &Name,
    revision: i64,
) -> Result<(), StoreError> {
    let tombstone = view.tombstone(container);
    let tombstone = tombstone.map_err(|need| violation(need.to_string()))?;
    let Some(tombstone) = tombstone else {
        return execute(loader, "DELETE FROM tombstone WHERE container = ?1", [container.as_str()]);
    };
    let (ticket, at_ms) = (rows::whole(tombstone.ticket), rows::whole(tombstone.at_ms));
    execute(
        loader,
        "INSERT OR REPLACE INTO tombstone VALUES (?1, ?2, ?3, ?4)",
        (container.as_str(), ticket, at_ms, revision),
    )
}

/// Keeps the row that finds a pool from a block under it.
fn store_prefix(loader: &Loader<'_>, view: &View, pool: &Name) -> Result<(), StoreError> {
    execute(loader, "DELETE FROM pool_prefix WHERE pool = ?1", [pool.as_str()])?;
    if let Ok(Some(entry)) = view.pool(pool) {
        let (first, last) = Range::of_prefix(entry.pool.prefix()).ends();
        let (space, family) = (entry.pool.space(), rows::family(entry.pool.family()));
        let ends = (rows::number(first), rows::number(last));
        let row = (space.as_str(), family, ends.0, ends.1, pool.as_str());
        execute(loader, "INSERT INTO pool_prefix VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
    }
    Ok(())
}

fn pools(loader: &Loader<'_>) -> Result<BTreeSet<Name>, StoreError> {
    let fault = |error| loader.site.sql("read the pools", error);
    let mut rows = loader.db.prepare_cached("SELECT pool FROM pool_prefix").map_err(fault)?;
    let names = rows.query_map((), |row| row.get::<_, String>(0)).map_err(fault)?;
    let name = |text: String| Name::new(&text).map_err(|bad| loader.site.damaged(bad.to_string()));
    names.map(|text| text.map_err(fault).and_then(name)).collect()
}

/// Brings `holding` from a block's former state to its present one.
fn hold(
    loader: &Loader<'_>,
    id: i64,
    before: Option<&Block>,
    after: &Block,
) -> Result<(), StoreError> {
    let (old, new) = (before.map(rows::tags).unwrap_or_default(), rows::tags(after));
    for tag in old.difference(&new) {
        execute(loader, "DELETE FROM holding WHERE tag = ?1 AND block = ?2", (tag, id))?;
    }
    for tag in new.difference(&old) {
        execute(loader, "INSERT OR IGNORE INTO holding VALUES (?1, ?2)", (tag, id))?;
    }
    Ok(())
}

fn block_id(loader: &Loader<'_>, key: &BlockKey) -> Result<i64, StoreError> {
    let sql = "SELECT id FROM block WHERE space = ?1 AND family = ?2 AND first = ?3";
    number(loader, sql, rows::block_name(key))?
        .ok_or_else(|| violation(format!("block {key} was written and is not there")))
}

fn number(loader: &Loader<'_>, sql: &str, params: impl Params) -> Result<Option<i64>, StoreError> {
    let found = loader
        .db
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(params, |row| row.get(0)).optional());
    found.map_err(|error| loader.site.sql("read the ledger", error))
}

pub(crate) fn execute(
    loader: &Loader<'_>,
    sql: &str,
    params: impl Params,
) -> Result<(), StoreError> {
    let done = loader.db.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
    done.map(drop).map_err(|error| loader.site.sql("write the ledger", error))
}
