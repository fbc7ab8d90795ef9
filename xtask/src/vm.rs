//! `cargo xtask vm`: a virtual machine with a stock kernel, and the tests that run in it.
//!
//! Owns the command line and its settings, each of which has an environment variable, so that the tier
//! `VM` can be told the same. tests/vm/README.md says how to write such a test. Modules, in the order of
//! their work: `kit` (the cache), `fetch`, `unpack`, `build`, `modules`, `cpio`, `image`, `machine`,
//! `tier`. Invariant: a setting that the command line does not name comes from the environment
//! (`settings_have_defaults`).

mod build;
mod cpio;
mod fetch;
mod image;
mod kit;
mod machine;
mod modules;
pub(crate) mod tier;
mod unpack;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::call::Fault;
use crate::counts::{Counts, sentence};
use crate::workspace::Workspace;
use image::Job;
use tier::Selection;

/// Debian's packages that lead to the kernel of the VM, the preferred one first.
const KERNELS: [&str; 2] = ["linux-image-6.12-amd64", "linux-image-amd64"];

/// Emulation without help from the processor: it works everywhere.
const ACCEL: &str = "tcg,thread=multi";

/// What to do with the VM, and how it is made.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    settings: Settings,
}

/// How a VM is made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// Debian's package that leads to the kernel [default: linux-image-6.12-amd64, or else
    /// linux-image-amd64]
    #[arg(long, global = true, env = "SPIDERPOOL_VM_KERNEL", value_name = "PACKAGE")]
    kernel: Option<String>,
    /// Directory for what is downloaded [default: spiderpool-vm in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, global = true, env = "SPIDERPOOL_VM_CACHE", value_name = "DIRECTORY")]
    cache: Option<PathBuf>,
    /// QEMU's accelerator; `kvm` is used only when asked for
    #[arg(long, global = true, env = "SPIDERPOOL_VM_ACCEL", default_value = ACCEL)]
    accel: String,
    /// Processors
    #[arg(long, global = true, env = "SPIDERPOOL_VM_CPUS", default_value_t = 2)]
    cpus: u32,
    /// Memory in MiB
    #[arg(long, global = true, env = "SPIDERPOOL_VM_MEMORY", default_value_t = 1024)]
    memory: u32,
    /// Seconds after which a VM is ended
    #[arg(long, global = true, env = "SPIDERPOOL_VM_TIMEOUT", default_value_t = 600)]
    timeout: u32,
    /// Keep what the kernel prints in this file
    #[arg(long, global = true, env = "SPIDERPOOL_VM_CONSOLE", value_name = "FILE")]
    console: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Download kernel, headers, QEMU and busybox into the cache, or bring them up to date
    Fetch,
    /// Build the VM's first process and the test modules
    Build,
    /// Say in one line whether a VM can run here
    Check,
    /// Boot, run FILE (a program with its libraries, or a script), and tell how it ended
    Run {
        /// A parameter of a kernel module: `ib_core netns_mode=0` (repeatable)
        #[arg(long = "module", value_name = "NAME PARAMETER")]
        parameters: Vec<String>,
        /// Another file that it needs (repeatable)
        #[arg(long = "file", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The file to run, and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Run the tests of the tier `VM`
    Test {
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
        let alone = Alone::try_parse_from(["vm"]);
        alone.map(|alone| alone.settings).map_err(|error| Fault::Wrong(error.to_string()))
    }

    /// Gives the packages that lead to the kernel, the preferred one first.
    fn kernels(&self) -> Vec<String> {
        match &self.kernel {
            Some(package) => vec![package.clone()],
            None => KERNELS.map(str::to_owned).to_vec(),
        }
    }
}

/// Does what the options say; `false` when a test or a program in the VM failed.
///
/// # Errors
/// When the VM cannot be made, crashed, or ran too long.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Fault> {
    let settings = &options.settings;
    match &options.verb {
        Verb::Fetch => {
            let kit = fetch::fetch(settings)?;
            println!("{}: {}", kit.kernel, kit.home.display());
            Ok(true)
        }
        Verb::Build => {
            let built = build::build(workspace, &tier::provide(settings)?)?;
            println!("{}\n{}", built.init.display(), built.modules.display());
            Ok(true)
        }
        Verb::Check => check(settings),
        Verb::Run { parameters, files, command } => {
            let files = files.iter().map(|file| absolute(file)).collect::<Result<_, _>>()?;
            let directories = Vec::new();
            let parameters = parameters.clone();
            let command = command.clone();
            run_file(workspace, settings, Job { command, files, directories, parameters })
        }
        Verb::Test { package, arguments } => {
            let kit = tier::provide(settings)?;
            let selection = Selection { package: package.as_deref(), arguments };
            let report = tier::run(workspace, settings, &kit, &selection);
            let (passed, failed) = (report.passed, report.failed);
            println!("{}", sentence(Counts { passed, failed, ignored: 0 }));
            Ok(failed == 0)
        }
    }
}

/// Says whether the cache holds what a VM needs, without fetching it.
fn check(settings: &Settings) -> Result<bool, Fault> {
    let cache = kit::Cache::open(settings)?;
    let Some(kit) = cache.find(&settings.kernels()) else {
        let home = cache.home.display();
        println!("not ready: {home} holds no kernel; run `cargo xtask vm fetch`");
        return Ok(false);
    };
    match kit.qemu()?.arg("--version").output() {
        Ok(version) => {
            println!("ready: {}, {}", kit.kernel, version.lines().next().unwrap_or_default());
            Ok(true)
        }
        Err(fault) => {
            println!("not ready: QEMU does not start: {fault}");
            Ok(false)
        }
    }
}

fn run_file(workspace: &Workspace, settings: &Settings, mut job: Job) -> Result<bool, Fault> {
    if let Some(program) = job.command.first_mut() {
        *program = absolute(Path::new(program))?.to_string_lossy().into_owned();
    }
    let kit = tier::provide(settings)?;
    let built = build::build(workspace, &kit)?;
    let status = machine::boot((&kit, &built), settings, &job, |line| println!("{line}"))?;
    if status != 0 {
        eprintln!("xtask: it ended with status {status}");
    }
    Ok(status == 0)
}

fn absolute(path: &Path) -> Result<PathBuf, Fault> {
    path.canonicalize().map_err(Fault::file("find", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_defaults() {
        for line in [vec!["vm"], vec!["vm", "--kernel", "linux-image-amd64"]] {
            let settings = Alone::try_parse_from(&line).unwrap().settings;
            assert!(settings.memory > 0 && settings.cpus > 0 && settings.timeout > 0);
            if line.len() > 1 {
                assert_eq!(settings.kernels(), ["linux-image-amd64"]);
            }
        }
        assert!(Alone::try_parse_from(["vm", "--cpus", "many"]).is_err());
    }
}
