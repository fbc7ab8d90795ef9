//! `kube-lab`: a cluster to try things on, by hand.
//!
//! Owns the command line of `cargo xtask kube up`: starts a cluster, prints the path of its kubeconfig,
//! and ends it on an interrupt.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use spiderpool_kube_lab::{Cluster, Controllers, Fault, Options};
use tokio::signal::unix::{SignalKind, signal};

/// Run a Kubernetes control plane until it is interrupted.
#[derive(Debug, Parser)]
struct Arguments {
    /// Apply the manifests in this file or directory (repeatable)
    #[arg(long = "crds", value_name = "DIRECTORY")]
    manifests: Vec<PathBuf>,
    /// Run these controllers: `deployment-controller,replicaset-controller`, or `all`
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    controllers: Vec<String>,
    /// Run the scheduler
    #[arg(long)]
    scheduler: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("kube-lab: {}", fault.chain());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Fault> {
    let controllers = match arguments.controllers.as_slice() {
        [] => Controllers::None,
        [all] if all == "all" => Controllers::All,
        names => Controllers::These(names.to_vec()),
    };
    let (manifests, scheduler) = (arguments.manifests, arguments.scheduler);
    let start = Instant::now();
    let options = Options { manifests, controllers, scheduler, ..Options::default() };
    let cluster = Cluster::start(options)?;
    eprintln!("kube-lab: ready after {:.1} s; interrupt to end it", start.elapsed().as_secs_f64());
    println!("{}", cluster.kubeconfig().display());
    await_interrupt()
}

fn await_interrupt() -> Result<(), Fault> {
    let failed = |source| Fault::Process { verb: "await", program: "an interrupt".into(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed)?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(failed),
            _ = terminate.recv() => Ok(()),
        }
    })
}
