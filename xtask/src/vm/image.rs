//! The first file system of a VM.
//!
//! Owns what is in it: the first process, busybox, iproute2 and the like from this machine with their
//! libraries, modules, and one job. `machine` calls it. Every file is where it is on this machine, so
//! that a path that was compiled into a test holds in the VM
//! (`a_file_is_where_it_is_on_this_machine`).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::build::Built;
use super::cpio::Archive;
use super::kit::Kit;
use super::modules::Library;
use crate::call::{Call, Fault};
use crate::prerequisites;

/// Programs of this machine that tests may call; one that is not installed is left out.
const PROGRAMS: [&str; 8] = ["ip", "bridge", "rdma", "devlink", "tc", "nft", "ping", "ethtool"];

/// Applets of busybox that would stand in for something else.
const NO_APPLETS: [&str; 3] = ["busybox", "init", "linuxrc"];

/// Where busybox's applets are.
const APPLETS: &str = "/bin";

/// What a VM is to do.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// The program, an absolute path of this machine, and its arguments.
    pub(crate) command: Vec<String>,
    /// Other files that it needs, absolute paths of this machine; programs bring their libraries.
    pub(crate) files: Vec<PathBuf>,
    /// Directories that it expects, absolute paths, empty in the VM.
    pub(crate) directories: Vec<PathBuf>,
    /// Parameters of modules beside the usual ones: `ib_core netns_mode=0`.
    pub(crate) parameters: Vec<String>,
}

/// Gives the archive for one job.
///
/// # Errors
/// When a file cannot be read, or a module is missing.
pub(crate) fn pack(kit: &Kit, built: &Built, job: &Job) -> Result<Vec<u8>, Fault> {
    let mut archive = Archive::default();
    for directory in ["/dev", "/proc", "/sys", "/run", "/tmp", "/var", "/usr/sbin", "/usr/bin"] {
        archive.directory(Path::new(directory));
    }
    // The kernel opens it for the first process, before anything is mounted.
    archive.device(Path::new("/dev/console"), (5, 1));
    archive.link(Path::new("/var/run"), "/run");
    program(&mut archive, &built.init, Path::new("/init"))?;
    for path in PROGRAMS.iter().filter_map(|name| prerequisites::find(name)) {
        program(&mut archive, &path, &path)?;
    }
    let shell = Path::new("/bin/sh");
    program(&mut archive, shell, shell)?;
    applets(&mut archive, &kit.busybox())?;
    let command = job.command.first().map(PathBuf::from);
    for path in command.iter().chain(&job.files) {
        program(&mut archive, path, path)?;
    }
    job.directories.iter().for_each(|directory| archive.directory(directory));
    let library = [kit.modules(), built.modules.clone()];
    let library = Library::open(&library, built.expanded.clone())?;
    let mut list = String::new();
    for module in library.load(&job.parameters)? {
        let path = format!("/lib/modules/{}.ko", module.name);
        archive.file(Path::new(&path), 0o644, &module.content);
        list.push_str(&format!("{path} {}\n", module.parameters));
    }
    archive.file(Path::new("/vm/modules"), 0o644, list.as_bytes());
    archive.file(Path::new("/vm/environment"), 0o644, environment().as_bytes());
    let command: String = job.command.iter().map(|word| format!("{word}\n")).collect();
    archive.file(Path::new("/vm/command"), 0o644, command.as_bytes());
    Ok(archive.finish())
}

fn environment() -> String {
    let backtrace = std::env::var("RUST_BACKTRACE").unwrap_or_else(|_| "1".to_owned());
    format!("PATH=/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/\nRUST_BACKTRACE={backtrace}\n")
}

/// Adds a file, and the libraries that it is linked with.
fn program(archive: &mut Archive, source: &Path, path: &Path) -> Result<(), Fault> {
    let read = |path: &Path| std::fs::read(path).map_err(Fault::file("read", path));
    let content = read(source)?;
    let permissions = source.metadata().map_err(Fault::file("read", source))?.permissions();
    archive.file(path, permissions.mode(), &content);
    if !content.starts_with(b"\x7fELF") {
        return Ok(());
    }
    // What is linked statically has no libraries, and ldd says so with a status of its own.
    let (_, listing, _) = Call::new("ldd").arg(source).env("LC_ALL", "C").capture()?;
    for library in libraries(&listing) {
        if !archive.holds(&library) {
            archive.file(&library, 0o755, &read(&library)?);
        }
    }
    Ok(())
}

/// Gives the files that ldd names: `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld.so (0x…)`.
fn libraries(listing: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let (found, _) = line.trim().rsplit_once(" (0x")?;
        let found = found.rsplit(" => ").next()?;
        found.starts_with('/').then(|| PathBuf::from(found))
    };
    listing.lines().filter_map(path).collect()
}

/// Adds busybox and a link for each applet that nothing else in the archive does. The shell is this
/// machine's: busybox's own runs its applets whatever `PATH` says, and its `ip` knows little.
fn applets(archive: &mut Archive, busybox: &Path) -> Result<(), Fault> {
    let list = Call::new(busybox).arg("--list").output()?;
    program(archive, busybox, &Path::new(APPLETS).join("busybox"))?;
    let is_free = |name: &&str| {
        let is_there = |place: &str| archive.holds(&Path::new(place).join(name));
        !NO_APPLETS.contains(name)
            && !["/usr/sbin", "/usr/bin", "/sbin"].iter().any(|p| is_there(p))
    };
    let free: Vec<&str> = list.lines().filter(is_free).collect();
    for name in free {
        archive.link(&Path::new(APPLETS).join(name), "busybox");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                       \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f01)\n\tlibx.so => not found\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(listing), expected.map(PathBuf::from));
        assert!(libraries("\tnot a dynamic executable\n").is_empty());
    }

    #[test]
    fn a_file_is_where_it_is_on_this_machine() {
        let mut archive = Archive::default();
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        program(&mut archive, &shell, &shell).unwrap();
        assert!(archive.holds(&shell));
        assert!(archive.holds(Path::new("/lib64")), "the dynamic loader comes along");
    }
}
