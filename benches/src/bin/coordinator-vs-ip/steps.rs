//! What joins a pod's first underlay interface with its node, as command lines, and what parts them.
//!
//! The steps are those of the reference: a pair of links, permanent neighbours at both ends, the node's
//! addresses and service prefixes by the pair, the node's table of ways to its pods, marks so that replies
//! go back where requests came from, and sysctls.

use spiderpool_benches::laboratory::{Call, NODE, Pod};

/// In which namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Node,
    Pod,
}

/// By which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Ip,
    Ip6,
    Sysctl,
    Iptables,
    Ip6tables,
    Nft,
}

/// What marks connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Iptables,
    Nft,
}

impl Marker {
    /// `iptables` where it can be started.
    pub(crate) fn here() -> Self {
        if Call::line("iptables --version").run().is_ok() { Self::Iptables } else { Self::Nft }
    }
}

/// One step: what follows the program's name.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    side: Side,
    tool: Tool,
    words: String,
}

fn step(side: Side, tool: Tool, words: impl Into<String>) -> Step {
    Step { side, tool, words: words.into() }
}

const NODE_MAC: &str = "0a:00:00:00:00:01";
const POD_MAC: &str = "0a:00:00:00:00:02";
const SERVICES: [&str; 2] = ["10.96.0.0/12", "169.254.0.0/16"];
const SERVICES6: &str = "fd00:96::/108";

/// The node's end of a pod's pair: no longer than a link's name may be.
fn far(pod: &Pod) -> String {
    let tail: String = pod.name.chars().rev().take(11).filter(|c| *c != '-').collect();
    format!("veth{tail}")
}

/// The steps that join.
pub(crate) fn forth(pod: &Pod, marker: Marker) -> Vec<Step> {
    let far = far(pod);
    let pair = format!(
        "link add {far} address {NODE_MAC} mtu 1500 type veth \
         peer name veth0 address {POD_MAC} mtu 1500 netns {}",
        pod.name
    );
    let [p4, p6] = &pod.addresses;
    let mut steps = vec![
        step(Side::Node, Tool::Ip, pair),
        step(Side::Node, Tool::Ip, format!("link set {far} up")),
        step(
            Side::Node,
            Tool::Ip,
            format!("neigh add {p4} lladdr {POD_MAC} nud permanent dev {far}"),
        ),
        step(
            Side::Node,
            Tool::Ip,
            format!("neigh add {p6} lladdr {POD_MAC} nud permanent dev {far}"),
        ),
        step(Side::Node, Tool::Ip, "rule add pref 1000 lookup 500"),
        step(Side::Node, Tool::Ip6, "rule add pref 1000 lookup 500"),
        step(Side::Node, Tool::Ip, format!("route add {p4}/32 dev {far} scope link table 500")),
        step(Side::Node, Tool::Ip6, format!("route add {p6}/128 dev {far} table 500")),
        step(Side::Node, Tool::Sysctl, format!("net/ipv6/conf/{far}/accept_ra=0")),
    ];
    steps.extend(in_pod(pod));
    steps.extend(marks(marker, true));
    steps
}

fn in_pod(pod: &Pod) -> Vec<Step> {
    let [n4, n6] = NODE;
    let [p4, _] = &pod.addresses;
    let mut steps: Vec<Step> = ["link set veth0 up".to_owned(), "link set eth0 up".to_owned()]
        .into_iter()
        .chain([
            format!("neigh add {n4} lladdr {NODE_MAC} nud permanent dev veth0"),
            format!("neigh add {n6} lladdr {NODE_MAC} nud permanent dev veth0"),
            format!("route add {n4}/32 dev veth0 scope link src {p4}"),
            format!("route add {n4}/32 dev veth0 scope link src {p4} table 101"),
        ])
        .chain(SERVICES.map(|net| format!("route add {net} via {n4} dev veth0 src {p4}")))
        .chain([
            "rule add pref 1000 fwmark 0x1 lookup 100".to_owned(),
            format!("route add default via {n4} dev veth0 src {p4} table 100"),
        ])
        .map(|words| step(Side::Pod, Tool::Ip, words))
        .collect();
    let v6 = [
        format!("route add {n6}/128 dev veth0"),
        format!("route add {n6}/128 dev veth0 table 101"),
        format!("route add {SERVICES6} via {n6} dev veth0"),
        "rule add pref 1000 fwmark 0x1 lookup 100".to_owned(),
        format!("route add default via {n6} dev veth0 table 100"),
    ];
    steps.extend(v6.map(|words| step(Side::Pod, Tool::Ip6, words)));
    for setting in ["net/ipv6/conf/all/disable_ipv6=0", "net/ipv4/conf/all/rp_filter=0"] {
        steps.push(step(Side::Pod, Tool::Sysctl, setting));
    }
    steps
}

/// The rules that mark connections, to add or to delete.
fn marks(marker: Marker, is_forth: bool) -> Vec<Step> {
    if marker == Marker::Nft {
        let text = if is_forth { NFT } else { "delete table inet spiderpool\n" };
        return vec![step(Side::Pod, Tool::Nft, text)];
    }
    let rules = [
        "PREROUTING -i veth0 -m conntrack --ctstate NEW -j MARK --set-xmark 0x1",
        "PREROUTING -m mark --mark 0x1 -j CONNMARK --save-mark",
        "OUTPUT -j CONNMARK --restore-mark",
    ];
    let flag = if is_forth { "-A" } else { "-D" };
    let tools = [Tool::Iptables, Tool::Ip6tables].into_iter();
    tools
        .flat_map(|tool| rules.map(|rule| step(Side::Pod, tool, format!("{flag} {rule}"))))
        .collect()
}

const NFT: &str = "table inet spiderpool {
  chain prerouting {
    type filter hook prerouting priority mangle;
    iifname veth0 ct state new ct mark set ct mark | 0x1
  }
  chain output {
    type route hook output priority mangle;
    ct mark & 0x1 == 0x1 meta mark set meta mark | 0x1
  }
}
";

/// The steps that part; the node's rules stay.
pub(crate) fn undo(pod: &Pod, marker: Marker) -> Vec<Step> {
    let mut steps = marks(marker, false);
    for tool in [Tool::Ip, Tool::Ip6] {
        steps.push(step(Side::Pod, tool, "rule del pref 1000 fwmark 0x1 lookup 100"));
    }
    // Routes and neighbours go with the pair.
    steps.push(step(Side::Node, Tool::Ip, format!("link del {}", far(pod))));
    steps
}

/// How many processes that is.
pub(crate) fn processes(calls: &[(Side, Vec<Call>)]) -> usize {
    calls.iter().map(|(_, calls)| calls.len()).sum()
}

/// Steps in a row that are of one side.
fn sides(steps: &[Step], calls: impl Fn(&[Step]) -> Vec<Call>) -> Vec<(Side, Vec<Call>)> {
    let runs = steps.chunk_by(|one, next| one.side == next.side);
    runs.filter_map(|run| Some((run.first()?.side, calls(run)))).collect()
}

/// A process for each step; one that asks whether the rule is there before each that adds it.
pub(crate) fn singly(steps: &[Step]) -> Vec<(Side, Vec<Call>)> {
    sides(steps, |run| run.iter().flat_map(alone).collect())
}

fn alone(step: &Step) -> Vec<Call> {
    let line = |program: &str| Call::line(&format!("{program} {}", step.words));
    // The node's rule is there from the first time on.
    let may_fail = step.side == Side::Node && step.words.starts_with("rule add");
    match step.tool {
        Tool::Ip => vec![Call { may_fail, ..line("ip") }],
        Tool::Ip6 => vec![Call { may_fail, ..line("ip -6") }],
        Tool::Sysctl => vec![line("sysctl -q -w")],
        Tool::Iptables => asked("iptables -w -t mangle", step),
        Tool::Ip6tables => asked("ip6tables -w -t mangle", step),
        Tool::Nft => vec![Call { input: step.words.clone(), ..Call::line("nft -f -") }],
    }
}

fn asked(program: &str, step: &Step) -> Vec<Call> {
    let does = Call::line(&format!("{program} {}", step.words));
    match step.words.strip_prefix("-A") {
        Some(rule) => {
            let asks = Call::line(&format!("{program} -C{rule}"));
            vec![Call { may_fail: true, ..asks }, does]
        }
        None => vec![does],
    }
}

/// One process for each run of steps of one kind.
pub(crate) fn batched(steps: &[Step]) -> Vec<(Side, Vec<Call>)> {
    sides(steps, |run| run.chunk_by(|one, next| one.tool == next.tool).filter_map(batch).collect())
}

fn batch(run: &[Step]) -> Option<Call> {
    let words = |separator: &str| {
        run.iter().map(|step| step.words.as_str()).collect::<Vec<_>>().join(separator)
    };
    let fed = |line: &str, input: String| Call { input, ..Call::line(line) };
    let table = || format!("*mangle\n{}\nCOMMIT\n", words("\n"));
    let first = run.first()?;
    let may_fail =
        first.side == Side::Node && run.iter().any(|it| it.words.starts_with("rule add"));
    Some(match first.tool {
        Tool::Ip => Call { may_fail, ..fed("ip -force -batch -", words("\n") + "\n") },
        Tool::Ip6 => Call { may_fail, ..fed("ip -6 -force -batch -", words("\n") + "\n") },
        Tool::Sysctl => Call::line(&format!("sysctl -q -w {}", words(" "))),
        Tool::Iptables => fed("iptables-restore -w --noflush", table()),
        Tool::Ip6tables => fed("ip6tables-restore -w --noflush", table()),
        Tool::Nft => fed("nft -f -", words("\n")),
    })
}
