//! How long a probe takes on the wire: one address, and four, with the default times.
//!
//! `probe-time [--rounds N]` probes free addresses, and then their gateway, from the pod of a laboratory
//! of its own: what an ADD with detection waits. The addresses are probed at once, so that four cost the
//! time of one. It prints a table in Markdown, in the order of the rounds' turns.

use spiderpool_benches::laboratory::{Broken, Laboratory, ms, spread};
use spiderpool_netlink::probe::{
    ConflictTiming, GatewayTiming, Inquiry, Occupancy, ProbeFault, Reach, Target, Timing, ask,
};
use spiderpool_netlink::{Namespace, RunError};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long one probe may take before it counts as stuck.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why there is no figure.
#[derive(Debug, Error)]
enum Fault {
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("{0}")]
    Inside(#[from] Box<RunError<ProbeFault>>),
    #[error("{0} is free and its gateway there, but that was not found")]
    Wrong(IpAddr),
    #[error("{0}")]
    Target(#[from] spiderpool_netlink::probe::BadTarget),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = match arguments.as_slice() {
        [] => Some(11),
        [option, value] if option == "--rounds" => value.parse().ok(),
        _ => None,
    };
    let Some(rounds) = rounds else {
        eprintln!("usage: probe-time [--rounds N]");
        return ExitCode::from(2);
    };
    match measure(rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn measure(rounds: u64) -> Result<(), Fault> {
    let laboratory = Laboratory::new(1)?;
    let Some(pod) = laboratory.pods.first() else { return Ok(()) };
    let all = targets()?;
    let kinds: [(&str, &[Target]); 3] = [
        ("one address, IPv4", all.get(..1).unwrap_or_default()),
        ("one address, IPv6", all.get(2..3).unwrap_or_default()),
        ("four addresses, two of each", &all),
    ];
    let timing = Timing {
        conflict: Some(ConflictTiming::default()),
        gateway: Some(GatewayTiming::default()),
    };
    let mut times = vec![Vec::new(); kinds.len()];
    for round in 0..rounds {
        for ((_, targets), times) in kinds.iter().zip(&mut times) {
            times.push(probe(&pod.namespace, targets, (timing, round))?);
        }
    }
    println!("| {rounds} rounds | median | lowest to highest |");
    println!("|---|---|---|");
    for ((name, _), mut times) in kinds.iter().zip(times) {
        if let Some([low, median, high]) = spread(&mut times) {
            println!("| {name} | {} | {} to {} |", ms(median), ms(low), ms(high));
        }
    }
    println!("\nThe longest that the times allow: {}.", ms(timing.longest()));
    Ok(())
}

/// Free addresses of the laboratory's subnets; the router of each answers.
fn targets() -> Result<Vec<Target>, Fault> {
    let v4 = |last: u8| Ipv4Addr::new(10, 6, 7, last).into();
    let v6 = |last: u16| Ipv6Addr::new(0xfd00, 6, 0, 0, 0, 0, 7, last).into();
    let routers: [IpAddr; 2] =
        [Ipv4Addr::new(10, 6, 0, 1).into(), Ipv6Addr::new(0xfd00, 6, 0, 0, 0, 0, 0, 1).into()];
    let [router4, router6] = routers;
    Ok(vec![
        Target::new(v4(1), Some(router4))?,
        Target::new(v4(2), Some(router4))?,
        Target::new(v6(1), Some(router6))?,
        Target::new(v6(2), Some(router6))?,
    ])
}

/// Probes once and gives how long that took; findings that are wrong make the figure worthless.
fn probe(
    pod: &Namespace,
    targets: &[Target],
    (timing, seed): (Timing, u64),
) -> Result<Duration, Fault> {
    let asked = pod.run(|session| {
        let start = Instant::now();
        let deadline = start.checked_add(DEADLINE).unwrap_or(start);
        let inquiry = Inquiry { link: "eth0", targets, timing, seed, carrier: DEADLINE, deadline };
        ask(session, &inquiry).map(|findings| (start.elapsed(), findings))
    });
    let (took, findings) = asked.map_err(Box::new)?;
    let is_wrong = |finding: &&spiderpool_netlink::probe::Finding| {
        let is_free = finding.occupancy == Occupancy::Free;
        !is_free || !matches!(finding.gateway, Reach::Reachable { .. })
    };
    match findings.iter().find(is_wrong) {
        Some(finding) => Err(Fault::Wrong(finding.target.address())),
        None => Ok(took),
    }
}
