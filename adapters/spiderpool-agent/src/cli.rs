//! The arguments of the program.
//!
//! Every flag can come from the environment under the reference's name (its section 7.4), so that its
//! manifests start this program as they are. Variables of the reference that have no effect here are told
//! ([`Daemon::remarks`]).

use crate::log::Form;
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use std::net::IpAddr;
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// What every command's help ends with.
const EXIT_CODES: &str = "Exit codes:\n  \
    0  done, or ended by SIGTERM or SIGINT\n  \
    1  the system failed: a socket or a port is taken, a file cannot be written\n  \
    2  the arguments or the configuration cannot be used";

/// The daemon of a node: answers the CNI plugins, and keeps what its pods hold as it should be.
///
/// One runs on each node of a cluster. It gives addresses to pods and takes them back over a unix socket
/// that the CNI plugins `spiderpool` and `coordinator` call, reclaims what vanished pods of its node left
/// behind, mends pods' networks that drifted, and makes the node's settings fit for underlay networks. It
/// needs the API server, and waits for it; it works without a controller running.
///
/// The configuration file is read again when it changes. Without a command, `daemon` is run.
#[derive(Debug, Parser)]
#[command(
    name = "spiderpool-agent",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    after_long_help = EXIT_CODES
)]
pub struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How the daemon is run without a command.
    #[command(flatten)]
    pub daemon: Daemon,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    ///
    /// Serves until SIGTERM or SIGINT; requests that are under way then have five seconds to end.
    #[command(after_long_help = EXIT_CODES)]
    Daemon(Box<Daemon>),
    /// Put the CNI plugins where the runtime looks for them
    ///
    /// They are taken from the directory of this program. Each is written beside its place, and moved, so
    /// that a runtime finds a whole one at any moment. What is there and was made later stays. For an init
    /// container; the daemon does the same with --install-cni-binaries.
    #[command(after_long_help = EXIT_CODES)]
    Install(Install),
    /// Print the completion script of a shell
    ///
    /// Put it where the shell looks for completions, or source it.
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands into a directory
    ///
    /// The pages say what the help says.
    Man {
        /// Where to write a page for each command
        dir: Option<PathBuf>,
    },
}

/// How plugins are installed.
#[derive(Clone, Debug, Args)]
pub struct Install {
    /// The directory of the runtime's CNI plugins
    #[arg(value_name = "DIR", default_value = "/opt/cni/bin")]
    pub dir: PathBuf,
    /// Replace plugins that were made later than these, too
    #[arg(long)]
    pub replace_newer: bool,
    /// Where the plugins are [default: the directory of this program]
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
}

/// How the daemon runs.
#[derive(Clone, Debug, Args)]
pub struct Daemon {
    /// The configuration file, read again when it changes
    #[arg(
        long,
        env = "SPIDERPOOL_CONFIG_PATH",
        value_name = "FILE",
        default_value = "/tmp/spiderpool/config-map/conf.yml"
    )]
    pub config_path: PathBuf,
    /// The name of this node's Node object
    #[arg(long, env = "SPIDERPOOL_NODE_NAME", value_name = "NAME", default_value = "")]
    pub node_name: String,
    /// The namespace of the agent's own pod: where a network lies that is named without one
    #[arg(
        long,
        env = "SPIDERPOOL_POD_NAMESPACE",
        value_name = "NAME",
        default_value = "kube-system"
    )]
    pub pod_namespace: String,
    /// The name of the agent's own pod
    #[arg(long, env = "SPIDERPOOL_POD_NAME", value_name = "NAME", default_value = "")]
    pub pod_name: String,
    /// From which level on messages are logged, unless the configuration says `agent.logLevel`: error,
    /// warn, info, debug or trace
    #[arg(long, env = "SPIDERPOOL_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = level)]
    pub log_level: LevelFilter,
    /// The form of a line of the log, which goes to standard error
    #[arg(long, env = "SPIDERPOOL_LOG_FORMAT", value_name = "FORM", value_enum, default_value_t)]
    pub log_format: Form,
    /// The address that probes and metrics are answered at
    #[arg(long, env = "SPIDERPOOL_LISTEN_ADDRESS", value_name = "ADDRESS", default_value = "::")]
    pub listen_address: IpAddr,
    /// The port of /v1/runtime/startup, /readiness and /liveness
    #[arg(long, env = "SPIDERPOOL_HEALTH_PORT", value_name = "PORT", default_value_t = 5710)]
    pub health_port: u16,
    /// Whether /metrics is served
    #[arg(long, env = "SPIDERPOOL_ENABLED_METRIC", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", default_value_t = false)]
    pub enable_metrics: bool,
    /// The port of /metrics
    #[arg(long, env = "SPIDERPOOL_METRIC_HTTP_PORT", value_name = "PORT", default_value_t = 5711)]
    pub metrics_port: u16,
    /// Whether a plugin may give conflicting addresses back (521 otherwise); a static identity's never
    #[arg(long, env = "SPIDERPOOL_ENABLED_RELEASE_CONFLICT_IPS", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", default_value_t = true)]
    pub release_conflict_ips: bool,
    /// The network (`NAMESPACE/NAME`) of pods' first interface, for pools that are tied to networks
    #[arg(long, env = "MULTUS_CLUSTER_NETWORK", value_name = "NETWORK", default_value = "")]
    pub cluster_network: String,
    /// The file of the node's local record; it has to outlive the agent's pod
    #[arg(
        long,
        env = "SPIDERPOOL_RECORD_PATH",
        value_name = "FILE",
        default_value = "/var/lib/spiderpool/agent/record"
    )]
    pub record: PathBuf,
    /// The host's machine-id(5)
    #[arg(
        long,
        env = "SPIDERPOOL_MACHINE_ID_PATH",
        value_name = "FILE",
        default_value = "/etc/machine-id"
    )]
    pub machine_id: PathBuf,
    /// Put the CNI plugins into this directory before serving
    #[arg(long, env = "SPIDERPOOL_CNI_BIN_DIR", value_name = "DIR")]
    pub install_cni_binaries: Option<PathBuf>,
}

/// Variables of the reference that this program has no use for.
const WITHOUT_EFFECT: [&str; 8] = [
    "SPIDERPOOL_ENABLED_RDMA_METRIC",
    "SPIDERPOOL_ENABLED_DEBUG_METRIC",
    "SPIDERPOOL_GOPS_LISTEN_PORT",
    "SPIDERPOOL_PYROSCOPE_PUSH_SERVER_ADDRESS",
    "SPIDERPOOL_IPPOOL_MAX_ALLOCATED_IPS",
    "SPIDERPOOL_WAIT_SUBNET_POOL_TIME_IN_SECOND",
    "SPIDERPOOL_WAIT_SUBNET_POOL_MAX_RETRIES",
    "SPIDERPOOL_UPDATE_CR_MAX_RETRIES",
];

/// Values of those that ask for nothing.
const SILENT: [&str; 4] = ["", "false", "0", "5712"];

impl Daemon {
    /// What should be said of an environment: variables that ask for what is not done.
    #[must_use]
    pub fn remarks(environment: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let asked = WITHOUT_EFFECT.into_iter().filter(|name| {
            environment(name).is_some_and(|value| !SILENT.contains(&value.as_str()))
        });
        asked.map(|name| format!("{name} is set, and has no effect in this program")).collect()
    }
}

fn level(text: &str) -> Result<LevelFilter, String> {
    let expected = "write error, warn, info, debug or trace";
    crate::conf::level(text).ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_come_with_or_without_the_command() {
        let read = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
        let cli = read("spiderpool-agent daemon --config-path /x --node-name n --enable-metrics");
        let Some(Command::Daemon(daemon)) = cli.command else { panic!("no command") };
        assert_eq!((daemon.node_name.as_str(), daemon.enable_metrics), ("n", true));
        let cli = read("spiderpool-agent --node-name n --log-level DEBUG --enable-metrics=false");
        assert!(cli.command.is_none());
        assert_eq!(cli.daemon.log_level, LevelFilter::DEBUG);
        assert_eq!((cli.daemon.health_port, cli.daemon.metrics_port), (5710, 5711));
        assert!(cli.daemon.release_conflict_ips && !cli.daemon.enable_metrics);
        assert!(Cli::try_parse_from(["spiderpool-agent", "--log-level", "loud"]).is_err());
    }

    #[test]
    fn every_variable_of_the_reference_is_known() {
        let command = Cli::command();
        let known: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_env()).collect();
        for name in [
            "SPIDERPOOL_LOG_LEVEL",
            "SPIDERPOOL_ENABLED_METRIC",
            "SPIDERPOOL_POD_NAMESPACE",
            "SPIDERPOOL_POD_NAME",
            "SPIDERPOOL_NODE_NAME",
            "SPIDERPOOL_HEALTH_PORT",
            "SPIDERPOOL_METRIC_HTTP_PORT",
            "SPIDERPOOL_ENABLED_RELEASE_CONFLICT_IPS",
            "MULTUS_CLUSTER_NETWORK",
        ] {
            assert!(known.iter().any(|known| *known == name), "{name}");
        }
        let asked = |name: &str| (name == "SPIDERPOOL_GOPS_LISTEN_PORT").then(|| "7".to_owned());
        assert_eq!(Daemon::remarks(asked).len(), 1);
        assert!(Daemon::remarks(|_| None).is_empty());
    }
}
