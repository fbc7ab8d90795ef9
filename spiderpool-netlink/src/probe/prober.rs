//! Decides which frame is due when, and what a frame that was heard means.
//!
//! No I/O, no clock, no chance of its own: time is an argument, counted from any start, and chance
//! is a seed. Driven by [`ask`](super::ask); by virtual time in the tests. Each target has a lane of
//! its own, so what happens to one takes no time from another. Invariants:
//!
//! 1. An address that anybody else uses or probes for is taken, and our own probes that the network
//!    sends back are nobody else's (`whoever_else_speaks_of_an_address_has_it`,
//!    `our_own_probes_come_back_and_mean_nothing`).
//! 2. A frame counts as sent when the driver says so, and the waits are counted from there; what
//!    could not be sent stays due (`what_could_not_be_sent_stays_due`).
//! 3. The same frames at the same times give the same findings and frames
//!    (`the_same_seed_gives_the_same_run`).

use super::arp::{Arp, Operation};
use super::nd::{self, Heard, Nonce};
use super::target::{Evidence, Finding, Mac, Occupancy, Reach, Target};
use super::timing::Timing;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A frame that the link would not take is offered again after this.
const AGAIN: Duration = Duration::from_millis(10);

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// Send this frame, and say what came of it with [`Prober::sent`] or [`Prober::unsent`].
    Send {
        /// Which target it is about.
        lane: usize,
        /// The whole Ethernet frame, without its check sequence.
        frame: Vec<u8>,
    },
    /// Hand in what is heard until this time.
    Wait {
        /// Counted from the same start as every other time.
        until: Duration,
    },
    /// Every question is answered.
    Over,
}

/// All questions about the addresses of one NIC.
#[derive(Debug, Clone)]
pub struct Prober {
    own: Mac,
    timing: Timing,
    lanes: Vec<Lane>,
}

/// One target on its way.
#[derive(Debug, Clone)]
struct Lane {
    finding: Finding,
    stage: Stage,
    nonce: Nonce,
    chance: Chance,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The next probe is due at `at`; `left` of them are, this one included.
    Probing { left: u32, at: Duration },
    /// All probes are sent; the address is free if nobody speaks up until then.
    Listening { until: Duration },
    /// The gateway is asked next at `at`, `left` times more.
    Asking { gateway: IpAddr, left: u32, at: Duration },
    /// The gateway was asked for the last time; it is unreachable if it is silent until then.
    Awaiting { gateway: IpAddr, until: Duration },
    /// Nothing is left to ask.
    Over,
}

/// Numbers that follow from a seed (`SplitMix64`).
#[derive(Debug, Clone, Copy)]
struct Chance(u64);

impl Prober {
    /// Questions about these targets, asked from a NIC with the MAC `own` from `now` on.
    ///
    /// `seed` is any number; two hosts that start at the same time have different ones.
    #[must_use]
    pub fn new(targets: &[Target], (own, timing): (Mac, Timing), seed: u64, now: Duration) -> Self {
        let [a, b, c, d, e, g] = own.0;
        let mac = u64::from_be_bytes([0, 0, a, b, c, d, e, g]);
        let mut chance = Chance(seed ^ mac.rotate_left(16));
        let lanes = targets.iter().map(|target| {
            let mut chance = Chance(chance.draw());
            let [nonce @ .., _, _] = chance.draw().to_be_bytes();
            Lane::new(*target, timing, (nonce, chance), now)
        });
        Self { own, timing, lanes: lanes.collect() }
    }

    /// What to do at `now`. Whatever was heard before `now` is handed in first, since silence is
    /// judged here.
    pub fn poll(&mut self, now: Duration) -> Poll {
        let mut next = None;
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            lane.judge_silence(self.timing, now);
            let at = match lane.stage {
                Stage::Probing { at, .. } | Stage::Asking { at, .. } if at <= now => {
                    return Poll::Send { lane: number, frame: lane.frame(self.own) };
                }
                Stage::Probing { at, .. } | Stage::Asking { at, .. } => at,
                Stage::Listening { until } | Stage::Awaiting { until, .. } => until,
                Stage::Over => continue,
            };
            next = Some(next.map_or(at, |next: Duration| next.min(at)));
        }
        next.map_or(Poll::Over, |until| Poll::Wait { until })
    }

    /// The frame that was due in a lane is on its way.
    pub fn sent(&mut self, lane: usize, now: Duration) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.sent(self.timing, now);
        }
    }

    /// The link did not take the frame that was due in a lane; it stays due.
    pub fn unsent(&mut self, lane: usize, now: Duration) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        if let Stage::Probing { at, .. } | Stage::Asking { at, .. } = &mut lane.stage {
            *at = now.saturating_add(AGAIN);
        }
    }

    /// Takes a frame that was heard on the link. What this NIC's own kernel sends is not handed in.
    pub fn receive(&mut self, frame: &[u8]) {
        if let Some(arp) = Arp::of(frame) {
            self.receive_arp(arp);
        } else if let Some(heard) = Heard::of(frame) {
            self.receive_nd(heard);
        }
    }

    fn receive_arp(&mut self, arp: Arp) {
        let (mac, sender) = arp.sender;
        let is_probe = arp.operation == Operation::Request && sender.is_unspecified();
        for lane in &mut self.lanes {
            let address = lane.finding.target.address();
            if address == sender && !(lane.has_spoken() && mac == self.own) {
                lane.taken(mac, Evidence::Used);
            } else if is_probe && address == arp.target.1 && mac != self.own {
                lane.taken(mac, Evidence::Probed);
            } else if arp.operation == Operation::Reply && arp.target.0 == self.own {
                lane.answered(sender.into(), mac);
            }
        }
    }

    fn receive_nd(&mut self, heard: Heard) {
        match heard {
            Heard::Solicitation { mac, source, target, nonce } => {
                let is_ours =
                    nonce.is_some_and(|nonce| self.lanes.iter().any(|l| l.nonce == nonce));
                if source.is_unspecified() && !is_ours {
                    self.lane_of(target, |lane| lane.taken(mac, Evidence::Probed));
                }
            }
            Heard::Advertisement { mac, target } => {
                let own = self.own;
                self.lane_of(target, |lane| {
                    if !(lane.has_spoken() && mac == own) {
                        lane.taken(mac, Evidence::Used);
                    }
                });
                self.lanes.iter_mut().for_each(|lane| lane.answered(target.into(), mac));
            }
        }
    }

    fn lane_of(&mut self, address: Ipv6Addr, then: impl Fn(&mut Lane)) {
        let of = |lane: &&mut Lane| lane.finding.target.address() == address;
        self.lanes.iter_mut().filter(of).for_each(then);
    }

    /// What is known so far, in the order of the targets; all of it once [`Poll::Over`] came.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.lanes.iter().map(|lane| lane.finding).collect()
    }
}

impl Lane {
    fn new(target: Target, timing: Timing, own: (Nonce, Chance), now: Duration) -> Self {
        let (nonce, mut chance) = own;
        let mut finding =
            Finding { target, occupancy: Occupancy::NotAsked, gateway: Reach::NotAsked };
        if let Some(pace) = timing.conflict {
            finding.occupancy = Occupancy::Unsettled;
            let at = now.saturating_add(chance.up_to(pace.delay));
            let stage = Stage::Probing { left: pace.probes.get(), at };
            return Self { finding, stage, nonce, chance };
        }
        let mut lane = Self { finding, stage: Stage::Over, nonce, chance };
        lane.ask_gateway(timing, now);
        lane
    }

    /// The address is free, or it was not asked: the gateway is next.
    fn ask_gateway(&mut self, timing: Timing, now: Duration) {
        let gateway = self.finding.target.gateway();
        self.stage = match (gateway, timing.gateway) {
            (Some(gateway), Some(pace)) => {
                self.finding.gateway = Reach::Unsettled;
                Stage::Asking { gateway, left: pace.tries.get(), at: now }
            }
            _ => Stage::Over,
        };
    }

    /// Whether a frame with the address as its sender may have left this NIC.
    fn has_spoken(&self) -> bool {
        self.finding.gateway != Reach::NotAsked
    }

    fn judge_silence(&mut self, timing: Timing, now: Duration) {
        match self.stage {
            Stage::Listening { until } if until <= now => {
                self.finding.occupancy = Occupancy::Free;
                self.ask_gateway(timing, now);
            }
            Stage::Awaiting { until, .. } if until <= now => {
                self.finding.gateway = Reach::Unreachable;
                self.stage = Stage::Over;
            }
            Stage::Probing { .. }
            | Stage::Listening { .. }
            | Stage::Asking { .. }
            | Stage::Awaiting { .. }
            | Stage::Over => {}
        }
    }

    fn sent(&mut self, timing: Timing, now: Duration) {
        self.stage = match (self.stage, timing.conflict, timing.gateway) {
            (Stage::Probing { left: 0 | 1, .. }, Some(pace), _) => {
                Stage::Listening { until: now.saturating_add(pace.wait) }
            }
            (Stage::Probing { left, .. }, Some(pace), _) => {
                let gap = pace.spacing.saturating_add(self.chance.up_to(pace.jitter));
                Stage::Probing { left: left - 1, at: now.saturating_add(gap) }
            }
            (Stage::Asking { gateway, left: 0 | 1, .. }, _, Some(pace)) => {
                Stage::Awaiting { gateway, until: now.saturating_add(pace.wait) }
            }
            (Stage::Asking { gateway, left, .. }, _, Some(pace)) => {
                Stage::Asking { gateway, left: left - 1, at: now.saturating_add(pace.wait) }
            }
            (stage, ..) => stage,
        };
    }

    /// Somebody else has the address, however far we are; a gateway need not be asked then.
    fn taken(&mut self, mac: Mac, evidence: Evidence) {
        if matches!(self.finding.occupancy, Occupancy::Unsettled | Occupancy::Free) {
            self.finding.occupancy = Occupancy::Taken { mac, evidence };
            self.finding.gateway = Reach::NotAsked;
            self.stage = Stage::Over;
        }
    }

    fn answered(&mut self, by: IpAddr, mac: Mac) {
        if let Stage::Asking { gateway, .. } | Stage::Awaiting { gateway, .. } = self.stage
            && gateway == by
        {
            self.finding.gateway = Reach::Reachable { mac };
            self.stage = Stage::Over;
        }
    }

    /// The frame that is due.
    fn frame(&self, own: Mac) -> Vec<u8> {
        let mut asked = None;
        if let Stage::Asking { gateway, .. } = self.stage {
            asked = Some(gateway);
        }
        match (self.finding.target.address(), asked) {
            (IpAddr::V4(address), Some(IpAddr::V4(gateway))) => {
                Arp::request((own, address), gateway).broadcast()
            }
            (IpAddr::V6(address), Some(IpAddr::V6(gateway))) => {
                nd::question((own, address), gateway)
            }
            (IpAddr::V4(address), _) => {
                Arp::request((own, Ipv4Addr::UNSPECIFIED), address).broadcast()
            }
            (IpAddr::V6(address), _) => nd::probe(own, address, self.nonce),
        }
    }
}

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any time from nought to `most`, to the microsecond.
    fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.draw() % most.saturating_add(1).max(1))
    }
}
