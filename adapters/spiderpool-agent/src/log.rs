//! The log: one line for each thing that happened, as text or as JSON, on standard error.
//!
//! Invariants:
//! 1. The level follows the configuration without a restart (`the_level_follows`).
//! 2. Libraries are heard from `warn` on, and at `trace` wholly (`the_level_follows`).

use clap::ValueEnum;
use std::io;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One JSON object
    #[default]
    Json,
    /// Text, for people
    Text,
}

/// Turns the level of the log up and down.
#[derive(Clone, Debug)]
pub struct Volume {
    handle: Handle<Targets, Registry>,
    /// What counts where the configuration says nothing.
    given: LevelFilter,
}

/// What is let through at a level: of the libraries only what is a trouble, unless everything is asked for.
fn targets(level: LevelFilter) -> Targets {
    let others = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
    Targets::new().with_default(others).with_target("spiderpool", level)
}

impl Volume {
    /// Sets the level: what the configuration says, or what the command line said.
    pub fn set(&self, configured: Option<LevelFilter>) {
        let level = configured.unwrap_or(self.given);
        // It fails only once the log itself is gone.
        drop(self.handle.modify(|present| *present = targets(level)));
    }

    /// The present level.
    #[must_use]
    pub fn level(&self) -> LevelFilter {
        let present = self.handle.clone_current();
        let own = present.and_then(|targets| {
            targets.iter().find(|(target, _)| *target == "spiderpool").map(|(_, level)| level)
        });
        own.unwrap_or(self.given)
    }
}

/// Begins the log of this process; a second call leaves the first one's in force.
#[must_use]
pub fn begin(form: Form, given: LevelFilter) -> Volume {
    let (filter, handle) = reload::Layer::new(targets(given));
    let lines = fmt::layer().with_writer(io::stderr).with_target(false);
    let lines = match form {
        Form::Json => lines.json().flatten_event(true).boxed(),
        Form::Text => lines.with_ansi(false).boxed(),
    };
    drop(tracing_subscriber::registry().with(filter).with(lines).try_init());
    Volume { handle, given }
}

/// An error with all its causes, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Keeps the level what the configuration says, for ever.
pub async fn follow(volume: Volume, mut present: crate::conf::reload::Present) {
    loop {
        let level = Arc::clone(&present.borrow_and_update()).own.log_level;
        if level.unwrap_or(volume.given) != volume.level() {
            volume.set(level);
            tracing::info!(level = %volume.level(), "the level of the log has changed");
        }
        if present.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_level_follows() {
        let paper = Paper::default();
        let (filter, handle) = reload::Layer::new(targets(LevelFilter::INFO));
        let out = paper.clone();
        let lines = fmt::layer().with_writer(move || out.clone()).json().flatten_event(true);
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        let volume = Volume { handle, given: LevelFilter::INFO };
        let say = |what: &str| tracing::debug!(container = "c1", "{what}");
        tracing::subscriber::with_default(subscriber, || {
            say("one");
            volume.set(Some(LevelFilter::DEBUG));
            say("two");
            tracing::info!(target: "kube_client", "of a library");
            volume.set(None);
            say("three");
        });
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((&line["message"], &line["container"]), (&"two".into(), &"c1".into()));
    }

    #[test]
    fn a_chain_is_told_once() {
        let inner = io::Error::other("inner");
        let outer =
            crate::socket::DoorFault::Io { action: "open", path: "/x".into(), source: inner };
        assert!(chain(&outer).ends_with("writable by this process?: inner"));
    }
}
