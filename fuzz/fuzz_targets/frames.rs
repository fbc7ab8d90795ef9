//! Any frames at any times between a prober's own: it never panics, always ends, tells the same twice,
//! and never takes itself for somebody else.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spiderpool_netlink::probe::{
    ConflictTiming, Finding, GatewayTiming, Mac, Occupancy, Poll, Prober, Reach, Target, Timing,
};
use std::time::Duration;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);

#[derive(Debug, Arbitrary)]
struct Input {
    seed: u64,
    questions: u8,
    events: Vec<Event>,
}

#[derive(Debug, Arbitrary)]
enum Event {
    /// Bytes from the wire.
    Raw(Vec<u8>),
    /// A frame of the prober's own, with some bytes written over, and its end cut off.
    Mutant { frame: u8, writes: Vec<(u8, u8)>, cut: u8 },
    /// The next that is due could not be sent.
    Refused,
    /// Time goes by.
    Wait(u8),
}

fn targets() -> Vec<Target> {
    let pairs = [
        ("10.6.0.10", Some("10.6.0.1")),
        ("10.6.0.11", None),
        ("fd00:6::10", Some("fe80::1")),
        ("fd00:6::11", Some("fd00:6::1")),
    ];
    let address = |text: &str| text.parse().expect("an address");
    let target =
        |(ip, gateway): (&str, Option<&str>)| Target::new(address(ip), gateway.map(address));
    pairs.into_iter().map(|pair| target(pair).expect("a target")).collect()
}

fuzz_target!(|input: Input| {
    let findings = play(&input);
    assert_eq!(findings, play(&input), "told twice");
    let asks = timing(input.questions);
    for finding in findings {
        let is_own = matches!(finding.occupancy, Occupancy::Taken { mac, .. } if mac == OWN);
        assert!(!is_own, "{finding:?}");
        let is_asked = finding.occupancy != Occupancy::NotAsked;
        assert_eq!(is_asked, asks.conflict.is_some(), "{finding:?}");
        let is_free = matches!(finding.occupancy, Occupancy::Free | Occupancy::NotAsked);
        let may_ask = is_free && asks.gateway.is_some() && finding.target.gateway().is_some();
        assert!(may_ask || finding.gateway == Reach::NotAsked, "{finding:?}");
    }
});

fn timing(questions: u8) -> Timing {
    Timing {
        conflict: (questions & 1 == 0).then(ConflictTiming::default),
        gateway: (questions & 2 == 0).then(GatewayTiming::default),
    }
}

/// Plays the events between what is due, and then to the end.
fn play(input: &Input) -> Vec<Finding> {
    let mut now = Duration::ZERO;
    let mut prober = Prober::new(&targets(), (OWN, timing(input.questions)), input.seed, now);
    let mut own = Vec::new();
    for event in input.events.iter().take(40) {
        turn(&mut prober, event, &mut own, &mut now);
    }
    let mut turns = 0;
    loop {
        match prober.poll(now) {
            Poll::Send { lane, .. } => prober.sent(lane, now),
            Poll::Wait { until } => {
                assert!(until > now, "it waits for what was");
                now = until;
            }
            Poll::Over => return prober.findings(),
        }
        turns += 1;
        assert!(turns < 1_000, "it does not end");
    }
}

fn turn(prober: &mut Prober, event: &Event, own: &mut Vec<Vec<u8>>, now: &mut Duration) {
    if let Poll::Send { lane, frame } = prober.poll(*now) {
        own.push(frame);
        match event {
            Event::Refused => prober.unsent(lane, *now),
            _ => prober.sent(lane, *now),
        }
    }
    match event {
        Event::Raw(bytes) => prober.receive(bytes),
        Event::Mutant { frame, writes, cut } if !own.is_empty() => {
            let mut bytes = own[usize::from(*frame) % own.len()].clone();
            for (at, byte) in writes {
                let length = bytes.len();
                bytes[usize::from(*at) % length] = *byte;
            }
            bytes.truncate(bytes.len().saturating_sub(usize::from(*cut % 64)));
            prober.receive(&bytes);
        }
        Event::Mutant { .. } | Event::Refused => {}
        Event::Wait(ms) => *now += Duration::from_millis(u64::from(*ms)),
    }
}
