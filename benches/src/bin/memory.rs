//! Resident memory for each of a million allocated addresses, names' text apart.
//!
//! `memory [COUNT]` fills a pool of a /8 from the lowest address on, through events as a store that
//! loads would, and prints what the kernel says is resident, what the core says it holds, and which
//! part of that is text. The text of a name is what its pod brings along (UID, container id, node);
//! how much it is depends on nothing but those, so it is reported apart.

use spiderpool_benches::filled::{Filled, Others, Scene, Unbuilt};
use spiderpool_core::definition::Policy;
use std::process::{Command, ExitCode};

/// What `statm` of proc(5) counts in, on the machines that this runs on.
const PAGE_BYTES: u64 = 4096;

/// The most bytes for each address that the project promises, names' text apart.
const PROMISED: u64 = 64;

/// Fillings: what they are called, and within how many addresses the allocations lie, in 10,000ths.
const FILLINGS: [(&str, u64, bool); 3] = [
    ("side by side", 10_000, true),
    ("one of 10,000 free", 10_001, true),
    ("every second free (not promised)", 20_000, false),
];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    let count = number(0).unwrap_or(1_000_000);
    let outcome = match number(1).and_then(|row| FILLINGS.get(usize::try_from(row).ok()?)) {
        Some((label, within, promised)) => row(label, (count * within / 10_000, count))
            .map(|less| if *promised { less } else { 0 }),
        None => table(count).map_err(|fault| Unbuilt::Refused(fault.to_string())),
    };
    match outcome {
        Ok(kept) if kept <= PROMISED => ExitCode::SUCCESS,
        Ok(kept) => {
            println!("{kept} bytes are more than the promised {PROMISED}");
            ExitCode::FAILURE
        }
        Err(unbuilt) => {
            eprintln!("{unbuilt}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the table, each line from a process of its own, since what one filling leaves in the
/// allocator would be counted for the next.
fn table(count: u64) -> std::io::Result<u64> {
    println!(
        "| {count} allocations in a /8 | resident, all | names' text | resident less text | by the core's own count |"
    );
    println!("|---|---|---|---|---|");
    let program = std::env::current_exe()?;
    let mut kept = 0;
    for (row, (_, _, promised)) in FILLINGS.iter().enumerate() {
        let status = Command::new(&program).arg(count.to_string()).arg(row.to_string()).status()?;
        if *promised && !status.success() {
            kept = u64::MAX;
        }
    }
    Ok(kept)
}

/// Prints one line of the table and gives the resident bytes for each address, less the text.
fn row(label: &str, (within, held): (u64, u64)) -> Result<u64, Unbuilt> {
    let before = resident();
    let (policy, others) = (Policy::Sequential, Others::LeftOut);
    let filled = Filled::new(Scene { prefix: "10.0.0.0/8", policy, within, held, others })?;
    // The fixture's own list of pods is no part of the ledger.
    let all = resident().saturating_sub(before).saturating_sub(8 * held);
    let (counted, names) = filled.view.heap_bytes();
    let [counted, names] = [counted, names].map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
    let each = |bytes: u64| bytes / held.max(1);
    let less = each(all.saturating_sub(names));
    let own = each(counted.saturating_sub(names));
    println!("| {label} | {} | {} | {less} | {own} |", each(all), each(names));
    Ok(less)
}

/// Bytes of this process that are in memory, by proc(5).
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}
