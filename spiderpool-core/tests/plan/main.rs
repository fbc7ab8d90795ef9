//! Plans as a whole: commands in golden lines, the model of the kernel rule by rule, plans of known
//! intents, and properties over random scenes and intents.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod build;
mod golden;
mod model;
mod plans;
mod properties;
mod random;
