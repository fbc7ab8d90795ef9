//! Shell-style patterns in the names of pools, as the reference matches them (Go's `filepath.Match`
//! without the special role of the path separator, which pool names do not have).

use thiserror::Error;

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the pattern `{pattern}` has a `[` without its `]`, or ends in a `\\`")]
pub struct BadPattern {
    /// What was written.
    pub pattern: String,
}

/// Whether a name of a pool is to be read as a pattern: it has a `*`, a `?`, or both brackets.
pub(crate) fn is_pattern(text: &str) -> bool {
    let marks = text.bytes().fold(0_u8, |marks, byte| {
        marks
            | match byte {
                b'*' | b'?' => 0b11,
                b'[' => 0b01,
                b']' => 0b10,
                _ => 0,
            }
    });
    marks == 0b11
}

/// Whether `name` matches `pattern`: `*` is any run of characters, `?` one character, `[a-c]` and
/// `[^a-c]` one of a class, `\x` the character itself.
///
/// # Errors
/// [`BadPattern`] when a class is not closed or an escape is cut off.
///
/// ```
/// use spiderpool_core::decide::glob_matches;
/// assert!(glob_matches("prod-*-v[46]", "prod-eu-v4")?);
/// assert!(!glob_matches("prod-?", "prod-12")?);
/// # Ok::<(), spiderpool_core::decide::BadPattern>(())
/// ```
pub fn glob_matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let parts = parse(pattern).ok_or_else(|| BadPattern { pattern: pattern.to_owned() })?;
    let name: Vec<char> = name.chars().collect();
    Ok(matches(&parts, &name))
}

enum Part {
    Run,
    Any,
    One(char),
    Class { negated: bool, spans: Vec<(char, char)> },
}

fn parse(pattern: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        parts.push(match c {
            '*' => Part::Run,
            '?' => Part::Any,
            '\\' => Part::One(rest.next()?),
            '[' => class(&mut rest)?,
            c => Part::One(c),
        });
    }
    Some(parts)
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Part> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut spans = Vec::new();
    loop {
        let low = match rest.next()? {
            ']' if !spans.is_empty() => return Some(Part::Class { negated, spans }),
            '\\' => rest.next()?,
            c => c,
        };
        let high = if rest.next_if_eq(&'-').is_some() { rest.next()? } else { low };
        spans.push((low, high));
    }
}

/// Matches with one place to come back to: the last run. Linear in practice, and never worse than
/// the product of both lengths.
fn matches(parts: &[Part], name: &[char]) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut back = None;
    loop {
        match (parts.get(part), name.get(at)) {
            (None, None) => return true,
            (Some(Part::Run), _) => {
                back = Some((part + 1, at));
                part += 1;
                continue;
            }
            (Some(one), Some(c)) if one.accepts(*c) => {
                (part, at) = (part + 1, at + 1);
                continue;
            }
            _ => {}
        }
        match back {
            Some((after, from)) if from < name.len() => {
                back = Some((after, from + 1));
                (part, at) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

impl Part {
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Run => false,
            Self::Any => true,
            Self::One(one) => *one == c,
            Self::Class { negated, spans } => {
                spans.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(glob_matches(pattern, name), Ok(expected), "{pattern} on {name}");
    }

    #[test]
    fn patterns_match_as_in_the_reference() {
        check("*", "", true);
        check("a*c", "abbc", true);
        check("a*c", "abbcd", false);
        check("a*b*c", "axbyc", true);
        check("?", "", false);
        check("pool-[a-c]", "pool-b", true);
        check("pool-[^a-c]", "pool-b", false);
        check("\\*", "*", true);
        check("\\*", "x", false);
        assert!(glob_matches("[a", "a").is_err());
        assert!(glob_matches("a\\", "a").is_err());
        assert!(!is_pattern("pool[") && is_pattern("pool[1]"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(pattern in ".{0,20}", name in ".{0,20}") {
            let _answer = glob_matches(&pattern, &name);
            prop_assert_eq!(glob_matches("*", &name), Ok(true));
        }
    }
}
