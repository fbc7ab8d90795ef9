//! Tests of the tiers `VM` and `kube`, and where they are.
//!
//! Owns the convention that the tests of such a tier live in test binaries named after it, `vm` or
//! `vm_…`, `kube` or `kube_…`, each test ignored with the tier as its reason. `tidy` calls it for each
//! file. Invariants:
//!
//! 1. A test elsewhere that says that it needs the tier would never run: it is found
//!    (`a_test_of_a_tier_elsewhere_is_found`).
//! 2. A test there that does not say so would run in the first tier, too: it is found
//!    (`a_test_that_runs_everywhere_is_found`).

use std::path::Path;

use super::Finding;
use super::source::{Source, Token};
use crate::{kube, vm};

const TEST: [&str; 4] = ["#", "[", "test", "]"];
const IGNORE: [&str; 4] = ["#", "[", "ignore", "="];

/// A tier that chooses its test binaries by name.
struct Tier {
    reason: &'static str,
    is_ours: fn(&str) -> bool,
    remedy: &'static str,
}

const TIERS: [Tier; 2] = [
    Tier {
        reason: vm::tier::REASON,
        is_ours: vm::tier::is_ours,
        remedy: "move it to tests/vm.rs of its crate",
    },
    Tier {
        reason: kube::tier::REASON,
        is_ours: kube::tier::is_ours,
        remedy: "move it to tests/kube.rs of its crate",
    },
];

/// Finds tests that are in the wrong place or lack the reason.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    TIERS.iter().flat_map(|tier| tier.check(source)).collect()
}

impl Tier {
    fn check(&self, source: &Source) -> Vec<Finding> {
        if self.has(&source.path) { self.bare(source) } else { self.strayed(source) }
    }

    /// Finds tests that say that they need this tier.
    fn strayed(&self, source: &Source) -> Vec<Finding> {
        let what = format!("a test of the {} outside its test binaries never runs", self.reason);
        let windows = source.tokens.windows(IGNORE.len() + 1);
        let said = windows.filter_map(|window| self.line_of_reason(window));
        said.map(|line| Finding::error(&source.path, line, what.clone(), self.remedy)).collect()
    }

    /// Finds tests that do not say so.
    fn bare(&self, source: &Source) -> Vec<Finding> {
        let tests = source.tokens.windows(TEST.len() + IGNORE.len() + 1);
        let is_bare = |window: &&[Token]| {
            let behind = window.get(TEST.len()..);
            begins(window, &TEST) && behind.and_then(|next| self.line_of_reason(next)).is_none()
        };
        let finding = |window: &[Token]| {
            let reason = self.reason;
            let what = format!("a test without `#[ignore = \"{reason}: …\"]` runs elsewhere, too");
            let remedy = "put the attribute behind `#[test]`, with what the test needs";
            Some(Finding::error(&source.path, window.first()?.line, what, remedy))
        };
        tests.filter(is_bare).filter_map(finding).collect()
    }

    /// Gives the line of the reason when the tokens begin with an `ignore` for this tier.
    fn line_of_reason(&self, tokens: &[Token]) -> Option<usize> {
        let literal = tokens.get(IGNORE.len())?;
        let is_reason = literal.text.trim_start_matches('"').starts_with(self.reason);
        (begins(tokens, &IGNORE) && is_reason).then_some(literal.line)
    }

    /// Whether the file is part of a test binary of this tier: `tests/vm.rs`, `tests/vm_shared/a.rs`; the
    /// crate itself may be below another directory of that name, and what is in its `src` is no test.
    fn has(&self, path: &Path) -> bool {
        let parts: Vec<_> = path.components().map(|part| part.as_os_str()).collect();
        let last = parts.iter().rposition(|part| *part == "tests");
        let below = last.and_then(|last| parts.get(last + 1..)).unwrap_or_default();
        let is_source = below.iter().any(|part| *part == "src");
        let binary = below.first().filter(|_| !is_source);
        let binary = binary.map(|part| Path::new(part).with_extension(""));
        binary.is_some_and(|name| name.to_str().is_some_and(self.is_ours))
    }
}

fn begins(window: &[Token], words: &[&str]) -> bool {
    window.len() >= words.len() && window.iter().zip(words).all(|(token, word)| token.text == *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let source = Source::parse(Path::new(path), text.to_owned()).unwrap();
        check(&source).into_iter().map(|finding| finding.line).collect()
    }

    fn test(reason: &str) -> String {
        format!("fn a() {{}}\n#[test]\n#[ignore = \"{reason}\"]\nfn b() {{}}\n")
    }

    #[test]
    fn a_test_of_a_tier_elsewhere_is_found() {
        let text = test("VM tier: needs bonding");
        assert_eq!(lines("a/tests/host.rs", &text), [3]);
        assert_eq!(lines("a/src/vm.rs", &text), [3]);
        for path in
            ["tests/a/tests/vm.rs", "a/tests/vm.rs", "a/tests/vm_shared.rs", "a/tests/vm/main.rs"]
        {
            assert!(lines(path, &text).is_empty(), "{path}");
        }
        assert!(lines("a/tests/host.rs", &test("host tier: needs root")).is_empty());
        let text = test("kube tier: needs an API server");
        assert_eq!(lines("a/tests/host.rs", &text), [3]);
        assert_eq!(lines("a/tests/vm.rs", &text), [2, 3], "in the wrong tier");
        assert!(lines("tests/kube/tests/kube_lab.rs", &text).is_empty());
    }

    #[test]
    fn a_test_that_runs_everywhere_is_found() {
        assert_eq!(lines("a/tests/vm.rs", &test("host tier: needs root")), [2]);
        assert_eq!(lines("a/tests/vm.rs", "#[test]\nfn a() {}\nfn b() { c(1, 2, 3); }"), [1]);
        assert!(
            lines("tests/kube/src/a.rs", "#[test]\nfn a() {}\nfn b() { c(1, 2, 3); }").is_empty()
        );
        assert_eq!(lines("a/tests/kube.rs", "#[test]\nfn a() {}\nfn b() { c(1, 2, 3); }"), [1]);
        assert!(lines("a/tests/host.rs", "#[test]\nfn a() {}").is_empty());
    }
}
