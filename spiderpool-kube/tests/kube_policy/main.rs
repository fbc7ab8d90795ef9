//! Who may do what, asked of a real API server: the roles and admission policies below `deploy/`, with
//! real certificates and tokens.
//!
//! One cluster serves every test that leaves it as it found it, but for objects of its own names; `room`
//! makes it. Each policy has its table: who, what was there, what is written, and whether that is
//! accepted or which words the refusal holds.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot be had fails the test that wants it"
)]

mod blocks;
mod deploy;
mod endpoints;
mod ledger;
mod pools;
mod rights;
mod room;
mod schema;
mod script;
mod slots;
