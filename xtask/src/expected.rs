//! How many tests each test binary of a tier runs.
//!
//! Owns the files `expected` (`PACKAGE BINARY TESTS` in each line). The tiers that choose their binaries
//! by name read them: `vm` and `kube`. Invariant: a binary that ran another number of tests than the file
//! says has failed, so a test that is no longer run is noticed
//! (`a_number_that_is_not_the_expected_one_is_a_failure`).

use crate::call::Fault;
use crate::workspace::Workspace;

/// The numbers of one tier.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    path: &'static str,
    lines: Vec<Line>,
}

/// How many tests a binary has.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    package: String,
    test: String,
    tests: u64,
}

impl Expected {
    /// Reads the file at that path from the root of the workspace.
    ///
    /// # Errors
    /// When it cannot be read or a line has another form.
    pub(crate) fn read(workspace: &Workspace, path: &'static str) -> Result<Self, Fault> {
        let whole = workspace.root.join(path);
        let text = std::fs::read_to_string(&whole).map_err(Fault::file("read", &whole))?;
        Self::parse(path, &text)
    }

    fn parse(path: &'static str, text: &str) -> Result<Self, Fault> {
        let unreadable =
            |line: &str| Fault::Wrong(format!("`{line}` in {path} is not PACKAGE BINARY TESTS"));
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines = lines.map(|line| parse_line(line).ok_or_else(|| unreadable(line)));
        Ok(Self { path, lines: lines.collect::<Result<_, _>>()? })
    }

    /// Refuses another number of tests than the expected one.
    ///
    /// # Errors
    /// What to write where, if the number is right.
    pub(crate) fn compare(&self, package: &str, test: &str, ran: u64) -> Result<(), String> {
        let is_it = |line: &&Line| line.package == package && line.test == test;
        let wanted = self.lines.iter().find(is_it).map_or(0, |line| line.tests);
        if ran == wanted && ran > 0 {
            return Ok(());
        }
        Err(format!(
            "{ran} tests of {package} ran, and {wanted} were expected; if {ran} is right, write \
             `{package} {test} {ran}` in {}",
            self.path
        ))
    }
}

fn parse_line(line: &str) -> Option<Line> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let (package, test, tests) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(Line { package, test, tests })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_the_expected_one_is_a_failure() {
        let expected =
            Expected::parse("tests/vm/expected", "# text\n\nspiderpool-a vm 3\n").unwrap();
        assert_eq!(expected.compare("spiderpool-a", "vm", 3), Ok(()));
        assert_eq!(
            expected.compare("spiderpool-a", "vm", 2).unwrap_err(),
            "2 tests of spiderpool-a ran, and 3 were expected; if 2 is right, write \
             `spiderpool-a vm 2` in tests/vm/expected"
        );
        assert!(expected.compare("spiderpool-a", "vm_b", 0).is_err(), "no test is no success");
        for line in ["spiderpool-a vm three", "spiderpool-a vm 3 4"] {
            let text = Expected::parse("e", line).unwrap_err().to_string();
            assert_eq!(text, format!("`{line}` in e is not PACKAGE BINARY TESTS"));
        }
    }
}
