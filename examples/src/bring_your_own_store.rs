//! Bring your own store: all that the core asks of one is to compare and swap a small object.
//!
//! The store below keeps bytes under names, each with a revision. A node loads what a decision lacks,
//! asks again, and commits every write on the condition that its object is still at the revision that
//! was read. Two nodes that see one free address decide alike; the one that commits later conflicts,
//! loads afresh, and gets the next address.
//!
//! `spiderpool_core::transaction` has this loop as a value, with its retries bounded; here it is
//! spelled out.

use spiderpool_core::command::{Answer, Command, Decision};
use spiderpool_core::decide::decide;
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::event::{ObjectKey, Revision, Write};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::refusal::Obstacle;
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};
use spiderpool_core::slots::Block;
use spiderpool_core::view::{View, Wanted};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Somebody else wrote the object first.
#[derive(Debug)]
struct Conflict(String);

/// A store of bytes: every object at its revision, and nothing else.
#[derive(Default)]
struct Store {
    objects: BTreeMap<String, (Revision, Vec<u8>)>,
    revision: Revision,
}

impl Store {
    fn get(&self, name: &str) -> Option<&(Revision, Vec<u8>)> {
        self.objects.get(name)
    }

    /// The one operation that a store must have.
    fn compare_and_swap(
        &mut self,
        name: &str,
        base: Revision,
        bytes: Vec<u8>,
    ) -> Result<(), Conflict> {
        let at = self.get(name).map_or(0, |(revision, _)| *revision);
        if at != base {
            return Err(Conflict(format!("{name} is at revision {at}, not {base}")));
        }
        self.revision += 1;
        self.objects.insert(name.to_owned(), (self.revision, bytes));
        Ok(())
    }
}

/// Decides on nothing, loads what that lacks, and decides again until nothing lacks.
fn decide_from(store: &Store, command: &Command, moment: Moment) -> Outcome<(View, Decision)> {
    let mut view = View::partial();
    // A space says how many slots its blocks have, so it comes before everything else.
    if let Some((revision, bytes)) = store.get("space default") {
        view.load_space(&postcard::from_bytes(bytes)?, *revision);
    }
    loop {
        match decide(&view, command, moment) {
            Ok(decision) => return Ok((view, decision)),
            Err(Obstacle::Refusal(refusal)) => return Err(refusal.into()),
            Err(Obstacle::Need(need)) => {
                for wanted in &need.0 {
                    load(store, &mut view, wanted)?;
                }
            }
        }
    }
}

fn load(store: &Store, view: &mut View, wanted: &Wanted) -> Outcome<()> {
    match wanted {
        Wanted::Pool(name) => {
            if let Some((revision, bytes)) = store.get(&ObjectKey::Pool(name.clone()).to_string()) {
                view.load_pool(&Arc::<Pool>::new(postcard::from_bytes(bytes)?), *revision);
            }
            view.know_pool(name);
        }
        Wanted::Pools => {
            for (_, (revision, bytes)) in
                store.objects.iter().filter(|(name, _)| name.starts_with("pool "))
            {
                view.load_pool(&Arc::<Pool>::new(postcard::from_bytes(bytes)?), *revision);
            }
            view.know_all_pools();
        }
        Wanted::Block { key, .. } => match store.get(&ObjectKey::Block(key.clone()).to_string()) {
            Some((revision, bytes)) => {
                view.load_block(key, postcard::from_bytes::<Block>(bytes)?, *revision)
            }
            None => view.know_absent(key),
        },
        // A real store keeps an index of owners and containers; the pods of this one are all new.
        Wanted::Owner(owner) => view.know_owner(owner),
        Wanted::Container(container) => view.know_container_all(container),
        Wanted::Everything
        | Wanted::Resting(_)
        | Wanted::Quarantine(_)
        | Wanted::Tally(_)
        | Wanted::Tombstones(_) => {
            return Err(format!("this small store has no answer to {wanted:?}").into());
        }
    }
    Ok(())
}

/// Applies each write to what was read, and swaps the object for what came out. Writes come in the
/// order that makes a crash between any two of them a leak at worst.
fn commit(store: &mut Store, mut view: View, writes: &[Write]) -> Result<(), Conflict> {
    for write in writes {
        write.events.iter().for_each(|event| view.apply(&write.object, event));
        let bytes = serialise(&view, &write.object).map_err(|fault| Conflict(fault.to_string()))?;
        store.compare_and_swap(&write.object.to_string(), write.base, bytes)?;
    }
    Ok(())
}

fn serialise(view: &View, object: &ObjectKey) -> Outcome<Vec<u8>> {
    match object {
        ObjectKey::Block(key) => {
            let block =
                view.block(key, None).map_err(|need| need.to_string())?.ok_or("no block")?;
            Ok(postcard::to_allocvec(block)?)
        }
        ObjectKey::Pool(name) => {
            let entry = view.pool(name).map_err(|need| need.to_string())?.ok_or("no pool")?;
            Ok(postcard::to_allocvec(&*entry.pool)?)
        }
        ObjectKey::Space(name) => Ok(postcard::to_allocvec(view.space(name).ok_or("no space")?)?),
        ObjectKey::Subnet(_) | ObjectKey::Reservation(_) | ObjectKey::Container(_) => {
            Err(format!("this small store keeps no {object}").into())
        }
    }
}

fn main() -> Outcome<()> {
    let mut store = Store::default();
    let define = Command::DefinePool(pool()?);
    let (view, decision) = decide_from(&store, &define, Moment::default())?;
    commit(&mut store, view, &decision.writes).map_err(|conflict| conflict.0)?;

    // Two nodes read the same state, and both decide before either commits.
    let [a, b] = [Command::Allocate(request("web-0")?), Command::Allocate(request("web-1")?)];
    let (view_of_a, decision_of_a) = decide_from(&store, &a, Moment { now_ms: 1, seed: 1 })?;
    let (view_of_b, decision_of_b) = decide_from(&store, &b, Moment { now_ms: 1, seed: 2 })?;
    assert_eq!(address(&decision_of_a)?, address(&decision_of_b)?, "both saw it free");

    commit(&mut store, view_of_a, &decision_of_a.writes).map_err(|conflict| conflict.0)?;
    println!("node A commits web-0 at {}", address(&decision_of_a)?);
    let Err(conflict) = commit(&mut store, view_of_b, &decision_of_b.writes) else {
        return Err("the store let two owners have one address".into());
    };
    println!("node B wanted {} for web-1, but {}", address(&decision_of_b)?, conflict.0);

    let (view, again) = decide_from(&store, &b, Moment { now_ms: 2, seed: 3 })?;
    commit(&mut store, view, &again.writes).map_err(|conflict| conflict.0)?;
    println!("node B loads afresh and commits web-1 at {}", address(&again)?);
    assert_eq!([address(&decision_of_a)?, address(&again)?], ["10.6.0.10/24", "10.6.0.11/24"]);

    let sizes = store.objects.iter().map(|(name, (revision, bytes))| {
        format!("  {name}: {} bytes at revision {revision}", bytes.len())
    });
    println!("the store holds\n{}", sizes.collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn pool() -> Outcome<Pool> {
    Ok(Pool::try_from(PoolDraft {
        name: "blue".into(),
        prefix: "10.6.0.0/24".into(),
        ranges: vec!["10.6.0.10-10.6.0.99".into()],
        ..PoolDraft::default()
    })?)
}

fn address(decision: &Decision) -> Outcome<String> {
    let Answer::Allocated(given) = &decision.answer else {
        return Err(format!("an unexpected answer: {:?}", decision.answer).into());
    };
    let first = given.addresses.first().ok_or("no address")?;
    Ok(first.address.to_string())
}

fn request(pod: &str) -> Outcome<Request> {
    let (uid, container) = (Name::new(pod)?, Name::new(&format!("sandbox-of-{pod}"))?);
    let owner = Owner::pod(&uid)?;
    let node = Name::new(&format!("node-of-{pod}"))?;
    Ok(Request {
        holder: Holder { owner, pod_uid: Some(uid), container: Some(container), node },
        attachment: Name::new("eth0")?,
        network: Name::new("underlay")?,
        subject: Subject::default(),
        sources: Sources {
            pod: Some(PoolNames { v4: vec!["blue".into()], v6: Vec::new() }),
            ..Sources::default()
        },
        named: Vec::new(),
        routes: Vec::new(),
        clean_gateway: false,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket: 1,
    })
}
