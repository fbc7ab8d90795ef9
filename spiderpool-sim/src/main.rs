//! Runs schedules of the simulator and prints what came of them.

use clap::Parser;
use spiderpool_kube::cluster::node::Node;
use spiderpool_sim::run::{Outcome, Setting, Tally, run, series, trace};
use spiderpool_sim::saboteur::{Bug, NoSuchBug};
use spiderpool_sim::schedule::{Schedule, Scope};
use spiderpool_sim::shrink::{only, shrink};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Simulate many nodes against one API server, on virtual time and from one seed.
#[derive(Debug, Parser)]
#[command(name = "spiderpool-sim", version, max_term_width = 100)]
struct Arguments {
    /// How many schedules to run; each has the seed after the one before
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
    /// Stop after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Plant a bug, and see it found
    #[arg(long, value_parser = bug)]
    plant: Option<Bug>,
    /// Leave out restores of the store and blocks deleted by hand
    #[arg(long)]
    no_losses: bool,
    /// Keep only these actions of the schedule, by their places in it
    #[arg(long, value_delimiter = ',')]
    keep: Option<Vec<usize>>,
    /// Print everything that happens in the first schedule
    #[arg(long)]
    trace: bool,
    /// Threads that run schedules; as many as there are cores when left out
    #[arg(long)]
    threads: Option<usize>,
    /// Go on after failures, and count them by kind
    #[arg(long)]
    survey: bool,
    /// Restart so many nodes with so many pods in all at once, instead of running schedules
    #[arg(long, value_parser = scale, value_name = "nodes=N,pods=M")]
    scale: Option<(usize, usize)>,
    /// Do not cut a failing schedule down
    #[arg(long)]
    no_shrink: bool,
}

fn bug(text: &str) -> Result<Bug, NoSuchBug> {
    text.parse()
}

/// `nodes=N,pods=M`, in either order.
fn scale(text: &str) -> Result<(usize, usize), String> {
    let (mut nodes, mut pods) = (None, None);
    for part in text.split(',') {
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
        match part.split_once('=') {
            Some(("nodes", count)) => nodes = Some(number(count)?),
            Some(("pods", count)) => pods = Some(number(count)?),
            _ => return Err(format!("`{part}` is neither `nodes=N` nor `pods=M`")),
        }
    }
    nodes.zip(pods).ok_or_else(|| "give both: `nodes=N,pods=M`".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let found = match (arguments.scale, &arguments.keep, arguments.trace) {
        (Some((nodes, pods)), _, _) => restart(arguments.seed, nodes, pods),
        (None, None, false) => many(&arguments),
        (None, _, _) => one(&arguments),
    };
    if found { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn setting(arguments: &Arguments) -> Setting {
    Setting {
        scope: Scope { losses: !arguments.no_losses },
        bug: arguments.plant,
        survey: arguments.survey,
    }
}

/// One schedule, perhaps cut down, perhaps told in full; true when it fails.
fn one(arguments: &Arguments) -> bool {
    let setting = setting(arguments);
    let mut schedule = Schedule::of(arguments.seed, setting.scope);
    if let Some(kept) = &arguments.keep {
        schedule = only(&schedule, kept);
    }
    for (at, action) in &schedule.actions {
        say(format_args!("{at:>7} {action:?}"));
    }
    let outcome = if arguments.trace {
        trace::<Node>(&schedule, setting.bug)
    } else {
        run::<Node>(&schedule, setting.bug)
    };
    say(&outcome.counts);
    say(format_args!("state {:016x}", outcome.digest));
    if let Some(violation) = &outcome.violation {
        say(format_args!("seed {}: {violation}", outcome.seed));
    }
    outcome.violation.is_some()
}

/// All nodes at once; true when something goes wrong.
fn restart(seed: u64, nodes: usize, pods: usize) -> bool {
    let begin = Instant::now();
    let schedule = Schedule::scale(seed, nodes, pods);
    let outcome = run::<Node>(&schedule, None);
    say(&outcome.counts);
    let took = begin.elapsed().as_secs_f64();
    say(format_args!("{nodes} nodes, {pods} pods, each node restarted once: {took:.1} s"));
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    say(format_args!("peak memory of all nodes and the server: {}", peak.unwrap_or("?").trim()));
    if let Some(violation) = &outcome.violation {
        say(violation);
    }
    outcome.violation.is_some()
}

/// Many schedules; true when one fails.
fn many(arguments: &Arguments) -> bool {
    let begin = Instant::now();
    let limit = arguments.seconds.map(Duration::from_secs);
    let enough = || limit.is_some_and(|limit| begin.elapsed() >= limit);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores);
    let count = if limit.is_some() { u64::MAX } else { arguments.schedules };
    let tally = series::<Node>(setting(arguments), (arguments.seed, count), threads, enough);
    report(&tally, begin.elapsed(), threads);
    for (kind, (times, seed)) in &tally.failures {
        say(format_args!("{times:>6} times, first in seed {seed}: {kind}"));
    }
    if let Some(failure) = tally.failure.as_ref().filter(|_| !arguments.survey) {
        tell(failure, arguments);
    }
    tally.failure.is_some()
}

fn report(tally: &Tally, took: Duration, threads: usize) {
    let Tally { schedules, counts, .. } = tally;
    say(counts);
    let each = |number: u64| number.checked_div(*schedules).unwrap_or(0);
    say(format_args!(
        "{schedules} schedules in {:.1} s on {threads} threads, {:.0} a second; each {} events, {} steps, {} pods",
        took.as_secs_f64(),
        f64::from(u32::try_from(*schedules).unwrap_or(u32::MAX)) / took.as_secs_f64().max(0.001),
        each(counts.events),
        each(counts.steps),
        each(counts.pods),
    ));
}

fn tell(failure: &Outcome, arguments: &Arguments) {
    let seed = failure.seed;
    say(format_args!("seed {seed} fails: {}", failure.violation.as_deref().unwrap_or_default()));
    let plant = arguments.plant.map(|bug| format!(" --plant {bug}")).unwrap_or_default();
    let losses = if arguments.no_losses { " --no-losses" } else { "" };
    let command = format!("cargo xtask sim --schedules 1 --seed {seed}{plant}{losses}");
    say(format_args!("replay: {command}   (state {:016x})", failure.digest));
    if arguments.no_shrink {
        return;
    }
    let schedule = Schedule::of(seed, setting(arguments).scope);
    let kept = shrink::<Node>(&schedule, arguments.plant);
    let list: Vec<_> = kept.iter().map(ToString::to_string).collect();
    let last = run::<Node>(&only(&schedule, &kept), arguments.plant);
    say(format_args!(
        "cut down to {} of {} actions: {}",
        kept.len(),
        schedule.actions.len(),
        last.violation.unwrap_or_default()
    ));
    say(format_args!("replay: {command} --keep {}", list.join(",")));
}

/// Prints a line; a reader that has gone ends nothing.
fn say(text: impl Display) {
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}") {
        drop(error);
    }
}
