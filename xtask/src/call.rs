//! Other programs: how they are started, awaited and complained about.
//!
//! Owns [`Call`], a program with its argument list, and [`Fault`], the one error of this crate. Every
//! other module starts programs through it. Invariants:
//!
//! 1. What fails is named by its full command line, quoted so that it can be pasted into a shell
//!    (`a_command_line_can_be_pasted`).
//! 2. The output of a program that failed is part of its fault (`a_failure_carries_the_output`).
//! 3. A program does not see which package this is (`a_program_sees_nothing_of_this_package`).

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What kept a task from doing its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A program could not be started at all.
    #[error("cannot start `{command}`; `cargo xtask setup` installs what the tests need")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` ended with {status}{output}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// What it printed, each line indented below the message; empty when it went to the terminal.
        output: String,
    },
    /// A program's answer was not what its manual promises.
    #[error("`{command}` printed something unexpected: {reason}")]
    Reply {
        /// The command line.
        command: String,
        /// What was expected.
        reason: String,
    },
    /// A file could not be handled.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was being done: `read`, `write`, `create`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A test saw something else than it must.
    #[error("{0}")]
    Wrong(String),
}

impl Fault {
    /// Gives a function that wraps an I/O error, for `map_err`.
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { verb, path, source }
    }
}

/// Gives the whole chain of an error on one line, each layer once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// One program with its arguments, environment and directory.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    directory: Option<PathBuf>,
}

impl Call {
    /// Gives a call of `program`, looked up in `PATH`, without arguments.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_os_string(),
            arguments: Vec::new(),
            variables: Vec::new(),
            directory: None,
        }
    }

    /// Gives a call of the cargo that runs this task.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_os_string());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_os_string()));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name, value.as_ref().to_os_string()));
        self
    }

    /// Sets the directory to run in.
    pub(crate) fn dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_path_buf());
        self
    }

    /// Appends another call as arguments, for a program that runs programs; its environment comes too.
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.arguments.push(other.program);
        self.arguments.extend(other.arguments);
        self.variables.extend(other.variables);
        self
    }

    /// Gives the command line as it could be pasted into a shell.
    pub(crate) fn line(&self) -> String {
        let mut words: Vec<String> = self
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value)))
            .collect();
        words.push(quoted(&self.program));
        words.extend(self.arguments.iter().map(|argument| quoted(argument)));
        words.join(" ")
    }

    /// Runs to the end with the terminal's own streams.
    ///
    /// # Errors
    /// When it cannot be started or ends with another status than 0.
    pub(crate) fn run(&self) -> Result<(), Fault> {
        let mut command = self.command();
        let status = command.status().map_err(|source| self.not_started(source))?;
        self.expect_success(status, "")
    }

    /// Runs to the end and gives its standard output.
    ///
    /// # Errors
    /// When it cannot be started or ends with another status than 0; the fault carries both streams.
    pub(crate) fn output(&self) -> Result<String, Fault> {
        let (status, out, err) = self.capture()?;
        self.expect_success(status, &format!("{out}{err}"))?;
        Ok(out)
    }

    /// Runs to the end and gives its exit status, standard output and standard error.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn capture(&self) -> Result<(ExitStatus, String, String), Fault> {
        let output = self
            .command()
            .stdin(Stdio::null())
            .output()
            .map_err(|source| self.not_started(source))?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status, out, err))
    }

    /// Runs to the end without input, hands each line of standard output to `line`, and gives the exit
    /// status.
    ///
    /// # Errors
    /// When it cannot be started or its output cannot be read.
    pub(crate) fn stream(&self, mut line: impl FnMut(&str)) -> Result<ExitStatus, Fault> {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| self.not_started(source))?;
        if let Some(out) = child.stdout.take() {
            for bytes in BufReader::new(out).split(b'\n') {
                let bytes = bytes.map_err(|source| self.not_started(source))?;
                line(&String::from_utf8_lossy(&bytes));
            }
        }
        child.wait().map_err(|source| self.not_started(source))
    }

    /// Starts it in the background, its input and output held by the caller.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&self) -> Result<Child, Fault> {
        let mut command = self.command();
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        piped.spawn().map_err(|source| self.not_started(source))
    }

    /// Becomes this program: it has the process's number, terminal and signals. Gives what kept it.
    pub(crate) fn replace(&self) -> Fault {
        self.not_started(self.command().exec())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        std::env::vars_os().filter(|(name, _)| is_of_this_package(name)).for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    fn not_started(&self, source: io::Error) -> Fault {
        Fault::Start { command: self.line(), source }
    }

    fn expect_success(&self, status: ExitStatus, output: &str) -> Result<(), Fault> {
        if status.success() {
            return Ok(());
        }
        let output = output.lines().map(|line| format!("\n    {line}")).collect();
        Err(Fault::Failed { command: self.line(), status, output })
    }
}

/// Whether cargo set this variable for whoever it runs: it speaks of this package. A build script that
/// watches it, such as ring's, would be run anew by each change between a task and plain cargo.
fn is_of_this_package(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted() {
        let call = Call::new("printf").args(["%s", "it's", ""]).env("LC_ALL", "C");
        assert_eq!(call.line(), r"LC_ALL=C printf %s 'it'\''s' ''");
    }

    #[test]
    fn a_failure_carries_the_output() {
        let missing = Call::new("ls").arg("/does/not/exist").env("LC_ALL", "C").output();
        let text = missing.unwrap_err().to_string();
        assert!(text.contains("ls /does/not/exist` ended with exit status: 2"), "{text}");
        assert!(text.contains("\n    ls: cannot access"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_names_the_remedy() {
        let text = chain(&Call::new("sp-no-such-program").run().unwrap_err());
        assert!(text.contains("`sp-no-such-program`; `cargo xtask setup`"), "{text}");
        assert!(text.ends_with("No such file or directory (os error 2)"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_is_not_become() {
        let fault = Call::new("sp-no-such-program").replace();
        assert!(matches!(fault, Fault::Start { .. }), "{fault}");
    }

    #[test]
    fn a_program_sees_nothing_of_this_package() {
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "cargo runs this test");
        let seen = Call::new("env").env("CARGO_PKG_OWN", "1").output().unwrap();
        assert!(!seen.contains("CARGO_PKG_NAME="), "{seen}");
        assert!(seen.contains("CARGO_PKG_OWN=1"), "what a task sets stays");
    }

    #[test]
    fn lines_are_handed_over_in_order() {
        let mut seen = Vec::new();
        let status = Call::new("printf").arg("a\nb\n").stream(|line| seen.push(line.to_owned()));
        assert!(status.unwrap().success());
        assert_eq!(seen, ["a", "b"]);
    }
}
