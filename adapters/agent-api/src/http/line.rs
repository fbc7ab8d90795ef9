//! A connection whose every wait ends at one deadline.
//!
//! The system's time-outs are for one call each; each wait here gets what is left of the whole
//! (`slow_bytes_end_at_the_deadline`). Connecting waits too, where the listener's backlog is full
//! (`a_full_backlog_ends_at_the_deadline`), and has no time-out of its own: it is done on a thread that is
//! left behind then.

use super::Trouble;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How much is read at once, in bytes.
const PIECE: usize = 16 * 1024;

/// A connection and when it ends.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    until: Instant,
}

impl Line {
    /// Connects to a socket.
    pub(super) fn connect(socket: &Path, until: Instant) -> Result<Self, Trouble> {
        let late = || Trouble::Away("it took no connection in time".to_owned());
        let left = left(until).ok_or_else(late)?;
        let (sender, receiver) = sync_channel(1);
        let path = socket.to_owned();
        // Once nobody waits any more, there is nobody to tell.
        let connect = move || drop(sender.send(UnixStream::connect(path)));
        let started = thread::Builder::new().name("connect".to_owned()).spawn(connect);
        started.map_err(|error| Trouble::Away(error.to_string()))?;
        match receiver.recv_timeout(left) {
            Ok(Ok(stream)) => Ok(Self { stream, until }),
            Ok(Err(error)) => Err(Trouble::Away(error.to_string())),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(late()),
        }
    }

    /// Sends all of it. Whoever does not read it to the end may have answered already, so that is no
    /// error here.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            let left = self.left("taken")?;
            self.stream.set_write_timeout(Some(left)).map_err(|error| broken(&error))?;
            match self.stream.write(bytes) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if is_passing(error.kind()) => {}
                Err(error) if is_closed(error.kind()) => return Ok(()),
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(())
    }

    /// Puts what comes next behind `received`, and gives how much it was: nothing at the end.
    pub(super) fn receive(&mut self, received: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut piece = [0; PIECE];
        loop {
            let left = self.left("answered to the end")?;
            self.stream.set_read_timeout(Some(left)).map_err(|error| broken(&error))?;
            match self.stream.read(&mut piece) {
                Ok(count) => {
                    received.extend_from_slice(piece.get(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) if is_passing(error.kind()) => {}
                Err(error) if is_closed(error.kind()) => return Ok(0),
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    fn left(&self, what: &str) -> Result<Duration, Trouble> {
        left(self.until).ok_or_else(|| Trouble::Broken(format!("it was not {what} in time")))
    }
}

/// What is left; none is no time at all, since the system takes a time-out of zero for none.
fn left(until: Instant) -> Option<Duration> {
    until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

/// A time-out is judged by the deadline, not by the call that it ended.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

fn broken(error: &std::io::Error) -> Trouble {
    Trouble::Broken(error.to_string())
}
