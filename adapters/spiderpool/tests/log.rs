//! The log file: what is in it, from which level on, and how it is rotated.

#![cfg(test)]

mod lab;

use lab::Lab;
use std::fs;

#[test]
fn each_line_names_its_attachment() {
    let lab = Lab::new();
    lab.add("c1").send().ok();
    lab.add("c2").pools(&["bleu"], &[]).send().expect(100);
    lab.del("c1").send().ok();
    let log = lab.log();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    let expected = [
        ("info", "verb=ADD network=net container=c1 interface=eth0 msg=\"gave 10.6.0.10/24\""),
        ("error", "verb=ADD network=net container=c2 interface=eth0 msg=\"code 100: "),
        ("info", "verb=DEL network=net container=c1 interface=eth0 msg=\"took back [10.6.0.10]\""),
    ];
    for (line, (level, text)) in lines.iter().zip(expected) {
        assert!(
            line.starts_with("time=") && line.contains(&format!(" level={level} {text}")),
            "{line}"
        );
    }
}

#[test]
fn a_level_leaves_out_what_is_below() {
    let lab = Lab::new();
    lab.add("c1").ipam("log_level", "error").send().ok();
    assert_eq!(lab.log(), "");
    lab.add("c2").ipam("log_level", "off").pools(&["bleu"], &[]).send().expect(100);
    assert_eq!(lab.log(), "");
}

#[test]
fn a_large_file_is_rotated_and_few_are_kept() {
    let lab = Lab::new();
    let large = "x".repeat(1 << 20);
    for round in 0..4 {
        fs::write(lab.path("log"), format!("{round}{large}")).unwrap();
        let add = lab.add(&format!("c{round}")).ipam("log_file_max_size", 1);
        add.ipam("log_file_max_count", 2).send().ok();
        assert_eq!(lab.log().lines().count(), 1);
    }
    let first = |name: &str| fs::read_to_string(lab.path(name)).unwrap().remove(0);
    assert_eq!((first("log.1"), first("log.2")), ('3', '2'));
    assert!(!lab.path("log.3").exists());
}
