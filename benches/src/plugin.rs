//! IPAM plugins as processes: a store filled ahead, and the time of one call.

use crate::pod::Pod;
use serde_json::{Value, json};
use spiderpool_core::command::Command as Order;
use spiderpool_core::definition::{BadDefinition, Pool, PoolDraft};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::BadName;
use spiderpool_core::request::PoolNames;
use spiderpool_store::{Extra, OpenOptions, Store, StoreError};
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The network that both configurations name.
const NETWORK: &str = "bench";

/// The first address of the pool 10.64.0.0/10, and the first that is given out.
const FIRST: u32 = 0x0a40_000a;

/// So many requests are committed at once when a store is filled.
const BATCH: u32 = 1_000;

/// About what a full block takes: the size of the file that is written for comparison.
const BLOCK_BYTES: usize = 8_192;

/// Something kept the comparison from being made.
#[derive(Debug, Error)]
pub enum Fault {
    /// A file or a process could not be handled.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A name of the fixture is not well formed.
    #[error("{0}")]
    Name(#[from] BadName),
    /// The pool of the fixture is not well formed.
    #[error("{0}")]
    Pool(#[from] BadDefinition),
    /// Our store could not be filled.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A plugin refused.
    #[error("{program} answered {verb} with {answer}")]
    Refused {
        /// Its path.
        program: PathBuf,
        /// What it was asked.
        verb: &'static str,
        /// What it printed.
        answer: String,
    },
}

/// Which plugin it is: that says where it keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Spiderpool,
    /// Debian's.
    HostLocal,
}

/// A plugin with a store of its own.
#[derive(Debug)]
pub struct Contender {
    program: PathBuf,
    stdin: Vec<u8>,
}

impl Contender {
    /// A plugin whose store below `place` holds so many allocations.
    ///
    /// # Errors
    /// [`Fault`] when the store cannot be filled.
    pub fn new(kind: Kind, program: &Path, place: &Path, held: u32) -> Result<Self, Fault> {
        let ipam = match kind {
            Kind::Spiderpool => {
                let store = place.join("spiderpool");
                fill_ours(&store, held)?;
                let log = place.join("spiderpool.log");
                json!({
                    "type": "spiderpool", "store_path": store, "default_ipv4_ippool": ["blue"],
                    "log_level": "off", "log_file_path": log, "node_name": "worker-00001",
                })
            }
            Kind::HostLocal => {
                let data = place.join("host-local");
                fill_theirs(&data.join(NETWORK), held)?;
                let range =
                    json!({"subnet": "10.64.0.0/10", "rangeStart": Ipv4Addr::from_bits(FIRST)});
                json!({"type": "host-local", "dataDir": data, "ranges": [[range]]})
            }
        };
        let conf = json!({"cniVersion": "1.0.0", "name": NETWORK, "type": "macvlan", "ipam": ipam});
        Ok(Self { program: program.to_owned(), stdin: conf.to_string().into_bytes() })
    }

    /// Attaches container number `at` and gives how long the whole process took.
    ///
    /// # Errors
    /// [`Fault::Refused`] when it gives no address.
    pub fn add(&self, at: u32) -> Result<Duration, Fault> {
        let (took, answer) = self.call("ADD", at)?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::String(answer));
        if answer.pointer("/ips/0/address").is_none() {
            let (program, answer) = (self.program.clone(), answer.to_string());
            return Err(Fault::Refused { program, verb: "ADD", answer });
        }
        Ok(took)
    }

    /// Detaches container number `at` again.
    ///
    /// # Errors
    /// [`Fault`] when the process cannot be run.
    pub fn del(&self, at: u32) -> Result<Duration, Fault> {
        self.call("DEL", at).map(|(took, _)| took)
    }

    fn call(&self, verb: &'static str, at: u32) -> Result<(Duration, String), Fault> {
        let container = container(at)?;
        let start = Instant::now();
        let mut child = Command::new(&self.program)
            .env_clear()
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", container)
            // Neither plugin enters the namespace; that it exists is enough.
            .env("CNI_NETNS", "/proc/self/ns/net")
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", "/usr/lib/cni")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&self.stdin)?;
        }
        let output = child.wait_with_output()?;
        let took = start.elapsed();
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok((took, answer));
        }
        Err(Fault::Refused { program: self.program.clone(), verb, answer })
    }
}

fn container(at: u32) -> Result<String, BadName> {
    Ok(Pod(at.into()).release(1)?.container.to_string())
}

/// A store with one pool and the first so many addresses of it allocated.
fn fill_ours(dir: &Path, held: u32) -> Result<(), Fault> {
    let store = Store::open(dir, OpenOptions::create())?;
    let pool = Pool::try_from(PoolDraft {
        name: "blue".to_owned(),
        prefix: "10.64.0.0/10".to_owned(),
        ranges: vec![format!("{}-10.127.255.250", Ipv4Addr::from_bits(FIRST))],
        ..PoolDraft::default()
    })?;
    let extra = Extra::default();
    let moment = |seed: u32| Moment { now_ms: 1_700_000_000_000, seed: seed.into() };
    store.execute(&Order::DefinePool(pool), moment(0), &extra)?;
    let pools = PoolNames { v4: vec!["blue".to_owned()], v6: Vec::new() };
    let mut from = 0;
    while from < held {
        let to = held.min(from + BATCH);
        let requests = (from..to).map(|at| Pod(at.into()).request(&pools, u64::MAX));
        let requests = requests.collect::<Result<Vec<_>, _>>()?;
        let orders: Vec<_> = requests.into_iter().map(Order::Allocate).collect();
        store.execute_all(&orders, moment(to), &extra).map_err(|(_, error)| error)?;
        from = to;
    }
    Ok(())
}

/// The directory that host-local would have after so many ADDs: a file for each address, with the
/// container and the interface in it, and the address that it gave last.
fn fill_theirs(dir: &Path, held: u32) -> Result<(), Fault> {
    std::fs::create_dir_all(dir)?;
    for at in 0..held {
        let address = Ipv4Addr::from_bits(FIRST + at).to_string();
        std::fs::write(dir.join(&address), format!("{}\r\neth0", container(at)?))?;
        if at + 1 == held {
            std::fs::write(dir.join("last_reserved_ip.0"), address)?;
        }
    }
    Ok(())
}

/// Writes a file of a block's size and fsyncs it; gives how long that took.
///
/// # Errors
/// [`Fault::Io`] when the directory cannot be written to.
pub fn fsync(dir: &Path) -> Result<Duration, Fault> {
    let start = Instant::now();
    let mut file = File::create(dir.join("reference"))?;
    file.write_all(&[0x5a; BLOCK_BYTES])?;
    file.sync_all()?;
    Ok(start.elapsed())
}
