//! One command at a time: load, decide, write, make durable, answer.
//!
//! Called by every adapter through [`Store::execute`]. Invariants:
//! 1. An answer is given only when its commit is on the disk (`the_reply_comes_after_the_fsync`).
//! 2. A refusal, an error and a decision without writes leave the file as it was
//!    (`what_changes_nothing_writes_nothing`).
//! 3. Every commit counts: [`Store::revision`] grows with each, so that it tells an ADD that came
//!    before a DEL from one that came after (`tickets_order_verbs`).

use crate::error::{StoreError, violation};
use crate::load::Loader;
use crate::open::Store;
use crate::witness::Extra;
use crate::{ballast, journal, witness, write};
use rusqlite::Connection;
use spiderpool_core::command::{Answer, Command, Decision};
use spiderpool_core::decide::{decide, explain};
use spiderpool_core::event::Revision;
use spiderpool_core::moment::Moment;
use spiderpool_core::refusal::{Obstacle, Shortlist};
use spiderpool_core::request::Request;
use spiderpool_core::view::{Need, View};
use std::borrow::Cow;

/// How often a decision may ask for more before it is a bug.
const ROUNDS_MAX: usize = 1_000;

impl Store {
    /// Has a command decided, commits what it writes together with `extra`, and answers when both
    /// are on the disk. A `Release` is given the latest ticket, so that no ADD that came before it
    /// is overlooked.
    ///
    /// On a full disk what gives back ([`Command::Release`], [`Command::Reclaim`],
    /// [`Command::Collect`], [`Command::Tidy`]) uses the room of the ballast.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the rules say no; [`StoreError::Busy`], [`StoreError::Full`],
    /// [`StoreError::ReadOnly`], [`StoreError::Damaged`], [`StoreError::Replaced`] and
    /// [`StoreError::Fault`] as the world fails: then nothing was committed.
    pub fn execute(
        &self,
        command: &Command,
        moment: Moment,
        extra: &Extra,
    ) -> Result<Answer, StoreError> {
        let gives_back = gives_back(command);
        if !gives_back && !self.options.read_only {
            ballast::require(&self.site)?;
        }
        match self.attempt(command, moment, (extra, false)) {
            Err(StoreError::Full { .. }) if gives_back && ballast::give_up(&self.site)? => {
                self.attempt(command, moment, (extra, true))
            }
            outcome => outcome,
        }
    }

    /// Has commands decided one after the other, each on what the earlier ones left, and commits
    /// them all or none: for a set of definitions, or an import.
    ///
    /// # Errors
    /// The position of the command that failed, with what [`Store::execute`] would say of it;
    /// nothing was committed then. A failure of the commit itself names the last command.
    pub fn execute_all(
        &self,
        commands: &[Command],
        moment: Moment,
        extra: &Extra,
    ) -> Result<Vec<Answer>, (usize, StoreError)> {
        let last = commands.len().saturating_sub(1);
        ballast::require(&self.site).map_err(|error| (0, error))?;
        let db = self.db();
        let tx = self.begin_write(&db).map_err(|error| (0, error))?;
        let mut answers = Vec::with_capacity(commands.len());
        for (at, command) in commands.iter().enumerate() {
            let (answer, _) =
                self.carry_out(&tx, command, moment, false).map_err(|error| (at, error))?;
            answers.push(answer);
        }
        self.note(&tx, extra).map_err(|error| (last, error))?;
        let doing = "write the ledger";
        tx.commit().map_err(|error| (last, self.site.sql(doing, error)))?;
        self.shorten_log(&db);
        Ok(answers)
    }

    fn attempt(
        &self,
        command: &Command,
        moment: Moment,
        (extra, is_tight): (&Extra, bool),
    ) -> Result<Answer, StoreError> {
        let db = self.db();
        let tx = self.begin_write(&db)?;
        let overtaken = witness::overtaken(&tx, extra)
            .map_err(|error| self.site.sql("read the witnesses", error))?;
        if let Some((container, attachment)) = overtaken {
            let (container, attachment) = (container.to_string(), attachment.to_string());
            return Err(StoreError::Overtaken { container, attachment });
        }
        let (answer, has_written) = self.carry_out(&tx, command, moment, is_tight)?;
        if self.note(&tx, extra)? || has_written {
            tx.commit().map_err(|error| self.site.sql("write the ledger", error))?;
            self.shorten_log(&db);
        }
        Ok(answer)
    }

    fn note(&self, tx: &Connection, extra: &Extra) -> Result<bool, StoreError> {
        witness::store(tx, extra).map_err(|error| self.site.sql("write the ledger", error))
    }

    /// Decides one command on the present state and writes what follows; whether anything did.
    fn carry_out(
        &self,
        tx: &Connection,
        command: &Command,
        moment: Moment,
        is_tight: bool,
    ) -> Result<(Answer, bool), StoreError> {
        let revision = journal::last(&self.site, tx)?;
        let command = with_ticket(command, revision);
        let mut loader = Loader::new(tx, &self.site);
        let mut view = loader.start()?;
        let decision = settle(&mut loader, &mut view, |view| decide(view, &command, moment))?;
        let has_written = !decision.writes.is_empty();
        if has_written {
            write::commit(&loader, &mut view, &decision.writes, revision + 1)?;
            journal::append(&loader, revision + 1, &command, moment, &decision)?;
            journal::prune(&loader, self.options.journal, moment, is_tight)?;
        }
        Ok((decision.answer, has_written))
    }

    /// Decides without writing: for explanations and simulations.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the rules say no; others as any read.
    pub fn ask(&self, command: &Command, moment: Moment) -> Result<Decision, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let command = with_ticket(command, journal::last(&self.site, &tx)?);
        let mut loader = Loader::new(&tx, &self.site);
        let mut view = loader.start()?;
        settle(&mut loader, &mut view, |view| decide(view, &command, moment))
    }

    /// What a question about a part of the ledger gives, loading only what it looks at.
    ///
    /// # Errors
    /// As any read: [`StoreError::Busy`], [`StoreError::Damaged`], [`StoreError::Fault`].
    pub fn look<T>(&self, question: impl Fn(&View) -> Result<T, Need>) -> Result<T, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let mut loader = Loader::new(&tx, &self.site);
        let mut view = loader.start()?;
        settle(&mut loader, &mut view, |view| question(view).map_err(Obstacle::Need))
    }

    /// Says nothing when an allocation could be written: the store is writable and has room.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::ReadOnly`], and others as any write.
    pub fn require_room(&self) -> Result<(), StoreError> {
        ballast::require(&self.site)?;
        let db = self.db();
        let tx = self.begin_write(&db)?;
        // Removing what is not there writes nothing, but has to be allowed to.
        tx.execute("DELETE FROM witness WHERE container = ''", ())
            .map_err(|error| self.site.sql("write the ledger", error))?;
        Ok(())
    }

    /// Everything that is weighed for a request, whether it would succeed or not.
    ///
    /// # Errors
    /// As [`Store::ask`]; a request for which there are no addresses is not an error here.
    pub fn explain(&self, request: &Request, moment: Moment) -> Result<Shortlist, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        let mut loader = Loader::new(&tx, &self.site);
        let mut view = loader.start()?;
        settle(&mut loader, &mut view, |view| explain(view, request, moment))
    }

    /// How many commits there have been: the ticket of a verb that arrives. An ADD reads it before
    /// it takes its container's lock.
    ///
    /// # Errors
    /// As any read: [`StoreError::Busy`], [`StoreError::Damaged`], [`StoreError::Fault`].
    pub fn revision(&self) -> Result<Revision, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        journal::last(&self.site, &tx)
    }

    /// Everything there is, at one moment.
    ///
    /// # Errors
    /// As any read: [`StoreError::Busy`], [`StoreError::Damaged`], [`StoreError::Fault`].
    pub fn load_all(&self) -> Result<View, StoreError> {
        let db = self.db();
        let tx = self.begin_read(&db)?;
        Loader::new(&tx, &self.site).everything()
    }

    /// What a question about everything gives.
    ///
    /// # Errors
    /// As [`Store::load_all`].
    pub fn read<T>(&self, question: impl FnOnce(&View) -> T) -> Result<T, StoreError> {
        self.load_all().map(|view| question(&view))
    }
}

/// Whether a command ends allocations and adds none.
const fn gives_back(command: &Command) -> bool {
    match command {
        Command::Release(_)
        | Command::Reclaim(_)
        | Command::Collect(_)
        | Command::Clear(_)
        | Command::Tidy { .. } => true,
        Command::DefineSpace(_)
        | Command::DefineSubnet(_)
        | Command::RemoveSubnet(_)
        | Command::DefineReservation(_)
        | Command::RemoveReservation(_)
        | Command::DefinePool(_)
        | Command::RemovePool(_)
        | Command::Allocate(_)
        | Command::Hold(_)
        | Command::Conflict(_) => false,
    }
}

/// A release covers every request that arrived before it is committed.
fn with_ticket(command: &Command, revision: Revision) -> Cow<'_, Command> {
    if let Command::Release(release) = command
        && release.ticket < revision
    {
        let mut release = release.clone();
        release.ticket = revision;
        return Cow::Owned(Command::Release(release));
    }
    Cow::Borrowed(command)
}

/// Asks for a decision, loads what it lacks, and asks again.
fn settle<T>(
    loader: &mut Loader<'_>,
    view: &mut View,
    question: impl Fn(&View) -> Result<T, Obstacle>,
) -> Result<T, StoreError> {
    for _ in 0..ROUNDS_MAX {
        match question(view) {
            Ok(answer) => return Ok(answer),
            Err(Obstacle::Need(need)) => loader.answer(view, &need)?,
            Err(Obstacle::Refusal(refusal)) => return Err(StoreError::Refused(refusal)),
        }
    }
    Err(violation(format!("a decision was not made in {ROUNDS_MAX} rounds")))
}

/// The number of the last commit, in a database that is open.
pub(crate) fn query_last(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) FROM journal")?.query_row((), |row| row.get(0))
}
