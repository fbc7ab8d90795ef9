//! Records on disk; what the kernel has to do with is tested with the real plugin.

use super::*;
use spiderpool_core::intend::{Configuration, Intent, Record, Style};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

fn kept(container: &str, interface: &str) -> Kept {
    let record = Record {
        format: Record::FORMAT,
        container: container.into(),
        interface: name(interface),
        configuration: Configuration::new(name("eth0")),
        style: Style::Underlay,
        founder: None,
        intent: Intent::default(),
        table: 101,
        gateways: BTreeMap::new(),
        keeper: None,
        displaced: None,
        before: Vec::new(),
    };
    Kept { network: "net".into(), witness: None, record }
}

fn records() -> (TempDir, Records, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let records = Records::at(home.path().join("state"));
    let file = home.path().join("state/pods/c1/eth0.json");
    (home, records, file)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(50)
}

#[test]
fn records_come_and_go() {
    let (_home, records, file) = records();
    assert_eq!(records.all().unwrap(), []);
    assert!(!records.remove("c1", &name("eth0")).unwrap());
    for (container, interface) in [("c1", "net1"), ("c1", "eth0"), ("c2", "eth0"), ("locks", "a")] {
        records.write(&kept(container, interface)).unwrap();
    }
    let listed = |entries: Vec<Entry>| -> Vec<String> {
        entries.iter().map(|entry| format!("{}/{}", entry.container(), entry.interface())).collect()
    };
    assert_eq!(listed(records.all().unwrap()), ["c1/eth0", "c1/net1", "c2/eth0", "locks/a"]);
    assert_eq!(listed(records.of_container("c1").unwrap()), ["c1/eth0", "c1/net1"]);
    let found = records.find("c1", &name("eth0")).unwrap().unwrap();
    assert_eq!(found.kept(), Some(&kept("c1", "eth0")));
    assert!(records.remove("c1", &name("eth0")).unwrap());
    assert!(records.remove("c1", &name("net1")).unwrap());
    assert!(!file.parent().unwrap().exists(), "nothing is left of a container without records");
}

#[test]
fn a_record_is_whole() {
    let (_home, records, file) = records();
    records.write(&kept("c1", "eth0")).unwrap();
    // A verb that was killed while it wrote.
    fs::write(file.with_file_name(".tmp-eth0"), "{").unwrap();
    assert_eq!(records.of_container("c1").unwrap().len(), 1);
    records.write(&kept("c1", "eth0")).unwrap();
    assert!(!file.with_file_name(".tmp-eth0").exists());
    fs::write(file.with_file_name(".tmp-eth0"), "{").unwrap();
    records.remove("c1", &name("eth0")).unwrap();
    assert!(!file.parent().unwrap().exists());
}

#[test]
fn a_damaged_record_is_told_from_none() {
    let (_home, records, file) = records();
    assert_eq!(records.find("c1", &name("eth0")).unwrap(), None);
    records.write(&kept("c1", "eth0")).unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    for (body, expected) in [
        (String::new(), "it cannot be decoded"),
        (whole[..whole.len() / 2].to_owned(), "it cannot be decoded"),
        (whole.replace("\"format\":1", "\"format\":9"), "it is of format 9"),
        (whole.replace("\"container\":\"c1\"", "\"container\":\"c2\""), "it is of another"),
    ] {
        fs::write(&file, body).unwrap();
        let Some(Entry::Unreadable { why, .. }) = records.find("c1", &name("eth0")).unwrap() else {
            panic!("a damaged record was read");
        };
        assert!(why.starts_with(expected), "{why}");
    }
    records.write(&kept("c1", "eth0")).unwrap();
    assert!(records.find("c1", &name("eth0")).unwrap().unwrap().kept().is_some());
}

#[test]
fn turns_are_taken() {
    let (_home, records, _) = records();
    let turn = records.lock("c1", soon()).unwrap();
    let busy = records.lock("c1", soon()).unwrap_err();
    assert!(matches!(busy, RecordFault::Busy { .. }), "{busy:?}");
    drop(turn);
    drop(records.lock("c1", soon()).unwrap());
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("state"), "a file").unwrap();
    let records = Records::at(home.path().join("state"));
    assert!(matches!(records.try_out(), Err(RecordFault::Io { .. })));
    assert_eq!(records.all().unwrap(), [], "there is none");
}
