//! Where in a text something stands.
//!
//! Every reader of the crate reports places in this one form (`places_read_as_editors_count`).

use std::fmt;

/// A place in a text, counted as editors count: both numbers start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in that line, from 1; 0 when only the line is known.
    pub column: u32,
}

impl Position {
    /// The place with these numbers; what does not fit is held at the largest number.
    pub(crate) fn saturating(line: impl TryInto<u32>, column: impl TryInto<u32>) -> Self {
        let fit = |number: Option<u32>| number.unwrap_or(u32::MAX);
        Self { line: fit(line.try_into().ok()), column: fit(column.try_into().ok()) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_editors_count() {
        assert_eq!(Position { line: 3, column: 7 }.to_string(), "line 3 column 7");
        assert_eq!(Position::saturating(u64::MAX, 2_u64), Position { line: u32::MAX, column: 2 });
    }
}
