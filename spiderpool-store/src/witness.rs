//! What an adapter noted of each attachment: by which boot and in which namespace it was made.
//!
//! The text is the adapter's own; the store keeps it in the same transaction as the grant, so that
//! what a reboot or a lost DEL left behind can be told from what lives. Invariant: a witness is there
//! exactly when its commit is (`tests/crash.rs`).

use crate::error::StoreError;
use crate::open::Store;
use rusqlite::{Connection, OptionalExtension, Result as SqlResult};
use spiderpool_core::name::Name;

/// What is known of one attachment from outside of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Witness {
    /// The container id.
    pub container: Name,
    /// The interface.
    pub attachment: Name,
    /// The adapter's text, such as JSON with boot id, namespace path, device and inode.
    pub body: String,
}

/// What is committed together with a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Witnesses to write, in place of older ones of the same attachment.
    pub add: Vec<Witness>,
    /// Witnesses to remove: of one attachment, or of all of a container.
    pub remove: Vec<(Name, Option<Name>)>,
    /// Witnesses that the command rests on: when one of them is not there or reads otherwise, nothing
    /// is done ([`StoreError::Overtaken`]).
    pub expect: Vec<Witness>,
    /// Attachments (container id and interface) that the command takes to have no witness: when one
    /// has, nothing is done ([`StoreError::Overtaken`]).
    pub absent: Vec<(Name, Name)>,
}

impl Store {
    /// Every witness, in the order of container and attachment.
    ///
    /// # Errors
    /// As any read: [`StoreError::Busy`], [`StoreError::Damaged`], [`StoreError::Fault`].
    pub fn witnesses(&self) -> Result<Vec<Witness>, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let fault = |error| self.site.sql("read the witnesses", error);
        let mut rows =
            tx.prepare_cached("SELECT container, attachment, body FROM witness").map_err(fault)?;
        let rows = rows
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
            })
            .map_err(fault)?;
        rows.map(|row| {
            let (container, attachment, body) = row.map_err(fault)?;
            let name =
                |text: &str| Name::new(text).map_err(|bad| self.site.damaged(bad.to_string()));
            Ok(Witness { container: name(&container)?, attachment: name(&attachment)?, body })
        })
        .collect()
    }
}

/// The first attachment whose witness is not as it was expected to be.
pub(crate) fn overtaken<'a>(
    db: &Connection,
    extra: &'a Extra,
) -> SqlResult<Option<(&'a Name, &'a Name)>> {
    for Witness { container, attachment, body } in &extra.expect {
        if stored(db, container, attachment)?.as_deref() != Some(body) {
            return Ok(Some((container, attachment)));
        }
    }
    for (container, attachment) in &extra.absent {
        if stored(db, container, attachment)?.is_some() {
            return Ok(Some((container, attachment)));
        }
    }
    Ok(None)
}

fn stored(db: &Connection, container: &Name, attachment: &Name) -> SqlResult<Option<String>> {
    db.prepare_cached("SELECT body FROM witness WHERE container = ?1 AND attachment = ?2")?
        .query_row((container.as_str(), attachment.as_str()), |row| row.get(0))
        .optional()
}

/// Writes what differs; `false` when nothing did.
pub(crate) fn store(db: &Connection, extra: &Extra) -> SqlResult<bool> {
    let mut changed = 0;
    for (container, attachment) in &extra.remove {
        changed += match attachment {
            Some(attachment) => db
                .prepare_cached("DELETE FROM witness WHERE container = ?1 AND attachment = ?2")?
                .execute((container.as_str(), attachment.as_str()))?,
            None => db
                .prepare_cached("DELETE FROM witness WHERE container = ?1")?
                .execute([container.as_str()])?,
        };
    }
    for witness in &extra.add {
        let old = stored(db, &witness.container, &witness.attachment)?;
        if old.as_deref() != Some(&witness.body) {
            changed +=
                db.prepare_cached("INSERT OR REPLACE INTO witness VALUES (?1, ?2, ?3)")?.execute(
                    (witness.container.as_str(), witness.attachment.as_str(), &witness.body),
                )?;
        }
    }
    Ok(changed > 0)
}
