//! JSON in an annotation, with errors that tell the place and show an example.
//!
//! Called by the readers beside it (`tests::malformed_json_has_a_place`).

use super::Flaw;
use crate::position::Position;
use serde::de::DeserializeOwned;

/// Reads JSON of the shape that `expected` is an example of.
pub(super) fn read<T: DeserializeOwned>(text: &str, expected: &'static str) -> Result<T, Flaw> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let told = error.to_string();
        let place = format!(" at line {line} column {column}");
        let why = told.strip_suffix(&place).unwrap_or(&told).to_owned();
        // The reader counts an empty text as line 1, column 0.
        Flaw::Json { at: Position::saturating(line, column.max(1)), why, expected }
    })
}
