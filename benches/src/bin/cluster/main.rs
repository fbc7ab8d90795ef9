//! Allocations on a real API server: the reference's layout, one object for each address, and ours.
//!
//! `cluster` starts an API server with an etcd for each run, lets the pods of so many nodes ask for
//! addresses of one pool, checks who holds what by the objects that are left, and prints a line of a
//! table. Layouts take turns. `SPIDERPOOL_KUBE_TOOLS` names the programs (`cargo xtask kube build`).
//!
//! Invariants:
//! 1. A run in which an address was given twice, or somebody was told what he does not hold, is no
//!    figure: the program fails (`stage`: `an_address_that_is_held_twice_voids_a_run`).
//! 2. Every layout has the same pods, nodes, pool, server and counters (`scene`, `gauge`).

mod api;
mod blocks;
mod curve;
mod fault;
mod gauge;
mod life;
mod object;
mod reference;
mod report;
mod run;
mod scene;
mod stage;

use clap::Parser;
use fault::Fault;
use gauge::Gauge;
use run::Agent;
use scene::{Layout, Scene};
use spiderpool_kube_lab::Syncing;
use stage::Stage;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Allocations on a real API server.
#[derive(Debug, Parser)]
struct Arguments {
    /// The layouts, in the order of their turns
    #[arg(long, value_enum, value_delimiter = ',', default_value = "reference,object,blocks")]
    layouts: Vec<Layout>,
    /// How many nodes ask
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    agents: Vec<u32>,
    /// How many pods there are
    #[arg(long, default_value_t = 4096)]
    requests: u32,
    /// Lengths of the pool's prefix
    #[arg(long, value_delimiter = ',', default_value = "20,19", value_parser = clap::value_parser!(u8).range(16..=28))]
    prefixes: Vec<u8>,
    /// How long a run may take, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How often all of it is done
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// etcd answers without waiting for the disk
    #[arg(long)]
    no_sync: bool,
    /// Print how conflicts grow with the fill
    #[arg(long)]
    curve: bool,
    /// Print what a pod's whole life costs: endpoint, counters and release included
    #[arg(long)]
    life: bool,
    /// Print the requests by kind, and why ADDs failed
    #[arg(long)]
    details: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome =
        runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(all(&arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

async fn all(arguments: &Arguments) -> Result<(), Fault> {
    let limit = Duration::from_secs(arguments.seconds);
    let requests = arguments.requests;
    for prefix in &arguments.prefixes {
        println!("\n{requests} requests, a pool of a /{prefix}\n\n{}", report::HEAD);
        for agents in &arguments.agents {
            for _ in 0..arguments.rounds {
                for layout in &arguments.layouts {
                    let (layout, agents) = (*layout, (*agents).max(1));
                    let scene = Scene { layout, agents, requests, prefix: *prefix, limit };
                    one(arguments, scene).await?;
                }
            }
        }
    }
    Ok(())
}

async fn one(arguments: &Arguments, scene: Scene) -> Result<(), Fault> {
    let syncing = if arguments.no_sync { Syncing::Never } else { Syncing::Always };
    let stage = Stage::set(scene, syncing).await?;
    let agents = stage.agents().await?;
    stage.settle().await?;
    let projects = arguments.life && scene.layout == Layout::Blocks;
    let projection = projects.then(|| tokio::spawn(life::project(stage.api.clone(), scene)));
    measure(arguments, &stage, &agents).await?;
    if let Some(projection) = projection {
        projection.abort();
    }
    for agent in &agents {
        agent.stop().await?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, stage: &Stage, agents: &[Arc<Agent>]) -> Result<(), Fault> {
    let scene = &stage.scene;
    let served = Arc::new(AtomicU32::new(0));
    let (before, load) = (Gauge::read(&stage.cluster).await?, report::load());
    let follow = curve::follow(stage, &served, arguments.curve);
    let (outcome, points) = tokio::join!(run::run(agents, scene, &served), follow);
    let (points, done) = (points?, Gauge::read(&stage.cluster).await?.since(&before));
    println!("{}", report::row(scene, &outcome, &done, &load));
    stage.check(&outcome.told).await?;
    if arguments.curve {
        println!("{}", curve::text(scene, &points));
    }
    if arguments.details {
        println!("{}", report::details(&outcome, &done));
    }
    if arguments.life {
        println!("{}", life::live(stage, agents, &outcome, &before).await?);
    }
    Ok(())
}
