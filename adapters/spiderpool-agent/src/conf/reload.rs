//! The configuration as it is at present: the file is looked at every second, and read when it changed.
//!
//! A look is one `stat(2)`. A ConfigMap that is mounted changes by another link to another directory, which
//! a watch on the file itself would not see, and the identity of the file that the path leads to does.
//!
//! Invariants:
//! 1. What cannot be used changes nothing, and is told once, not each second
//!    (`a_bad_file_keeps_the_good_one`).
//! 2. What takes a restart stays as it was, and is told (`what_takes_a_restart_stays`).

use super::{Conf, Read};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the file is looked at.
pub const PERIOD: Duration = Duration::from_secs(1);

/// The present configuration: cheap to clone, and to be waited on.
pub type Present = watch::Receiver<Arc<Conf>>;

/// A configuration file under observation.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    seen: Option<Mark>,
    sender: watch::Sender<Arc<Conf>>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    identity: (u64, u64),
    size: u64,
    changed_ns: (i64, i64),
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The file is as it was.
    Same,
    /// There is a new configuration, with these remarks.
    Changed(Vec<String>),
    /// The file cannot be used; what was before stays.
    Kept {
        /// Why.
        why: String,
    },
}

impl Watched {
    /// Reads the file for the first time. Without a file all is default.
    ///
    /// # Errors
    /// Why it cannot be used, for people.
    pub fn open(path: PathBuf) -> Result<(Self, Vec<String>), String> {
        let seen = mark(&path);
        let (read, is_there) = match fs::read_to_string(&path) {
            Ok(text) => (Read::of(&text).map_err(|bad| bad.to_string())?, true),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (Read::of("").map_err(|bad| bad.to_string())?, false)
            }
            Err(error) => return Err(error.to_string()),
        };
        let mut remarks = read.remarks;
        if !is_there {
            remarks.push("there is no such file, so all is default".to_owned());
        }
        let (sender, _) = watch::channel(Arc::new(read.conf));
        Ok((Self { path, seen, sender }, remarks))
    }

    /// The present configuration.
    #[must_use]
    pub fn present(&self) -> Present {
        self.sender.subscribe()
    }

    /// Looks at the file, and reads it if it changed.
    pub fn look(&mut self) -> Look {
        let found = mark(&self.path);
        if found == self.seen {
            return Look::Same;
        }
        self.seen = found;
        let read = fs::read_to_string(&self.path).map_err(|error| error.to_string());
        let read = read.and_then(|text| Read::of(&text).map_err(|bad| bad.to_string()));
        let Read { conf, mut remarks } = match read {
            Ok(read) => read,
            Err(why) => return Look::Kept { why },
        };
        let before = Arc::clone(&self.sender.borrow());
        remarks.extend(conf.fixed_differences(&before).into_iter().map(|key| {
            format!(
                "`{key}` has changed, which takes a restart; the agent goes on with the old value"
            )
        }));
        drop(self.sender.send_replace(Arc::new(conf.with_fixed_of(&before))));
        Look::Changed(remarks)
    }

    /// Looks every second, for ever.
    #[expect(clippy::cognitive_complexity, reason = "the macros of tracing branch, this does not")]
    pub async fn watch(mut self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            let path = self.path.display().to_string();
            match self.look() {
                Look::Same => {}
                Look::Changed(remarks) => {
                    tracing::info!(path, "the configuration has changed and is in force");
                    tell(&path, &remarks);
                }
                Look::Kept { why } => {
                    tracing::error!(
                        path,
                        why,
                        "the configuration has changed and cannot be used; the one before it stays in force"
                    );
                }
            }
        }
    }
}

/// Writes remarks to the log.
pub fn tell(path: &str, remarks: &[String]) {
    for remark in remarks {
        tracing::warn!(path, "configuration: {remark}");
    }
}

fn mark(path: &PathBuf) -> Option<Mark> {
    let found = fs::metadata(path).ok()?;
    Some(Mark {
        identity: (found.dev(), found.ino()),
        size: found.size(),
        changed_ns: (found.mtime(), found.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(text: &str) -> (tempfile::TempDir, PathBuf, Watched) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf.yml");
        fs::write(&path, text).unwrap();
        let (watched, remarks) = Watched::open(path.clone()).unwrap();
        assert!(remarks.is_empty());
        (dir, path, watched)
    }

    #[test]
    fn a_change_is_in_force_at_once() {
        let (_dir, path, mut watched) = watched("enableGatewayDetection: false\n");
        let present = watched.present();
        assert_eq!(watched.look(), Look::Same);
        fs::write(&path, "enableGatewayDetection: true\nfoo: 1\n").unwrap();
        let Look::Changed(remarks) = watched.look() else { panic!("not seen") };
        assert!(remarks[0].contains("`foo`") && present.borrow().detection.gateway);
        assert_eq!(watched.look(), Look::Same);
    }

    #[test]
    fn a_mounted_map_changes_by_its_link() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, text) in [("..1", "enableIPv6: true\n"), ("..2", "enableIPv6: fals\n")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("conf.yml"), text).unwrap();
        }
        fs::write(at("..2").join("conf.yml"), "enableIPv6: false\n").unwrap();
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/conf.yml", at("conf.yml")).unwrap();
        let (mut watched, _) = Watched::open(at("conf.yml")).unwrap();
        std::os::unix::fs::symlink("..2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        assert_eq!(watched.look(), Look::Changed(Vec::new()));
        assert!(!watched.present().borrow().families.v6);
    }

    #[test]
    fn a_bad_file_keeps_the_good_one() {
        let (_dir, path, mut watched) = watched("enableIPv6: false\n");
        fs::write(&path, "enableIPv6: [").unwrap();
        assert!(matches!(watched.look(), Look::Kept { .. }));
        assert_eq!(watched.look(), Look::Same, "it is told once");
        fs::remove_file(&path).unwrap();
        assert!(matches!(watched.look(), Look::Kept { .. }));
        assert!(!watched.present().borrow().families.v6);
        fs::write(&path, "enableIPv6: true\n").unwrap();
        assert_eq!(watched.look(), Look::Changed(Vec::new()));
    }

    #[test]
    fn what_takes_a_restart_stays() {
        let (_dir, path, mut watched) = watched("ipamUnixSocketPath: /run/a.sock\n");
        fs::write(&path, "ipamUnixSocketPath: /run/b.sock\nenableIPv6: false\n").unwrap();
        let Look::Changed(remarks) = watched.look() else { panic!("not seen") };
        assert!(remarks[0].contains("`ipamUnixSocketPath` has changed, which takes a restart"));
        let present = watched.present();
        let conf = present.borrow();
        assert_eq!((conf.socket.to_str(), conf.families.v6), (Some("/run/a.sock"), false));
    }

    #[test]
    fn without_a_file_all_is_default() {
        let dir = tempfile::tempdir().unwrap();
        let (watched, remarks) = Watched::open(dir.path().join("none")).unwrap();
        assert!(remarks[0].contains("no such file") && watched.present().borrow().families.v4);
    }
}
