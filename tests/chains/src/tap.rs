//! Counters of packets, to show by which link something came.
//!
//! A tap is an nftables table of its own in a room, before everything else that looks at packets. It
//! goes with its value, so that it is in no snapshot taken later.

use crate::room::{Room, word_after};
use std::sync::atomic::{AtomicU32, Ordering};

/// A counter of the packets that a room receives and that match.
#[derive(Debug)]
pub struct Tap<'a> {
    room: &'a Room,
    table: String,
}

impl<'a> Tap<'a> {
    /// Counts the received packets that an nftables expression matches, such as
    /// `iifname "up0" ip saddr 172.30.0.100`.
    #[must_use]
    pub fn new(room: &'a Room, expression: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let table = format!("tap{}", COUNT.fetch_add(1, Ordering::Relaxed));
        nft(
            room,
            &format!(
                "table inet {table} {{ chain pre {{ type filter hook prerouting priority -500; \
                 {expression} counter; }} }}"
            ),
        );
        Self { room, table }
    }

    /// How many packets matched so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        let text = self.room.sh(&format!("nft list table inet {}", self.table));
        word_after(&text, "packets").unwrap().parse().unwrap()
    }
}

impl Drop for Tap<'_> {
    fn drop(&mut self) {
        drop(self.room.run("nft", &["delete", "table", "inet", &self.table]));
    }
}

/// Loads a ruleset in a room.
#[track_caller]
pub fn nft(room: &Room, ruleset: &str) {
    // nft wants a line's end behind each block.
    let ruleset = ruleset.split_whitespace().collect::<Vec<_>>().join(" ").replace("; }", ";\n}\n");
    room.sh(&format!("nft -f - <<'END'\n{ruleset}\nEND\n"));
}
