//! The tier `package`: the library crates can be published.
//!
//! Owns the list of crates that are meant for others. They are packaged in one command, for cargo then
//! resolves each against the others' fresh packages: none of them needs to be published first.

use crate::call::{Call, Fault};
use crate::steps::Steps;
use crate::tiers::Report;
use crate::workspace::Workspace;

/// The crates that others embed.
const CRATES: [&str; 5] = [
    "spiderpool-core",
    "spiderpool-store",
    "spiderpool-netlink",
    "spiderpool-kube",
    "spiderpool-cni",
];

/// Packages the library crates.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    let mut steps = Steps::new("package");
    steps.step("the library crates are packaged", || {
        let packages = CRATES.into_iter().flat_map(|name| ["--package", name]);
        let call = Call::cargo().args(["package", "--no-verify"]).args(packages);
        let call = if is_dirty(workspace)? { call.arg("--allow-dirty") } else { call };
        call.dir(&workspace.root).run()
    });
    for name in CRATES {
        steps.step(&format!("{name} holds its sources"), || holds_sources(workspace, name));
    }
    steps.finish()
}

/// Whether there are changes that git has not recorded; cargo then asks for a flag.
fn is_dirty(workspace: &Workspace) -> Result<bool, Fault> {
    let status = Call::new("git").args(["status", "--porcelain"]).dir(&workspace.root).output()?;
    Ok(!status.is_empty())
}

fn holds_sources(workspace: &Workspace, name: &str) -> Result<(), Fault> {
    let listing = Call::cargo()
        .args(["package", "--list", "--allow-dirty", "--package", name])
        .dir(&workspace.root)
        .output()?;
    for file in ["Cargo.toml", "src/lib.rs"] {
        if !listing.lines().any(|line| line == file) {
            return Err(Fault::Wrong(format!("the package of {name} has no {file}")));
        }
    }
    Ok(())
}
