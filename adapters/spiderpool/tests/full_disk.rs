//! A store on a file system without room: ADD refuses, DEL still works.

#![cfg(test)]

mod lab;

use lab::{Lab, range};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the copy of this test that runs in a mount namespace of its own.
const INSIDE: &str = "SP_INSIDE";

/// Runs a test of this binary again inside a private mount namespace.
fn again_in_private(test: &str) {
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", test, "--nocapture", "--ignored"]).env(INSIDE, "1").process_group(0);
    let output = unshare.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// A lab whose store is on a tmpfs of that size.
fn lab_on_tmpfs(size: &str) -> Lab {
    let lab = Lab::bare();
    fs::create_dir(lab.store_dir()).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={size}"), "sp"])
        .arg(lab.store_dir())
        .status();
    assert!(mount.unwrap().success());
    lab.define([range("blue", "10.6.0.", "24", "10", "250")]);
    lab
}

/// Fills the file system that the store is on, to the last byte.
fn fill(lab: &Lab) {
    let name = lab.store_dir().join("filler");
    let mut size = 1 << 20;
    let mut bytes = Vec::new();
    while size > 0 {
        bytes.resize(bytes.len() + size, 7);
        if fs::write(&name, &bytes).is_err() {
            bytes.truncate(bytes.len() - size);
            size /= 2;
        }
    }
    drop(fs::write(&name, &bytes));
}

#[test]
#[ignore = "host tier: mounts a small tmpfs, needs root"]
fn a_full_disk_refuses_add_and_lets_del_through() {
    if !is_inside() {
        return again_in_private("a_full_disk_refuses_add_and_lets_del_through");
    }
    let lab = lab_on_tmpfs("4m");
    let ids: Vec<_> = (0..40).map(|number| format!("c{number}")).collect();
    for id in &ids {
        lab.add(id).send().ok();
    }
    fill(&lab);
    // The write-ahead log may have room for a few more before it has to grow.
    let mut refused = None;
    for number in 100..200 {
        let id = format!("c{number}");
        let heard = lab.add(&id).send();
        if heard.code() != 0 {
            refused = Some(heard.expect(103));
            break;
        }
        lab.del(&id).send().ok();
    }
    let refused = refused.expect("a full disk refuses at last");
    assert!(refused.json()["msg"].as_str().unwrap().contains("is full"), "{refused:?}");
    for id in &ids {
        lab.del(id).send().ok();
    }
    assert_eq!(lab.held().len(), 0);
    // With room again everything works again.
    fs::remove_file(lab.store_dir().join("filler")).unwrap();
    lab.add("c1").send().ok();
    lab.del("c1").send().ok();
    lab.is_as_new();
}

#[test]
#[ignore = "host tier: mounts a small tmpfs, needs root"]
fn a_read_only_disk_refuses_add_and_keeps_no_container() {
    if !is_inside() {
        return again_in_private("a_read_only_disk_refuses_add_and_keeps_no_container");
    }
    let lab = lab_on_tmpfs("8m");
    let address = lab.add("c1").send().address();
    let remount = |mode: &str| {
        let mount = Command::new("mount")
            .args(["-o", &format!("remount,{mode}")])
            .arg(lab.store_dir())
            .status();
        assert!(mount.unwrap().success());
    };
    remount("ro");
    lab.add("c2").send().expect(103);
    lab.ask("STATUS", "c1").version("1.1.0").send().expect(50);
    // The runtime may let the container go; what is left behind is reclaimed later.
    lab.del("c1").send().ok();
    remount("rw");
    assert!(lab.held().contains_key(&address));
    lab.del("c1").send().ok();
    lab.is_as_new();
}
