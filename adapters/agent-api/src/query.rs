//! The query of a request's target: `key=value` pairs, percent-encoded (RFC 3986, section 3.4).
//!
//! The client writes it, the agent reads it. Order is kept and a key may repeat
//! (`what_was_written_is_read`).

/// The pairs in a query, without its `?`. `+` is a blank, as HTML forms write it; what is encoded wrongly
/// stays as it is.
///
/// ```
/// let pairs = spiderpool_agent_api::query::parse("podName=web-0&podNamespace=a%20b");
/// assert_eq!(pairs[1], ("podNamespace".to_owned(), "a b".to_owned()));
/// ```
#[must_use]
pub fn parse(query: &str) -> Vec<(String, String)> {
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let pair = |piece: &str| {
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        (decode(key), decode(value))
    };
    pieces.map(pair).collect()
}

/// The target of a request: the path, and the pairs behind it.
#[must_use]
pub fn target(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (index, (key, value)) in pairs.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        encode(key, &mut target);
        target.push('=');
        encode(value, &mut target);
    }
    target
}

fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let encoded = (first == b'%').then(|| hex(tail)).flatten();
        bytes.push(encoded.unwrap_or(if first == b'+' { b' ' } else { first }));
        rest = if encoded.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let pairs = [("pool", "a&b=c"), ("pool", "ü %+"), ("k", ""), ("\u{0}", "/?#")];
        let written = target("/p", &pairs);
        let read = parse(written.strip_prefix("/p?").unwrap());
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read, pairs);
        assert_eq!(target("/p", &[]), "/p");
    }

    #[test]
    fn what_is_encoded_wrongly_stays() {
        let check = |text: &str, expected: &str| assert_eq!(decode(text), expected);
        check("%", "%");
        check("%4", "%4");
        check("%+1", "% 1");
        check("%zz", "%zz");
        check("%41+", "A ");
        check("%ff", "\u{fffd}");
        assert_eq!(parse("&&a&=b"), [("a".into(), String::new()), (String::new(), "b".into())]);
    }
}
