//! Two pools and one pod: two interfaces, both families on the first, and each route on the interface
//! that reaches its next hop.
//!
//! The pod lists pools for both of its interfaces, so the first interface's ADD takes all three
//! addresses or none, and the second one's finds its own waiting.

use spiderpool_core::command::{Allocated, Answer, Command};
use spiderpool_core::definition::{Pool, PoolDraft, Route, RouteDraft};
use spiderpool_core::memory::Memory;
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, NicPools, PoolNames, Request, Sources, Subject};
use std::error::Error;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut ledger = Memory::new();
    for pool in pools()? {
        ledger.execute(&Command::DefinePool(pool), Moment::default())?;
    }

    let first = add(&mut ledger, "eth0")?;
    show("the ADD of eth0", &first);
    assert_eq!(texts(&first), ["eth0 10.1.0.10/24", "eth0 fd00:1::10/64", "net1 10.2.0.10/24"]);
    assert_eq!(
        routes(&first),
        [
            "eth0 192.168.0.0/16 via 10.1.0.2",
            // The pod asked for this one; its next hop lies in the second pool's prefix.
            "net1 172.16.0.0/12 via 10.2.0.9",
            "eth0 0.0.0.0/0 via 10.1.0.1",
            "eth0 ::/0 via fd00:1::1",
        ]
    );

    let second = add(&mut ledger, "net1")?;
    show("the ADD of net1", &second);
    assert_eq!(texts(&second), texts(&first), "it finds what was granted with eth0");
    assert!(second.addresses.iter().all(|granted| granted.kept));
    Ok(())
}

fn pools() -> Outcome<[Pool; 3]> {
    let draft = |name: &str, prefix: &str, range: &str, gateway: &str| PoolDraft {
        name: name.into(),
        prefix: prefix.into(),
        ranges: vec![range.into()],
        gateway: Some(gateway.into()),
        ..PoolDraft::default()
    };
    let mut front = draft("front", "10.1.0.0/24", "10.1.0.10-10.1.0.99", "10.1.0.1");
    front.routes = Some(vec![RouteDraft { dst: "192.168.0.0/16".into(), gw: "10.1.0.2".into() }]);
    let front6 = draft("front6", "fd00:1::/64", "fd00:1::10-fd00:1::ffff", "fd00:1::1");
    let storage = draft("storage", "10.2.0.0/24", "10.2.0.10-10.2.0.99", "10.2.0.1");
    Ok([Pool::try_from(front)?, Pool::try_from(front6)?, Pool::try_from(storage)?])
}

fn add(ledger: &mut Memory, interface: &str) -> Outcome<Allocated> {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    let nics = vec![
        NicPools {
            attachment: Some(Name::new("eth0")?),
            pools: PoolNames { v4: names(&["front"]), v6: names(&["front6"]) },
            clean_gateway: None,
        },
        NicPools {
            attachment: Some(Name::new("net1")?),
            pools: PoolNames { v4: names(&["storage"]), v6: Vec::new() },
            // One default route is enough: this interface leaves its pool's gateway alone.
            clean_gateway: Some(true),
        },
    ];
    let uid = Name::new("7d1a8a3c-5f0e-4b43-9d7e-0d6f1c2b3a4e")?;
    let request = Request {
        holder: Holder {
            owner: Owner::pod(&uid)?,
            pod_uid: Some(uid),
            container: Some(Name::new("c0ffee")?),
            node: Name::new("node-1")?,
        },
        attachment: Name::new(interface)?,
        network: Name::new("underlay")?,
        subject: Subject::default(),
        sources: Sources { per_nic: Some(nics), ..Sources::default() },
        named: Vec::new(),
        routes: vec![Route { dst: "172.16.0.0/12".parse()?, gw: "10.2.0.9".parse()? }],
        clean_gateway: false,
        families: FamilyPolicy::Require,
        only: None,
        master: None,
        ticket: 1,
    };
    let answer = ledger.execute(&Command::Allocate(request), Moment::default())?;
    let Answer::Allocated(allocated) = answer else {
        return Err(format!("an unexpected answer: {answer:?}").into());
    };
    Ok(allocated)
}

fn texts(allocated: &Allocated) -> Vec<String> {
    let addresses = allocated.addresses.iter();
    addresses.map(|granted| format!("{} {}", granted.demand.attachment, granted.address)).collect()
}

fn routes(allocated: &Allocated) -> Vec<String> {
    allocated
        .routes
        .iter()
        .map(|placed| format!("{} {}", placed.attachment, placed.route))
        .collect()
}

fn show(title: &str, allocated: &Allocated) {
    println!("{title}:");
    texts(allocated).iter().for_each(|line| println!("  address {line}"));
    routes(allocated).iter().for_each(|line| println!("  route   {line}"));
}
