//! A peer on a real socket that says what a script tells it to.
//!
//! Tests of the client and of the plugins use it in the agent's place. It reads whole requests, so that what
//! a plugin sent can be asserted, and answers each with what the script makes of it. It ends with the test.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Method and target, such as `POST /v1/ipam/ip`.
    pub(crate) call: String,
    pub(crate) body: Vec<u8>,
}

/// What is sent for it.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// A status and a JSON text with its length; the connection is closed behind it.
    Json(u16, String),
    /// These bytes, and then the end.
    Raw(Vec<u8>),
    /// These bytes, and then neither more nor an end.
    Open(Vec<u8>),
    /// These bytes one by one, with so much time between two.
    Slowly(Vec<u8>, Duration),
}

/// The peer.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) socket: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Listens on a socket, and answers as `script` says.
    pub(crate) fn new(
        socket: &Path,
        mut script: impl FnMut(&Seen) -> Said + Send + 'static,
    ) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        // The test's directory may go before this does, and the socket's path with it: nobody could wake it.
        listener.set_nonblocking(true).unwrap();
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (list, over) = (Arc::clone(&seen), Arc::clone(&is_over));
        let serve = move || {
            // Held until the end, so that nobody sees them close.
            let mut open = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let Ok((mut stream, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                let Some(request) = request(&mut stream) else { continue };
                list.lock().unwrap().push(request.clone());
                if let Said::Open(_) = say(&mut stream, script(&request), &over) {
                    open.push(stream);
                }
            }
        };
        let thread = Some(thread::spawn(serve));
        Self { socket: socket.to_owned(), seen, is_over, thread }
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The calls that were made so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.call).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        drop(std::fs::remove_file(&self.socket));
    }
}

fn say(stream: &mut UnixStream, said: Said, over: &AtomicBool) -> Said {
    // Whoever asked may have gone.
    match &said {
        Said::Json(status, text) => {
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            );
            drop(stream.write_all(&[head.as_bytes(), text.as_bytes()].concat()));
        }
        Said::Raw(bytes) | Said::Open(bytes) => drop(stream.write_all(bytes)),
        Said::Slowly(bytes, pause) => {
            for byte in bytes {
                if over.load(Ordering::SeqCst) || stream.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(*pause);
            }
        }
    }
    said
}

/// The whole request, or nothing for whoever left before its end.
fn request(stream: &mut UnixStream) -> Option<Seen> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, &mut bytes)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        more(stream, &mut bytes)?;
    }
    let call = head.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap().to_owned();
    Some(Seen { call, body: bytes[end..].to_vec() })
}

fn more(stream: &mut UnixStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&piece[..count]);
    Some(())
}
