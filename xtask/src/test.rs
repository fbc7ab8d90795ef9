//! `cargo xtask test`: the tiers, one after another, to the end.
//!
//! Owns the list of tiers and their order: what is quick and tells most comes first. People call it,
//! and `ci`. Each tier has its module; the closing table is [`crate::tiers`]'. Invariant: a tier's
//! name is unique and names no other by accident (`tiers_have_names_of_their_own`).

use std::time::Instant;

use clap::Args;

use crate::call::Fault;
use crate::ipam::Choice;
use crate::steps::progress;
use crate::tiers::{Report, Row, Rule, close};
use crate::workspace::Workspace;
use crate::{examples, fuzz, go_client, kube, lints, package, podman, sim, suite, tidy, vm};

/// Which tiers to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this tier (repeatable)
    #[arg(long = "tier", value_name = "NAME")]
    tiers: Vec<String>,
    /// List the tiers
    #[arg(long)]
    list: bool,
    /// Address management under the tiers `go client` and `podman`. With host-local they try the
    /// harness alone: is it the machine, or is it us?
    #[arg(long, value_enum, default_value_t = Choice::Spiderpool)]
    ipam: Choice,
}

/// A tier: what it is called, what it shows, what runs it.
struct Tier {
    name: &'static str,
    purpose: &'static str,
    run: fn(&Workspace, Choice) -> Report,
}

const TIERS: &[Tier] = &[
    tier("lints", "format, clippy, documentation", |tree, _| lints::tier(tree)),
    tier("tidy", "layering, lengths, words, leaks", |tree, _| tidy::tier(tree)),
    tier("unit+property", "tables, properties, doctests", |tree, _| suite::unit(tree)),
    tier(suite::HOST, "this kernel, in namespaces (root)", |tree, _| suite::host(tree)),
    tier(vm::tier::NAME, "a stock kernel with bonds, RDMA, VFs", |tree, _| vm::tier::tier(tree)),
    tier(kube::tier::NAME, "a real API server", |tree, _| kube::tier::tier(tree)),
    tier("simulator", "a cluster with faults, from seeds", |tree, _| sim::tier(tree)),
    tier("examples", "each example runs and ends well", |tree, _| examples::tier(tree)),
    tier("go client", "libcni and Go's CNI plugins, spec to 1.1 (root)", go_client::tier),
    tier("podman", "podman's CNI backend (root)", podman::tier),
    tier("fuzz", "each fuzz target for ten seconds", |tree, _| fuzz::tier(tree)),
    tier("package", "the library crates can be published", |tree, _| package::tier(tree)),
];

const fn tier(
    name: &'static str,
    purpose: &'static str,
    run: fn(&Workspace, Choice) -> Report,
) -> Tier {
    Tier { name, purpose, run }
}

/// Runs the tiers that the options name, or all; `false` when one failed.
///
/// # Errors
/// When there is no such tier.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Fault> {
    if options.list {
        TIERS.iter().for_each(|tier| println!("{:15}{}", tier.name, tier.purpose));
        return Ok(true);
    }
    if options.tiers.is_empty() {
        return Ok(all(workspace, options.ipam, Rule::from_environment()));
    }
    let chosen = options.tiers.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(run_each(workspace, &chosen, options.ipam, Rule::from_environment()))
}

/// Runs every tier; `false` when one failed.
pub(crate) fn all(workspace: &Workspace, ipam: Choice, rule: Rule) -> bool {
    run_each(workspace, &TIERS.iter().collect::<Vec<_>>(), ipam, rule)
}

fn named(name: &str) -> Result<&'static Tier, Fault> {
    let unknown = || {
        let known: Vec<&str> = TIERS.iter().map(|tier| tier.name).collect();
        Fault::Wrong(format!("there is no tier `{name}`; there are: {}", known.join(", ")))
    };
    TIERS.iter().find(|tier| tier.name == name).ok_or_else(unknown)
}

fn run_each(workspace: &Workspace, tiers: &[&Tier], ipam: Choice, rule: Rule) -> bool {
    let mut rows = Vec::new();
    for tier in tiers {
        progress(tier.name, "begins");
        let start = Instant::now();
        let report = (tier.run)(workspace, ipam);
        rows.push(Row { tier: tier.name, report, took: start.elapsed() });
    }
    let (text, is_well) = close(rows, rule);
    println!("{text}");
    is_well
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_have_names_of_their_own() {
        for tier in TIERS {
            assert_eq!(TIERS.iter().filter(|other| other.name == tier.name).count(), 1);
            assert!(named(tier.name).is_ok());
        }
    }

    #[test]
    fn an_unknown_tier_is_answered_with_the_known_ones() {
        let text = named("lint").map(|tier| tier.name).unwrap_err().to_string();
        assert!(text.starts_with("there is no tier `lint`; there are: lints, tidy,"), "{text}");
    }
}
