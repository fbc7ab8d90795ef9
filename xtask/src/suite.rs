//! The tiers that libtest runs on this machine: `unit+property` and `host`.
//!
//! Owns the two `cargo test` commands and the reading of their counts. Tests that need root or a
//! kernel feature are marked `#[ignore = "host tier: …"]`, those that need another kernel
//! `#[ignore = "VM tier: …"]` and those that need an API server `#[ignore = "kube tier: …"]`, each in a
//! test binary of that tier; the first tier leaves them to the second, to `vm::tier` and to
//! `kube::tier` (`ignored_tests_are_told_apart_by_their_reason`).

use crate::call::{Call, chain};
use crate::counts::Counts;
use crate::kube::tier as kube;
use crate::prerequisites;
use crate::steps::progress;
use crate::tiers::Report;
use crate::vm::tier as vm;
use crate::workspace::{FEATURES, Workspace};

/// Name of the tier that runs what the other leaves out.
pub(crate) const HOST: &str = "host";

/// Runs every test that needs nothing but the compiler, doctests included.
pub(crate) fn unit(workspace: &Workspace) -> Report {
    let call = Call::cargo().args(["test", "--workspace", "--no-fail-fast"]).args(FEATURES);
    counted("unit+property", &call.dir(&workspace.root))
}

/// Runs the tests that need root on the host's own kernel.
pub(crate) fn host(workspace: &Workspace) -> Report {
    if let Err(reason) = prerequisites::need(&["ip", "ping"]).and_then(|()| prerequisites::root()) {
        return Report::skipped(reason);
    }
    let call = Call::cargo().args(["test", "--workspace", "--no-fail-fast"]).args(FEATURES);
    let call = call.args(["--lib", "--bins"]);
    let names = host_tests(workspace).into_iter().flat_map(|name| ["--test", name]);
    counted(HOST, &call.args(names).args(["--", "--ignored"]).dir(&workspace.root))
}

/// Gives the names of the integration tests that run on this machine, each once.
fn host_tests(workspace: &Workspace) -> Vec<&str> {
    let tests = workspace.members.iter().flat_map(|member| &member.tests);
    let mut names: Vec<&str> = tests
        .map(String::as_str)
        .filter(|name| !vm::is_ours(name) && !kube::is_ours(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Runs a `cargo test` and gives what it counted, and which tests it left to which tier.
fn counted(tier: &'static str, call: &Call) -> Report {
    let mut counts = Counts::default();
    let (mut left_to_vm, mut left_to_kube) = (0, 0);
    let mut unread = Ok(());
    progress(tier, &call.line());
    let status = call.stream(|line| {
        println!("{line}");
        left_to_vm += u64::from(is_left_to(vm::REASON, line));
        left_to_kube += u64::from(is_left_to(kube::REASON, line));
        if let Err(fault) = counts.read(line) {
            unread = Err(fault);
        }
    });
    let left_to_host = counts.ignored.saturating_sub(left_to_vm + left_to_kube);
    let left = [(HOST, left_to_host), (vm::NAME, left_to_vm), (kube::NAME, left_to_kube)];
    let left = left.into_iter().filter(|(name, count)| *count > 0 && *name != tier).collect();
    let (passed, failed) = (counts.passed, counts.failed);
    let mut report = Report { passed, failed, left, ..Report::default() };
    match status.and_then(|status| unread.map(|()| status)) {
        // A test that does not compile, or a binary that dies, has no closing line to count.
        Ok(status) if !status.success() && counts.failed == 0 => report.failed = 1,
        Ok(_) => {}
        Err(fault) => {
            progress(tier, &chain(&fault));
            report.failed += 1;
        }
    }
    report
}

/// Whether libtest says in that line that it ignores a test for a reason that begins so.
fn is_left_to(tier: &str, line: &str) -> bool {
    line.split_once(" ... ignored, ").is_some_and(|(_, reason)| reason.starts_with(tier))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Member;

    fn printed(lines: &[&str]) -> Report {
        counted("example", &Call::new("printf").arg("%s\\n").args(lines))
    }

    #[test]
    fn what_libtest_prints_is_counted() {
        let report = printed(&["test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured"]);
        assert_eq!((report.passed, report.failed), (3, 0));
        assert_eq!(report.left, [(HOST, 2)]);
    }

    #[test]
    fn ignored_tests_are_told_apart_by_their_reason() {
        let report = printed(&[
            "test a ... ignored, host tier: needs root",
            "test b ... ignored, VM tier: needs bonding",
            "test c ... ignored, kube tier: needs an API server",
            "test src/lib.rs - (line 3) ... ignored",
            "test result: ok. 0 passed; 0 failed; 4 ignored; 0 measured",
        ]);
        assert_eq!(report.left, [(HOST, 2), (vm::NAME, 1), (kube::NAME, 1)]);
    }

    #[test]
    fn the_binaries_of_other_tiers_are_not_the_hosts() {
        let tests = |names: &[&str]| Member {
            tests: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Member::default()
        };
        let mut workspace = Workspace::open().unwrap();
        workspace.members = vec![
            tests(&["host", "vm", "kube"]),
            tests(&["vm_shared", "host", "crowd", "kube_crd"]),
        ];
        assert_eq!(host_tests(&workspace), ["crowd", "host"]);
    }

    #[test]
    fn a_build_that_breaks_is_a_failure() {
        for program in ["false", "sp-no-such-program"] {
            let report = counted("example", &Call::new(program));
            assert_eq!((report.passed, report.failed), (0, 1));
        }
    }
}
