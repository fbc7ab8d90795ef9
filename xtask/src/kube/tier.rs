//! The tier `kube`: test binaries that a real API server answers.
//!
//! Owns which binaries these are, against which versions each runs, and how many tests each must have
//! run. `test` calls it, and `cargo xtask kube test`. Invariants:
//!
//! 1. A test binary belongs to this tier by its name, `kube` or `kube_…`, and to no other
//!    (`a_name_says_where_a_binary_belongs`).
//! 2. Every binary runs against the newest Kubernetes, and `kube_crd` against the oldest, too
//!    (`the_crds_meet_the_oldest_server`).
//! 3. A binary that ran another number of tests than `tests/kube/expected` says has failed
//!    (`expected::tests::a_number_that_is_not_the_expected_one_is_a_failure`).

use std::path::Path;

use super::{Settings, Version, tools};
use crate::call::{Call, Fault, chain};
use crate::counts::{Counts, sentence};
use crate::expected::Expected;
use crate::steps::progress;
use crate::tiers::Report;
use crate::workspace::{Member, Workspace};

/// Name of the tier.
pub(crate) const NAME: &str = "kube";

/// What the reason of an `#[ignore]` begins with when the test is one of this tier's.
pub(crate) const REASON: &str = "kube tier";

/// Where the numbers of tests are, from the root of the workspace.
const EXPECTED: &str = "tests/kube/expected";

/// The test binary that runs against the oldest Kubernetes, too: what we ask every server to accept.
const CRD: &str = "kube_crd";

/// Whether the test binary of that name needs an API server.
pub(crate) fn is_ours(test: &str) -> bool {
    test == "kube" || test.starts_with("kube_")
}

/// Which tests to run.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Only against this version.
    pub(crate) version: Option<Version>,
    /// Only this package's.
    pub(crate) package: Option<&'a str>,
    /// Arguments for libtest: parts of tests' names, for example.
    pub(crate) arguments: &'a [String],
}

/// Runs every test of the tier, by the settings of the environment.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    let ran = Settings::from_environment()
        .and_then(|settings| run(workspace, &settings, &Selection::default()));
    ran.unwrap_or_else(|fault| Report::skipped(chain(&fault).replace('\n', " ")))
}

/// Builds the programs, runs each binary, and gives what was counted.
///
/// # Errors
/// When this machine cannot have a control plane: the reason.
pub(crate) fn run(
    workspace: &Workspace,
    settings: &Settings,
    selection: &Selection<'_>,
) -> Result<Report, Fault> {
    let expected = Expected::read(workspace, EXPECTED)?;
    let mut report = Report::default();
    let runs = runs(&workspace.members, selection);
    if runs.is_empty() {
        return Err(Fault::Wrong("there is no test binary named `kube` to run".to_owned()));
    }
    for run in runs {
        let tools = tools::provide(workspace, settings, run.version)?;
        let counts = run.run(workspace, &tools, selection.arguments);
        report.passed += counts.passed;
        report.failed += counts.failed;
        // A binary that crashed could not count, and has failed anyway.
        if !selection.arguments.is_empty() || counts.failed > 0 {
            continue;
        }
        if let Err(reason) = expected.compare(&run.member.name, run.test, counts.passed) {
            progress(NAME, &reason);
            report.failed += 1;
        }
    }
    Ok(report)
}

/// One test binary against one version.
#[derive(Debug)]
struct Run<'a> {
    member: &'a Member,
    test: &'a str,
    version: Version,
}

/// Gives what is to be run, in the order of the workspace's members, the oldest Kubernetes last.
fn runs<'a>(members: &'a [Member], selection: &Selection<'_>) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for version in [Version::Newest, Version::Oldest] {
        let chosen = members
            .iter()
            .filter(|_| selection.version.is_none_or(|only| only == version))
            .filter(|member| selection.package.is_none_or(|name| name == member.name));
        for member in chosen {
            let tests = member.tests.iter().map(String::as_str).filter(|test| is_ours(test));
            let meets = |test: &&str| is_met(test, version, selection);
            runs.extend(tests.filter(meets).map(|test| Run { member, test, version }));
        }
    }
    runs
}

/// Whether a binary runs against that version: as the tier does it, or because the version was asked for.
fn is_met(test: &str, version: Version, selection: &Selection<'_>) -> bool {
    version == Version::Newest || test == CRD || selection.version == Some(version)
}

impl Run<'_> {
    /// Runs it and counts.
    fn run(&self, workspace: &Workspace, tools: &Path, arguments: &[String]) -> Counts {
        let Self { member, test, version } = self;
        let (mut counts, mut unread) = (Counts::default(), Ok(()));
        let call = Call::cargo()
            .args(["test", "--package", &member.name, "--all-features", "--test", test])
            .args(["--", "--include-ignored"])
            .args(arguments)
            .dir(&workspace.root)
            .env("SPIDERPOOL_KUBE", version.name())
            .env("SPIDERPOOL_KUBE_TOOLS", tools);
        progress(NAME, &call.line());
        let status = self.provide(workspace).and_then(|()| {
            call.stream(|line| {
                println!("{line}");
                if let Err(fault) = counts.read(line) {
                    unread = Err(fault);
                }
            })
        });
        match status.and_then(|status| unread.map(|()| status)) {
            // A binary that does not compile, or that dies, has no closing line to count.
            Ok(status) if !status.success() && counts.failed == 0 => counts.failed = 1,
            Ok(_) => {}
            Err(fault) => {
                progress(NAME, &chain(&fault));
                counts.failed += 1;
            }
        }
        let sum = sentence(counts);
        progress(NAME, &format!("{test} of {} with the {}: {sum}", member.name, version.name()));
        counts
    }

    /// Builds the binaries of other packages that the test's package names in
    /// `[package.metadata.kube.TEST]`.
    fn provide(&self, workspace: &Workspace) -> Result<(), Fault> {
        for name in self.member.wishes("kube", self.test, "binaries") {
            Call::cargo().args(["build", "--quiet", "--bin", &name]).dir(&workspace.root).run()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(selection: &Selection<'_>) -> Vec<String> {
        let member = |name: &str, tests: &[&str]| Member {
            name: name.to_owned(),
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            ..Member::default()
        };
        let members = [member("a", &["host", "kube"]), member("b", &["kube_crd", "vm", "kube_x"])];
        let runs = runs(&members, selection);
        let name =
            |run: &Run<'_>| format!("{} {} {}", run.member.name, run.test, run.version.name());
        runs.iter().map(name).collect()
    }

    #[test]
    fn a_name_says_where_a_binary_belongs() {
        assert!(["kube", "kube_crd"].into_iter().all(is_ours));
        assert!(!["kubectl", "vm", "my_kube", ""].into_iter().any(is_ours));
    }

    #[test]
    fn the_crds_meet_the_oldest_server() {
        let all = ["a kube newest", "b kube_crd newest", "b kube_x newest", "b kube_crd oldest"];
        assert_eq!(names(&Selection::default()), all);
        let of_b = Selection { package: Some("b"), ..Selection::default() };
        assert_eq!(names(&of_b), all.get(1..).unwrap());
        let old = Selection { version: Some(Version::Oldest), ..of_b };
        assert_eq!(names(&old), ["b kube_crd oldest", "b kube_x oldest"]);
    }
}
