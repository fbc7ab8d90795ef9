//! What the store costs: opening it, an ADD and a DEL by a process of its own each time, and how
//! that grows from an empty pool to 100,000 allocations, beside a bare fsync of the same disk.
//!
//! `cargo run --release -p spiderpool-store --example store_figures [ALLOCATIONS]`

use spiderpool_core::command::{Command, Release};
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};
use spiderpool_store::{Extra, OpenOptions, Store, Witness};
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const SAMPLES: u32 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let most = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let place = tempfile::tempdir_in(".")?;
    let dir = place.path().join("store");
    let store = Store::open(&dir, OpenOptions::create())?;
    let pool = PoolDraft {
        name: "p".into(),
        prefix: "10.0.0.0/8".into(),
        ranges: vec!["10.0.0.1-10.255.255.254".into()],
        ..PoolDraft::default()
    };
    store.execute(&Command::DefinePool(Pool::try_from(pool)?), at(1), &Extra::default())?;
    println!("allocations  fsync  open  open+ADD  open+DEL  ADD  log  ledger   (medians, us, KiB)");
    let mut held = 0;
    for goal in [0, 1_000, 10_000, most] {
        while held < goal {
            add(&store, held)?;
            held += 1;
        }
        row(&store, &dir, held)?;
    }
    Ok(())
}

/// Measures at one number of allocations, and leaves as many.
fn row(store: &Store, dir: &Path, held: u32) -> Result<(), Box<dyn Error>> {
    let fsync = median(|at| bare_fsync(dir, at))?;
    let open = median(|_| Store::open(dir, OpenOptions::default()).map(drop).map_err(Into::into))?;
    let fresh = |at: u32| 1_000_000 + at;
    let open_add = median(|at| add(&Store::open(dir, OpenOptions::default())?, fresh(at)))?;
    let open_del = median(|at| del(&Store::open(dir, OpenOptions::default())?, fresh(at)))?;
    let again = median(|at| add(store, fresh(at)))?;
    for at in 0..SAMPLES {
        del(store, fresh(at))?;
    }
    let kib = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |meta| meta.len() >> 10);
    println!(
        "{held:>11} {:>6} {:>5} {:>9} {:>9} {:>4} {:>4} {:>7}",
        fsync.as_micros(),
        open.as_micros(),
        open_add.as_micros(),
        open_del.as_micros(),
        again.as_micros(),
        kib("ledger.sqlite-wal"),
        kib("ledger.sqlite"),
    );
    Ok(())
}

fn median(
    mut step: impl FnMut(u32) -> Result<(), Box<dyn Error>>,
) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::new();
    for at in 0..SAMPLES {
        let since = Instant::now();
        step(at)?;
        times.push(since.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn bare_fsync(dir: &Path, at: u32) -> Result<(), Box<dyn Error>> {
    let path = dir.join("probe");
    let mut file = File::options().create(true).append(at > 0).write(true).open(path)?;
    file.write_all(&[1; 32_768])?;
    Ok(file.sync_data()?)
}

const fn at(now_ms: u64) -> Moment {
    Moment { now_ms, seed: now_ms }
}

fn add(store: &Store, number: u32) -> Result<(), Box<dyn Error>> {
    let container = Name::new(&format!("{number:064x}"))?;
    let attachment = Name::new("eth0")?;
    let body =
        "{\"bootId\":\"00000000-0000-0000-0000-000000000000\",\"inode\":4026531840}".to_owned();
    let witness = Witness { container: container.clone(), attachment: attachment.clone(), body };
    let pools = PoolNames { v4: vec!["p".into()], v6: Vec::new() };
    let request = Request {
        holder: Holder {
            owner: Owner::container(&Name::new("net")?, &container)?,
            pod_uid: None,
            container: Some(container),
            node: Name::new("host")?,
        },
        attachment,
        network: Name::new("net")?,
        subject: Subject::default(),
        sources: Sources { configured: Some(pools), ..Sources::default() },
        named: Vec::new(),
        routes: Vec::new(),
        clean_gateway: false,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket: store.revision()? + 1,
    };
    let extra = Extra { add: vec![witness], ..Extra::default() };
    store.execute(&Command::Allocate(request), at(5), &extra)?;
    Ok(())
}

fn del(store: &Store, number: u32) -> Result<(), Box<dyn Error>> {
    let container = Name::new(&format!("{number:064x}"))?;
    let extra = Extra { remove: vec![(container.clone(), None)], ..Extra::default() };
    let release = Release { container, attachment: None, ticket: store.revision()? };
    store.execute(&Command::Release(release), at(6), &extra)?;
    Ok(())
}
