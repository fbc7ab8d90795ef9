//! Bytes that nobody meant: whatever comes in, one JSON object or nothing goes out, and no address.
//!
//! A panic becomes code 999 in `spiderpool_cni::serve` (`a_panic_is_an_error` there); the shipping
//! binary has no door through which a test could make it panic, so here no input may reach 999.

#![cfg(test)]

mod lab;

use lab::{Ask, HERE, Lab};
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// xorshift64*: numbers that a seed repeats.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        // No NUL: a variable of the environment cannot hold one.
        (0..length).map(|_| u8::try_from(self.next() % 255).unwrap() + 1).collect()
    }
}

/// Anything but a success, told in one object.
fn refused(lab: &Lab, ask: &Ask) {
    let heard = ask.send();
    assert_eq!(heard.exit, Some(1), "{ask:?} {heard:?}");
    assert_ne!(heard.code(), 999, "{ask:?} {heard:?}");
    assert!(heard.json()["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{heard:?}");
    assert_eq!(heard.stderr, "", "{ask:?}");
    assert!(lab.held().is_empty());
}

#[test]
fn random_bytes_on_standard_input_never_succeed() {
    let lab = Lab::new();
    let mut chance = Chance(0x5eed_0001);
    for _ in 0..100 {
        let length = chance.below(300);
        refused(&lab, &lab.add("c1").bytes(chance.bytes(length)));
    }
}

#[test]
fn random_bytes_in_the_environment_never_succeed() {
    let lab = Lab::new();
    let mut chance = Chance(0x5eed_0002);
    for round in 0..100 {
        let key =
            ["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"][round % 5];
        let length = 1 + chance.below(40);
        let mut bytes = chance.bytes(length);
        // What no variable may hold, so that chance cannot hit a good value.
        bytes.extend(b"/ \xff=");
        refused(&lab, &lab.add("c1").env(key, OsString::from_vec(bytes)));
    }
}

#[test]
fn a_configuration_that_was_damaged_on_its_way_gives_no_wrong_answer() {
    let lab = Lab::new();
    let whole = lab.conf(&["blue"], &[]).to_string().into_bytes();
    for cut in 0..whole.len() {
        if cut % 3 == 0 {
            refused(&lab, &lab.add("c1").bytes(&whole[..cut]));
        }
    }
    let mut chance = Chance(0x5eed_0003);
    // The `ipam` object keeps its bits: it says where store and log are, and a test writes nowhere else.
    let text = String::from_utf8(whole.clone()).unwrap();
    let (from, to) = (text.find("\"ipam\"").unwrap(), text.rfind("},").unwrap());
    for _ in 0..100 {
        let mut bytes = whole.clone();
        let at = loop {
            let at = chance.below(bytes.len());
            if !(from..to + 2).contains(&at) {
                break at;
            }
        };
        bytes[at] ^= 1 << chance.below(8);
        // A flipped bit may leave a good configuration; then the answer is one, too.
        let heard = lab.add("c1").bytes(bytes).send();
        assert_ne!(heard.exit, None, "{heard:?}");
        assert!(heard.exit == Some(0) || heard.code() != 999, "{heard:?}");
        heard.json();
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let lab = Lab::new();
    refused(&lab, &lab.add("c1").bytes("[".repeat(100_000)));
    refused(&lab, &lab.add("c1").bytes(r#"{"a":"#.repeat(10_000)));
    let long = json!({"cniVersion": "1.0.0", "name": "net", "x": "y".repeat(5 << 20)}).to_string();
    refused(&lab, &lab.add("c1").bytes(long));
    refused(&lab, &lab.add("c1").container(&"c".repeat(300)));
    refused(&lab, &lab.add("c1").set("name", "n".repeat(300)));
    refused(&lab, &lab.add("c1").args(&format!("K8S_POD_UID={}", "u".repeat(300))));
    refused(&lab, &lab.add("c1").args("K8S_POD_UID=two words"));
    refused(&lab, &lab.add("c1").ipam("node_name", "two words"));
}

#[test]
fn what_is_no_namespace_is_refused() {
    let lab = Lab::new();
    for path in
        ["/", "/etc/passwd", "/dev/null", "/proc/self/ns/mnt", "relative", "/proc/self/ns/net/x"]
    {
        let ask = lab.add("c1").netns(path);
        assert_eq!(ask.send().code(), 8, "{path}");
        refused(&lab, &ask);
    }
    let fifo = lab.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    refused(&lab, &lab.add("c1").netns(&fifo));
}

#[test]
fn standard_output_that_is_closed_is_no_success() {
    let lab = Lab::new();
    let mut child = lab.add("c1").start();
    drop(child.stdout.take());
    assert_ne!(child.wait().unwrap().code(), Some(0));
    // The runtime takes that for a failure, and sends DEL.
    lab.del("c1").send().ok();
    lab.is_as_new();
    let version = Ask::new("VERSION", json!({"cniVersion": "1.0.0"})).netns(HERE);
    version.send().ok();
}
