//! `cargo xtask tidy`: checks that read the tree and run none of it.
//!
//! Owns the list of checks and what a finding looks like. Developers call it, and the tier `tidy`.
//! Each check is a pure function from text to findings, with its fixtures beside it. Invariants:
//!
//! 1. A finding names file and line, what is wrong, and what to do (`a_finding_reads_as_advice`).
//! 2. A warning is printed and fails nothing (`a_warning_alone_is_well`).

mod decisions;
mod layering;
mod shape;
mod source;
mod text;
mod tiers;
mod words;

use std::path::{Path, PathBuf};

use crate::call::Fault;
use crate::steps::Steps;
use crate::tiers::Report;
use crate::workspace::Workspace;
use source::Source;

/// Something in the tree that should be otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, relative to the root.
    path: PathBuf,
    /// The line, from 1.
    line: usize,
    /// Whether it fails the check.
    severity: Severity,
    /// What is wrong.
    what: String,
    /// What to do about it.
    remedy: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(path: &Path, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        let (path, what) = (path.to_path_buf(), what.into());
        Self { path, line, severity: Severity::Error, what, remedy }
    }

    fn warning(path: &Path, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, line, what, remedy) }
    }

    fn line(&self) -> String {
        let Self { path, line, severity, what, remedy } = self;
        let severity = match severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        format!("{}:{line}: {severity}{what}; {remedy}", path.display())
    }
}

/// Runs every check; `false` when there is a finding that is not a warning.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Result<bool, Fault> {
    let report = tier(workspace);
    Ok(report.failed == 0)
}

/// Runs every check as a step of the tier `tidy`.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    let mut steps = Steps::new("tidy");
    let read = steps.step("the tree can be read", || {
        let files = workspace.files()?;
        let sources = source::read_all(&workspace.root, &files)?;
        Ok((files, sources))
    });
    let Some((files, sources)) = read else { return steps.finish() };
    steps.step("layering", || judge(layering::check(workspace)?));
    steps.step("module docs", || judge(each(&sources, shape::module_docs)));
    steps.step("lengths", || judge(each(&sources, shape::lengths)));
    steps.step("words", || judge(each(&sources, words::check)));
    steps.step("tests of tiers", || judge(each(&sources, tiers::check)));
    steps.step("machine paths and hosts", || judge(text::hosts(&workspace.root, &files)?));
    steps.step("decision records", || judge(decisions::check(&workspace.root, &files)?));
    steps.step("comments", || judge(each(&sources, text::comments)));
    steps.finish()
}

fn each(sources: &[Source], check: fn(&Source) -> Vec<Finding>) -> Vec<Finding> {
    sources.iter().flat_map(check).collect()
}

/// Prints the findings in order of place, and fails when one of them is an error.
fn judge(mut findings: Vec<Finding>) -> Result<(), Fault> {
    findings.sort();
    for finding in &findings {
        println!("{}", finding.line());
    }
    match findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 => Ok(()),
        1 => Err(Fault::Wrong("1 finding".to_owned())),
        count => Err(Fault::Wrong(format!("{count} findings"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_advice() {
        let finding = Finding::error(Path::new("a/b.rs"), 7, "`todo!` in the tree", "write it");
        assert_eq!(finding.line(), "a/b.rs:7: `todo!` in the tree; write it");
        assert_eq!(judge(vec![finding]).unwrap_err().to_string(), "1 finding");
    }

    #[test]
    fn a_warning_alone_is_well() {
        let finding = Finding::warning(Path::new("a/b.rs"), 7, "`now` opens a comment", "say why");
        assert_eq!(finding.line(), "a/b.rs:7: warning: `now` opens a comment; say why");
        assert!(judge(vec![finding]).is_ok());
    }
}
