//! Putting the CNI plugins where the runtime looks for them.
//!
//! They lie beside this program. Called before the agent serves, and by the init step
//! `spiderpool-agent install`.
//!
//! Invariants:
//! 1. A runtime that starts a plugin at any moment finds a whole one, old or new: each is written beside
//!    its place, made durable, and moved (`a_running_plugin_is_replaced`).
//! 2. What was made later than ours stays, unless it is told otherwise (`a_newer_plugin_stays`).
//! 3. A plugin that lacks is an error, and hinders no other (`what_lacks_is_told`).

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;

/// The plugins.
pub const PLUGINS: [&str; 4] = ["spiderpool", "coordinator", "ifacer", "rdma"];

/// What became of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It was put there.
    New,
    /// It is there already.
    Same,
    /// What is there was made later, and stays.
    NewerKept,
}

/// A plugin was not put in its place.
#[derive(Debug, Error)]
#[error("cannot {action} `{path}`")]
pub struct InstallFault {
    /// What was tried.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Puts plugins from one directory into another; what became of each.
#[must_use]
pub fn install(
    from: &Path,
    to: &Path,
    replaces_newer: bool,
) -> Vec<(&'static str, Result<Placed, InstallFault>)> {
    PLUGINS.map(|name| (name, place(&from.join(name), &to.join(name), replaces_newer))).into()
}

fn place(from: &Path, to: &Path, replaces_newer: bool) -> Result<Placed, InstallFault> {
    let mut source = File::open(from).map_err(fault("open", from))?;
    let made = source.metadata().and_then(|met| met.modified()).map_err(fault("look at", from))?;
    if let Ok(mut there) = File::open(to) {
        if is_same(&mut source, &mut there).map_err(fault("compare", to))? {
            return Ok(Placed::Same);
        }
        let theirs = there.metadata().and_then(|met| met.modified());
        if !replaces_newer && theirs.is_ok_and(|theirs| theirs > made) {
            return Ok(Placed::NewerKept);
        }
    }
    let dir = to.parent().unwrap_or(to);
    fs::create_dir_all(dir).map_err(fault("make the directory", dir))?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let beside = dir.join(format!(".{name}.new-{}", std::process::id()));
    let placed = copy(&mut source, &beside, made).and_then(|()| {
        fs::rename(&beside, to)?;
        File::open(dir)?.sync_all()
    });
    if placed.is_err() {
        drop(fs::remove_file(&beside));
    }
    placed.map_err(fault("write", to))?;
    Ok(Placed::New)
}

/// Copies with the time of the original, by which a later version is known.
fn copy(source: &mut File, beside: &Path, made: SystemTime) -> io::Result<()> {
    // Left by one that was killed and had the same number.
    drop(fs::remove_file(beside));
    let file = OpenOptions::new().create_new(true).write(true).mode(0o755).open(beside);
    let mut file = file?;
    source.rewind()?;
    io::copy(source, &mut file)?;
    file.set_times(FileTimes::new().set_modified(made))?;
    file.sync_all()
}

fn is_same(one: &mut File, other: &mut File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (io::BufReader::new(one).bytes(), io::BufReader::new(other).bytes());
    loop {
        match (a.next().transpose()?, b.next().transpose()?) {
            (None, None) => return Ok(true),
            (x, y) if x != y => return Ok(false),
            _ => {}
        }
    }
}

fn fault<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> InstallFault + 'a {
    move |source| InstallFault { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::time::Duration;

    fn room(text: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("image"), dir.path().join("opt/cni/bin"));
        fs::create_dir(&from).unwrap();
        PLUGINS.iter().for_each(|name| fs::write(from.join(name), text).unwrap());
        (dir, from, to)
    }

    fn outcomes(from: &Path, to: &Path, replaces_newer: bool) -> Vec<Placed> {
        install(from, to, replaces_newer).into_iter().map(|(_, placed)| placed.unwrap()).collect()
    }

    #[test]
    fn a_running_plugin_is_replaced() {
        let (_dir, from, to) = room("one");
        assert_eq!(outcomes(&from, &to, false), [Placed::New; 4]);
        assert_eq!(outcomes(&from, &to, false), [Placed::Same; 4]);
        let plugin = to.join("coordinator");
        let before = fs::metadata(&plugin).unwrap();
        assert_eq!(before.permissions().mode() & 0o777, 0o755);
        // Whoever has the old one open keeps reading it, as the kernel does with a running program.
        let mut running = File::open(&plugin).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(from.join("coordinator"), "two, and longer").unwrap();
        assert_eq!(install(&from, &to, false)[1].1.as_ref().unwrap(), &Placed::New);
        let mut text = String::new();
        running.read_to_string(&mut text).unwrap();
        assert_eq!(
            (text.as_str(), fs::read_to_string(&plugin).unwrap().as_str()),
            ("one", "two, and longer")
        );
        assert_ne!(before.ino(), fs::metadata(&plugin).unwrap().ino());
        let names: Vec<_> =
            fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 4, "nothing else is left: {names:?}");
    }

    #[test]
    fn a_newer_plugin_stays() {
        let (_dir, from, to) = room("ours");
        assert_eq!(outcomes(&from, &to, false), [Placed::New; 4]);
        fs::write(to.join("rdma"), "later").unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let file = OpenOptions::new().write(true).open(to.join("rdma")).unwrap();
        file.set_modified(later).unwrap();
        assert_eq!(outcomes(&from, &to, false)[3], Placed::NewerKept);
        assert_eq!(fs::read_to_string(to.join("rdma")).unwrap(), "later");
        assert_eq!(outcomes(&from, &to, true)[3], Placed::New);
        assert_eq!(fs::read_to_string(to.join("rdma")).unwrap(), "ours");
    }

    #[test]
    fn what_lacks_is_told() {
        let (_dir, from, to) = room("ours");
        fs::remove_file(from.join("ifacer")).unwrap();
        let placed = install(&from, &to, false);
        assert!(placed[2].1.as_ref().unwrap_err().to_string().contains("cannot open"));
        assert_eq!(placed[3].1.as_ref().unwrap(), &Placed::New);
    }
}
