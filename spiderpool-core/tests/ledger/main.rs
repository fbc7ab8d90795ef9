//! The ledger as a whole: scenarios, properties over random histories, and the bugs that others
//! shipped.
#![cfg(test)]

mod model;
mod properties;
mod scenarios;
mod selection;
mod world;
