//! Backups and the way back.
#![cfg(test)]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the variants that it expects")]

mod lab;

use lab::{attach, define, execute, held, open, sound, state};
use spiderpool_store::{OpenOptions, Store, StoreError};
use std::fs;
use std::path::Path;

fn filled(dir: &Path) -> Store {
    let store = open(dir);
    execute(&store, &define("p", "10.0.0.0/24", &["10.0.0.1-10.0.0.80"]), 1).unwrap();
    for at in 0..20 {
        attach(&store, "p", &format!("c{at}"), 10).unwrap();
    }
    store
}

#[test]
fn a_backup_restores_the_state() {
    let place = tempfile::tempdir().unwrap();
    let [a, b, file] = ["a", "b", "file with blanks?.sqlite"].map(|name| place.path().join(name));
    let store = filled(&a);
    store.backup(&file).unwrap();
    assert!(matches!(store.backup(&file), Err(StoreError::Exists { .. })));
    let bytes = fs::read(&file).unwrap();
    assert_eq!(Store::restore(&file, &b, false).unwrap(), None);
    let copy = open(&b);
    let (one, other) = (store.load_all().unwrap(), copy.load_all().unwrap());
    assert_eq!(state(&one, &["default"]), state(&other, &["default"]));
    assert_eq!(copy.witnesses().unwrap(), store.witnesses().unwrap());
    let (was, is) = (store.identity().unwrap(), copy.identity().unwrap());
    assert_eq!(was.uuid, is.uuid);
    assert_ne!(was.incarnation, is.incarnation);
    attach(&copy, "p", "after", 20).unwrap();
    sound(&copy);
    assert_eq!(fs::read(&file).unwrap(), bytes, "a restore reads the backup only");
    let left: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn a_process_notices_that_its_ledger_was_replaced() {
    let place = tempfile::tempdir().unwrap();
    let [dir, file] = ["a", "file"].map(|name| place.path().join(name));
    let store = filled(&dir);
    store.backup(&file).unwrap();
    attach(&store, "p", "later", 20).unwrap();
    let kept = Store::restore(&file, &dir, false).unwrap_err();
    assert!(matches!(kept, StoreError::Exists { .. }), "{kept}");
    let moved = Store::restore(&file, &dir, true).unwrap().unwrap();
    let error = attach(&store, "p", "lost", 30).unwrap_err();
    assert!(matches!(error, StoreError::Replaced { .. }), "{error}");
    let restored = open(&dir);
    assert_eq!(held(&restored).len(), 20);
    attach(&restored, "p", "found", 40).unwrap();
    sound(&restored);
    let former = rusqlite::Connection::open(moved).unwrap();
    let witnesses: i64 =
        former.query_row("SELECT count(*) FROM witness", [], |row| row.get(0)).unwrap();
    assert_eq!(witnesses, 21, "what was replaced is kept whole, its log included");
}

#[test]
fn a_bad_backup_is_refused_and_touches_nothing() {
    let place = tempfile::tempdir().unwrap();
    let [dir, file] = ["a", "file"].map(|name| place.path().join(name));
    filled(&dir).backup(&file).unwrap();
    let whole = fs::read(&file).unwrap();
    let forged = {
        let copy = place.path().join("copy");
        fs::write(&copy, &whole).unwrap();
        let db = rusqlite::Connection::open(&copy).unwrap();
        db.execute_batch("PRAGMA journal_mode = DELETE; DELETE FROM holding").unwrap();
        drop(db);
        fs::read(copy).unwrap()
    };
    for bytes in [&whole[..0], &whole[..5_000], b"no database", &forged] {
        fs::write(&file, bytes).unwrap();
        let error = Store::restore(&file, &dir, true).unwrap_err();
        assert!(!matches!(error, StoreError::Exists { .. }), "{error}");
        assert_eq!(held(&open(&dir)).len(), 20);
    }
    let missing = Store::restore(place.path().join("nowhere"), &dir, true).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
}

#[test]
fn a_lost_ledger_is_restored() {
    let place = tempfile::tempdir().unwrap();
    let [dir, file] = ["a", "file"].map(|name| place.path().join(name));
    filled(&dir).backup(&file).unwrap();
    fs::remove_file(dir.join("ledger.sqlite")).unwrap();
    let lost = Store::open(&dir, OpenOptions::create()).unwrap_err();
    assert!(matches!(lost, StoreError::Lost { .. }), "{lost}");
    Store::restore(&file, &dir, false).unwrap();
    assert_eq!(held(&open(&dir)).len(), 20);
    sound(&open(&dir));
}
