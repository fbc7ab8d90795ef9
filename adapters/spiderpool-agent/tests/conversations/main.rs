//! Conversations with an agent over its real socket; behind it the core's own ledger, beside it a world
//! that the test makes.

#![cfg(test)]

mod coordinator;
mod hostile;
mod ledger;
mod older;
mod project;
mod reclaim;
mod room;
mod statics;
mod verbs;
mod world;
