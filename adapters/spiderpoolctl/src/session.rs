//! What holds for a whole run: which store or cluster, which form of output, which time.
//!
//! Made by [`crate::cli`], handed to every command. Invariant: with `--now`, nothing that is printed
//! depends on the clock (`tests/cli/golden.rs`).

#[cfg(feature = "cluster")]
use crate::cluster::{Choice, Cluster, Extent};
use crate::definition::{Definition, Kind};
use crate::failure::Failure;
use crate::output::{Format, machine};
use serde::Serialize;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::view::View;
use spiderpool_kube::manifest::Manifest;
use spiderpool_store::{OpenOptions, Store, StoreError};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

/// The global arguments, as every command sees them.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What the command works on.
    pub(crate) target: Target,
    /// The form of output.
    pub(crate) format: Format,
    /// Whether escape sequences for colours may be printed.
    pub(crate) colour: bool,
    /// The time that tests set, in milliseconds since the Unix epoch.
    pub(crate) now_ms: Option<u64>,
}

/// What a command works on.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The embedded store in a directory.
    Store(PathBuf),
    /// A cluster's custom resources.
    #[cfg(feature = "cluster")]
    Cluster(Choice),
}

/// Everything that is known of addresses, wherever it was read.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    /// The state, complete.
    pub(crate) view: View,
    /// Of a cluster the manifests as they stand there; empty for the embedded store, whose definitions
    /// are all there is.
    pub(crate) written: BTreeMap<(Kind, Name), Manifest>,
}

impl Sight {
    /// The manifest of a definition.
    pub(crate) fn manifest(&self, definition: &Definition) -> Manifest {
        let key = (definition.kind(), definition.name().clone());
        self.written.get(&key).cloned().unwrap_or_else(|| definition.lower())
    }
}

impl Session {
    /// Time, and a new draw of chance; with `--now` both are fixed.
    pub(crate) fn moment(&self) -> Moment {
        if let Some(now_ms) = self.now_ms {
            return Moment { now_ms, seed: now_ms };
        }
        spiderpool_host::moment().unwrap_or_default()
    }

    /// Everything that is known of addresses, from the store or the cluster. What of a cluster cannot
    /// be read is told.
    pub(crate) fn sight(&self) -> Result<Sight, Failure> {
        #[cfg(feature = "cluster")]
        if let Some(cluster) = self.cluster()? {
            let state = cluster.state(self, Extent::Addresses)?;
            state.warn(self);
            return Ok(Sight { view: state.view(), written: state.written });
        }
        Ok(Sight { view: self.look()?.load_all()?, written: BTreeMap::new() })
    }

    /// The state of all addresses, as [`Session::sight`] sees it.
    pub(crate) fn view(&self) -> Result<View, Failure> {
        Ok(self.sight()?.view)
    }

    /// The cluster, connected; `None` when the command works on the embedded store.
    #[cfg(feature = "cluster")]
    pub(crate) fn cluster(&self) -> Result<Option<Cluster>, Failure> {
        match &self.target {
            Target::Store(_) => Ok(None),
            Target::Cluster(choice) => Cluster::connect(choice).map(Some),
        }
    }

    /// The store's directory.
    pub(crate) fn dir(&self) -> Result<&Path, Failure> {
        match &self.target {
            Target::Store(dir) => Ok(dir),
            #[cfg(feature = "cluster")]
            Target::Cluster(_) => Err(Failure::bad("this works on the embedded store only")
                .try_this("leave out --cluster, --kubeconfig and --context")),
        }
    }

    /// Refuses what only the embedded store can do, with what serves on a cluster.
    pub(crate) fn store_only(&self, what: &str, instead: &str) -> Result<(), Failure> {
        if self.is_on_store() { Ok(()) } else { Err(Failure::bad(what).try_this(instead)) }
    }

    /// Whether the command works on the embedded store.
    pub(crate) const fn is_on_store(&self) -> bool {
        match &self.target {
            Target::Store(_) => true,
            #[cfg(feature = "cluster")]
            Target::Cluster(_) => false,
        }
    }

    /// The store, for a look.
    pub(crate) fn look(&self) -> Result<Store, Failure> {
        Ok(Store::open(self.dir()?, OpenOptions::read_only())?)
    }

    /// The store, to change it.
    pub(crate) fn open(&self) -> Result<Store, Failure> {
        Ok(Store::open(self.dir()?, OpenOptions::default())?)
    }

    /// The store for a look, or `None` when there never was one.
    pub(crate) fn look_if_there(&self) -> Result<Option<Store>, Failure> {
        match Store::open(self.dir()?, OpenOptions::read_only()) {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The store to change it, made when there is none.
    pub(crate) fn open_or_create(&self) -> Result<Store, Failure> {
        Ok(Store::open(self.dir()?, OpenOptions::create())?)
    }

    /// Whether tables show their further columns.
    pub(crate) fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }

    /// Prints an answer: the value for programs, the text for people.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match machine(self.format, value) {
            Some(written) => self.print(&written?),
            None => self.print(&text()),
        }
    }

    /// Prints text as it is. Whoever has read enough and closed the pipe is not an error.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::world("cannot print the answer").because(&error))
            }
            _ => Ok(()),
        }
    }

    /// Tells people something that is no part of the answer.
    pub(crate) fn note(&self, text: &str) {
        // There is nobody left to tell when standard error is closed.
        let _ignored = writeln!(io::stderr(), "{text}").is_err();
    }

    /// Asks before something is done, if there is a person to ask.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes || !io::stdin().is_terminal() {
            return Ok(());
        }
        self.note(&format!("{question} [y/N]"));
        let mut line = String::new();
        io::stdin()
            .read_line(&mut line)
            .map_err(|error| Failure::world("cannot read the confirmation").because(&error))?;
        if matches!(line.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(Failure::bad("not confirmed; nothing was changed")
                .try_this("say yes, or give --yes"))
        }
    }

    /// Text in a colour, when colours are shown.
    pub(crate) fn paint(&self, colour: Colour, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", colour.code()) } else { text.to_owned() }
    }
}

/// The few colours that are used, all of them beside words that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// What is well.
    Green,
    /// What is not.
    Red,
    /// What to look at.
    Yellow,
}

impl Colour {
    const fn code(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
        }
    }
}

/// This host's name, as the kernel has it; the name that a plugin without a node name uses.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
