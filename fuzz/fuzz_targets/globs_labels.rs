//! Patterns of pool names against a slow and plain matcher, and selectors against their own text.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spiderpool_core::decide::glob_matches;
use spiderpool_core::label::{Labels, Requirement, Selector};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    pattern: &'a str,
    name: &'a str,
    labels: Labels,
    expressions: Vec<(&'a str, &'a str, Vec<String>)>,
}

fuzz_target!(|input: Input<'_>| {
    let Input { pattern, name, labels, expressions } = input;
    let told = glob_matches(pattern, name);
    if !pattern.contains(['[', '\\']) {
        let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
        // The plain matcher takes exponential time on many stars.
        if pattern.iter().filter(|part| **part == '*').count() < 5 && name.len() < 40 {
            assert_eq!(told, Ok(plainly(&pattern, &name)));
        }
    }
    let parsed = expressions
        .into_iter()
        .filter_map(|(key, operator, values)| Requirement::parse(key, operator, values).ok());
    let requirements: Vec<_> = parsed.collect();
    let alone = requirements.iter().all(|requirement| {
        let requirements = vec![requirement.clone()];
        Selector { labels: Labels::new(), requirements }.matches(&labels)
    });
    let all = Selector { labels: labels.clone(), requirements };
    assert_eq!(all.matches(&labels), alone, "{all}");
});

fn plainly(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|at| plainly(rest, &name[at..])),
        Some((part, rest)) => {
            let first = name.split_first();
            first.is_some_and(|(c, name)| (*part == '?' || part == c) && plainly(rest, name))
        }
    }
}
