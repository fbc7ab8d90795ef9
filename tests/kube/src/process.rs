//! One program of a cluster that runs in the background.
//!
//! Owns [`Process`]: start, signals, end, and the log. `cluster` uses it. Invariants:
//!
//! 1. A process ends with its value, also when it was paused (`a_paused_process_ends_with_its_value`).
//! 2. Its log goes on over a restart, so that what led to an end can be read after it
//!    (`a_log_goes_on_over_a_restart`).

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Fault;

/// Lines of a log that an error shows.
const TAIL: usize = 25;

/// How long a program may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program in a directory; it logs to a file there that bears its name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(program: &Path, arguments: &[String], home: &Path) -> Result<Self, Fault> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = home.join(format!("{name}.log"));
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let out = open().map_err(Fault::file("open", &log))?;
        let err = open().map_err(Fault::file("open", &log))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(home)
            .env("HOME", home)
            // An interrupt from the terminal is for the process that owns the cluster.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(Fault::process("start", &name))?;
        Ok(Self { name, log, child })
    }

    /// Gives the program's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives the process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it where it is: it answers nothing, and its connections stay open.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub(crate) fn pause(&self) -> Result<(), Fault> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub(crate) fn resume(&self) -> Result<(), Fault> {
        self.signal(Signal::SIGCONT)
    }

    /// Asks it to end and waits until it has; one that does not is killed.
    ///
    /// # Errors
    /// When a signal cannot be sent.
    pub(crate) fn stop(mut self) -> Result<(), Fault> {
        self.signal(Signal::SIGCONT)?;
        self.signal(Signal::SIGTERM)?;
        let start = Instant::now();
        while self.ended()?.is_none() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Gives how it ended, or nothing while it runs.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Fault> {
        self.child.try_wait().map_err(Fault::process("await", &self.name))
    }

    /// Refuses when it has ended.
    ///
    /// # Errors
    /// When it has ended: how, and the end of its log.
    pub(crate) fn expect_running(&mut self) -> Result<(), Fault> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => Err(Fault::Ended {
                program: self.name.clone(),
                status: status.to_string(),
                log: self.tail(),
            }),
        }
    }

    /// Gives the last lines of its log.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n")
    }

    fn signal(&self, signal: Signal) -> Result<(), Fault> {
        let fault = |errno: nix::Error| Fault::process("signal", &self.name)(errno.into());
        let id = i32::try_from(self.id()).map_err(|_| fault(nix::Error::ESRCH))?;
        kill(Pid::from_raw(id), signal).map_err(fault)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be killed: that is as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(home: &Path, arguments: &[&str]) -> Process {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        Process::start(Path::new("/bin/sh"), &arguments, home).unwrap()
    }

    #[test]
    fn a_paused_process_ends_with_its_value() {
        let home = tempfile::tempdir().unwrap();
        let process = run(home.path(), &["-c", "sleep 600"]);
        let place = PathBuf::from(format!("/proc/{}", process.id()));
        process.pause().unwrap();
        assert!(place.exists());
        drop(process);
        assert!(!place.exists());
        let process = run(home.path(), &["-c", "sleep 600"]);
        process.pause().unwrap();
        let start = Instant::now();
        process.stop().unwrap();
        assert!(start.elapsed() < PATIENCE, "a paused process cannot hear that it is to end");
    }

    #[test]
    fn a_log_goes_on_over_a_restart() {
        let home = tempfile::tempdir().unwrap();
        for word in ["one", "two"] {
            let mut process = run(home.path(), &["-c", &format!("echo {word} >&2; exit 3")]);
            while process.ended().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let text = process.expect_running().unwrap_err().to_string();
            assert!(text.starts_with("`sh` ended with exit status: 3; the end of its log:\n"));
            assert!(text.ends_with(word), "{text}");
        }
        assert_eq!(std::fs::read_to_string(home.path().join("sh.log")).unwrap(), "one\ntwo\n");
    }
}
