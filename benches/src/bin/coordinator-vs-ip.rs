//! Whole processes side by side: our `coordinator`, and the same steps done with `ip`, `sysctl`,
//! `iptables` and `ip6tables`, ADD after ADD.
//!
//! `coordinator-vs-ip [--plugin PATH] [--rounds N]` makes a node and three pods in namespaces of its own,
//! each pod with one underlay interface (macvlan) of both families, and joins and parts them in turn:
//!
//! * ours: one process of the plugin, with its default configuration and two service prefixes;
//! * one by one: a process for each step of the reference (its ADD for a first underlay interface);
//! * in batches: `ip -batch`, `iptables-restore` and one `sysctl` for each run of steps of one kind, which
//!   is the least that these programs can do it with.
//!
//! The node's rule for its table of pods stays, as the reference has it. Before the first round each pod
//! shows by a ping of each family that it is joined. It prints a table in Markdown: median, and lowest to
//! highest. Where there is no `iptables`, connections are marked by `nft`, and it says so.

#[path = "coordinator-vs-ip/steps.rs"]
mod steps;

use serde_json::json;
use spiderpool_benches::laboratory::{Broken, Call, Laboratory, NODE, Pod, ms, spread, timed};
use spiderpool_netlink::Namespace;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use steps::{Marker, Side, Step, batched, forth, processes, singly, undo};

struct Options {
    plugin: PathBuf,
    rounds: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { plugin: "target/release/coordinator".into(), rounds: 101 };
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--plugin" => options.plugin = value.into(),
                "--rounds" => {
                    options.rounds =
                        value.parse().map_err(|_| format!("`{value}` is not a number"))?;
                }
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
    match compare(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// One way to join a pod and to part it again.
trait Contender {
    fn name(&self) -> &'static str;
    fn join(&self) -> Result<Duration, Broken>;
    fn part(&self) -> Result<Duration, Broken>;
    /// How many processes that takes, to join and to part.
    fn processes(&self) -> [usize; 2];
}

fn compare(options: &Options) -> Result<(), Broken> {
    let home = tempfile::tempdir()?;
    let plugin = options.plugin.canonicalize()?;
    let laboratory = Laboratory::new(3)?;
    let [first, second, third] = laboratory.pods.as_slice() else { return Ok(()) };
    let marker = Marker::here();
    if marker == Marker::Nft {
        println!("There is no `iptables`: connections are marked by `nft`.");
    }
    let ours = Ours { node: &laboratory.node, pod: first, plugin: &plugin, home: home.path() };
    let singly = Commands::new(&laboratory, second, ("one by one", singly, marker));
    let batched = Commands::new(&laboratory, third, ("in batches", batched, marker));
    let contenders: [(&dyn Contender, &Pod); 3] =
        [(&ours, first), (&singly, second), (&batched, third)];
    for (contender, pod) in contenders {
        contender.join()?;
        prove(pod)?;
        contender.part()?;
    }
    let mut times = vec![[Vec::new(), Vec::new()]; contenders.len()];
    for _ in 0..options.rounds {
        for ((contender, _), [joins, parts]) in contenders.iter().zip(&mut times) {
            joins.push(contender.join()?);
            parts.push(contender.part()?);
        }
    }
    println!("| {} rounds | ADD | DEL | processes |", options.rounds);
    println!("|---|---|---|---|");
    for ((contender, _), [mut joins, mut parts]) in contenders.iter().zip(times) {
        let [join, part] = contender.processes();
        let (name, joins, parts) = (contender.name(), text(&mut joins), text(&mut parts));
        println!("| {name} | {joins} | {parts} | {join}, {part} |");
    }
    println!();
    for line in ours.told()? {
        println!("{line}");
    }
    Ok(())
}

fn text(times: &mut [Duration]) -> String {
    let Some([low, median, high]) = spread(times) else { return "-".to_owned() };
    format!("{} ({} to {})", ms(median), ms(low), ms(high))
}

/// The pod reaches its node, which a macvlan does not let it.
fn prove(pod: &Pod) -> Result<(), Broken> {
    let ping = |address: &str| Call::line(&format!("ping -q -c 5 -i 0.2 -W 2 {address}"));
    timed(&pod.namespace, &NODE.map(ping)).map(drop)
}

/// Our plugin.
struct Ours<'a> {
    node: &'a Namespace,
    pod: &'a Pod,
    plugin: &'a Path,
    home: &'a Path,
}

impl Ours<'_> {
    fn call(&self, verb: &str) -> Result<Duration, Broken> {
        let [v4, v6] = &self.pod.addresses;
        let sandbox = format!("/run/netns/{}", self.pod.name);
        let conf = json!({
            "cniVersion": "1.0.0", "name": "bench", "type": "coordinator",
            "serviceCIDR": ["10.96.0.0/12", "fd00:96::/108"],
            "stateDir": self.home.join("state"),
            "logOptions": {"logFile": self.home.join("log")},
            "prevResult": {
                "cniVersion": "1.0.0",
                "interfaces": [{"name": "eth0", "sandbox": sandbox}],
                "ips": [
                    {"address": format!("{v4}/16"), "gateway": "10.6.0.1", "interface": 0},
                    {"address": format!("{v6}/64"), "gateway": "fd00:6::1", "interface": 0},
                ],
            },
        });
        let variables = [
            ("CNI_COMMAND", verb),
            ("CNI_CONTAINERID", "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"),
            ("CNI_NETNS", &sandbox),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/usr/lib/cni"),
        ];
        let call = Call {
            program: self.plugin.to_owned(),
            variables: variables.map(|(key, it)| (key.to_owned(), it.to_owned())).to_vec(),
            input: conf.to_string(),
            ..Call::default()
        };
        timed(self.node, &[call]).map(|(took, _)| took)
    }

    /// What the last lines of its log say about one ADD and one DEL.
    fn told(&self) -> Result<Vec<String>, Broken> {
        let log = std::fs::read_to_string(self.home.join("log"))?;
        let last = |verb: &str| {
            let is_it = |line: &&str| line.contains(verb) && line.contains("round trips");
            log.lines().rfind(is_it).map(str::to_owned)
        };
        Ok(["verb=ADD", "verb=DEL"].into_iter().filter_map(last).collect())
    }
}

impl Contender for Ours<'_> {
    fn name(&self) -> &'static str {
        "coordinator"
    }

    fn join(&self) -> Result<Duration, Broken> {
        self.call("ADD")
    }

    fn part(&self) -> Result<Duration, Broken> {
        self.call("DEL")
    }

    fn processes(&self) -> [usize; 2] {
        [1, 1]
    }
}

/// The same with commands.
struct Commands<'a> {
    name: &'static str,
    node: &'a Namespace,
    pod: &'a Pod,
    forth: Vec<(Side, Vec<Call>)>,
    back: Vec<(Side, Vec<Call>)>,
}

/// How steps become processes.
type Way = fn(&[Step]) -> Vec<(Side, Vec<Call>)>;

impl<'a> Commands<'a> {
    fn new(
        laboratory: &'a Laboratory,
        pod: &'a Pod,
        (name, way, marker): (&'static str, Way, Marker),
    ) -> Self {
        let forth = way(&forth(pod, marker));
        Self { name, node: &laboratory.node, pod, forth, back: way(&undo(pod, marker)) }
    }

    fn run(&self, calls: &[(Side, Vec<Call>)]) -> Result<Duration, Broken> {
        let mut sum = Duration::ZERO;
        for (side, calls) in calls {
            let inside = match side {
                Side::Node => self.node,
                Side::Pod => &self.pod.namespace,
            };
            sum += timed(inside, calls)?.0;
        }
        Ok(sum)
    }
}

impl Contender for Commands<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn join(&self) -> Result<Duration, Broken> {
        self.run(&self.forth)
    }

    fn part(&self) -> Result<Duration, Broken> {
        self.run(&self.back)
    }

    fn processes(&self) -> [usize; 2] {
        [processes(&self.forth), processes(&self.back)]
    }
}
