//! Plain text: leaked paths and hosts, and comments about changes.
//!
//! Owns the list of what no tracked file may name. `tidy` calls it. Invariants:
//!
//! 1. No path of a build machine and no package registry's host stands in a tracked file; files that a
//!    package tool writes are left out, as they must name where packages come from
//!    (`hosts_are_found_outside_lock_files`).
//! 2. A comment that tells of a change is a warning (`comments_tell_of_the_code`).

use std::path::{Path, PathBuf};

use super::Finding;
use super::source::Source;
use crate::call::Fault;

/// What a tracked file must not name. Split, so that this file passes its own check.
const LEAKS: [&str; 7] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("crates", ".io/"),
    concat!("static.crates", ".io"),
    concat!("proxy", ".golang"),
    concat!("pypi", ".org"),
    concat!("deb.debian", ".org"),
];

/// Files that a package tool writes.
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "go.sum"];

/// Openings of a comment that speaks of a change.
const OPENINGS: [&str; 2] = ["no longer", "now "];

/// Finds leaked paths and hosts in every text file of the list.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn hosts(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>, Fault> {
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| is_judged(path)) {
        let whole = root.join(path);
        let bytes = std::fs::read(&whole).map_err(Fault::file("read", &whole))?;
        if let Ok(text) = String::from_utf8(bytes) {
            findings.extend(leaks(path, &text));
        }
    }
    Ok(findings)
}

fn is_judged(path: &Path) -> bool {
    let is_lock = path.file_name().is_some_and(|name| LOCK_FILES.iter().any(|lock| name == *lock));
    !is_lock && !path.starts_with("fuzz/corpus")
}

fn leaks(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for leak in LEAKS.into_iter().filter(|leak| has_leak(line, leak)) {
            let what = format!("`{leak}` names a machine's path or a registry's host");
            findings.push(Finding::error(path, number, what, "leave it out, or hand it in"));
        }
    }
    findings
}

/// Whether the line has the leak; a path counts only from its beginning.
fn has_leak(line: &str, leak: &str) -> bool {
    line.match_indices(leak).any(|(start, _)| {
        let before = line.get(..start).and_then(|head| head.chars().next_back());
        let inside = |c: char| c.is_ascii_alphanumeric() || "_.-}*".contains(c);
        !leak.starts_with('/') || !before.is_some_and(inside)
    })
}

/// Finds comments that tell of a change.
pub(crate) fn comments(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
        let comment = comment.trim_start_matches(['/', '!']).trim_start().to_lowercase();
        for opening in OPENINGS.into_iter().filter(|opening| comment.starts_with(opening)) {
            let what = format!("a comment opens with `{}`", opening.trim_end());
            let remedy = "speak of the code as it is, not of a change to it";
            findings.push(Finding::warning(&source.path, number, what, remedy));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_outside_lock_files() {
        for leak in LEAKS {
            let text = format!("fine\nsee {leak}x\n");
            let lines: Vec<usize> =
                leaks(Path::new("a.md"), &text).iter().map(|f| f.line).collect();
            assert!(lines.contains(&2), "{leak}");
        }
        assert!(is_judged(Path::new("a/Cargo.toml")));
        assert!(!is_judged(Path::new("fuzz/Cargo.lock")));
        assert!(!is_judged(Path::new("fuzz/corpus/ranges/1")));
    }

    #[test]
    fn a_path_inside_a_longer_one_is_no_leak() {
        let work = LEAKS[0];
        assert!(has_leak(&format!("\"{work}main\""), work));
        assert!(!has_leak(&format!("net{work}main"), work));
    }

    #[test]
    fn comments_tell_of_the_code() {
        let text = "//! Now and then.\n// No longer needed\n/// Knows it.\nfn a() {} // now\n";
        let source = Source::parse(Path::new("a.rs"), text.to_owned()).unwrap();
        let lines: Vec<usize> = comments(&source).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2]);
    }
}
