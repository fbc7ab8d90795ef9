//! The tiers that libtest runs: `unit+property` and `host`.
//!
//! Owns the two `cargo test` commands and the reading of their counts. Tests that need root or a
//! kernel feature are marked `#[ignore = "host tier: …"]`; the first tier leaves them to the second
//! (`tiers::tests::ignored_tests_are_the_host_tiers`).

use crate::call::{Call, chain};
use crate::counts::Counts;
use crate::prerequisites;
use crate::steps::progress;
use crate::tiers::Report;
use crate::workspace::Workspace;

/// Name of the tier that runs what the other leaves out.
pub(crate) const HOST: &str = "host";

/// Runs every test that needs nothing but the compiler, doctests included.
pub(crate) fn unit(workspace: &Workspace) -> Report {
    let call = Call::cargo().args(["test", "--workspace", "--no-fail-fast"]);
    let (mut report, ignored) = counted("unit+property", &call.dir(&workspace.root));
    report.left_to_host = ignored;
    report
}

/// Runs the tests that need root on the host's own kernel.
pub(crate) fn host(workspace: &Workspace) -> Report {
    if let Err(reason) = prerequisites::need(&["ip", "ping"]).and_then(|()| prerequisites::root()) {
        return Report::skipped(reason);
    }
    let call = Call::cargo().args(["test", "--workspace", "--no-fail-fast", "--tests"]);
    counted(HOST, &call.args(["--", "--ignored"]).dir(&workspace.root)).0
}

/// Runs a `cargo test` and gives what it counted, and how many tests it ignored.
fn counted(tier: &'static str, call: &Call) -> (Report, u64) {
    let mut counts = Counts::default();
    let mut unread = Ok(());
    progress(tier, &call.line());
    let status = call.stream(|line| {
        println!("{line}");
        if let Err(fault) = counts.read(line) {
            unread = Err(fault);
        }
    });
    let mut report = Report { passed: counts.passed, failed: counts.failed, ..Report::default() };
    match status.and_then(|status| unread.map(|()| status)) {
        // A test that does not compile, or a binary that dies, has no closing line to count.
        Ok(status) if !status.success() && counts.failed == 0 => report.failed = 1,
        Ok(_) => {}
        Err(fault) => {
            progress(tier, &chain(&fault));
            report.failed += 1;
        }
    }
    (report, counts.ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out";

    #[test]
    fn what_libtest_prints_is_counted() {
        let (report, ignored) = counted("example", &Call::new("printf").args(["%s\\n", LINE]));
        assert_eq!((report.passed, report.failed, ignored), (3, 0, 2));
    }

    #[test]
    fn a_build_that_breaks_is_a_failure() {
        let (report, _) = counted("example", &Call::new("false"));
        assert_eq!((report.passed, report.failed), (0, 1));
        let (report, _) = counted("example", &Call::new("sp-no-such-program"));
        assert_eq!((report.passed, report.failed), (0, 1));
    }
}
