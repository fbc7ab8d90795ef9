//! `timeout_seconds`: a verb that has to wait gives up in time, and says to try again.

#![cfg(test)]

mod lab;

use lab::{Lab, name};
use spiderpool_store::Patience;
use std::time::{Duration, Instant};

#[test]
fn an_add_that_cannot_have_its_turn_says_try_again() {
    let lab = Lab::new();
    let store = lab.store();
    let turn = store.lock_container(&name("c1"), Patience::default()).unwrap();
    let begun = Instant::now();
    lab.add("c1").ipam("timeout_seconds", 1).send().expect(11);
    let took = begun.elapsed();
    assert!((1..30).contains(&took.as_secs()), "{took:?}");
    assert_eq!(lab.held().len(), 0);
    drop(turn);
    lab.add("c1").ipam("timeout_seconds", 1).send().ok();
}

#[test]
fn an_add_waits_for_its_turn() {
    let lab = Lab::new();
    let store = lab.store();
    let turn = store.lock_container(&name("c1"), Patience::default()).unwrap();
    let child = lab.add("c1").start();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(lab.held().len(), 0);
    drop(turn);
    lab::ask::Heard::of(child).ok();
    assert_eq!(lab.held().len(), 1);
}

#[test]
fn a_del_gives_back_even_while_an_add_hangs() {
    let lab = Lab::new();
    lab.add("c1").send().ok();
    let store = lab.store();
    let _turn = store.lock_container(&name("c1"), Patience::default()).unwrap();
    lab.del("c1").ipam("timeout_seconds", 1).send().ok();
    lab.is_as_new();
}
