//! A network and mount namespace for a runtime under test.
//!
//! Owns the namespaces that the tiers `go client` and `podman` work in, so that neither leaves a link,
//! a route or a file of its own on the machine. Invariants:
//!
//! 1. What a runtime keeps in a fixed place (libcni's cache, named namespaces) is a directory of the
//!    sandbox there (`a_sandbox_keeps_its_own_namespaces`).
//! 2. The namespaces end with their holder, and the holder with this process, even if killed: it reads
//!    a pipe that only this process holds.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Child;

use tempfile::TempDir;

use crate::call::{Call, Fault};
use crate::prerequisites;

/// Places that runtimes write to whatever their configuration says.
const PRIVATE: [(&str, &str); 2] = [("cni-cache", "/var/lib/cni"), ("netns", "/run/netns")];

/// A pair of namespaces and a directory, all gone with the value.
#[derive(Debug)]
pub(crate) struct Sandbox {
    home: TempDir,
    holder: Child,
}

impl Sandbox {
    /// Refuses unless a sandbox can be made here.
    ///
    /// # Errors
    /// The reason, for the closing table.
    pub(crate) fn possible() -> Result<(), String> {
        prerequisites::root()?;
        prerequisites::need(&["unshare", "nsenter", "mount", "ip"])
    }

    /// Gives a new sandbox, its loopback up.
    ///
    /// # Errors
    /// When the namespaces cannot be made.
    pub(crate) fn open() -> Result<Self, Fault> {
        let home = tempfile::Builder::new().prefix("sp-xtask-").tempdir();
        let home = home.map_err(Fault::file("create", &std::env::temp_dir()))?;
        let call = Call::new("unshare").args([
            "--mount",
            "--net",
            "--propagation",
            "private",
            "--",
            "cat",
        ]);
        let sandbox = Self { home, holder: call.start()? }.await_holder(&call)?;
        for (name, place) in PRIVATE {
            let directory = sandbox.directory(name)?;
            std::fs::create_dir_all(place).map_err(Fault::file("create", Path::new(place)))?;
            sandbox.call("mount").arg("--bind").arg(directory).arg(place).output()?;
        }
        sandbox.call("ip").args(["link", "set", "lo", "up"]).output()?;
        Ok(sandbox)
    }

    /// Gives a call of the program inside the namespaces.
    pub(crate) fn call(&self, program: impl AsRef<std::ffi::OsStr>) -> Call {
        let pid = self.holder.id().to_string();
        Call::new("nsenter").args(["--target", &pid, "--mount", "--net", "--"]).arg(program)
    }

    /// Gives the path of an entry of the sandbox's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Makes a directory of the sandbox and gives its path.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf, Fault> {
        let path = self.path(name);
        std::fs::create_dir_all(&path).map_err(Fault::file("create", &path))?;
        Ok(path)
    }

    /// Writes a file of the sandbox and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<PathBuf, Fault> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(Fault::file("write", &path))?;
        Ok(path)
    }

    /// Waits until the holder runs, which is when it stands in its namespaces: `cat` answers a line.
    fn await_holder(mut self, call: &Call) -> Result<Self, Fault> {
        let silent = || Fault::Reply {
            command: call.line(),
            reason: "it must repeat the line it was given".to_owned(),
        };
        let pipes = self.holder.stdin.as_mut().zip(self.holder.stdout.as_mut());
        let (input, output) = pipes.ok_or_else(silent)?;
        input.write_all(b"ready\n").map_err(|_| silent())?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(|_| silent())?;
        if line == "ready\n" { Ok(self) } else { Err(silent()) }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to do here.
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "host tier: makes namespaces, needs root"]
    fn a_sandbox_keeps_its_own_namespaces() {
        let sandbox = Sandbox::open().unwrap();
        sandbox.call("ip").args(["netns", "add", "sp-xtask-own"]).output().unwrap();
        sandbox.call("ip").args(["link", "add", "sp-own", "type", "bridge"]).output().unwrap();
        assert!(sandbox.path("netns").join("sp-xtask-own").exists());
        assert!(!Path::new("/run/netns/sp-xtask-own").exists());
        assert!(!Path::new("/sys/class/net/sp-own").exists());
        let (home, pid) = (sandbox.path(""), sandbox.holder.id());
        drop(sandbox);
        assert!(!home.exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
