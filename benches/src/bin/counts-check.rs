//! Compares the instructions of each counted work with `benches/counts.toml`.
//!
//! `counts-check` runs `counts` under callgrind, once for the fixture and once for everything, and
//! takes the difference for each round. More than 5 % above or below the written number fails;
//! `counts-check --write` writes the numbers anew. Without valgrind it says so, and fails where
//! `CI` is `true`.

use spiderpool_benches::counted::Work;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// A number may differ by so many percent.
const TOLERANCE_PERCENT: u64 = 5;

/// Where the numbers are, from the root of the workspace.
const NUMBERS: &str = "benches/counts.toml";

fn main() -> ExitCode {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: there is no valgrind; install Debian's package `valgrind`");
        return ExitCode::from(u8::from(std::env::var("CI").is_ok_and(|ci| ci == "true")));
    }
    match run(std::env::args().any(|argument| argument == "--write")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// Counts every work; whether all are as written.
fn run(write: bool) -> Result<bool, String> {
    let written = read(&std::fs::read_to_string(NUMBERS).unwrap_or_default())?;
    let mut counted = Vec::new();
    let mut well = true;
    for Work { name, .. } in Work::ALL {
        let count = count(name)?;
        let expected = written.get(name).copied();
        let verdict = match expected {
            Some(expected) if is_near(count, expected) => "as written",
            Some(_) => "DIFFERS",
            None => "NOT WRITTEN",
        };
        well &= verdict == "as written";
        let expected = expected.map_or_else(|| "-".to_owned(), |number| number.to_string());
        println!("{name:26} {count:8} instructions a round, written {expected:>8}: {verdict}");
        counted.push(format!("{name} = {count}\n"));
    }
    if write {
        let head = "# Instructions of one round of each work, by callgrind.\n\
                    # Written by `counts-check --write`; see README.md for the command.\n";
        let text = format!("{head}{}", counted.concat());
        std::fs::write(NUMBERS, text)
            .map_err(|fault| format!("cannot write {NUMBERS}: {fault}"))?;
    }
    Ok(well || write)
}

const fn is_near(count: u64, expected: u64) -> bool {
    count.abs_diff(expected) * 100 <= expected * TOLERANCE_PERCENT
}

/// The numbers of lines such as `name = 12`.
fn read(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let number = |line: &str| {
        let (name, number) = line.split_once(" = ")?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    };
    lines
        .map(|line| number(line).ok_or_else(|| format!("{NUMBERS}: cannot read `{line}`")))
        .collect()
}

/// The instructions of one round of a work.
fn count(work: &str) -> Result<u64, String> {
    let (rounds, all) = callgrind(work, "all")?;
    let (_, fixture) = callgrind(work, "fixture")?;
    Ok(all.saturating_sub(fixture) / rounds.max(1))
}

/// Runs `counts` under callgrind; gives the rounds it did and the instructions it took.
fn callgrind(work: &str, phase: &str) -> Result<(u64, u64), String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program()?)
        .args([work, phase])
        .output()
        .map_err(|fault| format!("cannot run valgrind: {fault}"))?;
    let (told, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let counted = log.lines().find_map(|line| line.split_once("Collected : "));
    let numbers = counted
        .and_then(|(_, number)| Some((told.trim().parse().ok()?, number.trim().parse().ok()?)));
    numbers.ok_or_else(|| format!("cannot read what callgrind says of {work}: {log}"))
}

/// The program `counts`, which is built beside this one.
fn program() -> Result<PathBuf, String> {
    let own =
        std::env::current_exe().map_err(|fault| format!("cannot find the program: {fault}"))?;
    let counts = own.with_file_name("counts");
    if counts.is_file() {
        return Ok(counts);
    }
    Err(format!(
        "there is no {}; build it: cargo build --release -p spiderpool-benches --bins",
        counts.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_percent_are_near() {
        assert!(is_near(105, 100) && is_near(95, 100));
        assert!(!is_near(106, 100) && !is_near(94, 100));
    }

    #[test]
    fn numbers_are_read_and_nonsense_is_refused() {
        assert_eq!(read("# a\nx = 5\n"), Ok([("x".to_owned(), 5)].into()));
        assert!(read("x: 5").is_err());
    }
}
