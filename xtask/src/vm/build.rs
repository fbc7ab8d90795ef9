//! What of a VM is built from the tree: its first process and the test modules.
//!
//! Owns the two builds. `vm` calls it. Modules are built for one kernel, below the target directory of
//! the workspace, and anew only when a source changed (`unchanged_sources_are_not_copied`).

use std::path::{Path, PathBuf};

use super::kit::Kit;
use crate::call::{Call, Fault};
use crate::steps::progress;
use crate::workspace::Workspace;

/// The package of the first process, and its binary.
const INIT: &str = "spiderpool-vm-init";

/// Where the modules' sources are, from the root of the workspace.
const SOURCES: &str = "tests/vm/kmod";

/// What was built.
#[derive(Debug)]
pub(crate) struct Built {
    /// The first process.
    pub(crate) init: PathBuf,
    /// The directory of the modules.
    pub(crate) modules: PathBuf,
    /// A directory for what is derived from the kernel's own modules.
    pub(crate) expanded: PathBuf,
}

/// Builds both.
///
/// # Errors
/// When one does not compile.
pub(crate) fn build(workspace: &Workspace, kit: &Kit) -> Result<Built, Fault> {
    Call::cargo().args(["build", "--quiet", "--package", INIT]).dir(&workspace.root).run()?;
    let home = workspace.target.join("vm").join(&kit.kernel);
    let built = Built {
        init: workspace.binary(INIT),
        modules: home.join("modules"),
        expanded: home.join("expanded"),
    };
    modules(&workspace.root.join(SOURCES), &home.join("kmod"), &built.modules, kit)?;
    Ok(built)
}

/// Builds the modules in a copy of their sources and puts them, without debug information, into
/// `output`.
fn modules(sources: &Path, copy: &Path, output: &Path, kit: &Kit) -> Result<(), Fault> {
    if !copy_changed(sources, copy)? && output.is_dir() {
        return Ok(());
    }
    progress("vm", &format!("building the test modules for {}", kit.kernel));
    if output.exists() {
        std::fs::remove_dir_all(output).map_err(Fault::file("delete", output))?;
    }
    Call::new("make")
        .args(["--silent", "--jobs=2", "-C"])
        .arg(kit.headers())
        .arg(format!("M={}", copy.display()))
        // Type information of the kernel itself would be needed, which the packages do not hold.
        .args(["CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"])
        .output()?;
    let stripped = copy.join("stripped");
    std::fs::create_dir_all(&stripped).map_err(Fault::file("create", &stripped))?;
    for entry in std::fs::read_dir(copy).map_err(Fault::file("read", copy))? {
        let module = entry.map_err(Fault::file("read", copy))?;
        if module.path().extension().is_some_and(|ending| ending == "ko") {
            let call = Call::new("strip").arg("--strip-debug").arg(module.path()).arg("-o");
            call.arg(stripped.join(module.file_name())).output()?;
        }
    }
    std::fs::rename(&stripped, output).map_err(Fault::file("rename", output))
}

/// Copies the files that differ; `false` when none does.
fn copy_changed(sources: &Path, copy: &Path) -> Result<bool, Fault> {
    std::fs::create_dir_all(copy).map_err(Fault::file("create", copy))?;
    let mut changed = false;
    for entry in std::fs::read_dir(sources).map_err(Fault::file("read", sources))? {
        let source = entry.map_err(Fault::file("read", sources))?;
        let bytes = std::fs::read(source.path()).map_err(Fault::file("read", &source.path()))?;
        let to = copy.join(source.file_name());
        if std::fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        std::fs::write(&to, bytes).map_err(Fault::file("write", &to))?;
        changed = true;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_sources_are_not_copied() {
        let directory = tempfile::tempdir().unwrap();
        let (sources, copy) = (directory.path().join("a"), directory.path().join("b/c"));
        std::fs::create_dir(&sources).unwrap();
        std::fs::write(sources.join("one.c"), "1").unwrap();
        assert!(copy_changed(&sources, &copy).unwrap());
        assert!(!copy_changed(&sources, &copy).unwrap());
        std::fs::write(sources.join("one.c"), "2").unwrap();
        assert!(copy_changed(&sources, &copy).unwrap());
        assert_eq!(std::fs::read_to_string(copy.join("one.c")).unwrap(), "2");
    }
}
