//! One Rust file, read for checking.
//!
//! Owns the reading of `.rs` files: text, tokens, functions, and which lines are tests. The checks of
//! shape and words work on it. Invariants:
//!
//! 1. Tokens leave out comments and keep string literals whole, so that a word in a text is no finding
//!    (`comments_and_strings_are_no_tokens`).
//! 2. A file that only `#[cfg(test)] mod name;` brings in is a test file (`test_modules_are_found`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::call::Fault;

/// A Rust file and what the checks want to know of it.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The file, relative to the root.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// Its tokens, groups flattened into their brackets, `::` as two colons.
    pub(crate) tokens: Vec<Token>,
    /// Its functions that have a body.
    pub(crate) functions: Vec<Function>,
    /// How many of its lines lie in `#[cfg(test)]` modules.
    pub(crate) test_lines: usize,
    /// The modules that it declares for tests and keeps elsewhere.
    pub(crate) test_modules: Vec<String>,
    /// Whether the file is a test as a whole.
    pub(crate) is_test: bool,
}

/// A token and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// As written; a bracket stands alone.
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
}

/// A function's name and extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// The name.
    pub(crate) name: String,
    /// The line of `fn`, from 1.
    pub(crate) line: usize,
    /// Lines from `fn` to the closing brace, both included.
    pub(crate) length: usize,
}

/// Reads every `.rs` file of the list.
///
/// # Errors
/// When a file cannot be read or is not Rust.
pub(crate) fn read_all(root: &Path, files: &[PathBuf]) -> Result<Vec<Source>, Fault> {
    let mut sources = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let whole = root.join(path);
        let text = std::fs::read_to_string(&whole).map_err(Fault::file("read", &whole))?;
        sources.push(Source::parse(path, text)?);
    }
    mark_tests(&mut sources);
    Ok(sources)
}

impl Source {
    /// Gives the file of that path with that text.
    ///
    /// # Errors
    /// When the text is not Rust.
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, Fault> {
        let bad = |line: usize, reason: String| {
            Fault::Wrong(format!("{}:{line}: not Rust: {reason}", path.display()))
        };
        let file = syn::parse_file(&text)
            .map_err(|error| bad(error.span().start().line, error.to_string()))?;
        let stream = TokenStream::from_str(&text)
            .map_err(|error| bad(error.span().start().line, error.to_string()))?;
        let mut source = Self { path: path.to_path_buf(), text, ..Self::default() };
        flatten(stream, &mut source.tokens);
        source.is_test = path.components().any(|part| part.as_os_str() == "tests");
        let mut survey = Survey { source: &mut source };
        survey.visit_file(&file);
        Ok(source)
    }

    /// Whether the file belongs to a crate's `src` directory.
    pub(crate) fn is_under_src(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "src")
    }

    /// How many of its lines are production code.
    pub(crate) fn production_lines(&self) -> usize {
        if self.is_test {
            return 0;
        }
        self.text.lines().count().saturating_sub(self.test_lines)
    }
}

/// Marks the files that other files declare as test modules.
fn mark_tests(sources: &mut [Source]) {
    let declared: BTreeSet<PathBuf> = sources
        .iter()
        .flat_map(|source| {
            let home = module_home(&source.path);
            source.test_modules.iter().map(move |name| home.join(name))
        })
        .collect();
    for source in sources {
        let module = source.path.with_extension("");
        source.is_test |= module.ancestors().any(|ancestor| declared.contains(ancestor));
    }
}

/// Gives the directory where a file's submodules live.
fn module_home(path: &Path) -> PathBuf {
    let parent = path.parent().unwrap_or(Path::new(""));
    match path.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") | None => parent.to_path_buf(),
        Some(stem) => parent.join(stem),
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let TokenTree::Group(group) = tree else {
            tokens.push(Token { text: tree.to_string(), line });
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        tokens.push(Token { text: open.to_owned(), line });
        flatten(group.stream(), tokens);
        tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
    }
}

struct Survey<'a> {
    source: &'a mut Source,
}

impl Survey<'_> {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        let length = last.saturating_sub(line) + 1;
        self.source.functions.push(Function { name: signature.ident.to_string(), line, length });
    }
}

impl<'ast> Visit<'ast> for Survey<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.attrs.iter().any(is_cfg_test) {
            if module.content.is_none() {
                self.source.test_modules.push(module.ident.to_string());
            }
            let span = module.span();
            self.source.test_lines += span.end().line.saturating_sub(span.start().line) + 1;
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// Whether the attribute is `#[cfg(test)]`, also inside `all(…)`.
fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    if !list.path.is_ident("cfg") {
        return false;
    }
    let mut tokens = Vec::new();
    flatten(list.tokens.clone(), &mut tokens);
    let has = |word: &str| tokens.iter().any(|token| token.text == word);
    has("test") && !has("not")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, text: &str) -> Source {
        Source::parse(Path::new(path), text.to_owned()).unwrap()
    }

    #[test]
    fn comments_and_strings_are_no_tokens() {
        let source = parse("a/src/lib.rs", "// todo!\nconst A: &str = \"a::b\";");
        let texts: Vec<&str> = source.tokens.iter().map(|token| token.text.as_str()).collect();
        assert_eq!(texts, ["const", "A", ":", "&", "str", "=", "\"a::b\"", ";"]);
        assert_eq!(source.tokens[0].line, 2);
    }

    #[test]
    fn functions_are_measured_wherever_they_stand() {
        let text = "fn a() {\n}\nimpl B {\n    fn b() {\n        1;\n    }\n}\n\
                    trait C {\n    fn c();\n    fn d() {}\n}\n";
        let lengths: Vec<(String, usize, usize)> = parse("a/src/lib.rs", text)
            .functions
            .into_iter()
            .map(|f| (f.name, f.line, f.length))
            .collect();
        let expected = [("a", 1, 2), ("b", 4, 3), ("d", 10, 1)];
        assert_eq!(lengths, expected.map(|(name, line, length)| (name.to_owned(), line, length)));
    }

    #[test]
    fn test_modules_are_found() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod model;\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let lib = parse("a/src/lib.rs", text);
        assert_eq!(lib.test_lines, 6);
        assert_eq!(lib.production_lines(), 1);
        let other = parse("a/src/model/deep.rs", "fn c() {}\n");
        let plain = parse("a/src/plain.rs", "#[cfg(not(test))]\nmod real {}\n");
        let mut sources = [lib, other, plain];
        mark_tests(&mut sources);
        assert_eq!(sources.map(|source| source.is_test), [false, true, false]);
    }

    #[test]
    fn what_is_not_rust_is_named_with_its_line() {
        let fault = Source::parse(Path::new("x.rs"), "fn a() {}\nfn (".to_owned()).unwrap_err();
        assert!(fault.to_string().starts_with("x.rs:2: not Rust: "), "{fault}");
    }
}
