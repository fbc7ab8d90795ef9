//! `man`: manual pages, made from the same text as the help.

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::session::Session;
use clap::{Args, CommandFactory as _};
use clap_mangen::{Man as Page, generate_to};
use std::fs;
use std::path::PathBuf;

/// Print the manual page, or write those of all commands into a directory
///
/// The pages say what the help says: arguments, examples, exit codes.
#[derive(Debug, Args)]
#[command(after_long_help = after!(
    "  spiderpoolctl man | man -l -\n  \
       spiderpoolctl man /usr/local/share/man/man1"
))]
pub(crate) struct Man {
    /// Where to write a page for each command
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Some(dir) = self.dir else {
            let mut page = Vec::new();
            Page::new(Cli::command())
                .render(&mut page)
                .map_err(|error| Failure::world("cannot write the page").because(&error))?;
            session.print(&String::from_utf8_lossy(&page))?;
            return Ok(Exit::Done);
        };
        let fault = |error: &std::io::Error| {
            Failure::world(format!("cannot write pages to `{}`", dir.display())).because(error)
        };
        fs::create_dir_all(&dir).map_err(|error| fault(&error))?;
        generate_to(Cli::command(), &dir).map_err(|error| fault(&error))?;
        session.print(&format!("the pages are in `{}`\n", dir.display()))?;
        Ok(Exit::Done)
    }
}
