//! One request to the API server, without a client library.
//!
//! Owns the little HTTP that the laboratory speaks itself: readiness, tokens, and what its own tests
//! ask. A request is HTTP/1.0, so that the end of the answer is the end of the connection. Invariant: an
//! answer that is cut off is a fault, not a shorter answer (`a_cut_answer_is_refused`).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::{Fault, Identity};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the API server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Reply {
    /// Gives the body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Whether the request succeeded.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

impl Identity {
    /// Sends a request and gives the answer, whatever its status. A `PATCH` is a merge patch.
    ///
    /// # Errors
    /// When there is no whole answer within half a minute.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, Fault> {
        self.send_within(PATIENCE, method, path, body)
    }

    /// Sends a request and gives the body of the answer.
    ///
    /// # Errors
    /// When there is no whole answer within half a minute, or its status is not a success.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Fault> {
        let reply = self.send(method, path, body)?;
        if reply.is_well() {
            return Ok(reply.json());
        }
        let (method, path) = (method.to_owned(), path.to_owned());
        Err(Fault::Refused { method, path, status: reply.status, text: reply.text })
    }

    /// Sends a request and gives the answer that comes within the time.
    ///
    /// # Errors
    /// When there is no whole answer by then.
    pub fn send_within(
        &self,
        patience: Duration,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Fault> {
        let unanswered = |source: io::Error| Fault::Unanswered {
            method: method.to_owned(),
            path: path.to_owned(),
            server: self.server,
            source,
        };
        let stream = TcpStream::connect_timeout(&self.server, patience).map_err(unanswered)?;
        stream.set_read_timeout(Some(patience)).map_err(unanswered)?;
        stream.set_write_timeout(Some(patience)).map_err(unanswered)?;
        let name = ServerName::from(self.server.ip());
        let connection = ClientConnection::new(Arc::clone(&self.tls), name)?;
        let mut stream = StreamOwned::new(connection, stream);
        let request = self.request(method, path, body);
        stream.write_all(request.as_bytes()).map_err(unanswered)?;
        let answer = read(&mut stream).map_err(unanswered)?;
        parse(&answer).map_err(unanswered)
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> String {
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let proof = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n{}\r\n{body}",
            self.server,
            body.len(),
            proof.unwrap_or_default(),
        )
    }
}

/// Asks a server that speaks without TLS.
///
/// # Errors
/// When there is no whole answer within seconds.
pub(crate) fn ask(server: SocketAddr, path: &str) -> io::Result<Reply> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    parse(&read(&mut stream)?)
}

fn read(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that closes without TLS's goodbye: the length tells whether something is missing.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(answer),
        Err(error) => Err(error),
        Ok(_) => Ok(answer),
    }
}

fn parse(answer: &[u8]) -> io::Result<Reply> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let length = lines.filter_map(|line| line.split_once(':'));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> = length.next().and_then(|(_, value)| value.trim().parse().ok());
    if length.is_some_and(|length| length != body.len()) {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let status = status.ok_or(ErrorKind::InvalidData)?;
    Ok(Reply { status, text: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_answer_is_refused() {
        let whole = b"HTTP/1.0 201 Created\r\nContent-Length: 2\r\n\r\n{}";
        let reply = parse(whole).unwrap();
        assert_eq!(reply, Reply { status: 201, text: "{}".to_owned() });
        assert!(reply.is_well() && reply.json().is_object());
        for length in 0..whole.len() {
            let error = parse(whole.get(..length).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{length}");
        }
    }
}
