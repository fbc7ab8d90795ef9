//! The tier `examples`: every example runs and ends well.
//!
//! Owns nothing but the loop; the examples are the binaries of the package `spiderpool-examples`.

use crate::call::Call;
use crate::steps::Steps;
use crate::tiers::Report;
use crate::workspace::Workspace;

const PACKAGE: &str = "spiderpool-examples";

/// Runs each example as a step.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    let binaries = workspace.member(PACKAGE).map(|member| member.binaries.clone());
    let Some(binaries) = binaries.filter(|binaries| !binaries.is_empty()) else {
        return Report::skipped(format!("the package {PACKAGE} has no binaries"));
    };
    let mut steps = Steps::new("examples");
    for binary in &binaries {
        steps.step(binary, || {
            let arguments = ["run", "--quiet", "--package", PACKAGE, "--bin", binary];
            Call::cargo().args(arguments).dir(&workspace.root).run()
        });
    }
    steps.finish()
}
