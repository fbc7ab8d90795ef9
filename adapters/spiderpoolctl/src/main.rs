//! `spiderpoolctl`: the command line of the embedded store, of a cluster's addresses, and of what pods'
//! networks should hold.
//!
//! An adapter: it parses, asks the store, the cluster or the kernel, and prints. No rule about an address or a route
//! lives here. One file under [`command`] for each command; what they share stands beside it.
//!
//! Invariants:
//! 1. The exit code says whose fault a failure is ([`failure::Exit`]; `tests/golden`).
//! 2. Commands that only look open the store read-only (`simulate_leaves_the_store_as_it_is`), and change
//!    neither namespaces nor records (`looking_changes_nothing`).
//! 3. The same store and the same `--now` print the same bytes (`tests/cli/golden.rs`).

mod cli;
mod clock;
#[cfg(feature = "cluster")]
mod cluster;
mod command;
mod copy;
mod definition;
mod failure;
mod help;
mod host_local;
mod listing;
mod output;
mod picture;
mod request;
mod session;
mod shortlist;
mod table;

fn main() -> std::process::ExitCode {
    cli::run()
}
