//! Test tiers and the table that closes a run of them.
//!
//! Owns [`Report`], what a tier found, and the closing table with its last line. `test` fills it.
//! Invariants:
//!
//! 1. The last line is exactly `N passed, N failed`, with `, N skipped` behind it when something was
//!    (`the_last_line_is_the_sum`).
//! 2. A skip is shown with its reason and, in CI, is a failure (`a_skip_in_ci_is_a_failure`).
//! 3. A test that libtest ignored is counted once: where it ran, or else as skipped
//!    (`ignored_tests_are_another_tiers`).

use std::time::Duration;

use crate::counts::{Counts, sentence};

/// What one tier found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// Tests or steps that passed.
    pub(crate) passed: u64,
    /// Tests or steps that failed.
    pub(crate) failed: u64,
    /// What was not run, and why.
    pub(crate) skipped: Vec<Skip>,
    /// Tests that were left to other tiers: the tier's name, and how many.
    pub(crate) left: Vec<(&'static str, u64)>,
}

/// Tests or steps that were not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skip {
    /// How many; at least 1, also when a whole tier of unknown size was left out.
    pub(crate) count: u64,
    /// Why.
    pub(crate) reason: String,
}

impl Report {
    /// Gives the report of a tier that could not run at all.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        let mut report = Self::default();
        report.skip(1, reason);
        report
    }

    /// Gives the report of a tier that failed before it could count.
    pub(crate) fn broken() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    /// Adds tests that were not run.
    pub(crate) fn skip(&mut self, count: u64, reason: impl Into<String>) {
        self.skipped.push(Skip { count, reason: reason.into() });
    }

    /// How many tests were left to that tier.
    fn left_to(&self, tier: &str) -> u64 {
        self.left.iter().filter(|(name, _)| *name == tier).map(|(_, count)| count).sum()
    }

    fn skips(&self) -> u64 {
        self.skipped.iter().map(|skip| skip.count).sum()
    }
}

/// One line of the closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The tier's name.
    pub(crate) tier: &'static str,
    /// What it found.
    pub(crate) report: Report,
    /// How long it took.
    pub(crate) took: Duration,
}

/// How a skip is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// On somebody's own machine: a skip is listed.
    Lenient,
    /// In CI: a skip is a failure.
    Strict,
}

impl Rule {
    /// Gives the rule that the environment asks for: strict when `CI` is `true`.
    pub(crate) fn from_environment() -> Self {
        match std::env::var("CI") {
            Ok(value) if value == "true" || value == "1" => Self::Strict,
            _ => Self::Lenient,
        }
    }
}

/// Gives the closing table and whether everything is well.
pub(crate) fn close(mut rows: Vec<Row>, rule: Rule) -> (String, bool) {
    settle(&mut rows);
    let skips: u64 = rows.iter().map(|row| row.report.skips()).sum();
    let passed = rows.iter().map(|row| row.report.passed).sum();
    let failed: u64 = rows.iter().map(|row| row.report.failed).sum();
    let sum = match rule {
        Rule::Lenient => Counts { passed, failed, ignored: skips },
        Rule::Strict => Counts { passed, failed: failed + skips, ignored: 0 },
    };
    let mut text = table(&rows);
    if rule == Rule::Strict && skips > 0 {
        text.push_str(&format!("In CI what was skipped counts as failed ({skips}).\n"));
    }
    text.push_str(&sentence(sum));
    (text, sum.failed == 0)
}

/// Counts the tests that tiers left to another one as skipped, unless that one ran them.
fn settle(rows: &mut [Row]) {
    let mut names: Vec<&'static str> =
        rows.iter().flat_map(|row| &row.report.left).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        match rows.iter().position(|row| row.tier == name) {
            Some(_) => settle_present(rows, name),
            None => settle_absent(rows, name),
        }
    }
}

/// A tier that was skipped as a whole skipped as many tests as were left to it.
fn settle_present(rows: &mut [Row], name: &str) {
    let left: u64 = rows.iter().map(|row| row.report.left_to(name)).sum();
    for row in rows.iter_mut().filter(|row| row.tier == name) {
        if let [skip] = row.report.skipped.as_mut_slice() {
            skip.count = left.max(1);
        }
    }
}

fn settle_absent(rows: &mut [Row], name: &str) {
    for row in rows {
        let left = row.report.left_to(name);
        if left > 0 {
            row.report.skip(left, format!("belong to the tier `{name}`, which was not asked for"));
        }
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.tier.len()).max().unwrap_or(0).max("tier".len());
    let mut text = format!("\n{:width$}  passed  failed  skipped     time\n", "tier");
    for Row { tier, report, took } in rows {
        let Report { passed, failed, .. } = report;
        let (skips, took) = (report.skips(), took.as_secs_f64());
        text.push_str(&format!("{tier:width$}  {passed:6}  {failed:6}  {skips:7}  {took:5.1} s\n"));
        for Skip { count, reason } in &report.skipped {
            text.push_str(&format!("{:width$}  {count} skipped: {reason}\n", ""));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tier: &'static str, passed: u64, failed: u64) -> Row {
        let report = Report { passed, failed, ..Report::default() };
        Row { tier, report, took: Duration::from_millis(1500) }
    }

    fn last(text: &str) -> &str {
        text.lines().last().unwrap()
    }

    #[test]
    fn the_last_line_is_the_sum() {
        let (text, well) = close(vec![row("a", 2, 0), row("b", 3, 1)], Rule::Lenient);
        assert_eq!(last(&text), "5 passed, 1 failed");
        assert!(!well);
        assert!(text.contains("a          2       0        0    1.5 s"), "{text}");
    }

    #[test]
    fn a_skip_in_ci_is_a_failure() {
        let mut skipped = row("podman", 0, 0);
        skipped.report = Report::skipped("not root");
        let (text, well) = close(vec![row("a", 2, 0), skipped.clone()], Rule::Lenient);
        assert_eq!(last(&text), "2 passed, 0 failed, 1 skipped");
        assert!(text.contains("1 skipped: not root"), "{text}");
        assert!(well);
        let (text, well) = close(vec![row("a", 2, 0), skipped], Rule::Strict);
        assert_eq!(last(&text), "2 passed, 1 failed");
        assert!(!well);
    }

    #[test]
    fn ignored_tests_are_another_tiers() {
        let mut unit = row("unit", 9, 0);
        unit.report.left = vec![("host", 4), ("VM", 2)];
        let alone = close(vec![unit.clone()], Rule::Lenient).0;
        assert_eq!(last(&alone), "9 passed, 0 failed, 6 skipped");
        assert!(alone.contains("2 skipped: belong to the tier `VM`, which was not"), "{alone}");
        let one = close(vec![unit.clone(), row("host", 4, 0)], Rule::Lenient).0;
        assert_eq!(last(&one), "13 passed, 0 failed, 2 skipped");
        let all = close(vec![unit.clone(), row("host", 4, 0), row("VM", 2, 0)], Rule::Lenient).0;
        assert_eq!(last(&all), "15 passed, 0 failed");
        let mut vm = row("VM", 0, 0);
        vm.report = Report::skipped("no kernel");
        let refused = close(vec![unit, row("host", 4, 0), vm], Rule::Lenient).0;
        assert_eq!(last(&refused), "13 passed, 0 failed, 2 skipped");
    }
}
