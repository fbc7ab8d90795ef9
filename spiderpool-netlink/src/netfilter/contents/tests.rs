//! The bytes of a table, checked by hand against the header files and against what a kernel listed
//! of rules that `nft` made; and what is taken for marks, and what is not.

use proptest::prelude::*;

use super::*;

fn marks() -> Marks {
    Marks { input: LinkName::new("veth0").unwrap(), mark: Mark { value: 1, mask: 1 } }
}

fn any_marks() -> impl Strategy<Value = Marks> {
    let mark = any::<(u32, u32)>()
        .prop_map(|(value, mask)| Mark { value: value & mask, mask })
        .prop_filter("marks", |mark| mark.value != 0);
    ("[a-z@.-]{3,15}", mark)
        .prop_map(|(name, mark)| Marks { input: LinkName::new(name).unwrap(), mark })
}

/// The contents as the kernel would list them, chains in an order of its own.
fn through_messages(contents: &Contents) -> Contents {
    let chains = contents.chains.iter().rev();
    let (output, prerouting) = contents.rules.split_at(1);
    let rules = prerouting.iter().chain(output);
    Contents::listed(
        chains.map(|chain| Chain::read(&chain.message().attributes).unwrap()).collect(),
        rules.map(|rule| Rule::read(&rule.message().attributes).unwrap()).collect(),
    )
}

/// What Linux 6.18 lists of `iifname "veth0" ct state new meta mark set meta mark & 0xfffffffe | 0x1`
/// that `nft` 1.0.6 added; the second column of each line is the attribute's length and type.
#[cfg(target_endian = "little")]
#[rustfmt::skip]
const LISTED_BY_THE_KERNEL: &[&str] = &[
    "0f00 0100", "737069646572706f6f6c00 00",          // table "spiderpool", padding
    "0f00 0200", "707265726f7574696e6700 00",          // chain "prerouting", padding
    "0c00 0300", "0000000000000003",                   // handle 3
    "8c01 0400",                                       // expressions
    "2400 0100", "0900 0100 6d65746100 000000",        // "meta"
    "1400 0200", "0800 0200 00000006", "0800 0100 00000001", // key iifname to register 1
    "3800 0100", "0800 0100 636d7000",                 // "cmp"
    "2c00 0200", "0800 0100 00000001", "0800 0200 00000000", // register 1, equal
    "1800 0300", "1400 0100", "76657468300000000000000000000000", // "veth0"
    "2000 0100", "0700 0100 637400 00",                // "ct"
    "1400 0200", "0800 0100 00000001", "0800 0200 00000000", // key state to register 1
    "4c00 0100", "0c00 0100 6269747769736500",         // "bitwise"
    "3c00 0200", "0800 0100 00000001", "0800 0200 00000001", "0800 0300 00000004", // 4 bytes
    "0800 0600 00000000",                              // operation mask and xor
    "0c00 0400", "0800 0100 08000000", "0c00 0500", "0800 0100 00000000", // & 8 ^ 0
    "2c00 0100", "0800 0100 636d7000",                 // "cmp"
    "2000 0200", "0800 0100 00000001", "0800 0200 00000001", // register 1, not equal
    "0c00 0300", "0800 0100 00000000",                 // 0
    "2400 0100", "0900 0100 6d65746100 000000",        // "meta"
    "1400 0200", "0800 0200 00000003", "0800 0100 00000001", // key mark to register 1
    "4c00 0100", "0c00 0100 6269747769736500",         // "bitwise"
    "3c00 0200", "0800 0100 00000001", "0800 0200 00000001", "0800 0300 00000004",
    "0800 0600 00000000",
    "0c00 0400", "0800 0100 feffffff", "0c00 0500", "0800 0100 01000000", // & ~1 ^ 1
    "2400 0100", "0900 0100 6d65746100 000000",        // "meta"
    "1400 0200", "0800 0200 00000003", "0800 0300 00000001", // key mark from register 1
];

#[cfg(target_endian = "little")]
fn bytes_of(lines: &[&str]) -> Vec<u8> {
    let digits: Vec<u8> = lines.concat().bytes().filter(|byte| *byte != b' ').collect();
    let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
#[cfg(target_endian = "little")]
fn a_rule_that_nft_made_is_read_as_the_first_half_of_ours() {
    let listed = Rule::read(&bytes_of(LISTED_BY_THE_KERNEL)).unwrap();
    let mut ours = marking(&marks());
    ours.expressions.truncate(8);
    assert_eq!(listed, ours);
    assert_eq!(marks_of(&listed), Some(marks()));
}

#[test]
#[cfg(target_endian = "little")]
fn a_rule_is_laid_out_as_the_kernel_takes_it() {
    #[rustfmt::skip]
    let expected = bytes_of(&[
        "0f00 0100", "737069646572706f6f6c00 00",      // table "spiderpool", padding
        "0b00 0200", "6f757470757400 00",              // chain "output", padding
        "2001 0480",                                   // expressions, nested
        "2000 0180", "0700 0100 637400 00",            // "ct"
        "1400 0280", "0800 0200 00000003", "0800 0100 00000001", // key mark to register 1
        "4400 0180", "0c00 0100 6269747769736500",     // "bitwise"
        "3400 0280", "0800 0100 00000001", "0800 0200 00000001", "0800 0300 00000004",
        "0c00 0480", "0800 0100 00ff0000", "0c00 0580", "0800 0100 00000000", // & 0xff00
        "2c00 0180", "0800 0100 636d7000",             // "cmp"
        "2000 0280", "0800 0100 00000001", "0800 0200 00000000", // register 1, equal
        "0c00 0380", "0800 0100 00010000",             // 0x100
        "2400 0180", "0900 0100 6d65746100 000000",    // "meta"
        "1400 0280", "0800 0200 00000003", "0800 0100 00000001", // key mark to register 1
        "4400 0180", "0c00 0100 6269747769736500",     // "bitwise"
        "3400 0280", "0800 0100 00000001", "0800 0200 00000001", "0800 0300 00000004",
        "0c00 0480", "0800 0100 ff00ffff", "0c00 0580", "0800 0100 00010000", // & ~0xff00 ^ 0x100
        "2400 0180", "0900 0100 6d65746100 000000",    // "meta"
        "1400 0280", "0800 0200 00000003", "0800 0300 00000001", // key mark from register 1
    ]);
    let message = restoring(Mark { value: 0x100, mask: 0xff00 }).message();
    assert_eq!(message.attributes, expected);
    assert_eq!((message.kind, message.flags), (0xa06, 0xc00), "NEWRULE, CREATE|APPEND");
}

#[test]
#[cfg(target_endian = "little")]
fn a_table_and_a_chain_are_laid_out_as_the_kernel_takes_them() {
    #[rustfmt::skip]
    let expected = bytes_of(&[
        "0f00 0100", "737069646572706f6f6c00 00",      // table "spiderpool", padding
        "0b00 0300", "6f757470757400 00",              // name "output", padding
        "1400 0480", "0800 0100 00000003", "0800 0200 ffffff6a", // hook output, priority -150
        "0a00 0700", "726f75746500 0000",              // type "route", padding
        "0800 0500", "00000001",                       // policy accept
    ]);
    let message = Chain::hooked("output", "route", 3).message();
    assert_eq!(message.attributes, expected);
    assert_eq!((message.kind, message.flags), (0xa03, 0x600), "NEWCHAIN, CREATE|EXCL");

    let table = new_table();
    assert_eq!((table.kind, table.flags), (0xa00, 0x600), "NEWTABLE, CREATE|EXCL");
    let start = bytes_of(&["0f00 0100", "737069646572706f6f6c00 00", "0800 0200", "00000000"]);
    assert_eq!(table.attributes[..start.len()], start);
    let length = u8::try_from(4 + 2 + COMMENT.len() + 1).unwrap();
    assert_eq!(table.attributes[start.len()..][..4], [length, 0, 6, 0]);
    let notes = &table.attributes[start.len() + 4..];
    assert_eq!((notes[0], usize::from(notes[1])), (0, COMMENT.len() + 1));
    assert_eq!(&notes[2..2 + COMMENT.len()], COMMENT.as_bytes());
}

#[test]
fn whatever_is_changed_is_no_marks() {
    let whole = Contents::of(&marks());
    assert_eq!(whole.marks(), Some(marks()));
    let mut changed = vec![Contents::default()];
    for at in 0..2 {
        let mut less = whole.clone();
        less.chains.remove(at);
        changed.push(less);
        let mut moved = whole.clone();
        moved.chains[at].priority += 1;
        changed.push(moved);
    }
    for at in 0..3 {
        let mut less = whole.clone();
        less.rules.remove(at);
        changed.push(less);
        let mut more = whole.clone();
        more.rules.insert(at, whole.rules[at].clone());
        changed.push(more);
        for step in 0..whole.rules[at].expressions.len() {
            let mut other = whole.clone();
            other.rules[at].expressions[step] = Expression::Foreign;
            changed.push(other);
        }
        let mut longer = whole.clone();
        longer.rules[at].expressions.push(Expression::Foreign);
        changed.push(longer);
    }
    let mut dropping = whole.clone();
    dropping.chains[0].policy = Some(0);
    changed.push(dropping);
    let mut unhooked = whole.clone();
    unhooked.chains[0].hook = None;
    changed.push(unhooked);
    let mut half = whole.clone();
    half.rules[0] = restoring(Mark { value: 2, mask: 2 });
    changed.push(half);
    for contents in changed {
        assert_eq!(contents.marks(), None, "{contents:?}");
    }
}

#[test]
fn marks_that_tell_nothing_apart_are_no_marks() {
    for (value, mask) in [(0, 0), (0, 1), (2, 1), (3, 1), (1, 0)] {
        let mark = Mark { value, mask };
        assert!(!is_markable(mark), "{mark:?}");
        assert_eq!(Contents::of(&Marks { mark, ..marks() }).marks(), None, "{mark:?}");
    }
    assert!(is_markable(Mark { value: u32::MAX, mask: u32::MAX }));
}

#[test]
fn a_table_with_flags_or_more_parts_is_not_plain() {
    let table = |flags, parts| [number(TABLE_FLAGS, flags), number(TABLE_USE, parts)].concat();
    assert_eq!(is_plain_table(&table(0, 2)), Ok(true));
    assert_eq!(is_plain_table(&table(1, 2)), Ok(false), "dormant");
    assert_eq!(is_plain_table(&table(0, 3)), Ok(false), "a set more");
    assert_eq!(is_plain_table(&number(TABLE_FLAGS, 0)), Ok(false));
}

proptest! {
    #[test]
    fn contents_are_read_as_they_were_written(marks in any_marks()) {
        let contents = Contents::of(&marks);
        prop_assert_eq!(&through_messages(&contents), &contents);
        prop_assert_eq!(contents.marks(), Some(marks));
    }

    #[test]
    fn hostile_contents_end(
        at in 0_usize..700,
        tail in prop::collection::vec(any::<u8>(), 0..64),
        cut in 0_usize..700,
    ) {
        for message in Contents::of(&marks()).rules.iter().map(Rule::message) {
            let mut bytes = message.attributes;
            let end = (at + tail.len()).min(bytes.len());
            bytes.splice(at.min(end)..end, tail.clone());
            bytes.truncate(cut);
            let rules = Rule::read(&bytes).into_iter().collect();
            let chains = Chain::read(&bytes).into_iter().collect();
            prop_assert_eq!(Contents::listed(chains, rules).marks(), None);
            prop_assert!(is_plain_table(&bytes) != Ok(true) || bytes.len() > 4);
            is_in_table(&bytes);
        }
    }
}
