//! Answering a [`Need`]: from tables into a partial view, exactly what a decision lacks.
//!
//! Called by `commit`, which asks for the decision again. Invariants:
//! 1. A decision on a partial view is the one that a complete view gives (`tests/conformance.rs`).
//! 2. What is loaded does not grow with the number of allocations: an exhausted stretch of a pool
//!    is one row of `run` (`a_full_pool_is_searched_in_few_steps`).

use crate::error::{Site, StoreError};
use crate::{object, rows};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};
use spiderpool_core::address::Range;
use spiderpool_core::event::{ObjectKey, Tombstone};
use spiderpool_core::name::Name;
use spiderpool_core::slots::BlockKey;
use spiderpool_core::view::{Need, Tally, View, Wanted};
use std::collections::BTreeSet;

/// The kinds of definitions, as the table numbers them.
pub(crate) const KINDS: [fn(Name) -> ObjectKey; 4] =
    [ObjectKey::Space, ObjectKey::Subnet, ObjectKey::Reservation, ObjectKey::Pool];

const POOL: i64 = 3;

/// Where the blocks of a pool lie: space, family, and the first and the last name of a block.
type Extent = (Name, i64, [u8; 16], [u8; 16]);

/// Loads from one transaction, and remembers what was asked of it.
pub(crate) struct Loader<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) site: &'a Site,
    asked: BTreeSet<Wanted>,
}

impl<'a> Loader<'a> {
    pub(crate) const fn new(db: &'a Connection, site: &'a Site) -> Self {
        Self { db, site, asked: BTreeSet::new() }
    }

    /// A partial view with what every decision looks at: spaces, subnets and reservations.
    pub(crate) fn start(&self) -> Result<View, StoreError> {
        let mut view = View::partial();
        self.definitions(&mut view, 0, POOL - 1)?;
        Ok(view)
    }

    /// A complete view of everything.
    pub(crate) fn everything(&self) -> Result<View, StoreError> {
        let mut view = View::complete();
        self.definitions(&mut view, 0, POOL)?;
        self.blocks(&mut view, "SELECT id FROM block ORDER BY space, family, first", ())?;
        self.tombstones(&mut view, "SELECT container FROM tombstone", ())?;
        Ok(view)
    }

    /// The name of every object that there is.
    pub(crate) fn names(&self) -> Result<BTreeSet<ObjectKey>, StoreError> {
        let mut names = BTreeSet::new();
        let mut rows = self.prepare("SELECT kind, name FROM definition")?;
        let mut rows = rows.query(()).map_err(|error| self.fault(error))?;
        while let Some(row) = rows.next().map_err(|error| self.fault(error))? {
            let read = || -> rusqlite::Result<(usize, String)> {
                Ok((row.get::<_, u32>(0)? as usize, row.get(1)?))
            };
            let (kind, name) = read().map_err(|error| self.fault(error))?;
            let name = self.name(&name)?;
            names.extend(KINDS.get(kind).map(|kind| kind(name)));
        }
        let mut rows = self.prepare("SELECT space, family, first, revision FROM block")?;
        let mut rows = rows.query(()).map_err(|error| self.fault(error))?;
        while let Some(row) = rows.next().map_err(|error| self.fault(error))? {
            names.insert(ObjectKey::Block(self.block_key(row)?.0));
        }
        let mut rows = self.prepare("SELECT container FROM tombstone")?;
        let mut rows = rows.query(()).map_err(|error| self.fault(error))?;
        while let Some(row) = rows.next().map_err(|error| self.fault(error))? {
            let container: String = row.get(0).map_err(|error| self.fault(error))?;
            names.insert(ObjectKey::Container(self.name(&container)?));
        }
        Ok(names)
    }

    /// Loads what a decision lacks; the view is replaced when it lacks everything.
    pub(crate) fn answer(&mut self, view: &mut View, need: &Need) -> Result<(), StoreError> {
        for wanted in &need.0 {
            let again = !self.asked.insert(wanted.clone());
            match wanted {
                Wanted::Everything => *view = self.everything()?,
                Wanted::Pools => {
                    self.definitions(view, POOL, POOL)?;
                    view.know_all_pools();
                }
                Wanted::Pool(name) => self.pool(view, name)?,
                Wanted::Owner(owner) => {
                    self.held(view, rows::owner_tag(owner.as_str()))?;
                    view.know_owner(owner);
                }
                Wanted::Container(container) => {
                    self.held(view, rows::container_tag(container))?;
                    self.tombstone(view, container)?;
                    view.know_container_all(container);
                }
                Wanted::Block { key, pool } => {
                    self.block_or_run(view, key, pool.as_ref().filter(|_| !again))?;
                }
                Wanted::Resting(pool) => self.resting(view, pool)?,
                Wanted::Quarantine(pool) => self.quarantine(view, pool)?,
                Wanted::Tally(pool) => self.tally(view, pool)?,
                Wanted::Tombstones(before_ms) => {
                    let sql = "SELECT container FROM tombstone WHERE at_ms < ?1";
                    self.tombstones(view, sql, [rows::whole(*before_ms)])?;
                    view.know_tombstones(*before_ms);
                }
            }
        }
        Ok(())
    }

    /// Puts in one pool, if there is one of that name.
    pub(crate) fn pool(&self, view: &mut View, name: &Name) -> Result<(), StoreError> {
        let row = self
            .prepare("SELECT revision, body FROM definition WHERE kind = ?1 AND name = ?2")?
            .query_row((POOL, name.as_str()), |row| Ok((row.get::<_, i64>(0)?, text(row, 1)?)))
            .optional()
            .map_err(|error| self.fault(error))?;
        if let Some((revision, body)) = row {
            let object = ObjectKey::Pool(name.clone());
            object::load(self.site, view, &object, (&body, rows::counter(revision)))?;
        }
        view.know_pool(name);
        Ok(())
    }

    fn definitions(&self, view: &mut View, from: i64, to: i64) -> Result<(), StoreError> {
        let mut rows = self.prepare(
            "SELECT kind, name, revision, body FROM definition WHERE kind BETWEEN ?1 AND ?2",
        )?;
        let mut rows = rows.query((from, to)).map_err(|error| self.fault(error))?;
        while let Some(row) = rows.next().map_err(|error| self.fault(error))? {
            let read = || -> rusqlite::Result<_> {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get(2)?, text(row, 3)?))
            };
            let (kind, name, revision, body) = read().map_err(|error| self.fault(error))?;
            let kind = usize::try_from(kind).ok().and_then(|kind| KINDS.get(kind));
            let Some(kind) = kind else {
                return Err(self.site.damaged("a definition is of no known kind"));
            };
            let object = kind(self.name(&name)?);
            if object_is_loaded(view, &object) {
                continue;
            }
            object::load(self.site, view, &object, (&body, rows::counter(revision)))?;
        }
        Ok(())
    }

    fn held(&self, view: &mut View, tag: i64) -> Result<(), StoreError> {
        self.blocks(view, "SELECT block AS id FROM holding WHERE tag = ?1", [tag])
    }

    /// Puts in the tombstones of the containers that a query gives.
    fn tombstones(
        &self,
        view: &mut View,
        containers: &str,
        params: impl Params,
    ) -> Result<(), StoreError> {
        let mut rows = self.prepare(containers)?;
        let mut rows = rows.query(params).map_err(|error| self.fault(error))?;
        while let Some(row) = rows.next().map_err(|error| self.fault(error))? {
            let container: String = row.get(0).map_err(|error| self.fault(error))?;
            self.tombstone(view, &self.name(&container)?)?;
        }
        Ok(())
    }

    fn tombstone(&self, view: &mut View, container: &Name) -> Result<(), StoreError> {
        let row = self
            .prepare("SELECT ticket, at_ms, revision FROM tombstone WHERE container = ?1")?
            .query_row([container.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()
            .map_err(|error| self.fault(error))?;
        if let Some((ticket, at_ms, revision)) = row {
            let tombstone =
                Tombstone { ticket: rows::counter(ticket), at_ms: rows::counter(at_ms) };
            view.load_tombstone(container, tombstone, rows::counter(revision));
        }
        Ok(())
    }

    fn block_or_run(
        &self,
        view: &mut View,
        key: &BlockKey,
        pool: Option<&Name>,
    ) -> Result<(), StoreError> {
        if let Some(pool) = pool
            && let Some((first, last)) = self.run(pool, key.first)?
        {
            let slots = view.block_size(&key.space, key.family).slots();
            view.know_exhausted(pool, first, rows::end(last, slots));
            return Ok(());
        }
        let (space, family, first) = rows::block_name(key);
        let sql = "SELECT id FROM block WHERE space = ?1 AND family = ?2 AND first = ?3";
        self.blocks(view, sql, (space, family, first))?;
        if matches!(view.block(key, None), Err(_) | Ok(None)) {
            view.know_absent(key);
        }
        Ok(())
    }

    /// The exhausted run of a pool that a block lies in: its first and its last block.
    fn run(&self, pool: &Name, first: u128) -> Result<Option<(u128, u128)>, StoreError> {
        let run = self
            .prepare(
                "SELECT first, last FROM run WHERE pool = ?1 AND first <= ?2
                 ORDER BY first DESC LIMIT 1",
            )?
            .query_row((pool.as_str(), rows::number(first)), |row| {
                Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 16]>(1)?))
            })
            .optional()
            .map_err(|error| self.fault(error))?;
        let run = run.map(|(from, to)| (u128::from_be_bytes(from), u128::from_be_bytes(to)));
        Ok(run.filter(|(_, last)| *last >= first))
    }

    fn resting(&self, view: &mut View, pool: &Name) -> Result<(), StoreError> {
        let sql =
            "SELECT block AS id FROM resting WHERE pool = ?1 ORDER BY since_ms, number LIMIT 16";
        self.blocks(view, sql, [pool.as_str()])?;
        view.know_resting_of(pool);
        Ok(())
    }

    fn quarantine(&self, view: &mut View, pool: &Name) -> Result<(), StoreError> {
        if let Some(over) = self.extent(view, pool)? {
            let sql = "SELECT id FROM block WHERE space = ?1 AND family = ?2
                       AND first BETWEEN ?3 AND ?4 AND quarantined <> 0";
            self.blocks(view, sql, (over.0.as_str(), over.1, over.2, over.3))?;
        }
        view.know_quarantine_of(pool);
        Ok(())
    }

    fn tally(&self, view: &mut View, pool: &Name) -> Result<(), StoreError> {
        let Some(over) = self.extent(view, pool)? else { return Ok(()) };
        let mut rows = self.prepare(
            "SELECT first, allocated, resting, quarantined FROM block
             WHERE space = ?1 AND family = ?2 AND first BETWEEN ?3 AND ?4",
        )?;
        let masks = rows.query_map((over.0.as_str(), over.1, over.2, over.3), |row| {
            let first = u128::from_be_bytes(row.get(0)?);
            let mask = |at| row.get(at).map(i64::cast_unsigned);
            Ok((first, [mask(1)?, mask(2)?, mask(3)?]))
        });
        let masks: Vec<_> = masks.and_then(Iterator::collect).map_err(|error| self.fault(error))?;
        if let Ok(Some(entry)) = view.pool(pool) {
            let tally = Tally::from_masks(entry, masks.into_iter());
            view.know_tally(pool, tally);
        }
        Ok(())
    }

    /// Where the blocks of a pool lie; `None` when there is no such pool.
    fn extent(&self, view: &mut View, pool: &Name) -> Result<Option<Extent>, StoreError> {
        if view.pool(pool).is_err() {
            self.pool(view, pool)?;
        }
        let Ok(Some(entry)) = view.pool(pool) else { return Ok(None) };
        let (first, last) = Range::of_prefix(entry.pool.prefix()).ends();
        let size = view.block_size(entry.pool.space(), entry.pool.family());
        let family = rows::family(entry.pool.family());
        let first = rows::number(size.align(first));
        Ok(Some((entry.pool.space().clone(), family, first, rows::number(last))))
    }

    /// Puts in the blocks whose ids a query gives, those that are there already left alone.
    pub(crate) fn blocks(
        &self,
        view: &mut View,
        ids: &str,
        params: impl Params,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT space, family, first, revision, body FROM ({ids}) CROSS JOIN block USING (id)"
        );
        let mut rows = self.prepare(&sql)?;
        let mut rows = rows.query(params).map_err(|error| self.fault(error))?;
        while let Some(row) = rows.next().map_err(|error| self.fault(error))? {
            let (key, revision) = self.block_key(row)?;
            if object_is_loaded(view, &ObjectKey::Block(key.clone())) {
                continue;
            }
            let body = row.get_ref(4).and_then(|value| Ok(value.as_blob()?));
            let body = body.map_err(|error| self.fault(error))?;
            object::load(self.site, view, &ObjectKey::Block(key), (body, revision))?;
        }
        Ok(())
    }

    fn block_key(&self, row: &Row<'_>) -> Result<(BlockKey, u64), StoreError> {
        let read = || -> rusqlite::Result<(String, i64, [u8; 16], i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        };
        let (space, family, first, revision) = read().map_err(|error| self.fault(error))?;
        let family = rows::family_of(family)
            .ok_or_else(|| self.site.damaged(format!("a block is of family {family}")))?;
        let first = u128::from_be_bytes(first);
        if first > family.last() {
            return Err(self.site.damaged("a block lies beyond the last address"));
        }
        let key = BlockKey { space: self.name(&space)?, family, first };
        Ok((key, rows::counter(revision)))
    }

    fn name(&self, text: &str) -> Result<Name, StoreError> {
        Name::new(text).map_err(|bad| self.site.damaged(bad.to_string()))
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.db.prepare_cached(sql).map_err(|error| self.fault(error))
    }

    fn fault(&self, error: rusqlite::Error) -> StoreError {
        self.site.sql("read the ledger", error)
    }
}

/// Whether a view has an object: its own state is ahead of the tables while events are applied.
fn object_is_loaded(view: &View, object: &ObjectKey) -> bool {
    view.revision(object) != 0
}

/// A column of text as bytes.
fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<u8>> {
    row.get::<_, String>(at).map(String::into_bytes)
}
