//! Progress on standard error, and the record of a tier made of steps.
//!
//! Owns [`progress`], which every command uses, and [`Steps`], which the tiers that are not libtest
//! binaries use to count. Invariant: a step is counted once, as passed or as failed, with its fault
//! printed at that moment (`a_failed_step_is_counted_and_the_next_one_runs`).

use std::sync::OnceLock;
use std::time::Instant;

use crate::call::{Fault, chain};
use crate::tiers::Report;

/// Prints a progress line with the time since the first one.
pub(crate) fn progress(subject: &str, text: &str) {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    eprintln!("[{:7.1} s] {subject}: {text}", elapsed.as_secs_f64());
}

/// The steps of one tier, as they happen.
#[derive(Debug)]
pub(crate) struct Steps {
    tier: &'static str,
    report: Report,
}

impl Steps {
    /// Gives an empty record.
    pub(crate) fn new(tier: &'static str) -> Self {
        Self { tier, report: Report::default() }
    }

    /// Runs one step and gives what it made, or nothing when it failed.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<T, Fault>,
    ) -> Option<T> {
        let start = Instant::now();
        let result = work();
        let took = start.elapsed().as_secs_f64();
        match result {
            Ok(made) => {
                self.report.passed += 1;
                progress(self.tier, &format!("{name}: ok ({took:.1} s)"));
                Some(made)
            }
            Err(fault) => {
                self.report.failed += 1;
                progress(self.tier, &format!("{name}: FAILED ({took:.1} s)\n{}", chain(&fault)));
                None
            }
        }
    }

    /// Adds steps that could not be tried, with the reason.
    pub(crate) fn skip(&mut self, count: u64, reason: impl Into<String>) {
        self.report.skip(count, reason);
    }

    /// Gives the tier's report.
    pub(crate) fn finish(self) -> Report {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_counted_and_the_next_one_runs() {
        let mut steps = Steps::new("example");
        let first: Option<()> = steps.step("one", || Err(Fault::Wrong("broken".to_owned())));
        assert_eq!(first, None);
        assert_eq!(steps.step("two", || Ok(7)), Some(7));
        let report = steps.finish();
        assert_eq!((report.passed, report.failed), (1, 1));
    }
}
