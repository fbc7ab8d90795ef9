//! One exchange of HTTP/1.1 on a unix socket (RFC 9112), as much of it as a client needs.
//!
//! Called by the client. A connection carries one exchange; the reply ends with its length, its last chunk
//! or the connection, so that it is whole also where the other side keeps the connection open
//! (`a_connection_that_is_kept_open_is_no_reason_to_wait` in `tests/client.rs`).

mod head;
mod line;

use crate::MAX_REPLY_BYTES;
use head::{Framing, Head};
use line::Line;
use std::path::Path;
use std::time::Instant;

/// How many interim replies (RFC 9110, section 15.2) are passed over.
const INTERIM: u32 = 8;

/// The longest line that announces a chunk, in bytes, with its extensions.
const CHUNK_LINE_BYTES: usize = 1024;

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'static str,
    /// Path and query, percent-encoded.
    pub(crate) target: &'a str,
    /// JSON.
    pub(crate) body: Option<&'a [u8]>,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there is no whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing was sent.
    Away(String),
    /// The connection or the time ended first.
    Broken(String),
    /// It is no HTTP, or too much of it.
    Garbled(String),
}

impl Asked<'_> {
    /// Method and path, for people.
    pub(crate) fn call(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n",
            self.method, self.target
        );
        if let Some(body) = self.body {
            let length = body.len();
            head.push_str("Content-Type: application/json\r\n");
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.unwrap_or_default());
        bytes
    }
}

/// Asks on a socket, and gives the whole reply before `until`.
pub(crate) fn exchange(socket: &Path, until: Instant, asked: &Asked<'_>) -> Result<Reply, Trouble> {
    let mut line = Line::connect(socket, until)?;
    line.send(&asked.bytes())?;
    let mut received = Vec::new();
    let head = final_head(&mut line, &mut received)?;
    let body = match head.framing {
        Framing::Empty => Vec::new(),
        Framing::Length(length) => sized(&mut line, received, length)?,
        Framing::Chunked => chunked(&mut line, received)?,
        Framing::UntilClosed => rest(&mut line, received)?,
    };
    Ok(Reply { status: head.status, body })
}

/// The head that is not interim; what came behind it stays in `received`.
fn final_head(line: &mut Line, received: &mut Vec<u8>) -> Result<Head, Trouble> {
    for _ in 0..INTERIM {
        let head = loop {
            if let Some((head, used)) = Head::read(received)? {
                received.drain(..used);
                break head;
            }
            if line.receive(received)? == 0 {
                return Err(torn(if received.is_empty() { "before" } else { "within" }));
            }
        };
        if !(100..200).contains(&head.status) {
            return Ok(head);
        }
    }
    Err(Trouble::Garbled(format!("more than {INTERIM} interim replies")))
}

fn torn(at: &str) -> Trouble {
    Trouble::Broken(format!("the connection was closed {at} the reply"))
}

fn too_long() -> Trouble {
    Trouble::Garbled(format!("a reply of more than {MAX_REPLY_BYTES} bytes"))
}

fn sized(line: &mut Line, mut received: Vec<u8>, length: usize) -> Result<Vec<u8>, Trouble> {
    if length > MAX_REPLY_BYTES {
        return Err(too_long());
    }
    while received.len() < length {
        if line.receive(&mut received)? == 0 {
            return Err(torn("within"));
        }
    }
    received.truncate(length);
    Ok(received)
}

fn rest(line: &mut Line, mut received: Vec<u8>) -> Result<Vec<u8>, Trouble> {
    while line.receive(&mut received)? != 0 {
        if received.len() > MAX_REPLY_BYTES {
            return Err(too_long());
        }
    }
    Ok(received)
}

/// The chunks' contents (RFC 9112, section 7.1). Trailers are left unread: nothing comes behind them.
fn chunked(line: &mut Line, mut received: Vec<u8>) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    loop {
        let size = chunk_size(line, &mut received)?;
        if size == 0 {
            return Ok(body);
        }
        let whole = size.checked_add(2).filter(|_| size <= MAX_REPLY_BYTES - body.len());
        let whole = whole.ok_or_else(too_long)?;
        while received.len() < whole {
            if line.receive(&mut received)? == 0 {
                return Err(torn("within"));
            }
        }
        let behind = received.split_off(whole);
        if !received.ends_with(b"\r\n") {
            return Err(Trouble::Garbled("a chunk is longer than it says".to_owned()));
        }
        received.truncate(size);
        body.append(&mut received);
        received = behind;
    }
}

/// The size of the next chunk; its line is taken off.
fn chunk_size(line: &mut Line, received: &mut Vec<u8>) -> Result<usize, Trouble> {
    let bad = || Trouble::Garbled("a chunk without a size".to_owned());
    loop {
        match httparse::parse_chunk_size(received) {
            Ok(httparse::Status::Complete((used, size))) => {
                received.drain(..used);
                return usize::try_from(size).map_err(|_| too_long());
            }
            Ok(httparse::Status::Partial) if received.len() <= CHUNK_LINE_BYTES => {}
            Ok(httparse::Status::Partial) | Err(_) => return Err(bad()),
        }
        if line.receive(received)? == 0 {
            return Err(torn("within"));
        }
    }
}
