//! `CNI_ARGS`: pairs of key and value, in whatever order the runtime's map gave them.
//!
//! Called by `call` only. Every pair is kept: which keys mean something is the plugin's business, and
//! `IgnoreUnknown` is a pair like any other. Invariants:
//!
//! 1. Order means nothing; a key with two different values is refused, since order would decide
//!    (`the_order_of_arguments_means_nothing` in `tests/properties.rs`, `table`).
//! 2. A value may hold `=` (`table`).

use std::collections::BTreeMap;

use crate::call::BadEnv;

/// The pairs of `K=V;K=V`. Empty pieces, such as after a last `;`, are passed over.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, String>, BadEnv> {
    let mut args = BTreeMap::new();
    for (index, piece) in text.split(';').enumerate().filter(|(_, piece)| !piece.is_empty()) {
        let (key, value) = pair(piece).ok_or_else(|| BadEnv::NotAPair {
            position: index.saturating_add(1),
            got: piece.to_owned(),
        })?;
        let before = args.insert(key.to_owned(), value.to_owned());
        if let Some(first) = before.filter(|first| first != value) {
            return Err(BadEnv::Contradiction {
                key: key.to_owned(),
                first,
                second: value.to_owned(),
            });
        }
    }
    Ok(args)
}

fn pair(piece: &str) -> Option<(&str, &str)> {
    piece.split_once('=').filter(|(key, _)| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected =
                expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(parse(text), Ok(expected), "{text:?}");
        };
        check("", &[]);
        check(";", &[]);
        check("A=1", &[("A", "1")]);
        check("A=1;", &[("A", "1")]);
        check("B=2;;A=1", &[("A", "1"), ("B", "2")]);
        check("A=", &[("A", "")]);
        check("A=b=c==", &[("A", "b=c==")]);
        check("A=1;A=1", &[("A", "1")]);
        check(
            "IgnoreUnknown=1;K8S_POD_NAME=web-0",
            &[("IgnoreUnknown", "1"), ("K8S_POD_NAME", "web-0")],
        );
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        };
        check("A=1;B", "CNI_ARGS: piece 2, `B`, is not KEY=VALUE");
        check("=1", "CNI_ARGS: piece 1, `=1`, is not KEY=VALUE");
        check("A=1;;=", "CNI_ARGS: piece 3, `=`, is not KEY=VALUE");
        check("A=1;A=2", "CNI_ARGS: `A` is given twice, as `1` and as `2`");
    }
}
