//! One run of a VM, from its first file system to its verdict.
//!
//! Owns QEMU's command line and the reading of how it ended. `vm` and the tier call it. The VM has two
//! serial lines: the console goes to a file, what the job prints to standard output. Invariants:
//!
//! 1. Exit status, crash and time-out are told apart (`a_verdict_is_what_the_console_says`).
//! 2. KVM is used when somebody asks for it by name, never because `/dev/kvm` exists: there are
//!    machines on which it is there and hangs (`kvm_is_not_picked`).

use std::path::Path;

use super::Settings;
use super::build::Built;
use super::image::{self, Job};
use super::kit::Kit;
use crate::call::{Call, Fault};

/// Lines of the console that a crash shows.
const TAIL: usize = 40;

/// Status of `timeout` when the time was over, and when it had to kill.
const TIMED_OUT: [i32; 2] = [124, 137];

/// An NVMe controller with virtual functions, on which the module `fakenic` puts network interfaces:
/// QEMU 7.2 has no network card with SR-IOV.
const SRIOV: [&str; 6] = [
    "-device",
    "pcie-root-port,id=root0,chassis=1",
    "-device",
    "nvme-subsys,id=subsystem",
    "-device",
    "nvme,bus=root0,serial=pf0,subsys=subsystem,sriov_max_vfs=4,sriov_vq_flexible=8,\
     sriov_vi_flexible=4,max_ioqpairs=16,msix_qsize=24",
];

/// How a VM ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The job ended with that status; one of a shell's kind (128 and the signal) if it was killed.
    Exit(i32),
    /// The VM ran too long.
    TimeOut,
    /// The VM ended, and the job had not.
    Crash,
}

/// Boots a VM, hands over each line that the job prints, and gives the job's exit status.
///
/// # Errors
/// When the VM cannot be made or started, crashed, or ran too long; the fault shows the console's end.
pub(crate) fn boot(
    (kit, built): (&Kit, &Built),
    settings: &Settings,
    job: &Job,
    line: impl FnMut(&str),
) -> Result<i32, Fault> {
    let home = tempfile::Builder::new().prefix("spiderpool-vm-").tempdir();
    let home = home.map_err(Fault::file("create", Path::new("a temporary directory")))?;
    let archive = home.path().join("initramfs");
    let content = image::pack(kit, built, job)?;
    std::fs::write(&archive, content).map_err(Fault::file("write", &archive))?;
    let own = home.path().join("console");
    let console = settings.console.as_deref().unwrap_or(&own);
    let call = call(kit, settings, &archive, console)?;
    let status = call.stream(line)?;
    let said = std::fs::read(console).map_err(Fault::file("read", console))?;
    let said = String::from_utf8_lossy(&said);
    let complaint = match verdict(status.code(), &said) {
        Verdict::Exit(status) => return Ok(status),
        Verdict::TimeOut => format!("the VM ran for more than {} s", settings.timeout),
        Verdict::Crash => format!("the VM ended without a verdict ({status})"),
    };
    Err(Fault::Wrong(format!("{complaint}; the end of its console:{}", tail(&said))))
}

fn call(kit: &Kit, settings: &Settings, archive: &Path, console: &Path) -> Result<Call, Fault> {
    let console = format!("file,id=console,path={}", console.display());
    let call = Call::new("timeout").args(["--foreground", "--kill-after=5"]);
    let call = call.arg(settings.timeout.to_string()).then(kit.qemu()?);
    Ok(call
        .args(["-machine", "q35", "-accel", &settings.accel, "-cpu", "max"])
        .args(["-smp", &settings.cpus.to_string(), "-m", &settings.memory.to_string()])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-kernel"])
        .arg(kit.vmlinux())
        .arg("-initrd")
        .arg(archive)
        .args(["-append", "console=ttyS0 quiet panic=-1 reboot=t"])
        .args(["-chardev", &console, "-serial", "chardev:console", "-serial", "stdio"])
        .args(SRIOV))
}

/// Reads what the first process of the VM left on the console.
fn verdict(status: Option<i32>, console: &str) -> Verdict {
    let said = |line: &str| line.trim_end().rsplit_once("@@VM-EXIT ")?.1.parse().ok();
    match console.lines().rev().find_map(said) {
        Some(exit) => Verdict::Exit(exit),
        None if status.is_some_and(|status| TIMED_OUT.contains(&status)) => Verdict::TimeOut,
        None => Verdict::Crash,
    }
}

/// Gives the console's last lines, each indented on a line of its own.
fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    let last = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    last.iter().map(|line| format!("\n    {}", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ACCEL;
    use super::*;

    #[test]
    fn a_verdict_is_what_the_console_says() {
        let ended =
            "[    1.0] hello\r\n@@VM-START 1.2 1.9\r\n@@VM-EXIT 101\r\n[    2.0] reboot\r\n";
        assert_eq!(verdict(Some(0), ended), Verdict::Exit(101));
        assert_eq!(verdict(Some(124), "@@VM-START 1.2 1.9\n"), Verdict::TimeOut);
        assert_eq!(verdict(Some(0), "@@VM-FATAL cannot mount /sys"), Verdict::Crash);
        assert_eq!(verdict(None, ""), Verdict::Crash);
    }

    #[test]
    fn kvm_is_not_picked() {
        assert!(ACCEL.starts_with("tcg"), "{ACCEL}");
    }

    #[test]
    fn a_crash_shows_the_end() {
        let console: String = (0..100).map(|number| format!("{number}\r\n")).collect();
        assert!(tail(&console).starts_with("\n    60\n    61\n"));
        assert!(tail(&console).ends_with("\n    99"));
    }
}
