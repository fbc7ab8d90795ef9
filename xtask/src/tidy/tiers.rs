//! Tests of the tier `VM`, and where they are.
//!
//! Owns the convention that this tier's tests live in test binaries named `vm` or `vm_…`, each test
//! ignored with the tier as its reason. `tidy` calls it for each file. Invariants:
//!
//! 1. A test elsewhere that says that it needs the VM would never run: it is found
//!    (`a_test_of_the_vm_elsewhere_is_found`).
//! 2. A test there that does not say so would run on the host, too: it is found
//!    (`a_test_that_runs_everywhere_is_found`).

use std::path::Path;

use super::Finding;
use super::source::{Source, Token};
use crate::vm::tier::{REASON, is_ours};

const TEST: [&str; 4] = ["#", "[", "test", "]"];
const IGNORE: [&str; 4] = ["#", "[", "ignore", "="];

/// Finds tests that are in the wrong place or lack the reason.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let is_vm = is_of_vm(&source.path);
    let reason = |window: &[Token]| {
        let literal = window.get(IGNORE.len())?;
        let is_reason = literal.text.trim_start_matches('"').starts_with(REASON);
        (begins(window, &IGNORE) && is_reason).then_some(literal.line)
    };
    let said = source.tokens.windows(IGNORE.len() + 1).filter_map(reason);
    if !is_vm {
        let what = format!("a test of the {REASON} outside its test binaries never runs");
        let remedy = "move it to tests/vm.rs of its crate";
        return said.map(|line| Finding::error(&source.path, line, what.clone(), remedy)).collect();
    }
    let tests = source.tokens.windows(TEST.len() + IGNORE.len() + 1);
    let is_bare = |window: &&[Token]| {
        begins(window, &TEST) && window.get(TEST.len()..).and_then(reason).is_none()
    };
    let finding = |window: &[Token]| {
        let what = format!("a test without `#[ignore = \"{REASON}: …\"]` runs on the host, too");
        let remedy = "put the attribute behind `#[test]`, with what the test needs";
        Some(Finding::error(&source.path, window.first()?.line, what, remedy))
    };
    tests.filter(is_bare).filter_map(finding).collect()
}

fn begins(window: &[Token], words: &[&str]) -> bool {
    window.len() >= words.len() && window.iter().zip(words).all(|(token, word)| token.text == *word)
}

/// Whether the file is part of a test binary that a VM runs: `tests/vm.rs`, `tests/vm_shared/a.rs`; the
/// crate itself may be below another directory of that name.
fn is_of_vm(path: &Path) -> bool {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str()).collect();
    let after = parts.iter().rposition(|part| *part == "tests").map(|last| last + 1);
    let binary =
        after.and_then(|next| parts.get(next)).map(|part| Path::new(part).with_extension(""));
    binary.is_some_and(|name| name.to_str().is_some_and(is_ours))
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
    fn a_test_of_the_vm_elsewhere_is_found() {
        let text = test("VM tier: needs bonding");
        assert_eq!(lines("a/tests/host.rs", &text), [3]);
        assert_eq!(lines("a/src/vm.rs", &text), [3]);
        for path in
            ["tests/a/tests/vm.rs", "a/tests/vm.rs", "a/tests/vm_shared.rs", "a/tests/vm/main.rs"]
        {
            assert!(lines(path, &text).is_empty(), "{path}");
        }
        assert!(lines("a/tests/host.rs", &test("host tier: needs root")).is_empty());
    }

    #[test]
    fn a_test_that_runs_everywhere_is_found() {
        assert_eq!(lines("a/tests/vm.rs", &test("host tier: needs root")), [2]);
        assert_eq!(lines("a/tests/vm.rs", "#[test]\nfn a() {}\nfn b() { c(1, 2, 3); }"), [1]);
        assert!(lines("a/tests/host.rs", "#[test]\nfn a() {}").is_empty());
    }
}
