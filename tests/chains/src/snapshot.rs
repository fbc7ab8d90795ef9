//! What a namespace holds, as sorted lines, for comparing before and after.
//!
//! Taken with iproute2 and nft, so that the oracle is not the code under test. What the kernel learns or
//! counts by itself is left out: neighbours that are not permanent, lifetimes, indices.

use crate::room::Room;
use std::collections::BTreeSet;

/// Prints everything; each line says of what it speaks.
const SCRIPT: &str = r#"
ip -o -d link | sed -E 's/^[0-9]+: /link /; s/@[^:]*:/:/; s/ (if|promiscuity|allmulti|minmtu|maxmtu|link-netnsid|tso_max_size|tso_max_segs|gro_max_size|gso_max_size|gro_ipv4_max_size|gso_ipv4_max_size|gso_max_segs|numtxqueues|numrxqueues) [^ ]+//g'
ip -o addr | sed -E 's/^[0-9]+: /address /; s/valid_lft.*//'
ip route show table all | sed -E 's/^/route4 /; s/ expires [^ ]+//'
ip -6 route show table all | grep -v multicast | sed -E 's/^/route6 /; s/ expires [^ ]+//'
ip rule | sed 's/^/rule4 /'
ip -6 rule | sed 's/^/rule6 /'
ip neigh show nud permanent | grep -v -E '^(ff|224\.|239\.)' | sed 's/^/neighbour /' || true
nft -s list ruleset | awk '/^table/ { t = $0 } { print "nft " t " | " $0 }'
for f in /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/conf/*/src_valid_mark \
  /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/disable_ipv6 \
  /proc/sys/net/ipv6/conf/*/accept_ra /proc/sys/net/ipv6/conf/*/forwarding; do
  echo "sysctl $f $(cat "$f")"
done
"#;

/// What a namespace held at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    lines: BTreeSet<String>,
}

impl Snapshot {
    /// What a room holds.
    #[must_use]
    pub fn of(room: &Room) -> Self {
        let text = room.sh(SCRIPT);
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { lines: text.lines().map(line).filter(|line| !is_transient(line)).collect() }
    }

    /// The lines that hold one of these words.
    #[must_use]
    pub fn about(&self, words: &[&str]) -> Vec<&str> {
        let speaks = |line: &&String| words.iter().any(|word| line.contains(word));
        self.lines.iter().filter(speaks).map(String::as_str).collect()
    }

    /// The lines that only one of the two has: `-` what was, `+` what is.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<String> {
        let gone = self.lines.difference(&after.lines).map(|line| format!("- {line}"));
        let come = after.lines.difference(&self.lines).map(|line| format!("+ {line}"));
        gone.chain(come).collect()
    }

    /// Fails unless the room holds what it did.
    #[track_caller]
    pub fn holds_in(&self, room: &Room) {
        let changes = self.changes(&Self::of(room));
        assert!(changes.is_empty(), "{} has changed:\n{}", room.name(), changes.join("\n"));
    }

    /// As [`holds_in`](Self::holds_in), once the kernel has done what it does behind a reply: links of a
    /// namespace that was removed go a little later.
    #[track_caller]
    pub fn comes_back_in(&self, room: &Room) {
        for _ in 0..50 {
            if *self == Self::of(room) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        self.holds_in(room);
    }
}

/// The node's rule for its pods' table is the node's for good: no DEL takes it away.
fn is_transient(line: &str) -> bool {
    let is_rule = line.starts_with("rule4 1000:") || line.starts_with("rule6 1000:");
    is_rule && line.contains("from all lookup")
}
