//! `kill -9` on real plugin processes, at random and at every system call.
//!
//! What must hold afterwards: no answer that was given is lost, no address is given twice, and the
//! audit is sound. A kill between commit and answer leaves an allocation that nobody was told of;
//! its DEL, which every runtime sends then, frees it.

#![cfg(test)]

mod lab;

use lab::ask::Heard;
use lab::{Ask, Lab, PLUGIN, range};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const BATCH: u64 = 8;
const CONTAINERS: u64 = 24;

/// splitmix64: numbers that a seed repeats.
fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What a runtime knows of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing is held.
    Nothing,
    /// An ADD was answered.
    Has([IpAddr; 2]),
    /// The last call was killed: anything may be.
    Unsure,
}

struct Story {
    lab: Lab,
    known: BTreeMap<u64, Known>,
    seed: u64,
    killed: u64,
    finished: u64,
}

impl Story {
    fn new(seed: u64) -> Self {
        let lab = Lab::with([
            range("blue", "10.6.0.", "24", "10", "39"),
            range("blue6", "fd00:6::", "64", "10", "2d"),
        ]);
        let known = (0..CONTAINERS).map(|number| (number, Known::Nothing)).collect();
        Self { lab, known, seed, killed: 0, finished: 0 }
    }

    fn ask(&self, verb: &str, container: u64) -> Ask {
        let ask = self.lab.add(&format!("c{container}")).pools(&["blue"], &["blue6"]);
        ask.env("CNI_COMMAND", verb)
    }

    /// Starts a few calls for different containers and kills each after a while.
    fn batch(&mut self) {
        let first = draw(&mut self.seed) % CONTAINERS;
        let calls: Vec<_> = (0..BATCH)
            .map(|number| {
                let container = (first + number) % CONTAINERS;
                let verb = if draw(&mut self.seed).is_multiple_of(2) { "ADD" } else { "DEL" };
                // Half of them die young; the others may come to their end on a busy machine.
                let bound = if draw(&mut self.seed).is_multiple_of(2) { 8_000 } else { 80_000 };
                let delay = Duration::from_micros(draw(&mut self.seed) % bound);
                let ask = self.ask(verb, container);
                let handle = std::thread::spawn(move || killed_after(&ask, delay));
                (container, verb, handle)
            })
            .collect();
        for (container, verb, handle) in calls {
            let heard = handle.join().unwrap();
            self.learn(container, verb, &heard);
        }
    }

    fn learn(&mut self, container: u64, verb: &str, heard: &Heard) {
        let now = match (heard.exit, verb) {
            (None, _) => Known::Unsure,
            (Some(0), "ADD") => Known::Has(heard.addresses().try_into().unwrap()),
            (Some(0), _) => Known::Nothing,
            (Some(_), _) => panic!("{verb} of c{container} failed: {heard:?}"),
        };
        let counter = if now == Known::Unsure { &mut self.killed } else { &mut self.finished };
        *counter += 1;
        if let (Some(Known::Has(before)), Known::Has(after)) = (self.known.get(&container), now) {
            assert_eq!(*before, after, "c{container} was promised {before:?}");
        }
        self.known.insert(container, now);
    }

    /// Everything that was promised is held by whom it was promised to, and by nobody else.
    fn holds(&self) {
        let held = self.lab.held();
        let mut of: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for (address, who) in &held {
            of.entry(who.split(' ').next().unwrap().to_owned()).or_default().insert(*address);
        }
        for (container, known) in &self.known {
            let found = of.remove(&format!("c{container}")).unwrap_or_default();
            match known {
                Known::Nothing => {
                    assert!(found.is_empty(), "c{container} was detached, but has {found:?}")
                }
                Known::Has(promised) => {
                    assert_eq!(found, BTreeSet::from(*promised), "c{container}")
                }
                Known::Unsure => {
                    assert!(found.is_empty() || found.len() == 2, "c{container} has {found:?}")
                }
            }
        }
        assert!(of.is_empty(), "{of:?}");
        let audit = self.lab.audit();
        assert!(audit.is_clean(), "{audit:?}");
    }

    /// What a runtime does after a call that died: DEL until it works.
    fn settle(&mut self) {
        for container in 0..CONTAINERS {
            self.ask("DEL", container).send().ok();
            self.known.insert(container, Known::Nothing);
        }
        self.lab.is_as_new();
        let store = self.lab.store();
        let check = store.check().unwrap();
        assert!(check.is_clean(), "{check:?}");
        let replay = store.replay().unwrap();
        assert!(replay.differences.is_empty(), "{replay:?}");
    }
}

fn killed_after(ask: &Ask, delay: Duration) -> Heard {
    let mut child = ask.start();
    std::thread::sleep(delay);
    // It may have ended already; then it answered.
    drop(child.kill());
    Heard::of(child)
}

#[test]
#[ignore = "host tier: kills thousands of processes, takes 45 s"]
fn thousands_of_kills_lose_nothing() {
    let seed = std::env::var("SP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    let mut story = Story::new(seed);
    let end = Instant::now() + Duration::from_secs(45);
    let mut batches = 0;
    while Instant::now() < end {
        story.batch();
        story.holds();
        batches += 1;
        if batches % 100 == 0 {
            story.settle();
        }
    }
    story.settle();
    let (killed, finished) = (story.killed, story.finished);
    eprintln!("seed {seed}: {killed} killed, {finished} finished");
    assert!(
        killed >= 1_000 && finished >= 100,
        "{killed} killed, {finished} finished: delays do not fit"
    );
}

/// The `number`-th system call of that name.
#[derive(Clone, Debug)]
struct Point {
    name: String,
    number: u32,
}

/// Every system call that a verb makes: strace counts them by name and thread.
fn points(ask: &Ask, lab: &Lab) -> Vec<Point> {
    let trace = lab.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace).arg(PLUGIN);
    ask.send_as(strace).ok();
    let text = std::fs::read_to_string(&trace).unwrap();
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let name = call.trim_start().split('(').next().unwrap();
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            *counts.entry((thread, name)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, u32> = BTreeMap::new();
    for ((_, name), count) in counts {
        let entry = most.entry(name).or_default();
        *entry = count.max(*entry);
    }
    let each = |(name, count): (&str, u32)| {
        let name = name.to_owned();
        (1..=count).map(move |number| Point { name: name.clone(), number })
    };
    most.into_iter().flat_map(each).collect()
}

/// Runs a call that is killed as it begins that system call; whether it was.
fn killed_at(ask: &Ask, point: &Point) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null"]);
    strace.arg("-e").arg(format!("trace={}", point.name));
    strace
        .arg("-e")
        .arg(format!("inject={}:signal=KILL:when={}", point.name, point.number))
        .arg(PLUGIN);
    let heard = ask.send_as(strace);
    // strace ends as its child did.
    if heard.exit.is_some() {
        heard.ok();
        return false;
    }
    true
}

/// Kills `verb` at each of its system calls, each time on a copy of one store, and looks at what is
/// left.
fn every_call(verb: &'static str, template: &Lab, afterwards: fn(&Lab)) {
    let lab = template.copy();
    let points = points(&ask(&lab, verb), &lab);
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let was = dies(verb, &template.copy(), point, afterwards);
                    killed.fetch_add(usize::from(was), Ordering::Relaxed);
                }
            });
        }
    });
    let (killed, points) = (killed.into_inner(), points.len());
    eprintln!("{verb} was killed at {killed} of its {points} system calls");
    // How often threads wait for each other differs from run to run.
    assert!(killed > 100 && killed + 10 >= points, "{killed} of {points}");
}

fn ask(lab: &Lab, verb: &str) -> Ask {
    lab.add("c1").env("CNI_COMMAND", verb).pools(&["blue"], &["blue6"])
}

/// Kills the verb at that call; whether it had one.
fn dies(verb: &str, lab: &Lab, point: &Point, afterwards: fn(&Lab)) -> bool {
    let killed = killed_at(&ask(lab, verb), point);
    let held = lab.held();
    assert!(held.is_empty() || held.len() == 2, "at {point:?}: {held:?}");
    let audit = lab.audit();
    assert!(audit.is_clean(), "at {point:?}: {audit:?}");
    let replay = lab.store().replay().unwrap();
    assert!(replay.differences.is_empty(), "at {point:?}: {replay:?}");
    if killed {
        afterwards(lab);
    }
    killed
}

fn template() -> Lab {
    Lab::with([
        range("blue", "10.6.0.", "24", "10", "11"),
        range("blue6", "fd00:6::", "64", "10", "11"),
    ])
}

#[test]
#[ignore = "host tier: needs strace"]
fn add_may_die_at_every_system_call() {
    every_call("ADD", &template(), |lab| {
        // Asked again it gives the same, whether it had come to commit or not.
        let again = lab.add("c1").pools(&["blue"], &["blue6"]).send().addresses();
        assert_eq!(
            again.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.6.0.10", "fd00:6::10"]
        );
    });
}

#[test]
#[ignore = "host tier: needs strace"]
fn del_may_die_at_every_system_call() {
    let attached = template();
    attached.add("c1").pools(&["blue"], &["blue6"]).send().ok();
    every_call("DEL", &attached, |lab| {
        lab.del("c1").send().ok();
        lab.is_as_new();
    });
}
