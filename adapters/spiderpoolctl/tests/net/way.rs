//! `explain --to`, beside what the kernel says.

use crate::room::Node;

/// The word after another one.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let mut words = text.split_whitespace();
    words.find(|one| *one == word)?;
    words.next()
}

#[test]
#[ignore = "host tier: works in namespaces, needs root"]
fn the_way_is_the_kernels() {
    let node = Node::new();
    node.attach();
    // What is sent from one more address goes another way.
    node.pod.ip("addr add 172.40.0.200/24 dev eth0");
    node.pod.ip("rule add from 172.40.0.200 lookup 700 pref 900");
    node.pod.ip("route add 10.96.0.0/16 via 172.40.0.1 table 700");
    node.pod.ip("route add throw 10.97.0.0/16 table 700");
    for (to, from) in [
        ("172.40.0.1", ""),
        ("172.40.0.2", ""),
        ("172.40.0.7", ""),
        ("10.96.0.10", ""),
        ("10.96.0.10", "172.40.0.200"),
        ("10.97.0.10", "172.40.0.200"),
        ("169.254.7.7", ""),
        ("8.8.8.8", ""),
        ("8.8.8.8", "172.40.0.100"),
        ("fd40::1", ""),
        ("fd40::2", ""),
        ("2001:db8::1", "fd40::100"),
    ] {
        let from = if from.is_empty() { String::new() } else { format!("from {from}") };
        let kernel = node.pod.ip(&format!("route get {to} {from}"));
        let from = from.replace("from", "--from");
        let said = node.net(&format!("explain --container ID --to {to} {from} -o json")).json();
        let way = &said["way"];
        assert_eq!(way["device"].as_str(), after(&kernel, "dev"), "{to} {from}: {kernel}{way}");
        assert_eq!(way["gateway"].as_str(), after(&kernel, "via"), "{to} {from}: {kernel}{way}");
    }
}
