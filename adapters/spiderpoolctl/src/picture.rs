//! A picture of a pool's use, from a handful of addresses to a /64.
//!
//! Pure: called by `map` with a view. Small pools get a cell for each address, large ones a grid in
//! which every cell stands for an equal share. Invariants:
//! 1. Every address of the pool is in exactly one cell, and the counts of the cells add up to its
//!    tally (`cells_add_up_to_the_tally`).
//! 2. No line is wider than asked for (`lines_fit`), and the cost grows with cells, ranges and
//!    blocks, never with addresses.

use serde::Serialize;
use spiderpool_core::address::{AddressSet, Family, Range, bits};
use spiderpool_core::view::{PoolEntry, View};
use std::net::IpAddr;

/// So many addresses or fewer are drawn sixteen to a row.
const SMALL: u128 = 256;
/// Rows of a picture of more addresses than that.
const ROWS: u128 = 16;

/// What the addresses of one cell are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    size: u128,
    reserved: u128,
    allocated: u128,
    cooling: u128,
    quarantined: u128,
    is_gateway: bool,
}

/// A pool's addresses, divided into equal cells.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    family: Family,
    first: u128,
    /// Addresses of a cell, as a power of two.
    shift: u32,
    per_row: usize,
    cells: Vec<Cell>,
}

/// A cell as programs see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Share {
    /// Its first address.
    first: IpAddr,
    /// Its last address.
    last: IpAddr,
    /// Addresses of the pool in it.
    size: u128,
    allocated: u128,
    reserved: u128,
    cooling: u128,
    quarantined: u128,
}

/// The characters of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Block elements of Unicode.
    Unicode,
    /// For terminals that have nothing else.
    Ascii,
}

/// The smallest aligned run that holds everything a pool may give out: its first number, and its
/// length as a power of two.
pub(crate) fn extent(set: &AddressSet) -> Option<(u128, u32)> {
    let first = set.ranges().next()?.ends().0;
    let last = set.ranges().last()?.ends().1;
    // Sixteen at least, so that the columns of a small picture stand for the same last digit.
    let length = (u128::BITS - (first ^ last).leading_zeros()).max(4);
    let mask = 1_u128.checked_shl(length).map_or(u128::MAX, |size| size - 1);
    Some((first & !mask, length))
}

impl Picture {
    /// The picture of the numbers from `first` on, `2^length` of them, in lines of `width` columns.
    pub(crate) fn of(
        view: &View,
        entry: &PoolEntry,
        (first, length): (u128, u32),
        width: usize,
    ) -> Self {
        let family = entry.pool.family();
        let is_small = length <= SMALL.ilog2();
        let last = first + 1_u128.checked_shl(length).map_or(u128::MAX, |size| size - 1);
        let room = width.saturating_sub(label_width(family, first, last) + 1);
        let per_row = if is_small { 16 } else { fitting(room) };
        let wanted = (per_row as u128 * ROWS).ilog2();
        let shift = if is_small { 0 } else { length.saturating_sub(wanted) };
        let count = 1_usize.checked_shl(length - shift).unwrap_or(0);
        let cells = vec![Cell::default(); count];
        let mut picture = Self { family, first, shift, per_row, cells };
        picture.count_members(entry);
        picture.count_blocks(view, entry, last);
        picture
    }

    fn ends(&self, at: usize) -> (u128, u128) {
        let first = self.first + ((at as u128) << self.shift);
        (first, first + ((1 << self.shift) - 1))
    }

    fn cell_of(&mut self, number: u128) -> Option<&mut Cell> {
        let at = usize::try_from(number.checked_sub(self.first)? >> self.shift).ok()?;
        self.cells.get_mut(at)
    }

    fn count_members(&mut self, entry: &PoolEntry) {
        let usable = entry.pool.usable();
        for at in 0..self.cells.len() {
            let (first, last) = self.ends(at);
            let size = usable.count_within(first, last);
            let reserved = size - entry.usable.count_within(first, last);
            if let Some(cell) = self.cells.get_mut(at) {
                (cell.size, cell.reserved) = (size, reserved);
            }
        }
        let gateway = entry.pool.gateway().filter(|_| self.shift == 0);
        if let Some(cell) = gateway.and_then(|gateway| self.cell_of(bits(gateway))) {
            cell.is_gateway = true;
        }
    }

    fn count_blocks(&mut self, view: &View, entry: &PoolEntry, last: u128) {
        let Some(range) = Range::from_bits(self.family, self.first, last) else { return };
        for (first, block) in view.blocks_within(&entry.pool, range) {
            let (resting, quarantined) = (block.resting_mask(), block.quarantined_mask());
            let mut busy = block.busy();
            while busy != 0 {
                let slot = busy.trailing_zeros();
                busy &= busy - 1;
                let number = first.saturating_add(slot.into());
                if !entry.usable.holds(number) {
                    continue;
                }
                let Some(cell) = self.cell_of(number) else { continue };
                if quarantined >> slot & 1 == 1 {
                    cell.quarantined += 1;
                } else if resting >> slot & 1 == 1 {
                    cell.cooling += 1;
                } else {
                    cell.allocated += 1;
                }
            }
        }
    }

    /// The cells that hold addresses of the pool.
    pub(crate) fn shares(&self) -> Vec<Share> {
        let shares = self.cells.iter().enumerate().filter(|(_, cell)| cell.size > 0);
        shares
            .map(|(at, cell)| {
                let (first, last) = self.ends(at);
                Share {
                    first: self.family.address(first),
                    last: self.family.address(last),
                    size: cell.size,
                    allocated: cell.allocated,
                    reserved: cell.reserved,
                    cooling: cell.cooling,
                    quarantined: cell.quarantined,
                }
            })
            .collect()
    }

    /// The picture as text: a label and its cells on each line, then a legend.
    pub(crate) fn print(&self, ink: Ink) -> String {
        let last = self.ends(self.cells.len().saturating_sub(1)).1;
        let width = label_width(self.family, self.first, last);
        let gap = if self.per_row == 16 && self.shift == 0 { " " } else { "" };
        let mut text = String::new();
        if self.shift == 0 && self.per_row == 16 {
            let head: Vec<_> = (0..16).map(|at| format!("{at:x}")).collect();
            text.push_str(&format!("{:width$} {}\n", "", head.join(gap)));
        }
        for (row, cells) in self.cells.chunks(self.per_row).enumerate() {
            let label = self.family.address(self.ends(row * self.per_row).0).to_string();
            let cells: Vec<_> =
                cells.iter().map(|cell| self.symbol(ink, cell).to_string()).collect();
            let line = format!("{label:width$} {}", cells.join(gap));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text + &self.legend(ink)
    }

    fn symbol(&self, ink: Ink, cell: &Cell) -> char {
        let [free, low, middle, high, full] = shades(ink);
        if self.shift > 0 {
            let busy = cell.allocated + cell.cooling + cell.quarantined + cell.reserved;
            // Shares of a /64 are larger than anything that is multiplied without care.
            let quarter = (cell.size / 4).max(1);
            return match busy {
                _ if cell.size == 0 => ' ',
                0 => free,
                busy if busy >= cell.size => full,
                busy if busy <= quarter => low,
                busy if busy <= quarter.saturating_mul(2) => middle,
                _ => high,
            };
        }
        match cell {
            Cell { quarantined: 1.., .. } => '!',
            Cell { cooling: 1.., .. } => '~',
            Cell { allocated: 1.., .. } => full,
            Cell { reserved: 1.., .. } => 'R',
            Cell { size: 1.., .. } => free,
            Cell { is_gateway: true, .. } => 'G',
            Cell { .. } => ' ',
        }
    }

    fn legend(&self, ink: Ink) -> String {
        let [free, low, middle, high, full] = shades(ink);
        if self.shift == 0 {
            return format!(
                "{full} allocated   {free} free   ~ cooling   ! quarantined   R reserved   G gateway   blank: not in the pool\n"
            );
        }
        let share = 1_u128 << self.shift;
        format!(
            "each cell: {share} addresses   {free} none in use   {low} to 25%   {middle} to 50%   {high} below 100%   {full} all\n"
        )
    }
}

const fn shades(ink: Ink) -> [char; 5] {
    match ink {
        Ink::Unicode => ['·', '░', '▒', '▓', '█'],
        Ink::Ascii => ['.', '-', '+', '*', '#'],
    }
}

/// The widest label of a picture: that of some row's first address.
fn label_width(family: Family, first: u128, last: u128) -> usize {
    let (a, b) = (family.address(first).to_string(), family.address(last).to_string());
    a.len().max(b.len())
}

/// The largest power of two of cells, 16 to 64, that fits into the columns.
const fn fitting(room: usize) -> usize {
    match room {
        0..32 => 16,
        32..64 => 32,
        _ => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spiderpool_core::command::Command;
    use spiderpool_core::definition::{Pool, PoolDraft, Reservation, ReservationDraft};
    use spiderpool_core::memory::Memory;
    use spiderpool_core::moment::Moment;
    use spiderpool_core::name::Name;
    use spiderpool_core::owner::{Holder, Owner};
    use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};

    fn request(at: u64) -> Request {
        let name = |text: &str| Name::new(text).unwrap();
        let container = name(&format!("c{at}"));
        let names = PoolNames { v4: vec!["p".into()], v6: vec!["p".into()] };
        Request {
            holder: Holder {
                owner: Owner::container(&name("n"), &container).unwrap(),
                pod_uid: None,
                container: Some(container),
                node: name("host"),
            },
            attachment: name("eth0"),
            network: name("n"),
            subject: Subject::default(),
            sources: Sources { configured: Some(names), ..Sources::default() },
            named: Vec::new(),
            routes: Vec::new(),
            clean_gateway: false,
            families: FamilyPolicy::Prefer,
            only: None,
            master: None,
            ticket: u64::MAX,
        }
    }

    fn ledger(prefix: &str, ranges: Vec<String>, reserved: &str, pods: u64) -> Memory {
        let mut ledger = Memory::new();
        let draft = ReservationDraft {
            name: "r".into(),
            ranges: vec![reserved.into()],
            ..Default::default()
        };
        let reservation = Reservation::try_from(draft).unwrap();
        ledger.execute(&Command::DefineReservation(reservation), Moment::default()).unwrap();
        let draft =
            PoolDraft { name: "p".into(), prefix: prefix.into(), ranges, ..Default::default() };
        let pool = Pool::try_from(draft).unwrap();
        ledger.execute(&Command::DefinePool(pool), Moment::default()).unwrap();
        for at in 0..pods {
            let _full = ledger.execute(&Command::Allocate(request(at)), Moment::default()).is_err();
        }
        ledger
    }

    fn check(prefix: &str, range: String, reserved: &str, (pods, width): (u64, usize)) {
        let ledger = ledger(prefix, vec![range], reserved, pods);
        let entry = ledger.view().pool("p").unwrap().unwrap();
        let extent = extent(&entry.pool.usable()).unwrap();
        let picture = Picture::of(ledger.view(), entry, extent, width);
        let tally = ledger.view().tally(entry).unwrap();
        let shares = picture.shares();
        let sum = |field: fn(&Share) -> u128| shares.iter().map(field).sum::<u128>();
        assert_eq!(sum(|share| share.size), tally.size);
        assert_eq!(sum(|share| share.allocated), tally.allocated);
        assert_eq!(sum(|share| share.reserved), tally.reserved);
        for line in picture.print(Ink::Unicode).lines().filter(|line| !line.contains("   ")) {
            assert!(line.chars().count() <= width, "{line}");
        }
    }

    proptest! {
        #[test]
        fn cells_add_up_to_the_tally(first in 1_u32..60_000, count in 1_u32..5_000, pods in 0_u64..60) {
            let address = |n: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
            let last = (first + count).min(65_000);
            let range = format!("{}-{}", address(first), address(last));
            check("10.0.0.0/16", range, &address(first + count / 3).to_string(), (pods, 80));
        }
    }

    #[test]
    fn lines_fit() {
        check("10.0.0.0/8", "10.0.0.0/8".into(), "10.0.0.7", (500, 80));
        check("fd00::/64", "fd00::1-fd00::ffff:ffff:ffff:ffff".into(), "fd00::9", (70, 80));
        check("fd00::/120", "fd00::/120".into(), "fd00::9", (70, 60));
        check("::/0", "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe".into(), "::9", (3, 80));
    }
}
