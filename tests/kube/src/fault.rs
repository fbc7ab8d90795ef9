//! What keeps a laboratory from working.
//!
//! Owns [`Fault`], the one error of this crate. Each says what was tried, why it failed, and, where a
//! program failed, what that program had to say.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What kept the laboratory from doing as it was told.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A program is not where it should be.
    #[error(
        "`{program}` is not in {}: run `cargo xtask kube build`; of the oldest Kubernetes there are \
         kube-apiserver and kubectl only",
        place.display()
    )]
    Missing {
        /// The program.
        program: &'static str,
        /// The directory that was searched.
        place: PathBuf,
    },
    /// Nothing says where the programs are.
    #[error(
        "SPIDERPOOL_KUBE_TOOLS names no directory: run the test by `cargo xtask kube test`, or set it \
         to what `cargo xtask kube build` prints"
    )]
    Unset,
    /// A file could not be handled.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was being done: `read`, `write`, `create`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started, signalled or awaited.
    #[error("cannot {verb} `{program}`")]
    Process {
        /// What was being done.
        verb: &'static str,
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended that should run.
    #[error("`{program}` ended with {status}; the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// A program was not ready in time.
    #[error("`{program}` was not ready after {waited:?}: {last}; the end of its log:\n{log}")]
    Late {
        /// The program.
        program: String,
        /// How long it was waited for.
        waited: Duration,
        /// What it said last.
        last: String,
        /// The last lines of its log.
        log: String,
    },
    /// A program that runs to its end failed.
    #[error("`{command}` ended with {status}:\n{output}")]
    Failed {
        /// Its command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// No port of loopback is free.
    #[error("no {wanted} ports of 127.0.0.1 are free between {from} and {to}")]
    NoPort {
        /// How many were wanted.
        wanted: usize,
        /// First of the ports that were tried.
        from: u16,
        /// Behind the last of the ports that were tried.
        to: u16,
    },
    /// A key or a certificate could not be made.
    #[error("cannot make a certificate for `{subject}`")]
    Certificate {
        /// Whom it is for.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A certificate can name two groups, not more.
    #[error("a certificate cannot name the groups {groups:?}: two at most")]
    Groups {
        /// The groups that were asked for.
        groups: Vec<String>,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// A request got no answer.
    #[error("`{method} {path}` got no answer from {server}")]
    Unanswered {
        /// HTTP method.
        method: String,
        /// Path and query.
        path: String,
        /// Who was asked.
        server: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A request was refused.
    #[error("`{method} {path}` was answered with {status}: {text}")]
    Refused {
        /// HTTP method.
        method: String,
        /// Path and query.
        path: String,
        /// HTTP status.
        status: u16,
        /// What the server said.
        text: String,
    },
}

impl Fault {
    /// Gives a function that wraps an I/O error, for `map_err`.
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { verb, path, source }
    }

    /// Gives a function that wraps an I/O error about a program, for `map_err`.
    pub(crate) fn process(verb: &'static str, program: &str) -> impl FnOnce(io::Error) -> Self {
        let program = program.to_owned();
        move |source| Self::Process { verb, program, source }
    }

    /// Gives a function that wraps an error about a certificate, for `map_err`.
    pub(crate) fn certificate(subject: &str) -> impl FnOnce(rcgen::Error) -> Self {
        let subject = subject.to_owned();
        move |source| Self::Certificate { subject, source }
    }

    /// Gives the whole chain on one line, each layer once.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}
