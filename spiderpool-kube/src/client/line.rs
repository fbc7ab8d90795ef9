//! The lines of a record file: one entry each, each vouched for by a checksum that runs on over all
//! lines before it.
//!
//! Owns the text of the file, and nothing of how it gets to a disk: `journal` does that. A line is a
//! JSON array of eight hexadecimal digits and the entry, such as `["1a2b3c4d",{"saw":{"revision":7}}]`,
//! and ends with a line feed. Invariants:
//!
//! 1. What was written reads back (`what_was_written_reads_back`).
//! 2. A file that was cut off anywhere reads as the lines before the cut (`a_torn_line_is_cut_off`).
//! 3. A line that was changed, lost, doubled or swapped is found, wherever it is
//!    (`damage_is_found_wherever_it_is`).

use crate::cluster::record::{Entry, FORMAT, Identity, Record};
use std::fmt::Write;
use thiserror::Error;

/// What a file begins its checksum with.
const SEED: u32 = 0;

/// Bytes of a line before its entry: `["1a2b3c4d",`.
const HEAD: usize = 12;

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its entries, applied.
    pub record: Record,
    /// The checksum that the next line runs on from.
    pub sum: u32,
    /// The bytes of its whole lines: what follows is torn, and to be cut off.
    pub whole: usize,
}

/// Why a file is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Loss {
    /// There is none.
    #[error("there is no record yet")]
    Absent,
    /// Bytes of it are not what was written.
    #[error("line {line} of the record is damaged")]
    Damaged {
        /// The first line that is, from 1.
        line: usize,
    },
    /// Another version wrote it.
    #[error("the record has format {format}; this version knows {FORMAT}")]
    Format {
        /// What it says.
        format: u16,
    },
    /// It is of another life of the node, or of another machine.
    #[error("the record is of node {} on machine {}", .theirs.node_uid, .theirs.machine_id)]
    Foreign {
        /// Whose it is.
        theirs: Identity,
    },
}

/// Appends the line of an entry to `text`, and gives the checksum that the next line runs on from.
///
/// # Errors
/// When the entry cannot be written as JSON.
pub(super) fn append(text: &mut String, sum: u32, entry: &Entry) -> serde_json::Result<u32> {
    let json = serde_json::to_string(entry)?;
    let sum = crc32c(sum, json.as_bytes());
    // Writing to a text cannot fail.
    let _ = writeln!(text, "[\"{sum:08x}\",{json}]");
    Ok(sum)
}

/// Reads a whole file.
///
/// # Errors
/// [`Loss`] when it is not to be believed.
pub(super) fn read(bytes: &[u8], identity: &Identity) -> Result<Reading, Loss> {
    let mut reading = Reading { record: Record::default(), sum: SEED, whole: 0 };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    for (line, text) in (1..).zip(lines) {
        let Some(text) = text.strip_suffix(b"\n") else { break };
        let damaged = Loss::Damaged { line };
        let (sum, entry) = parse(text, reading.sum).ok_or(damaged.clone())?;
        if let Entry::Began { format, .. } = &entry {
            if *format != FORMAT {
                return Err(Loss::Format { format: *format });
            }
        } else if line == 1 {
            return Err(damaged);
        }
        reading.record.apply(&entry);
        reading.sum = sum;
        reading.whole += text.len() + 1;
    }
    if reading.whole == 0 {
        return Err(Loss::Absent);
    }
    if reading.record.belongs_to(identity) {
        return Ok(reading);
    }
    Err(Loss::Foreign { theirs: owner_of(&reading.record) })
}

/// Whose record it is: what its first entry says.
fn owner_of(record: &Record) -> Identity {
    let mut entries = record.entries();
    match entries.next() {
        Some(Entry::Began { identity, .. }) => identity,
        _ => Identity::default(),
    }
}

/// One line without its line feed: its checksum, and its entry when that is right.
fn parse(line: &[u8], before: u32) -> Option<(u32, Entry)> {
    let json = line.get(HEAD..)?.strip_suffix(b"]")?;
    let sum = crc32c(before, json);
    let head = format!("[\"{sum:08x}\",");
    if !line.starts_with(head.as_bytes()) {
        return None;
    }
    Some((sum, serde_json::from_slice(json).ok()?))
}

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4), going on from the checksum of what came before.
fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = !before;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use spiderpool_core::name::Name;

    fn identity() -> Identity {
        Identity { node_uid: "u".into(), machine_id: "m".into() }
    }

    fn entries() -> Vec<Entry> {
        let container = Name::new("c\u{e9}").unwrap();
        let began = Entry::Began { format: FORMAT, identity: identity() };
        let saw = |revision| Entry::Saw { revision };
        vec![began, saw(7), Entry::Ended { container }, saw(8), saw(9)]
    }

    fn lines(entries: &[Entry]) -> Vec<String> {
        let mut sum = SEED;
        let line = |entry| {
            let mut text = String::new();
            sum = append(&mut text, sum, entry).unwrap();
            text
        };
        entries.iter().map(line).collect()
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xe306_9283);
    }

    #[test]
    fn what_was_written_reads_back() {
        let text = lines(&entries()).concat();
        let reading = read(text.as_bytes(), &identity()).unwrap();
        assert_eq!((reading.record.seen(), reading.whole), (9, text.len()));
        for line in text.lines() {
            let json: (String, Entry) = serde_json::from_str(line).unwrap();
            assert_eq!(json.0.len(), 8);
        }
        let again = lines(&reading.record.entries().collect::<Vec<_>>()).concat();
        assert_eq!(read(again.as_bytes(), &identity()).unwrap().record, reading.record);
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let lines = lines(&entries());
        let text = lines.concat();
        for cut in 0..text.len() {
            let head = text.as_bytes().get(..cut).unwrap();
            let whole = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            match read(head, &identity()) {
                Ok(reading) => assert_eq!(reading.whole, whole),
                Err(loss) => assert!(loss == Loss::Absent && cut < lines[0].len(), "{cut}: {loss}"),
            }
        }
        let zeros = format!("{text}\0\0\0\0");
        assert_eq!(read(zeros.as_bytes(), &identity()).unwrap().whole, text.len());
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let lines = lines(&entries());
        let text = lines.concat();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let result = read(&bytes, &identity());
            // The very last line feed gone is a torn line.
            let torn = at + 1 == text.len();
            assert_eq!(matches!(result, Err(Loss::Damaged { .. })), !torn, "{at}: {result:?}");
        }
        let damaged = |order: &[usize], line| {
            let text: String = order.iter().map(|n| lines[*n].as_str()).collect();
            assert_eq!(
                read(text.as_bytes(), &identity()),
                Err(Loss::Damaged { line }),
                "{order:?}"
            );
        };
        damaged(&[0, 2, 3, 4], 2);
        damaged(&[0, 1, 1, 2], 3);
        damaged(&[0, 1, 3, 2, 4], 3);
        damaged(&[1, 2], 1);
    }

    #[test]
    fn another_life_and_another_format_are_told_apart() {
        let text = lines(&entries()).concat();
        let other = Identity { node_uid: "v".into(), ..identity() };
        assert_eq!(read(text.as_bytes(), &other), Err(Loss::Foreign { theirs: identity() }));
        let later = lines(&[Entry::Began { format: 9, identity: identity() }]).concat();
        assert_eq!(read(later.as_bytes(), &identity()), Err(Loss::Format { format: 9 }));
        let headless = lines(&[Entry::Saw { revision: 1 }]).concat();
        assert_eq!(read(headless.as_bytes(), &identity()), Err(Loss::Damaged { line: 1 }));
    }
}
