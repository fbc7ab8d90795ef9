//! Network namespaces of our own for whole-process figures: a node with an uplink, and pods with an
//! interface on it.
//!
//! Namespaces are named `sp-fz` with the process's number and go with the [`Laboratory`]. Nothing else of
//! the machine is touched. Programs are started from threads inside a namespace, so that entering one is
//! not measured. Needs root, `ip` and macvlan.

use spiderpool_netlink::{BadNamespace, Namespace, RunError};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The node's own addresses, and those of its router.
pub const NODE: [&str; 2] = ["10.6.0.2", "fd00:6::2"];
const ROUTER: [&str; 2] = ["10.6.0.1", "fd00:6::1"];

/// Something kept a figure from being taken.
#[derive(Debug, Error)]
pub enum Broken {
    /// A file or a process could not be handled.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A namespace could not be opened.
    #[error("{0}")]
    Namespace(#[from] BadNamespace),
    /// A namespace could not be entered, or something failed inside.
    #[error("{}", chain(.0))]
    Inside(Box<RunError<Broken>>),
    /// A program refused.
    #[error("`{line}` failed: {told}")]
    Refused {
        /// The command line.
        line: String,
        /// What it printed.
        told: String,
    },
}

/// What failed inside a namespace, and why.
fn chain(error: &RunError<Broken>) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// A process to start: a program with its arguments and its input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment but `PATH`.
    pub variables: Vec<(String, String)>,
    /// Its standard input.
    pub input: String,
    /// Whether it may fail: what it makes may be there already.
    pub may_fail: bool,
}

impl Call {
    /// A command line; words are apart by blanks.
    #[must_use]
    pub fn line(line: &str) -> Self {
        let mut words = line.split_whitespace().map(str::to_owned);
        let program = words.next().unwrap_or_default().into();
        Self { program, arguments: words.collect(), ..Self::default() }
    }

    /// Starts it in the calling thread's namespace and waits for its end.
    ///
    /// # Errors
    /// [`Broken::Io`] when it cannot be started, [`Broken::Refused`] when it fails and may not.
    pub fn run(&self) -> Result<String, Broken> {
        let output = self.output()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() || self.may_fail {
            return Ok(told);
        }
        let line = format!("{} {}", self.program.display(), self.arguments.join(" "));
        let told = format!("{told}{}", String::from_utf8_lossy(&output.stderr));
        Err(Broken::Refused { line, told })
    }

    fn output(&self) -> Result<Output, Broken> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever reads nothing may have ended already.
            drop(stdin.write_all(self.input.as_bytes()));
        }
        Ok(child.wait_with_output()?)
    }
}

/// Runs processes one after the other inside a namespace; gives how long they took together, and what
/// the last one printed.
///
/// # Errors
/// [`Broken`] for the first that fails.
pub fn timed(inside: &Namespace, calls: &[Call]) -> Result<(Duration, String), Broken> {
    let work = || {
        let start = Instant::now();
        let mut told = String::new();
        for call in calls {
            told = call.run()?;
        }
        Ok((start.elapsed(), told))
    };
    inside.run(|_| work()).map_err(|error| Broken::Inside(Box::new(error)))
}

/// A node and its pods.
#[derive(Debug)]
pub struct Laboratory {
    names: Vec<String>,
    /// The node's namespace.
    pub node: Namespace,
    /// The pods' namespaces.
    pub pods: Vec<Pod>,
}

/// A pod with `eth0`, a macvlan on the node's uplink.
#[derive(Debug)]
pub struct Pod {
    /// The name of its namespace.
    pub name: String,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its addresses, one of each family.
    pub addresses: [String; 2],
}

impl Laboratory {
    /// A node whose uplink `up0` has a far end, and so many pods.
    ///
    /// # Errors
    /// [`Broken`] when a step fails; what was made goes.
    pub fn new(pods: usize) -> Result<Self, Broken> {
        let name = |what: &str| format!("sp-fz{}-{what}", std::process::id());
        let (node, far) = (name("node"), name("far"));
        let mut made = Made(Vec::new());
        for one in [&node, &far] {
            made.add(one)?;
        }
        lines(&[
            format!("ip -n {node} link add up0 type veth peer name far0 netns {far}"),
            format!("ip -n {node} link set lo up"),
            format!("ip -n {far} link set lo up"),
        ])?;
        up(&node, "up0", NODE)?;
        up(&far, "far0", ROUTER)?;
        routes(&node, "up0")?;
        let mut rooms = Vec::new();
        for at in 0..pods {
            rooms.push(pod(&mut made, &node, &name(&format!("pod{at}")), at)?);
        }
        let node = Namespace::by_name(&node)?;
        Ok(Self { names: std::mem::take(&mut made.0), node, pods: rooms })
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        delete(&self.names);
    }
}

/// Namespaces that go unless they are taken over.
struct Made(Vec<String>);

impl Made {
    fn add(&mut self, name: &str) -> Result<(), Broken> {
        lines(&[format!("ip netns add {name}")])?;
        self.0.push(name.to_owned());
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        delete(&self.0);
    }
}

fn delete(names: &[String]) {
    for name in names {
        if let Err(broken) = lines(&[format!("ip netns del {name}")]) {
            eprintln!("left behind: {broken}");
        }
    }
}

fn lines(lines: &[String]) -> Result<(), Broken> {
    lines.iter().try_for_each(|line| Call::line(line).run().map(drop))
}

fn pod(made: &mut Made, node: &str, name: &str, at: usize) -> Result<Pod, Broken> {
    made.add(name)?;
    lines(&[
        format!("ip -n {node} link add mv{at} link up0 type macvlan mode bridge"),
        format!("ip -n {node} link set mv{at} netns {name} name eth0"),
        format!("ip -n {name} link set lo up"),
    ])?;
    let host = 100 + at;
    let addresses = [format!("10.6.0.{host}"), format!("fd00:6::{host}")];
    up(name, "eth0", [&addresses[0], &addresses[1]])?;
    routes(name, "eth0")?;
    Ok(Pod { name: name.to_owned(), namespace: Namespace::by_name(name)?, addresses })
}

/// Gives a link its addresses, without waiting for duplicates, and sets it up.
fn up(namespace: &str, link: &str, [v4, v6]: [&str; 2]) -> Result<(), Broken> {
    lines(&[
        format!("ip -n {namespace} link set {link} up"),
        format!("ip -n {namespace} addr add {v4}/16 dev {link}"),
        format!("ip -n {namespace} addr add {v6}/64 dev {link} nodad"),
    ])
}

fn routes(namespace: &str, link: &str) -> Result<(), Broken> {
    let [v4, v6] = ROUTER;
    lines(&[
        format!("ip -n {namespace} route add default via {v4} dev {link}"),
        format!("ip -n {namespace} -6 route add default via {v6} dev {link}"),
    ])
}

/// The lowest, the median and the highest of some times.
#[must_use]
pub fn spread(times: &mut [Duration]) -> Option<[Duration; 3]> {
    times.sort_unstable();
    let (first, last) = (times.first()?, times.last()?);
    Some([*first, *times.get(times.len() / 2)?, *last])
}

/// A time in milliseconds, with two digits.
#[must_use]
pub fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_lowest_median_and_highest() {
        let mut times = [3, 1, 9, 2, 5].map(Duration::from_millis);
        assert_eq!(spread(&mut times), Some([1, 3, 9].map(Duration::from_millis)));
        assert_eq!(spread(&mut []), None);
    }

    #[test]
    fn a_line_is_words() {
        let call = Call::line("ip -6  rule add pref 1");
        assert_eq!(call.program, PathBuf::from("ip"));
        assert_eq!(call.arguments, ["-6", "rule", "add", "pref", "1"]);
    }
}
