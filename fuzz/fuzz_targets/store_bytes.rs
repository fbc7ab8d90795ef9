//! A store file with any damage: it opens and answers, or says what is wrong; it never panics, and
//! never passes for an empty store.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spiderpool_core::command::Command;
use spiderpool_core::definition::{Pool, PoolDraft};
use spiderpool_core::moment::Moment;
use spiderpool_store::{Extra, OpenOptions, Patience, Store};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

#[derive(Debug, Arbitrary)]
enum Damage {
    Byte { at: u32, to: u8 },
    Page { at: u16, to: u8 },
    Cut { to: u32 },
    Grow { by: u16, with: u8 },
}

const LEDGER: &str = "ledger.sqlite";

fuzz_target!(|damages: Vec<Damage>| {
    let mut bytes = sound().to_vec();
    for damage in damages.iter().take(20) {
        apply(&mut bytes, damage);
    }
    let place = tempfile::tempdir().expect("a directory");
    let dir: PathBuf = place.path().join("store");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join(LEDGER), &bytes).expect("a file");
    let patience = Patience::Each(Duration::from_millis(50));
    let Ok(store) = Store::open(&dir, OpenOptions { patience, ..OpenOptions::create() }) else {
        return;
    };
    let Ok(view) = store.load_all() else { return };
    let found = view.pools().expect("a complete view").count();
    assert!(found > 0 || bytes != sound(), "a sound store lost its pool");
    // Whatever was read of a damaged file, a store that has had a decision committed is not empty.
    assert!(found > 0 || store.check().is_err() || store.revision().map_or(true, |at| at > 0));
    let _answered =
        store.execute(&Command::DefinePool(pool("green")), Moment::default(), &Extra::default());
    let _checked = store.check();
});

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let length = bytes.len().max(1);
    match *damage {
        Damage::Byte { at, to } => {
            bytes.iter_mut().skip(at as usize % length).take(1).for_each(|b| *b = to)
        }
        Damage::Page { at, to } => {
            bytes.iter_mut().skip(at as usize * 512 % length).take(512).for_each(|b| *b = to);
        }
        Damage::Cut { to } => bytes.truncate(to as usize % length),
        Damage::Grow { by, with } => bytes.extend(std::iter::repeat_n(with, by.into())),
    }
}

/// The bytes of a store with one pool, its log written back.
fn sound() -> &'static [u8] {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    SOUND.get_or_init(|| {
        let place = tempfile::tempdir().expect("a directory");
        let copy = place.path().join("copy");
        let store =
            Store::open(place.path().join("store"), OpenOptions::create()).expect("a store");
        let define = Command::DefinePool(pool("blue"));
        store.execute(&define, Moment { now_ms: 1, seed: 1 }, &Extra::default()).expect("a pool");
        store.backup(&copy).expect("a backup");
        std::fs::read(file_of(&copy)).expect("its file")
    })
}

/// A backup is one file, or a directory with it.
fn file_of(copy: &Path) -> PathBuf {
    if copy.is_dir() { copy.join(LEDGER) } else { copy.to_owned() }
}

fn pool(name: &str) -> Pool {
    let draft = PoolDraft {
        name: name.into(),
        prefix: "10.0.0.0/24".into(),
        ranges: vec![
            if name == "blue" { "10.0.0.2-10.0.0.9" } else { "10.0.0.20-10.0.0.29" }.into(),
        ],
        ..PoolDraft::default()
    };
    Pool::try_from(draft).expect("a pool")
}
