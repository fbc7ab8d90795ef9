//! Files that are not a whole ledger of this version: each is an error that says what to do, and
//! none is a panic or a new store.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod lab;

use lab::{attach, define, detach, execute, held, open};
use proptest::prelude::*;
use rusqlite::Connection;
use spiderpool_store::{OpenOptions, Store, StoreError};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

fn filled() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("s");
    let store = open(&dir);
    execute(&store, &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.80"]), 1).unwrap();
    for at in 0..20 {
        attach(&store, "p", &format!("c{at}"), 10).unwrap();
    }
    (place, dir)
}

/// The store of `filled` with everything in the ledger file and nothing in its log.
fn settled() -> (tempfile::TempDir, PathBuf) {
    let (place, dir) = filled();
    let db = Connection::open(ledger(&dir)).unwrap();
    db.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    (place, dir)
}

fn ledger(dir: &Path) -> PathBuf {
    dir.join("ledger.sqlite")
}

fn refused(dir: &Path) -> StoreError {
    let before = fs::read(ledger(dir)).unwrap();
    let errors = [OpenOptions::create(), OpenOptions::default(), OpenOptions::read_only()]
        .map(|options| Store::open(dir, options).map(drop).unwrap_err());
    assert_eq!(errors[0], errors[1]);
    assert_eq!(errors[1], errors[2]);
    assert_eq!(fs::read(ledger(dir)).unwrap(), before, "the evidence was changed");
    errors.into_iter().next().unwrap()
}

#[test]
fn what_is_no_ledger_is_named() {
    let (_place, dir) = settled();
    let whole = fs::read(ledger(&dir)).unwrap();
    let other = dir.join("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let other = fs::read(other).unwrap();
    let cases: [(&[u8], &str); 5] = [
        (b"", "is empty (0 bytes)"),
        (
            b"{\"cniVersion\": \"1.0.0\"}",
            "is not a ledger of this program: it begins with `{\\\"cni",
        ),
        (&whole[..300], "is damaged: it was cut to 300 bytes"),
        (&other, "is the SQLite database of another program"),
        (&whole[..5 * 4096], "is damaged"),
    ];
    for (bytes, expected) in cases {
        fs::write(ledger(&dir), bytes).unwrap();
        let error = refused(&dir).to_string();
        assert!(error.contains(expected), "`{error}` has no `{expected}`");
        assert!(error.contains("restore") || error.contains("move it away"), "no remedy: {error}");
    }
    fs::write(ledger(&dir), &whole).unwrap();
    assert_eq!(held(&open(&dir)).len(), 20);
}

#[test]
fn a_newer_format_is_refused() {
    let (_place, dir) = settled();
    let db = Connection::open(ledger(&dir)).unwrap();
    db.pragma_update(None, "user_version", 2).unwrap();
    db.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    drop(db);
    let path = ledger(&dir);
    assert_eq!(refused(&dir), StoreError::Format { path, found: 2, expected: 1 });
}

#[test]
fn an_older_format_is_upgraded() {
    let (_place, dir) = settled();
    let db = Connection::open(ledger(&dir)).unwrap();
    db.execute_batch("DROP TABLE witness; PRAGMA user_version = 0").unwrap();
    drop(db);
    let read_only = Store::open(&dir, OpenOptions::read_only()).unwrap_err();
    assert!(matches!(read_only, StoreError::Format { found: 0, .. }), "{read_only}");
    let store = open(&dir);
    assert_eq!(held(&store).len(), 20);
    assert!(store.witnesses().unwrap().is_empty());
    attach(&store, "p", "after", 20).unwrap();
    lab::sound(&store);
    lab::sound(&open(&dir));
}

#[test]
fn a_forged_row_is_found() {
    let forgeries = [
        "UPDATE block SET allocated = allocated + 1",
        "UPDATE block SET body = x'00'",
        "DELETE FROM holding WHERE tag > 0",
        "INSERT INTO holding VALUES (1, 1)",
        "INSERT INTO run VALUES ('p', x'0000000000000000000000000a000000', x'0000000000000000000000000a000000')",
        "INSERT INTO resting VALUES ('p', 1, x'0000000000000000000000000a000050', 1)",
        "DELETE FROM pool_prefix",
        "UPDATE definition SET body = '{}'",
        "UPDATE block SET first = x'00'",
        "UPDATE block SET family = 5",
        "UPDATE definition SET kind = 9",
    ];
    for forgery in forgeries {
        let (_place, dir) = settled();
        Connection::open(ledger(&dir)).unwrap().execute_batch(forgery).unwrap();
        let report = open(&dir).check().unwrap();
        assert!(!report.is_clean(), "{forgery}");
        assert!(report.discrepancies.iter().all(|found| !found.to_string().is_empty()));
    }
}

/// Whatever the bytes are: errors, or what was once committed.
fn survive(dir: &Path) {
    let Ok(store) = Store::open(dir, OpenOptions::create()) else { return };
    let known: Option<Vec<IpAddr>> = store
        .load_all()
        .ok()
        .and_then(|view| Some(view.allocations().ok()?.map(|found| found.address()).collect()));
    drop(store.identity());
    drop(store.witnesses());
    drop(store.replay());
    drop(store.history(&spiderpool_store::Filter::default()));
    let is_clean = store.check().is_ok_and(|report| report.is_clean());
    let given = attach(&store, "p", "fresh", 30);
    drop(detach(&store, "c3", 31));
    if is_clean && let (Some(known), Ok(given)) = (known, given) {
        assert!(!known.contains(&given), "{given} was given twice");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_never_panic(
        in_log: bool,
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        smears in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..40)), 0..6),
    ) {
        let (_place, dir) = if in_log { filled() } else { settled() };
        let path = if in_log { dir.join("ledger.sqlite-wal") } else { ledger(&dir) };
        let mut bytes = fs::read(&path).unwrap();
        for (at, smear) in smears {
            let at = at.index(bytes.len());
            let end = (at + smear.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&smear[..end - at]);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        survive(&dir);
    }

    #[test]
    fn arbitrary_rows_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), table in 0..5) {
        let (_place, dir) = settled();
        let db = Connection::open(ledger(&dir)).unwrap();
        let sql = match table {
            0 => "UPDATE block SET body = ?1",
            1 => "UPDATE definition SET body = ?1",
            2 => "UPDATE journal SET body = ?1 WHERE seq = 3",
            3 => "UPDATE definition SET body = CAST(?1 AS TEXT)",
            _ => "UPDATE block SET first = ?1",
        };
        db.execute(sql, [body]).unwrap();
        drop(db);
        survive(&dir);
    }
}
