//! Sums of what `cargo test` printed.
//!
//! Owns the reading of libtest's closing lines. The suites feed it line by line; `cargo xtask counts`
//! feeds it saved outputs. Invariants:
//!
//! 1. Every `test result:` line counts, whatever surrounds it (`results_of_several_binaries_add_up`).
//! 2. What looks like such a line and cannot be read is an error, never a zero
//!    (`a_strange_result_line_is_not_nothing`).

use std::path::PathBuf;

use clap::Args;

use crate::call::Fault;

/// The files to sum.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Saved outputs of `cargo test`
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// How many tests ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that passed.
    pub(crate) passed: u64,
    /// Those that failed.
    pub(crate) failed: u64,
    /// Those marked `#[ignore]`.
    pub(crate) ignored: u64,
}

impl Counts {
    /// Adds what one line of output says, if it is a closing line.
    ///
    /// # Errors
    /// When it begins like a closing line and goes on unlike one.
    pub(crate) fn read(&mut self, line: &str) -> Result<(), Fault> {
        let Some((_, rest)) = line.split_once("test result: ") else { return Ok(()) };
        let found = Self::parse(rest)
            .ok_or_else(|| Fault::Wrong(format!("cannot read the closing line `{line}`")))?;
        self.passed += found.passed;
        self.failed += found.failed;
        self.ignored += found.ignored;
        Ok(())
    }

    /// Parses what follows `test result: `, such as `ok. 3 passed; 0 failed; 1 ignored; …`.
    fn parse(rest: &str) -> Option<Self> {
        let (_, numbers) = rest.split_once(". ")?;
        let field = |name: &str| {
            let part = numbers.split("; ").find(|part| part.ends_with(name))?;
            part.split_whitespace().next()?.parse().ok()
        };
        let [passed, failed, ignored] = ["passed", "failed", "ignored"].map(field);
        Some(Self { passed: passed?, failed: failed?, ignored: ignored? })
    }
}

/// Prints the sum of each file and of all; `false` when a test failed.
///
/// # Errors
/// When a file cannot be read or holds no closing line at all.
pub(crate) fn run(options: &Options) -> Result<bool, Fault> {
    let mut all = Counts::default();
    for path in &options.files {
        let text = std::fs::read_to_string(path).map_err(Fault::file("read", path))?;
        if !text.contains("test result: ") {
            let path = path.display();
            return Err(Fault::Wrong(format!("{path} holds no `test result:` line of cargo test")));
        }
        let mut counts = Counts::default();
        for line in text.lines() {
            counts.read(line)?;
        }
        println!("{}: {}", path.display(), sentence(counts));
        all.passed += counts.passed;
        all.failed += counts.failed;
        all.ignored += counts.ignored;
    }
    println!("{}", sentence(all));
    Ok(all.failed == 0)
}

/// Gives the one sentence that closes a run of tests: `3 passed, 0 failed`, and what was skipped.
pub(crate) fn sentence(counts: Counts) -> String {
    let Counts { passed, failed, ignored } = counts;
    match ignored {
        0 => format!("{passed} passed, {failed} failed"),
        skipped => format!("{passed} passed, {failed} failed, {skipped} skipped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "\u{1b}[1mtest result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out",
        ] {
            counts.read(line).unwrap();
        }
        assert_eq!(counts, Counts { passed: 7, failed: 2, ignored: 1 });
        assert_eq!(sentence(counts), "7 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_strange_result_line_is_not_nothing() {
        let mut counts = Counts::default();
        assert!(counts.read("test result: ok. many passed; 0 failed; 0 ignored").is_err());
        assert!(counts.read("test result: ok").is_err());
    }

    #[test]
    fn nothing_skipped_is_not_mentioned() {
        let counts = Counts { passed: 2, failed: 0, ignored: 0 };
        assert_eq!(sentence(counts), "2 passed, 0 failed");
    }
}
