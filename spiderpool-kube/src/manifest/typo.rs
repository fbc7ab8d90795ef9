//! Guesses what a mistyped name was meant to be.
//!
//! Called where an unknown field or kind is refused. Case does not count, since `excludeIps` for
//! `excludeIPs` is the commonest slip (`neighbours`).

/// The known name that is nearest to what was written, unless even that is far off.
pub(super) fn nearest(got: &str, known: &[&'static str]) -> Option<&'static str> {
    let allowed = (got.chars().count() / 3).max(2);
    let distances = known.iter().map(|name| (distance(got, name), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= allowed && distance < name.len()).then_some(name)
}

/// The least number of insertions, deletions and replacements that turn one into the other.
fn distance(left: &str, right: &str) -> usize {
    // Nobody means a short field by a very long one: bounding it keeps hostile input cheap.
    let lower = |text: &str| text.to_lowercase().chars().take(64).collect::<Vec<_>>();
    let (left, right) = (lower(left), lower(right));
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.iter().enumerate() {
        let mut next = vec![above + 1];
        for ((b, diagonal), up) in right.iter().zip(&row).zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(a != b);
            let before = next.last().copied().unwrap_or(usize::MAX - 1);
            next.push(replaced.min(up + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        let known = ["ips", "excludeIPs", "nodeName", "gateway"];
        let check = |got, expected| assert_eq!(nearest(got, &known), expected, "for {got}");
        check("excludeIps", Some("excludeIPs"));
        check("nodeNames", Some("nodeName"));
        check("gatway", Some("gateway"));
        check("ip", Some("ips"));
        check("entirelyElse", None);
        check("", None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("Same", "same"), 0);
    }
}
