//! The shape of a Rust file: its opening words and its lengths.
//!
//! Owns the limits. `tidy` calls it for each file. The limits leave a little room above the ones that
//! the style asks for (400 lines, 60 in a function), which clippy and reviewers hold.

use super::Finding;
use super::source::Source;

/// Production lines that a file may have.
const FILE_LINES: usize = 600;

/// Lines that a function may have, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Finds files below a `src` that do not open with module docs.
pub(crate) fn module_docs(source: &Source) -> Vec<Finding> {
    if !source.is_under_src() || source.text.starts_with("//!") {
        return Vec::new();
    }
    let remedy = "begin with `//!`: what the module owns, who calls it, its invariants";
    vec![Finding::error(&source.path, 1, "the file does not open with module docs", remedy)]
}

/// Finds files and functions that are too long.
pub(crate) fn lengths(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.production_lines();
    if source.is_under_src() && lines > FILE_LINES {
        let what = format!("{lines} production lines, more than {FILE_LINES}");
        findings.push(Finding::error(&source.path, 1, what, "split it: one idea per file"));
    }
    for function in source.functions.iter().filter(|function| function.length > FUNCTION_LINES) {
        let what = format!(
            "function `{}` has {} lines, more than {FUNCTION_LINES}",
            function.name, function.length
        );
        let remedy = "move its loops and its arithmetic into functions of their own";
        findings.push(Finding::error(&source.path, function.line, what, remedy));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(path: &str, text: &str) -> Source {
        Source::parse(Path::new(path), text.to_owned()).unwrap()
    }

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_source_opens_with_its_docs() {
        assert!(module_docs(&parse("a/src/b.rs", "//! Owns b.\n")).is_empty());
        assert_eq!(lines(&module_docs(&parse("a/src/b.rs", "// Owns b.\n"))), [1]);
        assert!(module_docs(&parse("a/tests/b.rs", "fn b() {}\n")).is_empty());
    }

    #[test]
    fn a_function_of_seventy_lines_is_the_longest() {
        let function =
            |lines: usize| format!("\nfn a() {{\n{}}}\n", "    a();\n".repeat(lines - 2));
        assert!(lengths(&parse("a/src/b.rs", &function(70))).is_empty());
        assert_eq!(lines(&lengths(&parse("a/src/b.rs", &function(71)))), [2]);
    }

    #[test]
    fn tests_do_not_lengthen_a_file() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "use a;\n".repeat(700));
        let text = |production: usize| format!("{}{tests}", "use a;\n".repeat(production));
        assert!(lengths(&parse("a/src/b.rs", &text(600))).is_empty());
        assert_eq!(lines(&lengths(&parse("a/src/b.rs", &text(601)))), [1]);
    }
}
