//! The tier `VM`: test binaries that a stock kernel runs.
//!
//! Owns which binaries these are, what each finds in its VM, and how many tests each must have run.
//! `test` calls it, and `cargo xtask vm test`. Invariants:
//!
//! 1. A test binary belongs to this tier by its name, `vm` or `vm_…`, and to no other
//!    (`a_name_says_where_a_binary_belongs`).
//! 2. A binary that ran another number of tests than `tests/vm/expected` says has failed
//!    (`expected::tests::a_number_that_is_not_the_expected_one_is_a_failure`).
//! 3. A VM without a verdict is a failure, whatever its tests had printed before.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::build::{self, Built};
use super::image::Job;
use super::kit::{Cache, Kit};
use super::{Settings, fetch, machine};
use crate::call::{Call, Fault, chain};
use crate::counts::{Counts, sentence};
use crate::expected::Expected;
use crate::prerequisites;
use crate::steps::progress;
use crate::tiers::Report;
use crate::workspace::{Member, Workspace};

/// Name of the tier.
pub(crate) const NAME: &str = "VM";

/// What the reason of an `#[ignore]` begins with when the test is one of this tier's.
pub(crate) const REASON: &str = "VM tier";

/// Where the numbers of tests are, from the root of the workspace.
const EXPECTED: &str = "tests/vm/expected";

/// Whether the test binary of that name is run in a VM.
pub(crate) fn is_ours(test: &str) -> bool {
    test == "vm" || test.starts_with("vm_")
}

/// Which tests to run.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Only this package's.
    pub(crate) package: Option<&'a str>,
    /// Arguments for libtest: parts of tests' names, for example.
    pub(crate) arguments: &'a [String],
}

/// Runs every test of the tier, by the settings of the environment.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    let kit = Settings::from_environment().and_then(|settings| {
        let kit = provide(&settings)?;
        Ok((settings, kit))
    });
    match kit {
        Ok((settings, kit)) => run(workspace, &settings, &kit, &Selection::default()),
        Err(fault) => Report::skipped(chain(&fault).replace('\n', " ")),
    }
}

/// Gives the kit that the cache holds, or fetches one.
///
/// # Errors
/// When this machine cannot run a VM: the reason.
pub(crate) fn provide(settings: &Settings) -> Result<Kit, Fault> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(Fault::Wrong("the VM is an x86-64 one: so must be the machine".to_owned()));
    }
    prerequisites::need(&["make", "gcc", "strip", "ldd", "timeout", "xz"]).map_err(Fault::Wrong)?;
    match Cache::open(settings)?.find(&settings.kernels()) {
        Some(kit) => Ok(kit),
        None => fetch::fetch(settings),
    }
}

/// Builds the tests, boots a VM for each binary, and gives what was counted.
pub(crate) fn run(
    workspace: &Workspace,
    settings: &Settings,
    kit: &Kit,
    selection: &Selection<'_>,
) -> Report {
    let prepared = build::build(workspace, kit).and_then(|built| {
        Ok((built, Expected::read(workspace, EXPECTED)?, binaries(workspace, selection)?))
    });
    let (built, expected, binaries) = match prepared {
        Ok(prepared) => prepared,
        Err(fault) => return broken(&chain(&fault)),
    };
    if binaries.is_empty() {
        return broken("there is no test binary named `vm`");
    }
    let mut report = Report::default();
    for binary in &binaries {
        let counts = binary.run((kit, &built), settings, selection.arguments);
        report.passed += counts.passed;
        report.failed += counts.failed;
        // A binary that crashed could not count, and has failed anyway.
        if !selection.arguments.is_empty() || counts.failed > 0 {
            continue;
        }
        if let Err(reason) = expected.compare(&binary.package, &binary.test, counts.passed) {
            progress(NAME, &reason);
            report.failed += 1;
        }
    }
    report
}

fn broken(reason: &str) -> Report {
    progress(NAME, reason);
    Report::broken()
}

/// A test binary and what it finds in its VM.
#[derive(Debug, PartialEq, Eq)]
struct Binary {
    package: String,
    test: String,
    job: Job,
}

impl Binary {
    /// Runs it in a VM of its own and counts.
    fn run(&self, made: (&Kit, &Built), settings: &Settings, arguments: &[String]) -> Counts {
        let mut job = self.job.clone();
        job.command.push("--include-ignored".to_owned());
        job.command.extend(arguments.iter().cloned());
        let (mut counts, mut unread) = (Counts::default(), Ok(()));
        progress(NAME, &format!("{} of {}: boots", self.test, self.package));
        let start = Instant::now();
        let status = machine::boot(made, settings, &job, |line| {
            println!("{line}");
            if let Err(fault) = counts.read(line) {
                unread = Err(fault);
            }
        });
        match status.and_then(|status| unread.map(|()| status)) {
            // A binary that dies has no closing line to count.
            Ok(status) if status != 0 && counts.failed == 0 => {
                progress(NAME, &format!("the test binary ended with status {status}"));
                counts.failed = 1;
            }
            Ok(_) => {}
            Err(fault) => {
                progress(NAME, &chain(&fault));
                counts.failed += 1;
            }
        }
        let took = start.elapsed().as_secs_f64();
        let sum = sentence(counts);
        progress(NAME, &format!("{} of {}: {sum} ({took:.1} s)", self.test, self.package));
        counts
    }
}

/// Builds the tier's test binaries and gives them in the order of the workspace's members.
fn binaries(workspace: &Workspace, selection: &Selection<'_>) -> Result<Vec<Binary>, Fault> {
    let is_chosen = |member: &&Member| selection.package.is_none_or(|name| name == member.name);
    let members: Vec<&Member> = workspace.members.iter().filter(is_chosen).collect();
    let mut found = Vec::new();
    for member in members {
        for test in member.tests.iter().filter(|test| is_ours(test)) {
            found.push(binary(workspace, member, test)?);
        }
    }
    Ok(found)
}

fn binary(workspace: &Workspace, member: &Member, test: &str) -> Result<Binary, Fault> {
    let call = Call::cargo()
        .args(["test", "--no-run", "--message-format", "json-render-diagnostics"])
        .args(["--package", &member.name, "--test", test])
        .dir(&workspace.root);
    let text = call.output()?;
    let artifacts: Vec<Artifact> = text.lines().filter_map(Artifact::read).collect();
    let is_it = |artifact: &&Artifact| artifact.kind == "test" && artifact.name == test;
    let missing = || Fault::Reply { command: call.line(), reason: format!("no test {test}") };
    let executable = artifacts.iter().find(is_it).ok_or_else(missing)?.executable.clone();
    let wish = |name| member.wishes("vm", test, name);
    let mut files: Vec<PathBuf> = artifacts
        .into_iter()
        .filter(|artifact| artifact.kind == "bin")
        .map(|artifact| artifact.executable)
        .collect();
    for name in wish("binaries") {
        Call::cargo().args(["build", "--quiet", "--bin", &name]).dir(&workspace.root).run()?;
        files.push(workspace.binary(&name));
    }
    files.extend(wish("files").into_iter().map(PathBuf::from));
    let command = vec![executable.to_string_lossy().into_owned()];
    let directories = vec![workspace.target.join("tmp")];
    let job = Job { command, files, directories, parameters: wish("modules") };
    Ok(Binary { package: member.name.clone(), test: test.to_owned(), job })
}

/// Something executable that cargo built.
#[derive(Debug, PartialEq, Eq)]
struct Artifact {
    name: String,
    kind: String,
    executable: PathBuf,
}

impl Artifact {
    /// Reads one of cargo's messages.
    fn read(line: &str) -> Option<Self> {
        let message: Value = serde_json::from_str(line).ok()?;
        let executable = Path::new(message.get("executable")?.as_str()?).to_path_buf();
        let target = message.get("target")?;
        let name = target.get("name")?.as_str()?.to_owned();
        let kind = target.get("kind")?.get(0)?.as_str()?.to_owned();
        Some(Self { name, kind, executable })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_says_where_a_binary_belongs() {
        assert!(["vm", "vm_exclusive"].into_iter().all(is_ours));
        assert!(!["vmx", "host", "my_vm", ""].into_iter().any(is_ours));
    }

    #[test]
    fn what_cargo_built_is_read() {
        let line = json!({
            "reason": "compiler-artifact", "executable": "/t/debug/deps/vm-1",
            "target": {"name": "vm", "kind": ["test"]},
        });
        let expected = Artifact {
            name: "vm".to_owned(),
            kind: "test".to_owned(),
            executable: PathBuf::from("/t/debug/deps/vm-1"),
        };
        assert_eq!(Artifact::read(&line.to_string()), Some(expected));
        assert_eq!(Artifact::read(r#"{"reason": "build-finished"}"#), None);
        assert_eq!(Artifact::read("running 1 test"), None);
    }
}
