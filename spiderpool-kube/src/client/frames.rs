//! The events of a watch, cut out of the bytes that arrive.
//!
//! Owns [`Frames`]. `server` pushes what the network delivers, however it was torn, and takes whole
//! events out. Invariants:
//!
//! 1. However the bytes were torn, the same events come out (`tearing_changes_nothing`).
//! 2. A line without end does not fill the memory (`a_line_without_end_is_refused`).

use serde_json::Value;

/// Bytes that one event may have: twice the largest object that an API server takes.
const LINE_MAX: usize = 6 * 1024 * 1024;

/// Bytes of a watch on their way to events.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// Up to here there is no line feed.
    searched: usize,
}

impl Frames {
    /// Takes in what arrived.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event, once it is there whole.
    ///
    /// # Errors
    /// When a line is no JSON, or too long: the stream is good for nothing any more.
    pub(super) fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            let unsearched = self.bytes.get(self.searched..).unwrap_or_default();
            let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.bytes.len();
                if self.searched > LINE_MAX {
                    return Err(format!("an event of the watch has more than {LINE_MAX} bytes"));
                }
                return Ok(None);
            };
            let rest = self.bytes.split_off(self.searched + end + 1);
            let line = std::mem::replace(&mut self.bytes, rest);
            self.searched = 0;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let event = serde_json::from_slice(&line);
            return event
                .map(Some)
                .map_err(|error| format!("an event of the watch is no JSON: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(frames: &mut Frames) -> Vec<Value> {
        std::iter::from_fn(|| frames.next().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn tearing_changes_nothing(numbers in prop::collection::vec(any::<u64>(), 0..9), pieces in prop::collection::vec(1_usize..9, 1..40)) {
            let text: String = numbers.iter().map(|number| format!("{{\"n\":{number}}}\n")).collect();
            let (mut frames, mut events, mut rest) = (Frames::default(), Vec::new(), text.as_bytes());
            for piece in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*piece).min(rest.len()));
                frames.push(head);
                events.extend(all(&mut frames));
                rest = tail;
            }
            let told: Vec<u64> = events.iter().map(|event| event["n"].as_u64().unwrap()).collect();
            prop_assert_eq!(told, numbers);
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut frames = Frames::default();
        let piece = vec![b' '; 1024 * 1024];
        let pushed = (1..100).find(|_| {
            frames.push(&piece);
            frames.next().is_err()
        });
        assert_eq!(pushed, Some(7));
        let mut frames = Frames::default();
        frames.push(b"\n\r\n{}\n{");
        assert_eq!(all(&mut frames).len(), 1);
        frames.push(b"]\n");
        assert!(frames.next().is_err());
    }
}
