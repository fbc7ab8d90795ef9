//! `cargo xtask fuzz`, and the tier of that name: libFuzzer on every target for a while.
//!
//! Owns the build flags and the way a target is run. Targets are the binaries of `fuzz/Cargo.toml`,
//! a workspace of its own. Invariants:
//!
//! 1. The kept corpus (`fuzz/corpus/TARGET`) is read only, unless `--keep` asks for what was found to
//!    be merged into it; new inputs go to a working corpus below `fuzz/target`
//!    (`the_working_corpus_comes_first`).
//! 2. What crashes a target stays in `fuzz/artifacts/TARGET`, and the run fails.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::call::{Call, Fault};
use crate::steps::{Steps, progress};
use crate::tiers::Report;
use crate::workspace::Workspace;

/// Seconds for each target when it runs as a tier.
const TIER_SECONDS: u64 = 10;

/// Resident memory, in MiB, above which libFuzzer calls an input a finding.
const MEMORY_MIB: u64 = 2048;

/// Coverage feedback for libFuzzer, from the compiler itself: 8-bit counters at edges (level 4), and
/// compared values. The address sanitizer is there less for memory errors than for its hooks into
/// comparisons: without it libFuzzer does not see what `memcmp` compares, and so guesses no keyword.
const FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Zsanitizer=address -Cdebug-assertions --cfg fuzzing";

/// What to fuzz and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = TIER_SECONDS)]
    seconds: u64,
    /// Only this target (repeatable)
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Merge the inputs that found something new into the kept corpus
    #[arg(long)]
    keep: bool,
    /// List the targets
    #[arg(long)]
    list: bool,
}

/// Fuzzes as the options say; `false` when a target failed.
///
/// # Errors
/// When there is no such target, or the targets cannot be listed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool, Fault> {
    let all = targets(workspace)?;
    if options.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(true);
    }
    if let Some(unknown) = options.targets.iter().find(|target| !all.contains(target)) {
        let known = all.join(", ");
        return Err(Fault::Wrong(format!(
            "there is no fuzz target `{unknown}`; there are: {known}"
        )));
    }
    let chosen = if options.targets.is_empty() { &all } else { &options.targets };
    let report = fuzz(workspace, chosen, options.seconds, options.keep);
    Ok(report.failed == 0)
}

/// Fuzzes every target for a short time.
pub(crate) fn tier(workspace: &Workspace) -> Report {
    if !manifest(workspace).is_file() {
        return Report::skipped("there is no fuzz/Cargo.toml");
    }
    match targets(workspace) {
        Ok(targets) => fuzz(workspace, &targets, TIER_SECONDS, false),
        Err(fault) => {
            progress("fuzz", &crate::call::chain(&fault));
            Report::broken()
        }
    }
}

fn manifest(workspace: &Workspace) -> PathBuf {
    workspace.root.join("fuzz/Cargo.toml")
}

fn targets(workspace: &Workspace) -> Result<Vec<String>, Fault> {
    let fuzz = Workspace::at(&manifest(workspace))?;
    Ok(fuzz.members.into_iter().flat_map(|member| member.binaries).collect())
}

fn fuzz(workspace: &Workspace, targets: &[String], seconds: u64, keep: bool) -> Report {
    let mut steps = Steps::new("fuzz");
    let Some(binaries) = steps.step("build", || build(workspace)) else { return steps.finish() };
    for target in targets {
        let bench = Bench { target, home: workspace.root.join("fuzz"), binaries: &binaries };
        let ran = steps.step(target, || bench.fuzz(seconds));
        if keep && ran.is_some() {
            steps.step(&format!("{target}: keep what was found"), || bench.merge());
        }
    }
    steps.finish()
}

/// Builds every target and gives the directory that holds them.
fn build(workspace: &Workspace) -> Result<PathBuf, Fault> {
    let triple = host_triple()?;
    let output = workspace.root.join("fuzz/target");
    Call::cargo()
        .args(["build", "--release", "--manifest-path"])
        .arg(manifest(workspace))
        .args(["--target", &triple, "--target-dir"])
        .arg(&output)
        // The sanitizer's flag is a nightly one; the stable toolchain ships its runtime all the same.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", FLAGS)
        .dir(&workspace.root)
        .run()?;
    Ok(output.join(triple).join("release"))
}

/// Gives the compiler's own target. Naming it keeps the flags away from build scripts and macros.
fn host_triple() -> Result<String, Fault> {
    let call = Call::new("rustc").arg("-vV");
    let text = call.output()?;
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    let missing = || Fault::Reply { command: call.line(), reason: "no line `host:`".to_owned() };
    triple.map(str::to_owned).ok_or_else(missing)
}

/// One target with its directories.
#[derive(Debug)]
struct Bench<'a> {
    target: &'a str,
    home: PathBuf,
    binaries: &'a Path,
}

impl Bench<'_> {
    fn kept(&self) -> PathBuf {
        self.home.join("corpus").join(self.target)
    }

    fn working(&self) -> PathBuf {
        self.home.join("target/corpus").join(self.target)
    }

    fn call(&self) -> Call {
        // The first directory is the one that libFuzzer writes to.
        // SQLite's globals are in a target twice as the sanitizer counts.
        Call::new(self.binaries.join(self.target))
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .arg(self.working())
            .arg(self.kept())
    }

    fn fuzz(&self, seconds: u64) -> Result<(), Fault> {
        let artifacts = self.home.join("artifacts").join(self.target);
        for directory in [&self.working(), &self.kept(), &artifacts] {
            std::fs::create_dir_all(directory).map_err(Fault::file("create", directory))?;
        }
        self.call()
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-timeout=10", "-print_final_stats=1", "-verbosity=0"])
            .run()
    }

    /// Copies the inputs of the working corpus that cover something new into the kept one.
    fn merge(&self) -> Result<(), Fault> {
        let binary = self.binaries.join(self.target);
        Call::new(binary).arg("-merge=1").arg(self.kept()).arg(self.working()).run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_corpus_comes_first() {
        let bench =
            Bench { target: "ranges", home: PathBuf::from("/f"), binaries: Path::new("/b") };
        let line = bench.call().line();
        assert!(line.ends_with("/b/ranges /f/target/corpus/ranges /f/corpus/ranges"), "{line}");
    }

    #[test]
    fn the_compiler_names_its_target() {
        assert!(host_triple().unwrap().contains("linux"));
    }
}
