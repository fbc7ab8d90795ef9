//! A fixed piece of work for `valgrind --tool=callgrind`: `counts WORK` does it once.
//!
//! Instructions do not depend on what else the machine does, so they show a change of a few percent
//! where a clock does not. `counts-check` runs every work and compares; each also says what it costs
//! to build its fixture alone, which is subtracted.

use spiderpool_benches::counted::{Phase, Work};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [name, phase] = arguments.as_slice() else {
        eprintln!("usage: counts WORK fixture|all; works: {}", Work::names().join(", "));
        return ExitCode::from(2);
    };
    let phase = if phase == "fixture" { Phase::Fixture } else { Phase::All };
    let Some(work) = Work::of(name) else {
        eprintln!("there is no work `{name}`; there are: {}", Work::names().join(", "));
        return ExitCode::from(2);
    };
    match work.run(phase) {
        Ok(rounds) => {
            println!("{rounds}");
            ExitCode::SUCCESS
        }
        Err(unbuilt) => {
            eprintln!("{name}: {unbuilt}");
            ExitCode::FAILURE
        }
    }
}
