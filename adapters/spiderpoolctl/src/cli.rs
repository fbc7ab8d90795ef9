//! The arguments of the program, and the way from them to a command and an exit code.

use crate::command;
use crate::failure::{Exit, Failure};
use crate::help::after;
use crate::output::Format;
use crate::session::{Session, Target};
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::env;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// Address management of one host or of a Kubernetes cluster, from the command line.
///
/// Works on the embedded store that the CNI plugin `spiderpool` uses, or with --cluster, --kubeconfig or
/// --context on a cluster's custom resources: pools, subnets and reservations go in as manifests, and
/// every address that is held can be looked at, explained, tried on a copy, audited and given back. All
/// times are in UTC. `net` needs neither: it shows and mends what the CNI plugin `coordinator` makes of
/// pods' networks.
#[derive(Debug, Parser)]
#[command(
    name = "spiderpoolctl",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_long_help = after!(
        "  spiderpoolctl apply -f pools.yaml\n  \
           spiderpoolctl get pools\n  \
           spiderpoolctl explain --pool blue\n  \
           spiderpoolctl --cluster explain pod default/web-0\n  \
           spiderpoolctl map blue\n  \
           spiderpoolctl history --address 10.1.2.3 --at 14:05"
    )
)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Globals {
    /// The embedded store's directory; not together with a cluster
    #[arg(
        long,
        global = true,
        env = "SPIDERPOOL_STORE",
        default_value = "/var/lib/spiderpool",
        value_name = "DIR"
    )]
    store: PathBuf,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    cluster: crate::cluster::Choice,
    /// The form of the answer
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    output: Format,
    /// No colours (also when NO_COLOR is set or the output is no terminal)
    #[arg(long, global = true)]
    no_color: bool,
    /// The time, in milliseconds since the Unix epoch; also fixes chance
    #[arg(long, global = true, hide = true, value_name = "MS")]
    now: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Apply(command::apply::Apply),
    Get(command::get::Get),
    Describe(command::describe::Describe),
    Edit(command::edit::Edit),
    Delete(command::delete::Delete),
    Ip(command::ip::Ip),
    Explain(command::explain::Explain),
    Simulate(command::simulate::Simulate),
    Map(command::map::Map),
    Net(command::net::Net),
    Audit(command::audit::Audit),
    History(command::history::History),
    Replay(command::replay::Replay),
    Reclaim(command::reclaim::Reclaim),
    Import(command::import::Import),
    Backup(command::backup::Backup),
    Restore(command::restore::Restore),
    Completion(command::completion::Completion),
    Man(command::man::Man),
    Version(command::version::Version),
}

/// Runs the program: reads the arguments, does what they say, prints why not.
pub(crate) fn run() -> ExitCode {
    let matches = Cli::command().get_matches();
    let Cli { globals, command } =
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let may_paint = !globals.no_color
        && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && io::stdout().is_terminal();
    let target = globals.target(&matches);
    let mut session = Session {
        target: Target::Store(globals.store),
        format: globals.output,
        colour: may_paint,
        now_ms: globals.now,
    };
    let outcome = target.and_then(|target| {
        session.target = target;
        dispatch(command, &session)
    });
    let exit = outcome.unwrap_or_else(|failure| {
        session.note(&failure.to_string());
        failure.exit
    });
    ExitCode::from(exit.code())
}

impl Globals {
    /// What the command works on. A store that only the environment names gives way to a cluster.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(
            unused_variables,
            clippy::unnecessary_wraps,
            reason = "a store excludes nothing else"
        )
    )]
    fn target(&self, matches: &ArgMatches) -> Result<Target, Failure> {
        #[cfg(feature = "cluster")]
        if self.cluster.is_made() {
            let source = matches.value_source("store");
            if source == Some(clap::parser::ValueSource::CommandLine) {
                let what = "--store names the embedded store of one host, and --cluster, --kubeconfig and --context a cluster: a command works on one of them";
                return Err(Failure::bad(what).try_this("leave out one of the two"));
            }
            return Ok(Target::Cluster(self.cluster.clone()));
        }
        Ok(Target::Store(self.store.clone()))
    }
}

fn dispatch(command: Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Apply(apply) => apply.run(session),
        Command::Get(get) => get.run(session),
        Command::Describe(describe) => describe.run(session),
        Command::Edit(edit) => edit.run(session),
        Command::Delete(delete) => delete.run(session),
        Command::Ip(ip) => ip.run(session),
        Command::Explain(explain) => explain.run(session),
        Command::Simulate(simulate) => simulate.run(session),
        Command::Map(map) => map.run(session),
        Command::Net(net) => net.run(session),
        Command::Audit(audit) => audit.run(session),
        Command::History(history) => history.run(session),
        Command::Replay(replay) => replay.run(session),
        Command::Reclaim(reclaim) => reclaim.run(session),
        Command::Import(import) => import.run(session),
        Command::Backup(backup) => backup.run(session),
        Command::Restore(restore) => restore.run(session),
        Command::Completion(completion) => completion.run(session),
        Command::Man(man) => man.run(session),
        Command::Version(version) => version.run(session),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_exit_codes() {
        fn judge(command: &clap::Command) {
            if command.get_subcommands().next().is_none() {
                let help =
                    command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
                let name = command.get_name();
                assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{name}");
                assert!(command.get_long_about().is_some(), "{name} has no long help");
            }
            command.get_subcommands().for_each(judge);
        }
        Cli::command().get_subcommands().for_each(judge);
    }
}
