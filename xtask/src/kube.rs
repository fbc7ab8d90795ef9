//! `cargo xtask kube`: a real Kubernetes control plane, and the tests that need one.
//!
//! Owns the command line and its settings, each of which has an environment variable, so that the tier
//! `kube` can be told the same. tests/kube/README.md says how to write such a test. Modules: `tools`
//! (what is built, and where it is kept), `tier`. Invariant: a setting that the command line does not
//! name comes from the environment (`settings_have_defaults`).

pub(crate) mod tier;
mod tools;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::call::{Call, Fault};
use crate::counts::{Counts, sentence};
use crate::workspace::Workspace;
use tier::Selection;

/// What to do with a control plane, and which.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    settings: Settings,
}

/// Where programs are kept.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// Directory for what is built [default: spiderpool-kube in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, global = true, env = "SPIDERPOOL_KUBE_CACHE", value_name = "DIRECTORY")]
    cache: Option<PathBuf>,
}

/// A version of Kubernetes that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// The newest: API server, controllers, scheduler, kubectl
    Newest,
    /// The oldest that is supported: API server and kubectl
    Oldest,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the programs unless the cache holds them, and print their directory
    Build {
        /// Which Kubernetes
        #[arg(long, value_enum, default_value_t = Version::Newest)]
        version: Version,
    },
    /// Run a control plane until it is interrupted; prints the path of a kubeconfig
    Up {
        /// Which Kubernetes
        #[arg(long, value_enum, default_value_t = Version::Newest)]
        version: Version,
        /// Apply the manifests in this file or directory (repeatable)
        #[arg(long, value_name = "DIRECTORY")]
        crds: Vec<PathBuf>,
        /// Run these controllers: `deployment-controller,replicaset-controller`, or `all`
        #[arg(long, value_name = "NAMES")]
        controllers: Option<String>,
        /// Run the scheduler
        #[arg(long)]
        scheduler: bool,
    },
    /// Run the tests of the tier `kube`
    Test {
        /// Which Kubernetes [default: each that the test binary is for]
        #[arg(long, value_enum)]
        version: Option<Version>,
        /// Only this package's
        #[arg(long, short)]
        package: Option<String>,
        /// Arguments for the test binaries: parts of tests' names
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// The settings alone, for who has no command line.
#[derive(Debug, Parser)]
struct Alone {
    #[command(flatten)]
    settings: Settings,
}

impl Settings {
    /// Gives what the environment says, and defaults for the rest.
    ///
    /// # Errors
    /// When a variable has a value that is none.
    pub(crate) fn from_environment() -> Result<Self, Fault> {
        let alone = Alone::try_parse_from(["kube"]);
        alone.map(|alone| alone.settings).map_err(|error| Fault::Wrong(error.to_string()))
    }
}

impl Version {
    /// Gives its name on the command line, in `tests/kube-tools` and in `SPIDERPOOL_KUBE`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }
}

/// Builds the newest programs unless the cache holds them, and gives their directory.
///
/// # Errors
/// When they cannot be built.
pub(crate) fn provide(workspace: &Workspace, settings: &Settings) -> Result<PathBuf, Fault> {
    tools::provide(workspace, settings, Version::Newest)
}

/// Does what the options say; `false` when a test failed.
///
/// # Errors
/// When the programs cannot be built or the control plane cannot be started.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Fault> {
    let settings = &options.settings;
    match &options.verb {
        Verb::Build { version } => {
            println!("{}", tools::provide(workspace, settings, *version)?.display());
            Ok(true)
        }
        Verb::Up { version, crds, controllers, scheduler } => {
            let tools = tools::provide(workspace, settings, *version)?;
            let controllers = controllers.iter().flat_map(|names| ["--controllers", names]);
            let crds = crds.iter().flat_map(|path| [PathBuf::from("--crds"), path.clone()]);
            let call = Call::cargo()
                .args(["run", "--quiet", "--package", "spiderpool-kube-lab", "--bin", "kube-lab"])
                .arg("--")
                .args(crds)
                .args(controllers)
                .args(scheduler.then_some("--scheduler"))
                .env("SPIDERPOOL_KUBE", version.name())
                .env("SPIDERPOOL_KUBE_TOOLS", tools);
            // An interrupt is then the control plane's alone, and this command ends when it has.
            Err(call.replace())
        }
        Verb::Test { version, package, arguments } => {
            let selection = Selection { version: *version, package: package.as_deref(), arguments };
            let report = tier::run(workspace, settings, &selection)?;
            let (passed, failed) = (report.passed, report.failed);
            println!("{}", sentence(Counts { passed, failed, ignored: 0 }));
            Ok(failed == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults() {
        let settings = |line: &[&str]| Alone::try_parse_from(line).unwrap().settings;
        let named = settings(&["kube", "--cache", "/c"]);
        assert_eq!(named.cache, Some(PathBuf::from("/c")));
        let variable = std::env::var_os("SPIDERPOOL_KUBE_CACHE").map(PathBuf::from);
        assert_eq!(settings(&["kube"]).cache, variable);
    }
}
