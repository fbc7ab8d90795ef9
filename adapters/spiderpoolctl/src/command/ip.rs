//! `ip`: single addresses.

mod clear;
mod list;
mod release;
mod reserve;
mod show;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use clap::{Args, Subcommand};

/// Look at single addresses, give them back, keep them free
#[derive(Debug, Args)]
pub(crate) struct Ip {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Show(show::Show),
    Release(release::Release),
    Reserve(reserve::Reserve),
    Clear(clear::Clear),
}

impl Ip {
    pub(crate) fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self.command {
            Command::List(list) => list.run(session),
            Command::Show(show) => show.run(session),
            Command::Release(release) => release.run(session),
            Command::Reserve(reserve) => reserve.run(session),
            Command::Clear(clear) => clear.run(session),
        }
    }
}
