//! Whole processes side by side: our IPAM plugin and Debian's host-local, ADD after ADD.
//!
//! `plugin-vs-host-local [--plugin PATH] [--host-local PATH] [--rounds N] [--most N]` fills a store of
//! each to the same number of allocations, then runs one ADD of the one and one ADD of the other in
//! turn, so that whatever else the machine does falls on both; each is undone by a DEL that is not
//! measured. In each round it also writes and fsyncs a file of one block's size in the same
//! directory: what a durable answer costs at least. It prints a table in Markdown.

use spiderpool_benches::plugin::{Contender, Fault, Kind, fsync};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How many allocations there are before the measured ADD.
const FILLINGS: [u32; 4] = [0, 1_000, 10_000, 100_000];

/// host-local keeps a file for each address and looks at them one by one: beyond this it takes
/// minutes for a table that would only say so.
const HOST_LOCAL_MOST: u32 = 10_000;

struct Options {
    plugin: PathBuf,
    host_local: PathBuf,
    rounds: u32,
    most: u32,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            plugin: "target/release/spiderpool".into(),
            host_local: "/usr/lib/cni/host-local".into(),
            rounds: 51,
            most: 100_000,
        };
        let mut arguments = arguments;
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
            let number = || value.parse().map_err(|_| format!("`{value}` is not a number"));
            match option.as_str() {
                "--plugin" => options.plugin = value.into(),
                "--host-local" => options.host_local = value.into(),
                "--rounds" => options.rounds = number()?,
                "--most" => options.most = number()?,
                _ => return Err(format!("there is no option `{option}`")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("{what}; see the head of this program's source");
            return ExitCode::from(2);
        }
    };
    for path in [&options.plugin, &options.host_local] {
        if !path.is_file() {
            println!("SKIPPED one side: there is no {}", path.display());
        }
    }
    println!(
        "| allocations | spiderpool ADD | host-local ADD | write and fsync | host-local / spiderpool |"
    );
    println!("|---|---|---|---|---|");
    for held in FILLINGS.into_iter().filter(|held| *held <= options.most) {
        if let Err(fault) = line(&options, held) {
            eprintln!("{held} allocations: {fault}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Fills both, measures in turn, and prints one line.
fn line(options: &Options, held: u32) -> Result<(), Fault> {
    let place = tempfile::tempdir()?;
    let ours = contender(Kind::Spiderpool, &options.plugin, place.path(), held)?;
    let theirs = match held > HOST_LOCAL_MOST {
        true => None,
        false => contender(Kind::HostLocal, &options.host_local, place.path(), held)?,
    };
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    let [our_times, their_times, disk_times] = &mut times;
    for round in 0..options.rounds {
        for (contender, times) in [(&ours, &mut *our_times), (&theirs, &mut *their_times)] {
            if let Some(contender) = contender {
                times.push(contender.add(held + round)?);
                contender.del(held + round)?;
            }
        }
        disk_times.push(fsync(place.path())?);
    }
    let [ours, theirs, disk] = times.map(|mut times| median(&mut times));
    let ratio = ours.zip(theirs).map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64());
    let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}"));
    println!("| {held} | {} | {} | {} | {ratio} |", text(ours), text(theirs), text(disk));
    Ok(())
}

fn contender(
    kind: Kind,
    program: &Path,
    place: &Path,
    held: u32,
) -> Result<Option<Contender>, Fault> {
    if !program.is_file() {
        return Ok(None);
    }
    Contender::new(kind, program, place, held).map(Some)
}

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn text(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2} ms", time.as_secs_f64() * 1e3))
}
