//! What a pod's and its host's namespace should hold, and how it is taken back: examples, the
//! acceptance list, the bugs that others shipped, and properties over every mode, order and family.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod acceptance;
mod bugs;
mod configuration;
mod examples;
mod model;
mod refusals;
mod stories;
mod tuning;
mod withdrawal;
mod world;
