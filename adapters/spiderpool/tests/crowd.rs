//! Many plugin processes at once on pools that are too small for them.

#![cfg(test)]

mod lab;

use lab::ask::Heard;
use lab::{Ask, HERE, Lab, range};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const CROWD: usize = 64;
const ADDRESSES: usize = 40;

/// Starts every process before it waits for the first.
fn at_once(asks: Vec<Ask>) -> Vec<Heard> {
    let running: Vec<_> =
        asks.into_iter().map(|ask| std::thread::spawn(move || ask.send())).collect();
    running.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// The containers that got something, with what they got; everybody else was told 100.
fn served(heard: &[Heard]) -> BTreeMap<usize, Vec<IpAddr>> {
    let mut served = BTreeMap::new();
    for (number, heard) in heard.iter().enumerate() {
        match heard.code() {
            0 => drop(served.insert(number, heard.addresses())),
            100 => {}
            other => panic!("code {other}: {heard:?}"),
        }
    }
    served
}

fn crowd(lab: &Lab, verb: &str, who: impl Iterator<Item = usize>) -> Vec<Heard> {
    at_once(
        who.map(|n| {
            Ask::new(verb, lab.conf(&["blue"], &[])).container(&format!("c{n}")).netns(HERE)
        })
        .collect(),
    )
}

#[test]
fn exactly_as_many_succeed_as_there_are_addresses() {
    let lab = Lab::with([range("blue", "10.6.0.", "24", "10", "49")]);
    let served = served(&crowd(&lab, "ADD", 0..CROWD));
    assert_eq!(served.len(), ADDRESSES);
    let distinct: BTreeSet<IpAddr> = served.values().flatten().copied().collect();
    assert_eq!(distinct.len(), ADDRESSES);
    assert_eq!(lab.held().keys().copied().collect::<BTreeSet<_>>(), distinct);
    assert!(lab.audit().is_clean(), "{:?}", lab.audit());
    for heard in crowd(&lab, "DEL", served.keys().copied()) {
        heard.ok();
    }
    lab.is_as_new();
}

#[test]
fn both_families_or_none() {
    // Twelve of the one and twenty of the other: whoever gets no v6 gives its v4 back.
    let lab = Lab::with([
        range("blue", "10.6.0.", "24", "10", "29"),
        range("blue6", "fd00:6::", "64", "10", "1b"),
    ]);
    let asks = (0..CROWD).map(|n| lab.add(&format!("c{n}")).pools(&["blue"], &["blue6"])).collect();
    let served = served(&at_once(asks));
    assert_eq!(served.len(), 12);
    assert!(served.values().all(|pair| pair.len() == 2 && pair[0].is_ipv4() && pair[1].is_ipv6()));
    let distinct: BTreeSet<IpAddr> = served.values().flatten().copied().collect();
    assert_eq!(distinct.len(), 24);
    assert_eq!(lab.held().len(), 24);
    assert!(lab.audit().is_clean(), "{:?}", lab.audit());
}

#[test]
fn the_same_attachment_asked_for_at_once_is_one() {
    let lab = Lab::new();
    let heard = at_once((0..16).map(|_| lab.add("c1")).collect());
    let addresses: BTreeSet<IpAddr> = heard.iter().map(Heard::address).collect();
    assert_eq!(addresses.len(), 1);
    assert_eq!(lab.held().len(), 1);
}

#[test]
fn adds_and_dels_of_one_container_end_in_one_of_two_states() {
    for _ in 0..4 {
        let lab = Lab::new();
        let asks = (0..16).map(|n| if n % 2 == 0 { lab.add("c1") } else { lab.del("c1") });
        for heard in at_once(asks.collect()) {
            // 101: the container was deleted while the ADD was under way.
            assert!(matches!(heard.code(), 0 | 101), "{heard:?}");
        }
        assert!(lab.held().len() <= 1);
        assert!(lab.audit().is_clean(), "{:?}", lab.audit());
        lab.del("c1").send().ok();
        assert_eq!(lab.held().len(), 0);
    }
}
