//! A store that is not there, or is something else.

use crate::lab::{Ask, Lab};
use crate::talk::Talk;
use std::fs;

/// Every verb on a store that cannot be used.
fn every_verb(talk: &mut Talk, del: u64) {
    let add = talk.lab.add("c1");
    talk.say(&add).expect(102);
    let status = Ask::new("STATUS", talk.lab.conf(&["blue"], &[])).version("1.1.0");
    talk.say(&status).expect(50);
    let gone = talk.lab.del("c1");
    talk.say(&gone).expect(del);
}

#[test]
fn no_store() {
    let mut talk = Talk::new("store-missing", Lab::bare());
    every_verb(&mut talk, 0);
    // Nothing was made in its place.
    assert!(!talk.lab.store_dir().exists());
}

#[test]
fn an_empty_directory() {
    let mut talk = Talk::new("store-empty-directory", Lab::bare());
    fs::create_dir(talk.lab.store_dir()).unwrap();
    every_verb(&mut talk, 0);
    assert_eq!(fs::read_dir(talk.lab.store_dir()).unwrap().count(), 0);
}

#[test]
fn a_ledger_that_is_gone() {
    let mut talk = Talk::new("store-lost", Lab::new());
    fs::remove_file(talk.lab.store_dir().join("ledger.sqlite")).unwrap();
    every_verb(&mut talk, 102);
}

fn spoilt(name: &str, spoil: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let mut talk = Talk::new(name, Lab::new());
    let ledger = talk.lab.store_dir().join("ledger.sqlite");
    for companion in ["-wal", "-shm"] {
        drop(fs::remove_file(talk.lab.store_dir().join(format!("ledger.sqlite{companion}"))));
    }
    let bytes = spoil(fs::read(&ledger).unwrap());
    fs::write(&ledger, &bytes).unwrap();
    every_verb(&mut talk, 102);
    assert_eq!(fs::read(&ledger).unwrap(), bytes);
}

#[test]
fn a_ledger_without_bytes() {
    spoilt("store-empty", |_| Vec::new());
}

#[test]
fn a_foreign_file() {
    spoilt("store-foreign", |_| b"# my notes\n".repeat(100));
}

#[test]
fn a_ledger_that_was_cut_in_its_header() {
    spoilt("store-cut-header", |bytes| bytes[..300].to_vec());
}

#[test]
fn a_ledger_that_was_cut() {
    spoilt("store-cut", |bytes| bytes[..8192].to_vec());
}

#[test]
fn a_ledger_of_a_later_format() {
    spoilt("store-newer", |mut bytes| {
        // `user_version` of the header (SQLite's "Database File Format", section 1.3).
        bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
        bytes
    });
}
