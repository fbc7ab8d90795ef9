//! Conversations with the real binary where the node's agent keeps the allocations.
//!
//! The agent is a peer on a real socket that says what a script tells it to, so that the wire is seen from
//! both ends: what the plugin asks is pinned in `tests/golden/` beside what the runtime sees. What must hold
//! whatever the words are is asserted in the test itself.

#![cfg(test)]

#[path = "../../../agent-api/tests/fake/mod.rs"]
mod fake;
#[path = "../lab/mod.rs"]
mod lab;

mod talk;

mod add;
mod hostile;
mod verbs;
mod wire;
