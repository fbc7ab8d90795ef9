//! In which form answers are printed.
//!
//! Tables are for people and may change; the fields of JSON and YAML are a promise. Invariant: both
//! come from one value (`json_and_yaml_say_the_same`).

use crate::failure::Failure;
use clap::ValueEnum;
use serde::Serialize;

/// What `-o` chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
    /// YAML for programs and for files.
    Yaml,
    /// Tables with more columns.
    Wide,
}

/// The value in one of the forms for programs; `None` for tables.
pub(crate) fn machine<T: Serialize>(format: Format, value: &T) -> Option<Result<String, Failure>> {
    match format {
        Format::Table | Format::Wide => None,
        Format::Json => Some(
            serde_json::to_string_pretty(value)
                .map(|text| text + "\n")
                .map_err(|error| Failure::world("cannot write the answer as JSON").because(&error)),
        ),
        Format::Yaml => Some(
            serde_saphyr::to_string(value)
                .map_err(|error| Failure::world("cannot write the answer as YAML").because(&error)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::view::Tally;

    #[test]
    fn json_and_yaml_say_the_same() {
        let tally = Tally { size: 1 << 64, free: 3, ..Tally::default() };
        let json = machine(Format::Json, &tally).unwrap().unwrap();
        let yaml = machine(Format::Yaml, &tally).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&json).unwrap(), tally);
        assert_eq!(serde_saphyr::from_str::<Tally>(&yaml).unwrap(), tally);
        assert!(machine(Format::Wide, &tally).is_none());
    }
}
