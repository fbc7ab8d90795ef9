//! The prober by virtual time: a link of hosts that answer after a while, and nothing real.

use super::arp::Arp;
use super::nd::{self, Heard};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 7]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);
const START: Duration = Duration::from_secs(1000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn target(text: &str, gateway: &str) -> Target {
    let gateway = if gateway.is_empty() { None } else { Some(address(gateway)) };
    Target::new(address(text), gateway).unwrap()
}

fn both() -> Timing {
    Timing { conflict: Some(ConflictTiming::default()), gateway: Some(GatewayTiming::default()) }
}

fn only_conflict() -> Timing {
    Timing { gateway: None, ..both() }
}

/// A link: who has which address, and how long an answer takes.
#[derive(Debug, Default)]
struct Wire {
    hosts: BTreeMap<IpAddr, Mac>,
    delay: Duration,
    underway: Vec<(Duration, Vec<u8>)>,
    sent: Vec<(Duration, Vec<u8>)>,
}

impl Wire {
    fn with(hosts: &[(&str, Mac)], delay: Duration) -> Self {
        let hosts = hosts.iter().map(|(text, mac)| (address(text), *mac)).collect();
        Self { hosts, delay, ..Self::default() }
    }

    /// What a host that hears the frame sends back.
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        if let Some(arp) = Arp::of(frame) {
            let mac = *self.hosts.get(&arp.target.1.into())?;
            let reply = Arp {
                operation: arp::Operation::Reply,
                sender: (mac, arp.target.1),
                target: arp.sender,
            };
            return Some(reply.broadcast());
        }
        let Heard::Solicitation { target, .. } = Heard::of(frame)? else { return None };
        Some(nd::announcement((*self.hosts.get(&target.into())?, target)))
    }

    /// Runs to the end; gives the time it took and what was found.
    fn run(&mut self, prober: &mut Prober) -> (Duration, Vec<Finding>) {
        let mut now = START;
        loop {
            let (heard, later) = self.underway.drain(..).partition(|(at, _)| *at <= now);
            self.underway = later;
            let heard: Vec<(Duration, Vec<u8>)> = heard;
            heard.iter().for_each(|(_, frame)| prober.receive(frame));
            match prober.poll(now) {
                Poll::Over => return (now - START, prober.findings()),
                Poll::Send { lane, frame } => {
                    prober.sent(lane, now);
                    self.underway.extend(self.answer(&frame).map(|a| (now + self.delay, a)));
                    self.sent.push((now, frame));
                }
                Poll::Wait { until } => {
                    let next = self.underway.iter().map(|(at, _)| *at).min();
                    now = next.map_or(until, |next| next.min(until)).max(now + ms(0));
                }
            }
        }
    }
}

fn prober(targets: &[Target], timing: Timing) -> Prober {
    Prober::new(targets, (OWN, timing), 7, START)
}

/// One address with one gateway on a wire.
fn run(wire: &mut Wire, text: &str, gateway: &str) -> (Occupancy, Reach) {
    let mut prober = prober(&[target(text, gateway)], both());
    let (_, findings) = wire.run(&mut prober);
    (findings[0].occupancy, findings[0].gateway)
}

const V4: (&str, &str) = ("10.6.0.10", "10.6.0.1");
const V6: (&str, &str) = ("fd00:6::10", "fe80::1");

#[test]
fn a_free_address_whose_gateway_answers_is_well() {
    for (address, gateway) in [V4, V6] {
        let mut wire = Wire::with(&[(gateway, ROUTER)], ms(3));
        let found = run(&mut wire, address, gateway);
        assert_eq!(found, (Occupancy::Free, Reach::Reachable { mac: ROUTER }));
        // Three probes and one question.
        assert_eq!(wire.sent.len(), 4);
    }
}

#[test]
fn whoever_answers_has_the_address_and_no_gateway_is_asked() {
    for (address, gateway) in [V4, V6] {
        let mut wire = Wire::with(&[(address, OTHER), (gateway, ROUTER)], ms(3));
        let taken = Occupancy::Taken { mac: OTHER, evidence: Evidence::Used };
        assert_eq!(run(&mut wire, address, gateway), (taken, Reach::NotAsked));
        assert_eq!(wire.sent.len(), 1);
    }
}

/// #4475: the question tells the gateway who has the address, so it comes last.
#[test]
fn the_gateway_is_asked_after_the_address_is_free() {
    for (text, gateway) in [V4, V6] {
        let mut wire = Wire::with(&[(gateway, ROUTER)], ms(3));
        run(&mut wire, text, gateway);
        let (last, probes) = wire.sent.split_last().unwrap();
        for (_, probe) in probes {
            match (Arp::of(probe), Heard::of(probe)) {
                (Some(arp), _) => assert!(arp.sender.1.is_unspecified()),
                (_, Some(Heard::Solicitation { source, .. })) => assert!(source.is_unspecified()),
                other => panic!("{other:?}"),
            }
        }
        assert!(last.0 >= probes.last().unwrap().0 + ConflictTiming::default().wait);
        match (Arp::of(&last.1), Heard::of(&last.1)) {
            (Some(arp), _) => assert_eq!(address(text), arp.sender.1),
            (_, Some(Heard::Solicitation { source, .. })) => assert_eq!(address(text), source),
            other => panic!("{other:?}"),
        }
    }
}

/// The reference asks a gateway once and waits 100 ms.
#[test]
fn a_gateway_that_misses_the_first_question_is_asked_again() {
    for (text, gateway) in [V4, V6] {
        let mut wire = Wire::with(&[(gateway, ROUTER)], ms(3));
        let mut prober = prober(&[target(text, gateway)], both());
        let mut now = START;
        let mut questions = 0;
        loop {
            match prober.poll(now) {
                Poll::Over => break,
                Poll::Wait { until } => now = until,
                Poll::Send { lane, frame } => {
                    prober.sent(lane, now);
                    let answer = wire.answer(&frame);
                    questions += u32::from(answer.is_some());
                    if questions == 2 {
                        answer.iter().for_each(|answer| prober.receive(answer));
                    }
                }
            }
        }
        assert_eq!(prober.findings()[0].gateway, Reach::Reachable { mac: ROUTER });
        wire.hosts.clear();
        let (occupancy, reach) = run(&mut wire, text, gateway);
        assert_eq!((occupancy, reach), (Occupancy::Free, Reach::Unreachable));
        assert_eq!(wire.sent.len(), 6, "three probes, three questions");
    }
}

#[test]
fn four_addresses_cost_the_time_of_one() {
    let four = [
        target("10.6.0.10", "10.6.0.1"),
        target("10.7.0.10", "10.7.0.1"),
        target("fd00:6::10", "fe80::1"),
        target("fd00:7::10", "fd00:7::1"),
    ];
    // Without chance, the time of one is the longest time.
    let mut timing = both();
    timing.conflict = timing.conflict.map(|pace| ConflictTiming {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        ..pace
    });
    let time = |targets: &[Target]| Wire::default().run(&mut prober(targets, timing)).0;
    assert_eq!(time(&four[..1]), timing.longest());
    assert_eq!(time(&four), time(&four[..1]));
    // With it, the longest is still never passed.
    for seed in 0..200 {
        let mut prober = Prober::new(&four, (OWN, both()), seed, START);
        let (took, findings) = Wire::default().run(&mut prober);
        assert!(took <= both().longest(), "{took:?}");
        assert!(findings.iter().all(|finding| finding.occupancy == Occupancy::Free));
    }
}

/// RFC 5227, section 2.1.1; RFC 4862, section 5.4.
#[test]
fn whoever_else_speaks_of_an_address_has_it() {
    let (v4, v6): (Ipv4Addr, Ipv6Addr) = ([10, 6, 0, 10].into(), "fd00:6::10".parse().unwrap());
    let asks_another = Arp::request((OTHER, v4), [10, 6, 0, 99].into()).broadcast();
    let announces = Arp::request((OTHER, v4), v4).broadcast();
    let check = |frame: &[u8], evidence: Evidence| {
        let mut prober = prober(&[target("10.6.0.10", ""), target("fd00:6::10", "")], both());
        prober.receive(frame);
        let taken = Occupancy::Taken { mac: OTHER, evidence };
        let found = prober.findings();
        assert_eq!(found.iter().filter(|finding| finding.occupancy == taken).count(), 1);
    };
    check(&asks_another, Evidence::Used);
    check(&announces, Evidence::Used);
    check(&nd::announcement((OTHER, v6)), Evidence::Used);
    check(&Arp::request((OTHER, Ipv4Addr::UNSPECIFIED), v4).broadcast(), Evidence::Probed);
    check(&nd::probe(OTHER, v6, [1; 6]), Evidence::Probed);
}

#[test]
fn what_is_said_of_other_addresses_means_nothing() {
    let (v4, v6): (Ipv4Addr, Ipv6Addr) = ([10, 6, 0, 10].into(), "fd00:6::10".parse().unwrap());
    let other: (Ipv4Addr, Ipv6Addr) = ([10, 6, 0, 11].into(), "fd00:6::11".parse().unwrap());
    let mut prober = prober(&[target("10.6.0.10", ""), target("fd00:6::10", "")], both());
    for frame in [
        // Somebody looks for whoever has the address: that is no claim to it.
        Arp::request((OTHER, other.0), v4).broadcast(),
        nd::question((OTHER, other.1), v6),
        Arp::request((OTHER, Ipv4Addr::UNSPECIFIED), other.0).broadcast(),
        Arp::request((OTHER, other.0), other.0).broadcast(),
        nd::probe(OTHER, other.1, [1; 6]),
        nd::announcement((OTHER, other.1)),
    ] {
        prober.receive(&frame);
    }
    assert!(prober.findings().iter().all(|finding| finding.occupancy == Occupancy::Unsettled));
}

#[test]
fn our_own_probes_come_back_and_mean_nothing() {
    for (text, gateway) in [V4, V6] {
        let mut prober = prober(&[target(text, gateway)], both());
        let mut now = START;
        loop {
            match prober.poll(now) {
                Poll::Over => break,
                Poll::Wait { until } => now = until,
                Poll::Send { lane, frame } => {
                    prober.sent(lane, now);
                    prober.receive(&frame);
                }
            }
        }
        let [found] = prober.findings()[..] else { panic!("one finding") };
        assert_eq!((found.occupancy, found.gateway), (Occupancy::Free, Reach::Unreachable));
    }
}

#[test]
fn two_hosts_that_probe_at_once_both_hear_it() {
    for (text, _) in [V4, V6] {
        let targets = [target(text, "")];
        let mut probers =
            [OWN, OTHER].map(|mac| Prober::new(&targets, (mac, only_conflict()), 7, START));
        let frames = probers.each_ref().map(|prober| {
            let Poll::Send { frame, .. } = prober.clone().poll(START + ms(100)) else {
                panic!("the first probe is due")
            };
            frame
        });
        probers[0].receive(&frames[1]);
        probers[1].receive(&frames[0]);
        for (prober, other) in probers.iter().zip([OTHER, OWN]) {
            let taken = Occupancy::Taken { mac: other, evidence: Evidence::Probed };
            assert_eq!(prober.findings()[0].occupancy, taken);
        }
    }
}

#[test]
fn what_could_not_be_sent_stays_due() {
    let mut prober = prober(&[target("10.6.0.10", "")], only_conflict());
    let mut now = START + ms(50);
    for _ in 0..1000 {
        match prober.poll(now) {
            Poll::Send { lane, .. } => prober.unsent(lane, now),
            Poll::Wait { until } => now = until,
            Poll::Over => panic!("over without a frame sent"),
        }
    }
    assert_eq!(prober.findings()[0].occupancy, Occupancy::Unsettled);
}

#[test]
fn what_was_cut_short_is_unsettled() {
    let targets = [target("10.6.0.10", "10.6.0.1")];
    let mut prober = prober(&targets, both());
    let mut now = START;
    let mut seen = Vec::new();
    loop {
        match prober.poll(now) {
            Poll::Over => break,
            Poll::Wait { until } => now = until,
            Poll::Send { lane, .. } => {
                let finding = prober.findings()[0];
                seen.push((finding.occupancy, finding.gateway));
                prober.sent(lane, now);
            }
        }
    }
    assert_eq!(seen[..3], [(Occupancy::Unsettled, Reach::NotAsked); 3]);
    assert_eq!(seen[3..], [(Occupancy::Free, Reach::Unsettled); 3]);
}

/// Silence is judged after what was heard.
#[test]
fn an_answer_in_the_last_moment_counts() {
    for (address, _) in [V4, V6] {
        let just_in_time = ConflictTiming::default().wait;
        let mut timing = only_conflict();
        timing.conflict = timing
            .conflict
            .map(|pace| ConflictTiming { probes: std::num::NonZeroU32::MIN, ..pace });
        let mut wire = Wire::with(&[(address, OTHER)], just_in_time);
        let (_, found) = wire.run(&mut prober(&[target(address, "")], timing));
        assert!(matches!(found[0].occupancy, Occupancy::Taken { .. }), "{found:?}");
    }
}

/// Not every host answers a probe; some speak up only when their address is used.
#[test]
fn a_conflict_that_shows_late_is_a_conflict() {
    let mut prober = prober(&[target("10.6.0.10", "10.6.0.1")], both());
    let mut now = START;
    loop {
        match prober.poll(now) {
            Poll::Over => break,
            Poll::Wait { until } => now = until,
            Poll::Send { lane, frame } => {
                prober.sent(lane, now);
                let asked = Arp::of(&frame).unwrap();
                if !asked.sender.1.is_unspecified() {
                    prober.receive(
                        &Arp::request((OTHER, asked.sender.1), asked.sender.1).broadcast(),
                    );
                }
            }
        }
    }
    let found = prober.findings()[0];
    assert_eq!(found.occupancy, Occupancy::Taken { mac: OTHER, evidence: Evidence::Used });
    assert_eq!(found.gateway, Reach::NotAsked);
}

#[test]
fn nothing_asked_is_over_at_once() {
    let mut prober = prober(&[target("10.6.0.10", "10.6.0.1")], Timing::default());
    assert_eq!(prober.poll(START), Poll::Over);
    let found = prober.findings()[0];
    assert_eq!((found.occupancy, found.gateway), (Occupancy::NotAsked, Reach::NotAsked));
}

#[test]
fn what_no_host_can_have_is_no_target() {
    for bad in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"] {
        let refused = Target::new(address(bad), None);
        assert_eq!(refused, Err(BadTarget::NoHost { address: address(bad) }));
    }
    assert!(Target::new(address("10.0.0.1"), Some(address("fe80::1"))).is_err());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let targets = [target("10.6.0.10", "10.6.0.1"), target("fd00:6::10", "fe80::1")];
    let run = |seed| {
        let mut wire = Wire::with(&[("fe80::1", ROUTER)], ms(2));
        wire.run(&mut Prober::new(&targets, (OWN, both()), seed, START));
        wire.sent
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Frames that often are almost right: a right one with a few bytes changed, cut or lengthened.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let ten: Ipv6Addr = "fd00:6::10".parse().unwrap();
    let good = vec![
        Arp::request((OTHER, [10, 6, 0, 10].into()), [10, 6, 0, 10].into()).broadcast(),
        nd::probe(OTHER, ten, [1; 6]),
        nd::announcement((OTHER, ten)),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(good), changes, 0_usize..140).prop_map(|(mut frame, changes, length)| {
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.resize(length, 0);
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn hostile_frames_end(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..160), 0..8),
        near in prop::collection::vec(nearly_right(), 0..8),
    ) {
        let targets = [target("10.6.0.10", "10.6.0.1"), target("fd00:6::10", "fe80::1")];
        let mut prober = prober(&targets, both());
        let mut frames = noise.iter().chain(&near);
        let mut now = START;
        loop {
            if let Some(frame) = frames.next() {
                prober.receive(frame);
            }
            match prober.poll(now) {
                Poll::Over => break,
                Poll::Wait { until } => now = until,
                Poll::Send { lane, .. } => prober.sent(lane, now),
            }
        }
        prop_assert!(now - START <= both().longest());
        for found in prober.findings() {
            prop_assert_ne!(found.occupancy, Occupancy::Unsettled);
            prop_assert_ne!(found.gateway, Reach::Unsettled);
        }
    }
}
