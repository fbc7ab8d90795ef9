//! Checking a store from end to end: pages, blocks, what is derived from them, and the rules.
//!
//! Called by `spiderpoolctl audit`, by `restore`, and at the end of the crate's tests; never when a
//! store is opened, since its cost grows with the file. Invariant: whatever is wrong is listed, and
//! nothing is mended (`a_forged_row_is_found`).

use crate::derived::Ground;
use crate::error::{Site, StoreError};
use crate::load::Loader;
use crate::open::Store;
use crate::{object, rows};
use rusqlite::{Connection, Params, Row};
use serde::{Deserialize, Serialize};
use spiderpool_core::audit::{Violation, audit};
use spiderpool_core::slots::{Block, BlockKey};
use spiderpool_core::view::View;
use std::collections::BTreeSet;
use std::fmt;

/// What a check of the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Where the file is damaged, or its tables do not agree.
    pub discrepancies: Vec<Discrepancy>,
    /// Where the state violates the rules of the ledger.
    pub violations: Vec<Violation>,
}

impl CheckReport {
    /// Whether nothing was found.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.discrepancies.is_empty() && self.violations.is_empty()
    }
}

/// One thing that does not agree within the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Discrepancy {
    /// SQLite finds its pages out of order.
    Page(String),
    /// An object cannot be read.
    Unreadable(String),
    /// The masks of a block do not say what its body says.
    Masks(BlockKey),
    /// The index from owners and containers to blocks misses entries or has others.
    Holding {
        /// Entries that are not there.
        missing: usize,
        /// Entries that should not be there.
        stray: usize,
    },
    /// The exhausted runs of a pool do not follow from its blocks.
    Runs(String),
    /// The resting addresses of a pool do not follow from its blocks.
    Resting(String),
    /// The row that finds a pool from its blocks is missing or wrong.
    Prefixes,
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(what) => write!(f, "a page is damaged: {what}"),
            Self::Unreadable(what) => f.write_str(what),
            Self::Masks(key) => write!(f, "the masks of block {key} do not say what it says"),
            Self::Holding { missing, stray } => {
                write!(
                    f,
                    "the index of holders misses {missing} entries and has {stray} stray ones"
                )
            }
            Self::Runs(pool) => write!(f, "the exhausted runs of pool {pool} are wrong"),
            Self::Resting(pool) => write!(f, "the resting addresses of pool {pool} are wrong"),
            Self::Prefixes => f.write_str("the index of pool prefixes is wrong"),
        }
    }
}

impl Store {
    /// Checks everything there is. The cost grows with the file.
    ///
    /// # Errors
    /// [`StoreError::Busy`] and [`StoreError::Fault`]; damage is in the report.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        check(&tx, &self.site)
    }
}

pub(crate) fn check(db: &Connection, site: &Site) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    match examine(db, site, &mut report) {
        Err(error @ StoreError::Damaged { .. }) => {
            report.discrepancies.push(Discrepancy::Unreadable(error.to_string()));
            Ok(report)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(report),
    }
}

fn examine(db: &Connection, site: &Site, report: &mut CheckReport) -> Result<(), StoreError> {
    let found = &mut report.discrepancies;
    let pages: Vec<String> = select(db, site, "PRAGMA integrity_check", (), |row| row.get(0))?;
    found.extend(pages.into_iter().filter(|page| page != "ok").map(Discrepancy::Page));
    let loader = Loader::new(db, site);
    let view = loader.everything()?;
    let blocks: Vec<(BlockKey, &Block)> =
        view.blocks().map_err(|need| site.damaged(need.to_string()))?.collect();
    check_masks(db, site, &view, found)?;
    check_holdings(db, site, &blocks, found)?;
    let mut prefixes = BTreeSet::new();
    let pools = view.pools().map_err(|need| site.damaged(need.to_string()))?;
    for ground in pools.filter_map(|entry| Ground::of(&view, entry.pool.name())) {
        let ends = (rows::number(ground.ends.0), rows::number(ground.ends.1));
        let family = rows::family(ground.family);
        prefixes.insert((
            ground.space.to_string(),
            family,
            ends.0,
            ends.1,
            ground.pool.to_string(),
        ));
        check_pool(db, site, &ground, &blocks, found)?;
    }
    let stored =
        select(db, site, "SELECT space, family, first, last, pool FROM pool_prefix", (), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
    if stored.into_iter().collect::<BTreeSet<_>>() != prefixes {
        found.push(Discrepancy::Prefixes);
    }
    for pool in
        select(db, site, "SELECT pool FROM run UNION SELECT pool FROM resting", (), |row| {
            row.get(0)
        })?
    {
        let pool: String = pool;
        if !matches!(view.pool(&pool), Ok(Some(_))) {
            found.push(Discrepancy::Runs(pool));
        }
    }
    report.violations = audit(&view).map_err(|need| site.damaged(need.to_string()))?.violations;
    Ok(())
}

fn check_masks(
    db: &Connection,
    site: &Site,
    view: &View,
    found: &mut Vec<Discrepancy>,
) -> Result<(), StoreError> {
    let sql = "SELECT space, family, first, allocated, resting, quarantined, body FROM block";
    let stored = select(db, site, sql, (), |row| {
        let masks: [i64; 3] = [row.get(3)?, row.get(4)?, row.get(5)?];
        let first = u128::from_be_bytes(row.get(2)?);
        Ok((row.get::<_, String>(0)?, row.get(1)?, first, masks, row.get::<_, Vec<u8>>(6)?))
    })?;
    for (space, family, first, masks, body) in stored {
        let space = spiderpool_core::name::Name::new(&space);
        let (Ok(space), Some(family)) = (space, rows::family_of(family)) else { continue };
        let key = BlockKey { space, family, first };
        let block = object::decode_block(site, &key.to_string(), &body)?;
        let fits = block.size() == view.block_size(&key.space, family);
        if !fits || rows::masks(&block) != masks {
            found.push(Discrepancy::Masks(key));
        }
    }
    Ok(())
}

fn check_holdings(
    db: &Connection,
    site: &Site,
    blocks: &[(BlockKey, &Block)],
    found: &mut Vec<Discrepancy>,
) -> Result<(), StoreError> {
    let mut expected = BTreeSet::new();
    for (key, block) in blocks {
        let sql = "SELECT id FROM block WHERE space = ?1 AND family = ?2 AND first = ?3";
        let ids: Vec<i64> = select(db, site, sql, rows::block_name(key), |row| row.get(0))?;
        let tags = rows::tags(block);
        expected.extend(ids.iter().flat_map(|id| tags.iter().map(move |tag| (*tag, *id))));
    }
    let stored: Vec<(i64, i64)> = select(db, site, "SELECT tag, block FROM holding", (), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let stored: BTreeSet<_> = stored.into_iter().collect();
    if stored != expected {
        let missing = expected.difference(&stored).count();
        found.push(Discrepancy::Holding { missing, stray: stored.difference(&expected).count() });
    }
    Ok(())
}

fn check_pool(
    db: &Connection,
    site: &Site,
    ground: &Ground,
    blocks: &[(BlockKey, &Block)],
    found: &mut Vec<Discrepancy>,
) -> Result<(), StoreError> {
    let from = ground.size.align(ground.ends.0);
    let under = |key: &BlockKey| {
        key.space == ground.space
            && key.family == ground.family
            && (from..=ground.ends.1).contains(&key.first)
    };
    let here: Vec<_> = blocks.iter().filter(|(key, _)| under(key)).collect();
    let runs = ground.runs(here.iter().map(|(key, block)| (key.first, block.busy())));
    let pool = ground.pool.to_string();
    let sql = "SELECT first, last FROM run WHERE pool = ?1 ORDER BY first";
    let stored: Vec<(u128, u128)> = select(db, site, sql, [&pool], |row| {
        Ok((u128::from_be_bytes(row.get(0)?), u128::from_be_bytes(row.get(1)?)))
    })?;
    if stored != runs {
        found.push(Discrepancy::Runs(pool.clone()));
    }
    let rests = here.iter().flat_map(|(key, block)| ground.rests(key.first, block));
    let rests: BTreeSet<_> = rests.map(|(since, number)| (rows::whole(since), number)).collect();
    let sql = "SELECT since_ms, number FROM resting WHERE pool = ?1";
    let stored: Vec<(i64, u128)> =
        select(db, site, sql, [&pool], |row| Ok((row.get(0)?, u128::from_be_bytes(row.get(1)?))))?;
    if stored.into_iter().collect::<BTreeSet<_>>() != rests {
        found.push(Discrepancy::Resting(pool));
    }
    Ok(())
}

fn select<T>(
    db: &Connection,
    site: &Site,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let rows = db.prepare(sql).and_then(|mut rows| {
        let rows: rusqlite::Result<Vec<T>> = rows.query_map(params, read)?.collect();
        rows
    });
    rows.map_err(|error| site.sql("check the ledger", error))
}
