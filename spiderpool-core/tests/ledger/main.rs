//! The ledger as a whole: scenarios, properties over random histories, and the bugs that others
//! shipped.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod families;
mod model;
mod museum;
mod properties;
mod races;
mod scenarios;
mod selection;
mod unnamed;
mod world;
