//! What the tests share: a store of their own, and pods that come and go without a runtime.

use spiderpool_core::command::{Answer, Claim, Command, Conflict, Place, Release};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, NicPools, PoolNames, Request, Sources, Subject};
use spiderpool_store::{Extra, OpenOptions, Store, Witness};
use std::path::Path;
use std::process::{Command as Process, Output};

/// The binary under test, in a directory, on the store `store` in it.
pub(crate) fn ctl(dir: &Path, now_ms: u64) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_spiderpoolctl"));
    process.current_dir(dir).env_remove("VISUAL").env_remove("EDITOR").env_remove("NO_COLOR");
    process.env("TMPDIR", dir);
    process.env("SPIDERPOOL_STORE", "store").arg("--now").arg(now_ms.to_string());
    process.stdin(std::process::Stdio::null());
    process
}

pub(crate) fn run(process: &mut Process) -> (String, String, i32) {
    let Output { status, stdout, stderr } = process.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code().unwrap())
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn store(dir: &Path) -> Store {
    Store::open(dir.join("store"), OpenOptions::default()).unwrap()
}

/// The request of a container for one interface; `pools` as a configuration names them.
pub(crate) fn request(container: &str, interface: &str, pools: PoolNames) -> Request {
    Request {
        holder: Holder {
            owner: Owner::container(&name("lab"), &name(container)).unwrap(),
            pod_uid: None,
            container: Some(name(container)),
            node: name("worker-1"),
        },
        attachment: name(interface),
        network: name("lab"),
        subject: Subject::default(),
        sources: Sources { configured: Some(pools), ..Sources::default() },
        named: Vec::new(),
        routes: Vec::new(),
        clean_gateway: false,
        families: FamilyPolicy::default(),
        only: None,
        master: None,
        ticket: u64::MAX,
    }
}

/// Names as `blue,green-v6`: what ends in `6` is of IPv6.
pub(crate) fn pools(text: &str) -> PoolNames {
    let (v6, v4) =
        text.split(',').map(str::to_owned).partition(|name: &String| name.ends_with('6'));
    PoolNames { v4, v6 }
}

/// An ADD; with several interfaces `eth0+net1` the others are granted ahead.
pub(crate) fn add(
    store: &Store,
    (container, interfaces, names): (&str, &str, &str),
    moment: Moment,
) -> Answer {
    let list: Vec<_> = interfaces.split('+').collect();
    let mut request = request(container, list[0], pools(names));
    request.ticket = store.revision().unwrap() + 1;
    if list.len() > 1 {
        let nic = |nic: &&str| NicPools {
            attachment: Some(name(nic)),
            pools: pools(names),
            clean_gateway: None,
        };
        request.sources.per_nic = Some(list.iter().map(nic).collect());
    }
    store.execute(&Command::Allocate(request), moment, &Extra::default()).unwrap()
}

pub(crate) fn del(store: &Store, container: &str, moment: Moment) {
    let release = Release { container: name(container), attachment: None, ticket: 0 };
    store.execute(&Command::Release(release), moment, &Extra::default()).unwrap();
}

/// What a plugin would have noted of an attachment; `kind` is what has become of its namespace.
pub(crate) fn note_witness(store: &Store, (container, interface): (&str, &str), kind: &str) {
    let mut witness = spiderpool_netlink::Witness::of("/proc/self/ns/net").unwrap();
    match kind {
        "alive" => {}
        "dead" => witness.path = "/proc/self/ns/gone".into(),
        "hidden" => witness.path = "/nowhere/at/all/pod".into(),
        "rebooted" => witness.boot_id = "5d1b62a0-0000-4000-8000-000000000000".into(),
        other => panic!("no such fate: {other}"),
    }
    let body = serde_json::to_string(&witness).unwrap();
    let (container, attachment) = (name(container), name(interface));
    let add = vec![Witness { container, attachment, body }];
    let nothing = Command::Tidy { before_ms: 0 };
    store.execute(&nothing, Moment::default(), &Extra { add, ..Extra::default() }).unwrap();
}

/// Somebody else answers for an address.
pub(crate) fn conflict(store: &Store, address: &str, moment: Moment) {
    let address = address.parse().unwrap();
    let view = store.load_all().unwrap();
    let found = view.allocations().unwrap().find(|found| found.address() == address).unwrap();
    let place = Place { space: name("default"), address };
    let claim = Claim { place, generation: found.allocation.generation };
    let conflict = Conflict { claim, mac: [2, 0, 0, 0, 0, 9] };
    store.execute(&Command::Conflict(conflict), moment, &Extra::default()).unwrap();
}
