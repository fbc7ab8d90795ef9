//! The sweep on a real store, with witnesses of this process, of another boot, and of nothing.

use super::{Fate, SweepError, survey, sweep};
use spiderpool_core::command::{Answer, Command, Release};
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::moment::Moment;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};
use spiderpool_store::{Extra, OpenOptions, Store, StoreError, Witness};
use std::collections::BTreeSet;
use tempfile::TempDir;

const NOW: Moment = Moment { now_ms: 5, seed: 5 };

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

struct Lab {
    _home: TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path().join("store"), OpenOptions::create()).unwrap();
        let draft = PoolDraft {
            name: "blue".into(),
            prefix: "10.6.0.0/24".into(),
            ranges: vec!["10.6.0.10-10.6.0.19".into()],
            ..PoolDraft::default()
        };
        let pool = Command::DefinePool(Pool::try_from(draft).unwrap());
        store.execute(&pool, NOW, &Extra::default()).unwrap();
        Self { _home: home, store }
    }

    /// An attachment of a container with that witness; the text of its address.
    fn add(&self, container: &str, owner: &Owner, witness: Option<Witness>) -> String {
        let names = PoolNames { v4: vec!["blue".into()], v6: Vec::new() };
        let request = Request {
            holder: Holder {
                owner: owner.clone(),
                pod_uid: None,
                container: Some(name(container)),
                node: name("host"),
            },
            attachment: name("eth0"),
            network: name("net"),
            subject: Subject::default(),
            sources: Sources { configured: Some(names), ..Sources::default() },
            named: Vec::new(),
            routes: Vec::new(),
            clean_gateway: false,
            families: FamilyPolicy::Require,
            only: None,
            master: None,
            ticket: self.store.revision().unwrap() + 1,
        };
        let extra = Extra { add: witness.into_iter().collect(), ..Extra::default() };
        let answer = self.store.execute(&Command::Allocate(request), NOW, &extra).unwrap();
        let Answer::Allocated(allocated) = answer else { panic!("no address in {answer:?}") };
        allocated.addresses[0].address.addr().to_string()
    }

    fn plain(&self, container: &str, witness: Option<Witness>) -> String {
        let owner = Owner::container(&name("net"), &name(container)).unwrap();
        self.add(container, &owner, witness)
    }

    fn held(&self) -> BTreeSet<String> {
        let view = self.store.load_all().unwrap();
        view.allocations().unwrap().map(|found| found.address().to_string()).collect()
    }

    fn swept(&self) -> BTreeSet<String> {
        let survey = survey(&self.store).unwrap();
        let freed = sweep(&self.store, &survey, |_| true, NOW).unwrap();
        freed.iter().map(|standing| standing.place.address.to_string()).collect()
    }
}

fn alive(container: &str) -> Witness {
    super::witness(&name(container), &name("eth0"), "/proc/self/ns/net").unwrap()
}

fn body(container: &str, body: &str) -> Witness {
    Witness { container: name(container), attachment: name("eth0"), body: body.to_owned() }
}

/// A witness of the boot before this one.
fn rebooted(container: &str) -> Witness {
    body(container, r#"{"boot_id":"0","path":"/run/netns/a","device":4,"inode":4026531833}"#)
}

fn texts(items: &[&String]) -> BTreeSet<String> {
    items.iter().map(|text| (*text).clone()).collect()
}

#[test]
fn only_the_dead_are_swept() {
    let lab = Lab::new();
    let living = lab.plain("living", Some(alive("living")));
    let dead = lab.plain("dead", Some(rebooted("dead")));
    let silent = lab.plain("silent", None);
    let garbled = lab.plain("garbled", Some(body("garbled", "?")));
    let fixed = Owner::identity(&name("default/web-0")).unwrap();
    let fixed = lab.add("fixed", &fixed, Some(rebooted("fixed")));
    let found = survey(&lab.store).unwrap();
    let count =
        |is_it: fn(&Fate) -> bool| found.judged.iter().filter(|one| is_it(&one.fate)).count();
    assert_eq!(count(|fate| *fate == Fate::OtherBoot), 1);
    assert_eq!(count(|fate| matches!(fate, Fate::Unknown { .. })), 2);
    assert_eq!((count(|fate| *fate == Fate::Alive), count(|fate| *fate == Fate::Static)), (1, 1));
    assert_eq!(sweep(&lab.store, &found, |_| false, NOW).unwrap(), []);
    assert_eq!(lab.swept(), texts(&[&dead]));
    assert_eq!(lab.held(), texts(&[&living, &silent, &garbled, &fixed]));
    assert_eq!(lab.swept(), BTreeSet::new());
}

#[test]
fn a_container_that_came_back_keeps_its_address() {
    let lab = Lab::new();
    let first = lab.plain("c1", Some(rebooted("c1")));
    let second = lab.plain("c2", Some(rebooted("c2")));
    let third = lab.plain("c3", Some(rebooted("c3")));
    let found = survey(&lab.store).unwrap();
    assert!(found.judged.iter().all(|one| one.fate == Fate::OtherBoot), "{found:?}");
    // The first was started again with the same id: same grant, new namespace.
    assert_eq!(lab.plain("c1", Some(alive("c1"))), first);
    // The second was detached and attached again.
    let release = Release { container: name("c2"), attachment: None, ticket: 0 };
    let extra = Extra { remove: vec![(name("c2"), None)], ..Extra::default() };
    lab.store.execute(&Command::Release(release), NOW, &extra).unwrap();
    assert_eq!(lab.plain("c2", Some(alive("c2"))), second);
    let overtaken = sweep(&lab.store, &found, |_| true, NOW).unwrap_err();
    assert!(matches!(overtaken, SweepError::Store(StoreError::Overtaken { .. })), "{overtaken}");
    assert_eq!(lab.swept(), texts(&[&third]));
    assert_eq!(lab.held(), texts(&[&first, &second]));
    // Both keep their witnesses, so that they can be judged again.
    let again = survey(&lab.store).unwrap();
    assert!(again.judged.iter().all(|one| one.fate == Fate::Alive), "{again:?}");
}

#[test]
fn witnesses_of_nothing_go() {
    let lab = Lab::new();
    lab.plain("c1", Some(alive("c1")));
    let release = Release { container: name("c1"), attachment: None, ticket: 0 };
    lab.store.execute(&Command::Release(release), NOW, &Extra::default()).unwrap();
    assert_eq!(lab.store.witnesses().unwrap().len(), 1);
    assert_eq!(lab.swept(), BTreeSet::new());
    assert_eq!(lab.store.witnesses().unwrap(), []);
}
