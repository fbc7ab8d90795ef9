//! The first process of the test VM: prepares the kernel, runs one command, tells how it ended.
//!
//! Owns what happens between the kernel's last word and the test's first: mounts, kernel modules,
//! loopback. `cargo xtask vm` writes what it reads (`/vm/modules`, `/vm/environment`, `/vm/command`)
//! and reads what it says: lines with `@@VM-` on the console, the last of which is
//! `@@VM-EXIT STATUS`. A VM that ends without that line has crashed, so nothing here tries to go on
//! after a failure that would make the tests tell less than they seem to.
//! It has no tests of its own: each test of the VM tier is one.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimestamp};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// What is mounted, and where. `/tmp` and `/run` stay directories of the root, which is memory too:
/// a file system over them would hide what the initramfs holds below.
const MOUNTS: [(&str, &str); 7] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/dev/shm"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
];

/// The serial line that carries what the command prints; the console is the other one.
const OUTPUT: &str = "/dev/ttyS1";

/// Status of a command that cannot be started, as a shell would give it.
const NOT_STARTED: i32 = 127;

/// What a signal's number is added to, as a shell does.
const SIGNALLED: i32 = 128;

fn main() {
    let done = prepare().and_then(|output| {
        let _stamps = stamp().map_err(|error| format!("cannot ask for time stamps: {error}"))?;
        run(&output)
    });
    match done {
        Ok(status) => println!("@@VM-EXIT {status}"),
        Err(reason) => println!("@@VM-FATAL {reason}"),
    }
    leave()
}

/// Makes the machine ready and gives the open serial line for the command.
fn prepare() -> Result<File, String> {
    for (kind, place) in MOUNTS {
        mount_one(kind, place).map_err(|error| format!("cannot mount {place}: {error}"))?;
    }
    for line in read("/vm/modules")?.lines() {
        let (path, parameters) = line.split_once(' ').unwrap_or((line, ""));
        insert(path, parameters).map_err(|error| format!("cannot load {path}: {error}"))?;
    }
    let up = Command::new("/bin/busybox").args(["ip", "link", "set", "lo", "up"]).status();
    if !up.is_ok_and(|status| status.success()) {
        return Err("cannot set the loopback up".to_owned());
    }
    raw(OUTPUT).map_err(|error| format!("cannot open {OUTPUT}: {error}"))
}

fn mount_one(kind: &str, place: &str) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let options: Option<&str> = None;
    match mount(Some(kind), place, Some(kind), MsFlags::empty(), options) {
        // The kernel may have mounted /dev already.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn insert(path: &str, parameters: &str) -> io::Result<()> {
    let module = File::open(path)?;
    match finit_module(module, &CString::new(parameters)?, ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a terminal that passes every byte on as it is.
fn raw(path: &str) -> io::Result<File> {
    let terminal = OpenOptions::new().read(true).write(true).open(path)?;
    let mut settings = tcgetattr(&terminal)?;
    cfmakeraw(&mut settings);
    tcsetattr(&terminal, SetArg::TCSANOW, &settings)?;
    Ok(terminal)
}

/// Gives a socket that wants the time of each packet; as long as it is open the kernel takes it.
///
/// With the first such socket of the machine and the last, which `ping`s are, the kernel rewrites its
/// own code (`netstamp_needed_key` in `net/core/dev.c`). QEMU without KVM may run the half-written
/// instruction on another processor, and the kernel panics in `ip6_input_finish`.
fn stamp() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    setsockopt(&socket, ReceiveTimestamp, &true)?;
    Ok(socket)
}

/// Runs the command with `output` for both its streams and gives its status.
fn run(output: &File) -> Result<i32, String> {
    let command = read("/vm/command")?;
    let mut words = command.lines();
    let program = words.next().ok_or("/vm/command is empty")?;
    let environment = read("/vm/environment")?;
    let stream = || output.try_clone().map_err(|error| format!("{OUTPUT}: {error}"));
    println!("@@VM-START {}", read("/proc/uptime")?.trim_end());
    let mut call = Command::new(program);
    call.args(words).current_dir("/").env_clear();
    call.envs(environment.lines().filter_map(|line| line.split_once('=')));
    let child = call.stdin(Stdio::null()).stdout(stream()?).stderr(stream()?).spawn();
    let status = match child {
        Ok(child) => reap(Pid::from_raw(child.id().cast_signed()))?,
        Err(error) => {
            println!("@@VM-WARN cannot start {program}: {error}");
            NOT_STARTED
        }
    };
    tcdrain(output).map_err(|error| format!("{OUTPUT}: {error}"))?;
    Ok(status)
}

/// Waits for the command, and for the orphans that end before it: their parent is this process.
fn reap(command: Pid) -> Result<i32, String> {
    loop {
        let change = waitpid(None, None).map_err(|error| format!("cannot wait: {error}"))?;
        let status = match change {
            WaitStatus::Exited(_, status) => status,
            WaitStatus::Signaled(_, signal, _) => SIGNALLED + signal as i32,
            WaitStatus::Stopped(..)
            | WaitStatus::PtraceEvent(..)
            | WaitStatus::PtraceSyscall(_)
            | WaitStatus::Continued(_)
            | WaitStatus::StillAlive => continue,
        };
        if change.pid() == Some(command) {
            return Ok(status);
        }
    }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(Path::new(path)).map_err(|error| format!("cannot read {path}: {error}"))
}

/// Ends the VM: QEMU takes a reset for its end (`-no-reboot`).
fn leave() {
    if let Err(error) = io::stdout().flush().and_then(|()| Ok(tcdrain(io::stdout())?)) {
        println!("@@VM-WARN the console is not drained: {error}");
    }
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        // To return is to panic the kernel, and that ends the VM too.
        Err(error) => println!("@@VM-WARN cannot reset: {error}"),
    }
}
