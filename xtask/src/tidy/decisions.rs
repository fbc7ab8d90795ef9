//! Decision records: named in order, and all of them in the list.
//!
//! Owns the naming rule of `docs/decisions`. `tidy` calls it. Invariants:
//!
//! 1. A record is named `NNN-title.md` (`a_record_has_a_number_and_a_title`).
//! 2. The directory's README links every record (`a_record_that_nothing_links_is_found`).

use std::path::{Path, PathBuf};

use super::Finding;
use crate::call::Fault;

const DIRECTORY: &str = "docs/decisions";

/// Finds records that are misnamed or not linked; nothing when there are none at all.
///
/// # Errors
/// When the list cannot be read.
pub(crate) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>, Fault> {
    let list = Path::new(DIRECTORY).join("README.md");
    let records: Vec<&Path> = files
        .iter()
        .map(PathBuf::as_path)
        .filter(|path| path.parent() == Some(Path::new(DIRECTORY)) && **path != *list)
        .collect();
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let whole = root.join(&list);
    let text = match std::fs::read_to_string(&whole) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Fault::file("read", &whole)(error)),
    };
    Ok(records.into_iter().flat_map(|record| judge(record, &text)).collect())
}

fn judge(record: &Path, list: &str) -> Vec<Finding> {
    let name = record.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut findings = Vec::new();
    if !is_record_name(name) {
        let what = format!("`{name}` is not named like a decision record");
        findings.push(Finding::error(record, 1, what, "name it NNN-title.md"));
    }
    if !list.contains(&format!("({name})")) && !list.contains(&format!("(./{name})")) {
        let what = format!("`{name}` is not linked from {DIRECTORY}/README.md");
        findings.push(Finding::error(record, 1, what, "add a line with a link to it"));
    }
    findings
}

fn is_record_name(name: &str) -> bool {
    let Some((number, title)) = name.strip_suffix(".md").and_then(|stem| stem.split_once('-'))
    else {
        return false;
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    number.len() == 3
        && number.chars().all(|c| c.is_ascii_digit())
        && !title.is_empty()
        && title.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_a_number_and_a_title() {
        for name in ["001-store.md", "042-two-words.md"] {
            assert!(is_record_name(name), "{name}");
        }
        for name in
            ["1-store.md", "001_store.md", "001-.md", "001-Store.md", "store.md", "001-a.txt"]
        {
            assert!(!is_record_name(name), "{name}");
        }
    }

    #[test]
    fn a_record_that_nothing_links_is_found() {
        let record = Path::new("docs/decisions/001-store.md");
        assert!(judge(record, "* [The store](001-store.md)").is_empty());
        assert_eq!(judge(record, "001-store.md").len(), 1);
    }

    #[test]
    fn a_tree_without_records_is_well() {
        let files = [PathBuf::from("docs/notes.md")];
        assert_eq!(check(Path::new("/does/not/exist"), &files).unwrap(), []);
    }

    #[test]
    fn records_without_a_list_are_found() {
        let files = [PathBuf::from("docs/decisions/001-store.md")];
        assert_eq!(check(Path::new("/does/not/exist"), &files).unwrap().len(), 1);
    }
}
