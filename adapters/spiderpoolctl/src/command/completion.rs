//! `completion`: what shells need to complete commands and arguments.

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

/// Print the completion script of a shell
///
/// Put it where the shell looks for completions, or source it.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl completion bash > /etc/bash_completion.d/spiderpoolctl\n  \
       source <(spiderpoolctl completion zsh)"
))]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "spiderpoolctl", &mut script);
        session.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
