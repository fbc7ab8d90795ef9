//! Properties of manifests: they come back from the core and from text as they were, and no input
//! makes the reader panic.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use spiderpool_core::definition::{Policy, Pool, Reservation, RouteDraft, Subnet};
use spiderpool_kube::manifest::{
    Expression, LabelSelector, Manifest, PoolSpec, ReservedIPSpec, SpiderIPPool, SpiderReservedIP,
    SpiderSubnet, SubnetSpec, read_manifests, read_value, write_manifest,
};
use std::collections::BTreeMap;

/// Texts that YAML could take for something else, and ordinary ones.
fn text() -> impl Strategy<Value = String> {
    let tricky = [
        "yes",
        "no",
        "on",
        "null",
        "~",
        "",
        "1",
        "0x1F",
        "1e3",
        ".nan",
        "1_000",
        "12:30:45",
        "2020-01-01",
        "- a",
        "a: b",
        "#",
        "a #b",
        " lead",
        "trail ",
        "two\nlines",
        "tail\n",
        "\n",
        "\ttab",
        "'",
        "\"",
        "{}",
        "[",
        "&a",
        "*a",
        "!tag",
        "|",
        ">",
        "%",
        "@",
        "`",
        "---",
        "...",
        "---\nkind: x",
        "\u{feff}",
        "\u{85}",
        "é",
        "\u{1F600}",
        "<<",
        "=",
        "true",
    ];
    prop_oneof![
        prop::sample::select(tricky.to_vec()).prop_map(str::to_owned),
        "[a-z0-9./-]{1,20}",
        "\\PC{0,120}",
        "[ a-z\n]{0,120}",
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9.-]{0,12}",
        "[0-9]{1,5}",
        Just("null".to_owned()),
        Just("no".to_owned())
    ]
}

fn mapping() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(prop_oneof!["[a-z./]{1,12}", text()], text(), 0..4)
}

fn selector() -> impl Strategy<Value = Option<LabelSelector>> {
    let listed =
        (name(), prop::sample::select(vec!["In", "NotIn"]), prop::collection::vec(text(), 1..4));
    let bare = (name(), prop::sample::select(vec!["Exists", "DoesNotExist"]), Just(Vec::new()));
    let expression = prop_oneof![listed, bare].prop_map(|(key, operator, values)| Expression {
        key,
        operator: operator.to_owned(),
        values,
    });
    let selector = (mapping(), prop::collection::vec(expression, 0..3))
        .prop_map(|(match_labels, match_expressions)| LabelSelector {
            match_labels,
            match_expressions,
        })
        .prop_filter("asks for something", |selector| *selector != LabelSelector::default());
    prop::option::of(selector)
}

/// A prefix, and the text of its address with the given last number.
fn prefix() -> impl Strategy<Value = (bool, String)> {
    prop_oneof![
        any::<u8>().prop_map(|at| (false, format!("10.{at}.0."))),
        any::<u16>().prop_map(|at| (true, format!("fd00:{at:x}::"))),
    ]
}

/// What pools and subnets have in common, as the fields of a subnet.
fn subnet_spec() -> impl Strategy<Value = SubnetSpec> {
    let ranges = prop::collection::vec((0..3_u8, 0..8_u8), 0..8);
    (prefix(), ranges, any::<(bool, bool)>(), prop::option::of(0..3_u8), prop::option::of(name()))
        .prop_map(|((v6, start), ranges, (versioned, gateway), routes, space)| {
            let address =
                |at: u8| if v6 { format!("{start}{at:x}") } else { format!("{start}{at}") };
            let spans = ranges.iter().enumerate().map(|(at, (skip, length))| {
                let first = 10 + 20 * u8::try_from(at).unwrap() + skip;
                (first, first + length)
            });
            let ips = spans.clone().map(|(first, last)| match last - first {
                0 => address(first),
                _ => format!("{}-{}", address(first), address(last)),
            });
            let exclude_ips =
                spans.filter(|(first, _)| first % 2 == 0).map(|(first, _)| address(first));
            let route = |at: u8| RouteDraft {
                dst: if v6 { format!("fd01:{at}::/32") } else { format!("172.{at}.0.0/16") },
                gw: address(2),
            };
            SubnetSpec {
                ip_version: versioned.then_some(if v6 { 6 } else { 4 }),
                subnet: if v6 { format!("{start}/64") } else { format!("{start}0/24") },
                ips: ips.collect(),
                exclude_ips: exclude_ips.collect(),
                gateway: gateway.then(|| address(1)),
                routes: routes.map(|count| (0..count).map(route).collect()),
                space,
            }
        })
}

fn pool() -> impl Strategy<Value = SpiderIPPool> {
    let network = prop_oneof!["[a-z]{1,8}", "[a-z]{1,8}/[a-z]{1,8}"];
    let names = || prop::collection::vec(name(), 0..3);
    let scope = (
        selector(),
        selector(),
        names(),
        selector(),
        names(),
        prop::collection::vec(network, 0..3),
    );
    let policy = prop::sample::select(vec![Policy::Sequential, Policy::Spread, Policy::Rotate]);
    let choices = (
        any::<(Option<bool>, Option<bool>)>(),
        prop::option::of(policy),
        prop::option::of(0..u64::MAX / 1000),
    );
    (name(), mapping(), subnet_spec(), scope, choices).prop_map(
        |(name, annotations, base, scope, choices)| {
            let SubnetSpec { ip_version, subnet, ips, exclude_ips, gateway, routes, space } = base;
            let (
                pod_affinity,
                namespace_affinity,
                namespace_name,
                node_affinity,
                node_name,
                multus_name,
            ) = scope;
            let ((default, disable), policy, cool_down_seconds) = choices;
            let spec = PoolSpec {
                ip_version,
                subnet,
                ips,
                exclude_ips,
                gateway,
                routes,
                pod_affinity,
                namespace_affinity,
                namespace_name,
                node_affinity,
                node_name,
                multus_name,
                default,
                disable,
                policy,
                cool_down_seconds,
                space,
            };
            let mut pool = SpiderIPPool::named(&name, spec);
            pool.metadata.annotations = annotations;
            pool
        },
    )
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let subnet = (name(), subnet_spec()).prop_map(|(name, spec)| SpiderSubnet::named(&name, spec));
    let reservation = (name(), subnet_spec()).prop_map(|(name, base)| {
        let ip_version = Some(if base.subnet.contains(':') { 6 } else { 4 });
        SpiderReservedIP::named(
            &name,
            ReservedIPSpec { ip_version, ips: base.ips, space: base.space },
        )
    });
    prop_oneof![
        3 => pool().prop_map(Manifest::Pool),
        1 => subnet.prop_map(Manifest::Subnet),
        1 => reservation.prop_map(Manifest::Reservation),
    ]
}

fn check_pool(manifest: &SpiderIPPool) -> Pool {
    Pool::try_from(manifest.lift("spiderpool").unwrap()).unwrap()
}

proptest! {
    #[test]
    fn manifests_round_trip(manifest in manifest()) {
        match &manifest {
            Manifest::Pool(pool) => {
                let checked = check_pool(pool);
                prop_assert_eq!(check_pool(&SpiderIPPool::lower(&checked)), checked);
            }
            Manifest::Subnet(subnet) => {
                let checked = Subnet::try_from(subnet.lift()).unwrap();
                prop_assert_eq!(Subnet::try_from(SpiderSubnet::lower(&checked).lift()).unwrap(), checked);
            }
            Manifest::Reservation(reservation) => {
                let checked = Reservation::try_from(reservation.lift()).unwrap();
                let lowered = SpiderReservedIP::lower(&checked);
                prop_assert_eq!(Reservation::try_from(lowered.lift()).unwrap(), checked);
            }
        }
    }

    #[test]
    fn text_reads_back(manifest in manifest()) {
        let text = write_manifest(&manifest).unwrap();
        let documents = read_manifests(&text).map_err(|flaws| TestCaseError::fail(format!("{}\n{text}", flaws[0])))?;
        prop_assert_eq!(documents.len(), 1, "{}", text);
        prop_assert_eq!(&documents[0].manifest, &manifest, "{}", text);
        let value = read_value(&manifest.to_json().unwrap()).unwrap();
        prop_assert_eq!(&value[0].manifest, &manifest);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let read = read_manifests(&String::from_utf8_lossy(&bytes));
        prop_assert!(read.is_err() || read.is_ok_and(|documents| documents.is_empty()));
    }

    #[test]
    fn damaged_manifests_never_panic(manifest in manifest(), at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..4), cut in 0..6_usize) {
        let mut text = write_manifest(&manifest).unwrap().into_bytes();
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        text.splice(start..end, bytes);
        if let Err(flaws) = read_manifests(&String::from_utf8_lossy(&text)) {
            prop_assert!(flaws.iter().all(|flaw| flaw.to_string().starts_with("document ")));
        }
    }

    #[test]
    fn yaml_punctuation_never_panics(text in "[-:{}\\[\\]&*!|>'\"%@#?,~<\\n\\t a-c0-9.]{0,120}") {
        if let Err(flaws) = read_manifests(&text) {
            prop_assert!(!flaws.is_empty());
        }
    }
}
