//! What the benchmarks share: names as clusters make them, and ledgers filled to a stated degree.
//!
//! The benchmarks are under `benches/`, the programs that print one figure each under `src/bin/`;
//! the README names the command of each. Nothing here is measured: a fixture is built before the
//! clock starts.
//!
//! Invariants:
//! 1. Two runs measure the same work: chance has a seed (`chance`:
//!    `a_seed_gives_the_same_numbers_for_ever`).
//! 2. A filled ledger is one that the commands could have led to: its audit is clean (`filled`:
//!    `a_filled_ledger_is_sound`).

pub mod chance;
pub mod counted;
pub mod filled;
pub mod joined;
pub mod laboratory;
pub mod plugin;
pub mod pod;
