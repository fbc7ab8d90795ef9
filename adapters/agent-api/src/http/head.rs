//! The head of a reply: its status, and how its body ends (RFC 9112, section 6).

use super::Trouble;
use httparse::{Header, Response, Status};

/// The longest head that is read, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The most fields that it has.
const MAX_FIELDS: usize = 64;

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(usize),
    /// With a chunk of size 0.
    Chunked,
    /// With the connection.
    UntilClosed,
}

impl Head {
    /// The head at the beginning of `bytes` and its length, once it is whole.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Trouble> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = Response::new(&mut fields);
        let garbled = |error: httparse::Error| Trouble::Garbled(format!("no HTTP ({error})"));
        match response.parse(bytes).map_err(garbled)? {
            Status::Complete(used) => {
                let status = response.code.unwrap_or_default();
                let framing = framing(status, response.headers)?;
                Ok(Some((Self { status, framing }, used)))
            }
            Status::Partial if bytes.len() > MAX_BYTES => {
                Err(Trouble::Garbled(format!("a head of more than {MAX_BYTES} bytes")))
            }
            Status::Partial => Ok(None),
        }
    }
}

fn framing(status: u16, fields: &[Header<'_>]) -> Result<Framing, Trouble> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Empty);
    }
    let named = |name: &'static str| {
        let of = move |field: &&Header<'_>| field.name.eq_ignore_ascii_case(name);
        fields.iter().filter(of).map(|field| String::from_utf8_lossy(field.value))
    };
    let codings: Vec<_> =
        named("Transfer-Encoding").map(|coding| coding.trim().to_ascii_lowercase()).collect();
    if !codings.is_empty() {
        return if codings == ["chunked"] {
            Ok(Framing::Chunked)
        } else {
            Err(Trouble::Garbled(format!("transfer coding `{}`", codings.join(", "))))
        };
    }
    let mut lengths: Vec<_> =
        named("Content-Length").map(|value| value.trim().to_owned()).collect();
    lengths.dedup();
    match lengths.as_slice() {
        [] => Ok(Framing::UntilClosed),
        [length] if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More than a machine can count is more than is taken.
            Ok(Framing::Length(length.parse().unwrap_or(usize::MAX)))
        }
        lengths => Err(Trouble::Garbled(format!("content length `{}`", lengths.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(Head, usize)>, Trouble> {
        Head::read(text.as_bytes())
    }

    #[test]
    fn a_body_ends_as_its_head_says() {
        let check = |fields: &str, status: u16, framing: Framing| {
            let text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
            assert_eq!(head(&text), Ok(Some((Head { status, framing }, text.len()))), "{text:?}");
        };
        check("", 200, Framing::UntilClosed);
        check("content-length: 7\r\n", 500, Framing::Length(7));
        check("Content-Length: 7\r\nContent-Length: 7\r\n", 200, Framing::Length(7));
        check("Content-Length: 99999999999999999999\r\n", 200, Framing::Length(usize::MAX));
        check("Transfer-Encoding: Chunked\r\nContent-Length: 7\r\n", 200, Framing::Chunked);
        check("Content-Length: 7\r\n", 204, Framing::Empty);
        check("Content-Length: 7\r\n", 100, Framing::Empty);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 x OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ] {
            assert!(matches!(head(text), Err(Trouble::Garbled(_))), "{text:?}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_BYTES));
        assert!(matches!(head(&endless), Err(Trouble::Garbled(_))));
        assert_eq!(head("HTTP/1.1 200 OK\r\nX: y"), Ok(None));
    }
}
