//! A small language of commands, so that most bytes mean something.

use arbitrary::Arbitrary;
use spiderpool_core::address::Family;
use spiderpool_core::command::{Claim, Collect, Command, Conflict, Hold, Place, Reclaim, Release};
use spiderpool_core::definition::{Policy, Pool, PoolDraft, Reservation, ReservationDraft};
use spiderpool_core::event::Ending;
use spiderpool_core::memory::Memory;
use spiderpool_core::name::Name;
use spiderpool_core::owner::{Holder, Owner};
use spiderpool_core::request::{FamilyPolicy, NicPools, PoolNames, Request, Sources, Subject};

/// One command, with small numbers for everything that has a name.
#[derive(Debug, Arbitrary)]
pub enum Step {
    Pool { pool: u8, first: u8, length: u8, hole: u8, policy: u8, cools: bool, flags: u8 },
    RemovePool(u8),
    Reserve { first: u8, length: u8 },
    Unreserve,
    Add { pod: u8, sandbox: u8, nic: u8, pools: u8, how: u8, named: u8 },
    Del { pod: u8, sandbox: u8, nic: Option<u8> },
    Collect { keep: Vec<(u8, u8)> },
    Reclaim { at: u8, stale: bool, statics: bool },
    Conflict { at: u8, mac: u8 },
    Hold { pod: u8, offset: u8 },
    Clear { offset: u8 },
    Tidy,
    Wait(u8),
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// IPv4 for even numbers, IPv6 for odd ones, so that two families overlap in two pools each.
fn address(pool: u8, offset: u8) -> String {
    if pool % 2 == 0 { format!("10.0.0.{offset}") } else { format!("fd00::{offset:x}") }
}

fn place(offset: u8) -> Place {
    let address = address(offset / 128, offset % 128).parse().expect("an address");
    Place { space: name("default"), address }
}

impl Step {
    /// How much later it is asked.
    pub fn passes_ms(&self) -> u64 {
        if let Self::Wait(units) = self { u64::from(*units) * 10_000 } else { 1 }
    }

    /// The command, where it names something that is there.
    pub fn command(&self, ledger: &Memory) -> Option<Command> {
        Some(match self {
            Self::Pool { .. } => Command::DefinePool(self.pool()?),
            Self::RemovePool(pool) => Command::RemovePool(name(&format!("p{}", pool % 4))),
            Self::Reserve { first, length } => {
                let (first, last) = (first % 32, first % 32 + length % 8);
                let ranges = vec![format!("10.0.0.{first}-10.0.0.{last}")];
                let draft = ReservationDraft { name: "r".into(), ranges, ..Default::default() };
                Command::DefineReservation(Reservation::try_from(draft).ok()?)
            }
            Self::Unreserve => Command::RemoveReservation(name("r")),
            Self::Add { .. } => Command::Allocate(self.request(ledger)?),
            Self::Del { pod, sandbox, nic } => Command::Release(Release {
                container: container(*pod, *sandbox),
                attachment: nic.map(interface),
                ticket: ledger.revision(),
            }),
            Self::Collect { keep } => {
                let keep =
                    keep.iter().map(|(pod, nic)| (container(*pod, 0), interface(*nic))).collect();
                Command::Collect(Collect { network: name("net"), keep })
            }
            Self::Reclaim { at, stale, statics } => {
                let mut claim = claim(ledger, *at)?;
                claim.generation += u64::from(*stale);
                let (claims, statics, ending) = (vec![claim], *statics, Ending::Reclaimed);
                Command::Reclaim(Reclaim { claims, statics, ending })
            }
            Self::Conflict { at, mac } => {
                Command::Conflict(Conflict { claim: claim(ledger, *at)?, mac: [mac % 4; 6] })
            }
            Self::Hold { pod, offset } => Command::Hold(Hold {
                owner: Owner::identity(&name(&format!("s{}", pod % 4))).ok()?,
                attachment: interface(0),
                place: place(*offset),
                node: name("node"),
            }),
            Self::Clear { offset } => Command::Clear(place(*offset)),
            Self::Tidy => Command::Tidy { before_ms: 1_000_020 },
            Self::Wait(_) => return None,
        })
    }

    fn pool(&self) -> Option<Pool> {
        let Self::Pool { pool, first, length, hole, policy, cools, flags } = self else {
            return None;
        };
        let number = pool % 4;
        // Pools of one family have the same prefix; whether their ranges may meet is theirs to say.
        let first = (number / 2) * 32 + first % 24;
        let last = first + length % 12;
        Pool::try_from(PoolDraft {
            name: format!("p{number}"),
            prefix: if number % 2 == 0 { "10.0.0.0/24".into() } else { "fd00::/120".into() },
            ranges: vec![format!("{}-{}", address(number, first), address(number, last))],
            excluded: (first..=last)
                .contains(hole)
                .then(|| address(number, *hole))
                .into_iter()
                .collect(),
            gateway: (flags & 1 != 0).then(|| address(number, 250)),
            is_default: flags & 2 != 0,
            disabled: flags & 0b1100 == 0b1100,
            policy: [Policy::Sequential, Policy::Spread, Policy::Rotate][usize::from(policy % 3)],
            cool_down_ms: if *cools { 30_000 } else { 0 },
            ..PoolDraft::default()
        })
        .ok()
    }

    fn request(&self, ledger: &Memory) -> Option<Request> {
        let Self::Add { pod, sandbox, nic, pools, how, named } = self else { return None };
        let names = |bits: u8| PoolNames {
            v4: [0_u8, 2]
                .iter()
                .filter(|p| bits & (1 << **p) != 0)
                .map(|p| format!("p{p}"))
                .collect(),
            v6: [1_u8, 3]
                .iter()
                .filter(|p| bits & (1 << **p) != 0)
                .map(|p| format!("p{p}"))
                .collect(),
        };
        let nics = |is_named: bool| {
            let nic = |at: u8| NicPools {
                attachment: is_named.then(|| interface(at)),
                pools: names(pools >> (2 * at)),
                clean_gateway: None,
            };
            Some(vec![nic(0), nic(1)])
        };
        let sources = match how % 4 {
            0 => Sources { pod: Some(names(*pools)), ..Sources::default() },
            1 => Sources { per_nic: nics(true), ..Sources::default() },
            2 => Sources { per_nic: nics(false), ..Sources::default() },
            _ => Sources::default(),
        };
        let uid = name(&format!("u{}", pod % 8));
        let is_static = how & 0b1_0000 != 0;
        Some(Request {
            holder: Holder {
                owner: if is_static {
                    Owner::identity(&name(&format!("s{}", pod % 4)))
                } else {
                    Owner::pod(&uid)
                }
                .ok()?,
                pod_uid: Some(uid),
                container: Some(container(*pod, *sandbox)),
                node: name(&format!("node-{}", pod % 3)),
            },
            attachment: interface(*nic),
            network: name("net"),
            subject: Subject::default(),
            sources,
            named: (named & 1 != 0).then(|| place(named >> 1).address).into_iter().collect(),
            routes: Vec::new(),
            clean_gateway: how & 0b10_0000 != 0,
            families: if how & 0b100_0000 == 0 {
                FamilyPolicy::Require
            } else {
                FamilyPolicy::Prefer
            },
            only: match (how >> 2) % 4 {
                1 => Some(Family::V4),
                2 => Some(Family::V6),
                _ => None,
            },
            master: None,
            ticket: if how & 0b1000_0000 == 0 { ledger.revision() + 1 } else { 0 },
        })
    }
}

fn container(pod: u8, sandbox: u8) -> Name {
    name(&format!("c{}-{}", pod % 8, sandbox % 2))
}

fn interface(nic: u8) -> Name {
    name(&format!("net{}", nic % 2))
}

/// The allocation at a place in the list, as it is.
fn claim(ledger: &Memory, at: u8) -> Option<Claim> {
    let all: Vec<_> = ledger.view().allocations().ok()?.collect();
    let found = all.get(usize::from(at).checked_rem(all.len())?)?;
    let place = Place { space: name("default"), address: found.address() };
    Some(Claim { place, generation: found.allocation.generation })
}
