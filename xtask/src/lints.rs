//! The tier `lints`: format, clippy and documentation, each warning an error.
//!
//! Owns the three commands; the lint table itself is in the root Cargo.toml, clippy's limits in
//! clippy.toml.

use crate::call::Call;
use crate::steps::Steps;
use crate::tiers::Report;
use crate::workspace::{FEATURES, Workspace};

/// Runs each linter as a step.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    let mut steps = Steps::new("lints");
    let root = &workspace.root;
    steps.step("format", || Call::cargo().args(["fmt", "--all", "--check"]).dir(root).run());
    steps.step("clippy", || {
        let call = Call::cargo().args(["clippy", "--workspace", "--all-targets"]).args(FEATURES);
        call.args(["--", "--deny", "warnings"]).dir(root).run()
    });
    steps.step("documentation", || {
        let call = Call::cargo().args(["doc", "--workspace", "--no-deps"]).args(FEATURES);
        call.env("RUSTDOCFLAGS", "--deny warnings").dir(root).run()
    });
    steps.finish()
}
