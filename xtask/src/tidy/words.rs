//! Words that the code does without.
//!
//! Owns the list of banned token sequences and name parts, each with what to write for it. `tidy`
//! calls it for each file. Invariant: a word in a comment or in a text literal is no finding
//! (`words_in_texts_are_free`).

use super::Finding;
use super::source::{Source, Token};

/// A banned sequence of tokens.
struct Rule {
    /// The tokens, separated by blanks.
    pattern: &'static str,
    /// Where it is banned.
    scope: Scope,
    /// What to do about it.
    remedy: &'static str,
}

/// Where a rule holds.
#[derive(Clone, Copy)]
enum Scope {
    /// In every file.
    Everywhere,
    /// In the core, its tests included.
    Core,
    /// In the core's `src`.
    CoreSource,
}

const RULES: &[Rule] = &[
    everywhere("# [ allow (", "write `#[expect(lint, reason = \"…\")]`, or mend the code"),
    everywhere("# ! [ allow (", "write `#![expect(lint, reason = \"…\")]`, or mend the code"),
    everywhere("todo ! (", "write it, or leave it out"),
    everywhere("unimplemented ! (", "write it, or leave it out"),
    everywhere("# [ ignore ]", "give the reason: `#[ignore = \"host tier: needs root\"]`"),
    core("thread : : sleep", "time is an argument here: hand in another moment"),
    core_source("SystemTime : : now", "take a `Moment` as an argument"),
    core_source("Instant : : now", "take a `Moment` as an argument"),
    core_source("std : : env", "take the value as an argument"),
    core_source("env : : var", "take the value as an argument"),
    core_source("HashMap", "use a BTreeMap: same input, same order, same bytes"),
    core_source("HashSet", "use a BTreeSet: same input, same order, same bytes"),
    core_source("Mutex", "the core has no locks: who calls it serialises"),
    core_source("RwLock", "the core has no locks: who calls it serialises"),
];

const fn everywhere(pattern: &'static str, remedy: &'static str) -> Rule {
    Rule { pattern, scope: Scope::Everywhere, remedy }
}

const fn core(pattern: &'static str, remedy: &'static str) -> Rule {
    Rule { pattern, scope: Scope::Core, remedy }
}

const fn core_source(pattern: &'static str, remedy: &'static str) -> Rule {
    Rule { pattern, scope: Scope::CoreSource, remedy }
}

/// Words that say nothing about a type.
const EMPTY_WORDS: [&str; 3] = ["Manager", "Helper", "Util"];

/// Finds banned words in a file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES
        .iter()
        .filter(|rule| rule.scope.holds(source))
        .flat_map(|rule| sequences(source, rule))
        .collect();
    findings.extend(source.tokens.windows(2).filter_map(|pair| name(source, pair)));
    findings
}

impl Scope {
    fn holds(self, source: &Source) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Core => source.path.starts_with("spiderpool-core"),
            Self::CoreSource => source.path.starts_with("spiderpool-core/src"),
        }
    }
}

fn sequences(source: &Source, rule: &Rule) -> Vec<Finding> {
    let pattern: Vec<&str> = rule.pattern.split(' ').collect();
    let found =
        |window: &&[Token]| window.iter().zip(&pattern).all(|(token, word)| token.text == *word);
    let finding = |window: &[Token]| {
        let what = format!("`{}` is banned here", rule.pattern.replace(' ', ""));
        Some(Finding::error(&source.path, window.first()?.line, what, rule.remedy))
    };
    source.tokens.windows(pattern.len()).filter(found).filter_map(finding).collect()
}

/// Judges the name that a declaration introduces.
fn name(source: &Source, pair: &[Token]) -> Option<Finding> {
    let [keyword, name] = pair else { return None };
    let finding =
        |what: String, remedy| Some(Finding::error(&source.path, name.line, what, remedy));
    match keyword.text.as_str() {
        "struct" | "enum" | "trait" | "type" | "union" => {
            let word = EMPTY_WORDS.into_iter().find(|word| has_part(&name.text, word))?;
            let what = format!("the type name `{}` contains `{word}`", name.text);
            finding(what, "name what it is, not that it does something")
        }
        "fn" if name.text.starts_with("get_") && name.text != "get_mut" => {
            let what = format!("the function name `{}` begins with `get_`", name.text);
            finding(what, "name what it gives")
        }
        _ => None,
    }
}

/// Whether a CamelCase name has the word, or its plural, as a part: `PoolUtils`, not `Utility`.
fn has_part(name: &str, word: &str) -> bool {
    name.match_indices(word).any(|(start, _)| {
        let rest = name.get(start + word.len()..).unwrap_or_default();
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        !rest.starts_with(|next: char| next.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let source = Source::parse(Path::new(path), text.to_owned()).unwrap();
        check(&source).into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    fn one(path: &str, text: &str) -> String {
        match found(path, text).as_slice() {
            [(_, what)] => what.clone(),
            other => panic!("one finding expected in `{text}`, got {other:?}"),
        }
    }

    #[test]
    fn each_rule_finds_its_pattern() {
        let core = "spiderpool-core/src/a.rs";
        for (text, what) in [
            ("#[allow(dead_code)] fn a() {}", "#[allow("),
            ("#![allow(dead_code)]", "#![allow("),
            ("fn a() { todo!() }", "todo!("),
            ("fn a() { unimplemented!() }", "unimplemented!("),
            ("#[test]\n#[ignore]\nfn a() {}", "#[ignore]"),
            ("fn a() { std::thread::sleep(b); }", "thread::sleep"),
            ("fn a() { SystemTime::now(); }", "SystemTime::now"),
            ("fn a() { Instant::now(); }", "Instant::now"),
            ("use std::env;", "std::env"),
            ("fn a() { env::var(b); }", "env::var"),
            ("type A = HashMap<u8, u8>;", "HashMap"),
            ("type A = HashSet<u8>;", "HashSet"),
            ("struct A(Mutex<u8>);", "Mutex"),
            ("struct A(RwLock<u8>);", "RwLock"),
        ] {
            assert_eq!(one(core, text), format!("`{what}` is banned here"));
        }
    }

    #[test]
    fn the_cores_rules_hold_in_the_core_only() {
        let text = "use std::env;\nfn a() { thread::sleep(b); Instant::now(); }";
        assert!(found("spiderpool-store/src/a.rs", text).is_empty());
        assert_eq!(found("spiderpool-core/tests/a.rs", text).len(), 1);
    }

    #[test]
    fn a_reason_makes_an_ignored_test_acceptable() {
        assert!(found("a/src/b.rs", "#[ignore = \"host tier: root\"]\nfn a() {}").is_empty());
    }

    #[test]
    fn empty_names_are_found() {
        let path = "a/src/b.rs";
        assert_eq!(
            one(path, "struct PoolManager;"),
            "the type name `PoolManager` contains `Manager`"
        );
        assert_eq!(one(path, "enum IpUtils {}"), "the type name `IpUtils` contains `Util`");
        assert_eq!(
            one(path, "fn get_pool() {}"),
            "the function name `get_pool` begins with `get_`"
        );
        assert!(found(path, "struct Utilisation; fn get_mut() {} fn get() {}").is_empty());
    }

    #[test]
    fn words_in_texts_are_free() {
        let text = "//! HashMap\n/// todo!()\nfn a() { b(\"Instant::now\"); } // #[allow(x)]";
        assert!(found("spiderpool-core/src/a.rs", text).is_empty());
    }
}
