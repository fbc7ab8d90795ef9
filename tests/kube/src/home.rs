//! A directory for everything of one cluster, and a guardian that outlives its maker.
//!
//! Owns [`Home`]. `cluster` makes one; the working directory of each program that it starts is this
//! directory, and that is how they are told from every other process of the machine. The guardian is a
//! shell that waits for the end of its input. The kernel closes that pipe whatever ends the process that
//! holds it: return, panic, or SIGKILL. Then the guardian kills what is left in the directory and
//! removes it. Invariant: a home that was dropped is gone when `drop` returns
//! (`nothing_is_left_after_a_panic`).

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Fault;

/// What the guardian does; its first argument is the directory.
const SCRIPT: &str = r#"
read -r _
for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/cwd")" = "$1" ]; then
        kill -KILL "${process#/proc/}"
    fi
done
tries=0
until rm -rf "$1" || [ "$tries" = 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
"#;

/// A directory that goes with whoever made it.
#[derive(Debug)]
pub(crate) struct Home {
    directory: PathBuf,
    guardian: Child,
}

impl Home {
    /// Makes a directory below the system's directory for temporary files.
    ///
    /// # Errors
    /// When it cannot be made, or there is no shell to guard it.
    pub(crate) fn open() -> Result<Self, Fault> {
        let place = std::env::temp_dir();
        let made = tempfile::Builder::new().prefix("spiderpool-kube-").tempdir_in(&place);
        let made = made.map_err(Fault::file("create a directory in", &place))?;
        let directory = made.path().canonicalize().map_err(Fault::file("find", made.path()))?;
        let guardian = Command::new("sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(&directory)
            .current_dir("/")
            // An interrupt from the terminal is for the process that it guards.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Fault::process("start", "sh"))?;
        let _kept = made.keep();
        Ok(Self { directory, guardian })
    }

    /// Gives the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// Gives the path of a file or directory in it, which need not be there.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file in it and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Fault> {
        let path = self.join(name);
        std::fs::write(&path, text).map_err(Fault::file("write", &path))?;
        Ok(path)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        // A guardian that somebody else ended has nothing to report.
        drop(self.guardian.wait());
    }
}
