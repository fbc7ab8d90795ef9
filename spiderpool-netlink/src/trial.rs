//! A testing aid: makes the K-th change of this process fail, or ends the process at it.
//!
//! Consulted by whatever changes something: [`stage`](crate::stage) for each request, netfilter
//! transaction and sysctl that is written, and `rdma` for each request that changes a device. In force only if `SPIDERPOOL_TESTING=1` is in the environment
//! along with `SPIDERPOOL_FAULT`, which is one of
//!
//! * `error:K`: the K-th change is refused with EIO before the kernel hears of it; undoing is not counted
//!   and not refused, so that it can be watched;
//! * `kill-before:K`: the process is killed as by `kill -9` when the K-th change is about to be asked for;
//! * `kill:K`: the same, right after the kernel acknowledged it.
//!
//! K counts from 1 over the whole process. Anything else is ignored, as is everything without
//! `SPIDERPOOL_TESTING=1`: no pod can be harmed by a stray variable. The environment is read once; unset,
//! each change costs one comparison.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fault::{Errno, NetlinkFault};

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As planned.
    Forth,
    /// Undoing.
    Back,
}

/// What a caller is told of a change that was refused.
pub(crate) trait Refused {
    /// The error of a kernel that answered EIO, with the reason in its words.
    fn refused(subject: &str, text: &str) -> Self;
}

impl Refused for NetlinkFault {
    fn refused(subject: &str, text: &str) -> Self {
        let (subject, text) = (subject.into(), Some(text.into()));
        Self::Refused { subject, errno: Errno::EIO, text, offset: None }
    }
}

/// What happens to which change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    Error(u64),
    KillBefore(u64),
    KillAfter(u64),
}

static TRIAL: OnceLock<Option<Trial>> = OnceLock::new();
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Carries out one change, unless the trial has it otherwise.
pub(crate) fn change<T, E: Refused>(
    subject: &str,
    way: Way,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let Some(trial) = *TRIAL.get_or_init(of_environment) else { return work() };
    if way == Way::Back && matches!(trial, Trial::Error(_)) {
        return work();
    }
    let number = COUNT.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    if trial == Trial::Error(number) {
        return Err(E::refused(subject, "SPIDERPOOL_FAULT is set, for testing"));
    }
    if trial == Trial::KillBefore(number) {
        end();
    }
    let done = work()?;
    if trial == Trial::KillAfter(number) {
        end();
    }
    Ok(done)
}

/// Ends the process with nothing cleaned up.
fn end() {
    // A process may always end itself, and the signal cannot be caught.
    if kill(Pid::this(), Signal::SIGKILL).is_err() {
        std::process::abort();
    }
}

fn of_environment() -> Option<Trial> {
    let is_testing = std::env::var_os("SPIDERPOOL_TESTING").is_some_and(|value| value == "1");
    if !is_testing {
        return None;
    }
    parsed(&std::env::var("SPIDERPOOL_FAULT").ok()?)
}

fn parsed(given: &str) -> Option<Trial> {
    let (what, number) = given.split_once(':')?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    match what {
        "error" => Some(Trial::Error(number)),
        "kill-before" => Some(Trial::KillBefore(number)),
        "kill" => Some(Trial::KillAfter(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_read_or_ignored() {
        assert_eq!(parsed("error:3"), Some(Trial::Error(3)));
        assert_eq!(parsed("kill:1"), Some(Trial::KillAfter(1)));
        assert_eq!(parsed("kill-before:12"), Some(Trial::KillBefore(12)));
        for other in ["", "error", "error:", "error:0", "error:-1", "error:x", "panic:1"] {
            assert_eq!(parsed(other), None, "{other}");
        }
    }

    #[test]
    fn without_a_trial_a_change_is_what_it_does() {
        let refused = NetlinkFault::refused("add a link", "no");
        assert_eq!(change("add a link", Way::Forth, || Ok::<_, NetlinkFault>(5)), Ok(5));
        let failed = change("add a link", Way::Back, || Err::<(), _>(refused.clone()));
        assert_eq!(failed, Err(refused));
    }
}
