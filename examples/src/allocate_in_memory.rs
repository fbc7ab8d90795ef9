//! Allocate in memory: one pool, two pods, and a third that is told what would help.

use spiderpool_core::command::{Answer, Command};
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::memory::Memory;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let blue = Pool::try_from(PoolDraft {
        name: "blue".into(),
        prefix: "10.6.0.0/24".into(),
        ranges: vec!["10.6.0.10-10.6.0.11".into()],
        gateway: Some("10.6.0.1".into()),
        ..PoolDraft::default()
    })?;
    // Time and chance are handed in: the same moment gives the same answer on every machine.
    let moment = Moment { now_ms: 1_767_225_600_000, seed: 7 };
    let mut ledger = Memory::new();
    ledger.execute(&Command::DefinePool(blue), moment)?;

    for (pod, address) in [("web-0", "10.6.0.10/24"), ("web-1", "10.6.0.11/24")] {
        let answer = ledger.execute(&Command::Allocate(request(pod)?), moment)?;
        let Answer::Allocated(given) = answer else { return Err("no allocation".into()) };
        let given = given.addresses.first().ok_or("no address")?;
        println!("{pod} gets {} from pool {}", given.address, given.pool);
        assert_eq!(given.address.to_string(), address);
    }

    let asked_again = ledger.execute(&Command::Allocate(request("web-0")?), moment)?;
    assert!(
        matches!(asked_again, Answer::Allocated(same) if same.addresses.iter().all(|a| a.kept))
    );

    let Err(refusal) = ledger.execute(&Command::Allocate(request("web-2")?), moment) else {
        return Err("the pool has two addresses only".into());
    };
    println!("web-2 is refused: {refusal}");
    assert!(refusal.to_string().contains("in pool blue add"));
    Ok(())
}

fn request(pod: &str) -> Result<Request, Box<dyn Error>> {
    let (uid, container) = (Name::new(pod)?, Name::new(&format!("sandbox-of-{pod}"))?);
    let owner = Owner::pod(&uid)?;
    let node = Name::new("node-1")?;
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
