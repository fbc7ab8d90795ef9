//! What nobody will ever give back is found when a pool is full, and only that.

#![cfg(test)]

mod lab;

use lab::room::Room;
use lab::{HERE, Lab, name, range};
use spiderpool_core::command::{Command, Release};
use spiderpool_core::moment::Moment;
use spiderpool_store::{Extra, Witness};

/// Three addresses and no more.
fn small() -> Lab {
    Lab::with([range("blue", "10.6.0.", "24", "10", "12")])
}

/// Writes another witness for `eth0` of a container, as a host before its reboot had it.
fn rewrite(lab: &Lab, container: &str, edit: impl FnOnce(&str) -> String) {
    let store = lab.store();
    let witnesses = store.witnesses().unwrap();
    let old = witnesses.into_iter().find(|witness| *witness.container == *container).unwrap();
    let body = edit(&old.body);
    assert_ne!(body, old.body);
    let extra = Extra { add: vec![Witness { body, ..old }], ..Extra::default() };
    // A release of nothing: a commit that carries the witness.
    let release = Release { container: name("nobody"), attachment: None, ticket: 0 };
    store.execute(&Command::Release(release), Moment { now_ms: 2, seed: 2 }, &extra).unwrap();
}

fn another_boot(body: &str) -> String {
    let mut witness: serde_json::Value = serde_json::from_str(body).unwrap();
    witness["boot_id"] = "5d1b62a0-0000-4000-8000-000000000000".into();
    witness.to_string()
}

#[test]
fn a_reboot_is_noticed_when_the_pool_is_full() {
    let lab = small();
    let first = lab.add("c1").send().address();
    lab.add("c2").send().ok();
    lab.add("c3").send().ok();
    rewrite(&lab, "c1", another_boot);
    // Nothing is reclaimed before somebody needs it.
    assert_eq!(lab.held().len(), 3);
    assert_eq!(lab.add("c4").send().address(), first);
    assert!(lab.log().contains("reclaimed 10.6.0.10"), "{}", lab.log());
    assert_eq!(lab.held().len(), 3);
    lab.add("c5").send().expect(100);
}

#[test]
fn what_is_unknown_is_never_reclaimed() {
    let lab = small();
    for id in ["c1", "c2", "c3"] {
        lab.add(id).send().ok();
    }
    rewrite(&lab, "c1", |_| "?".to_owned());
    rewrite(&lab, "c2", |body| body.replace(HERE, "/run/sp-never-mounted/netns/a"));
    lab.add("c4").send().expect(100);
    assert_eq!(lab.held().len(), 3);
}

#[test]
fn a_static_identity_is_never_reclaimed() {
    let lab = small();
    for id in ["c1", "c2", "c3"] {
        lab.add(id).ipam("owner", "name").pod(id, id).send().ok();
        rewrite(&lab, id, another_boot);
    }
    lab.add("c4").send().expect(100);
    assert_eq!(lab.held().len(), 3);
}

#[test]
fn a_pod_that_came_back_after_a_reboot_keeps_its_address() {
    let lab = small();
    let address = lab.add("c1").pod("web-0", "u-1").send().address();
    rewrite(&lab, "c1", another_boot);
    assert_eq!(lab.add("c1").pod("web-0", "u-1").send().address(), address);
    lab.add("c2").send().ok();
    lab.add("c3").send().ok();
    lab.add("c4").send().expect(100);
    assert!(lab.held()[&address].starts_with("c1 "));
}

#[test]
fn a_crowd_after_a_reboot_shares_what_comes_back() {
    let lab = Lab::with([range("blue", "10.6.0.", "24", "10", "25")]);
    for number in 0..16 {
        let id = format!("old{number}");
        lab.add(&id).send().ok();
        rewrite(&lab, &id, another_boot);
    }
    let asks: Vec<_> = (0..16).map(|number| lab.add(&format!("new{number}"))).collect();
    let running: Vec<_> =
        asks.into_iter().map(|ask| std::thread::spawn(move || ask.send())).collect();
    for thread in running {
        thread.join().unwrap().ok();
    }
    assert_eq!(lab.held().len(), 16);
    assert!(lab.held().values().all(|who| who.starts_with("new")), "{:?}", lab.held());
    assert!(lab.audit().is_clean());
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_lost_del_is_noticed_when_the_pool_is_full() {
    let lab = small();
    let (gone, lives) = (Room::new(), Room::new());
    let first = lab.add("c1").netns(gone.path()).send().address();
    lab.add("c2").netns(lives.path()).send().ok();
    lab.add("c3").netns(lives.path()).nic("net1").send().ok();
    lab.add("c4").netns(lives.path()).send().expect(100);
    gone.delete();
    assert_eq!(lab.add("c4").netns(lives.path()).send().address(), first);
    lab.add("c5").netns(lives.path()).send().expect(100);
}

#[test]
#[ignore = "host tier: makes namespaces, needs root"]
fn a_later_namespace_of_the_same_name_is_not_the_container() {
    let lab = small();
    let room = Room::new();
    for id in ["c1", "c2", "c3"] {
        lab.add(id).netns(room.path()).send().ok();
    }
    room.delete();
    room.make();
    lab.add("c4").netns(room.path()).send().ok();
    assert_eq!(lab.held().len(), 1);
}
