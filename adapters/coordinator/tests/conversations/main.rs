//! Golden conversations with the real binary: what a runtime says, and every byte that it sees.
//!
//! Each test tells one conversation and compares it with its file in `tests/golden/`; with
//! `UPDATE_GOLDEN=1` the file is written anew. What must hold whatever the words are (codes, records) is
//! asserted in the test itself, so that a new file cannot bless a wrong answer.

#![cfg(test)]

#[path = "../../../agent-api/tests/fake/mod.rs"]
mod fake;
#[path = "../lab/mod.rs"]
mod lab;

mod talk;

mod cluster;
mod nothing;
mod text;
