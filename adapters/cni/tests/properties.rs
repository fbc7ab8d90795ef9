//! Properties of the protocol that hold for every input.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails by panicking"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Map, Number, Value, json};
use spiderpool_cni::{
    CniError, CniResult, Dns, Interface, IpConfig, NetConf, Request, RequestedIp, Route,
    SpecVersion, Verb, receive, serve,
};

const ENV: [(&str, &str); 4] = [
    ("CNI_COMMAND", "ADD"),
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/run/netns/a"),
    ("CNI_IFNAME", "eth0"),
];

fn version() -> impl Strategy<Value = SpecVersion> {
    proptest::sample::select(SpecVersion::ALL.to_vec())
}

fn addr() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

fn net() -> impl Strategy<Value = IpNet> {
    (addr(), 0..=128_u8).prop_map(|(addr, length)| {
        let longest = if addr.is_ipv4() { 32 } else { 128 };
        IpNet::new(addr, length.min(longest)).unwrap()
    })
}

/// Text that is not empty: empty text counts as absent.
fn text() -> impl Strategy<Value = String> {
    ".{1,12}"
}

prop_compose! {
    fn interface()(
        name in text(),
        mac in option::of(text()),
        mtu in any::<Option<u32>>(),
        sandbox in option::of(text()),
        socket_path in option::of(text()),
        pci_id in option::of(text()),
    ) -> Interface {
        Interface { name, mac, mtu, sandbox, socket_path, pci_id }
    }
}

prop_compose! {
    fn ip()(address in net(), gateway in option::of(addr()), interface in any::<Option<u32>>())
    -> IpConfig {
        IpConfig { address, gateway, interface }
    }
}

prop_compose! {
    fn route()(
        dst in net(),
        gw in option::of(addr()),
        (mtu, advmss, priority, table, scope) in any::<(Option<u32>, Option<u32>, Option<u32>, Option<u32>, Option<u8>)>(),
    ) -> Route {
        Route { dst, gw, mtu, advmss, priority, table, scope }
    }
}

prop_compose! {
    fn dns()(
        nameservers in vec(text(), 0..3),
        domain in option::of(text()),
        search in vec(text(), 0..3),
        options in vec(text(), 0..3),
    ) -> Dns {
        Dns { nameservers, domain, search, options }
    }
}

prop_compose! {
    fn result()(
        interfaces in vec(interface(), 0..3),
        ips in vec(ip(), 0..3),
        routes in vec(route(), 0..3),
        dns in dns(),
    ) -> CniResult {
        CniResult { interfaces, ips, routes, dns }
    }
}

/// What is left of `result` in `version`.
fn in_version(mut result: CniResult, version: SpecVersion) -> CniResult {
    if version < SpecVersion::V1_1_0 {
        for interface in &mut result.interfaces {
            (interface.mtu, interface.socket_path, interface.pci_id) = (None, None, None);
        }
        for route in &mut result.routes {
            *route = Route::new(route.dst, route.gw);
        }
    }
    result
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        ".{0,8}".prop_map(Value::from),
        net().prop_map(|net| json!(net.to_string())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Keys that mean something somewhere, so that random documents reach every reader.
fn key() -> impl Strategy<Value = String> {
    let known = [
        "cniVersion",
        "name",
        "type",
        "ipam",
        "dns",
        "nameservers",
        "runtimeConfig",
        "ips",
        "mac",
        "io.kubernetes.cri.pod-annotations",
        "args",
        "cni",
        "prevResult",
        "interfaces",
        "routes",
        "address",
        "gateway",
        "interface",
        "dst",
        "gw",
        "scope",
        "mtu",
        "sandbox",
        "cni.dev/valid-attachments",
        "containerID",
        "ifname",
    ];
    prop_oneof![9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"]
}

/// Exactly one object on standard output, with a code, and a failing exit code; or a request.
fn answered(env: &[(String, String)], stdin: &[u8]) -> Result<(), TestCaseError> {
    let version = SpecVersion::asked_in(stdin);
    let reply = serve(version, || match receive(env.iter().map(|(k, v)| (k, v)), stdin)? {
        Request::Version { answer_in } => Ok(Some(answer_in.version_reply())),
        Request::Add { .. }
        | Request::Del { .. }
        | Request::Check { .. }
        | Request::Status { .. }
        | Request::Gc { .. } => Ok(None),
    });
    if reply.exit == 0 {
        return Ok(());
    }
    let object: Value = serde_json::from_slice(&reply.stdout).unwrap();
    prop_assert_eq!(&object["cniVersion"], version.as_str());
    let code = object["code"].as_u64().unwrap();
    prop_assert!([1, 4, 6, 7].contains(&code), "{}", object);
    prop_assert!(!object["msg"].as_str().unwrap().is_empty());
    Ok(())
}

fn env_of(verb: Verb) -> Vec<(String, String)> {
    let mut env = ENV.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    env[0].1 = verb.as_str().to_owned();
    env
}

fn verb() -> impl Strategy<Value = Verb> {
    proptest::sample::select(Verb::ALL.to_vec())
}

proptest! {
    #[test]
    fn any_bytes_are_answered(verb in verb(), stdin in vec(any::<u8>(), 0..256)) {
        answered(&env_of(verb), &stdin)?;
    }

    #[test]
    fn any_bytes_within_a_configuration_are_answered(
        verb in verb(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut stdin = br#"{"cniVersion":"1.1.0","name":"a","prevResult":{"ips":[{"address":"10.1.2.3/24"}]}}"#.to_vec();
        let at = at.index(stdin.len());
        stdin[at] = byte;
        answered(&env_of(verb), &stdin)?;
    }

    #[test]
    fn any_environment_is_answered(
        verb in verb(),
        name in proptest::sample::select(vec!["CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"]),
        value in prop_oneof!["[^\\x00]{0,24}", "[A-Z=;]{0,24}"],
    ) {
        let mut env = env_of(verb);
        env.push((name.to_owned(), value));
        answered(&env, br#"{"cniVersion":"1.1.0","name":"a"}"#)?;
    }

    #[test]
    fn any_configuration_is_answered(
        verb in verb(),
        version in version(),
        pairs in vec((key(), json_value()), 0..6),
    ) {
        let mut conf: Map<_, _> = pairs.into_iter().collect();
        conf.insert("cniVersion".into(), version.as_str().into());
        conf.insert("name".into(), "a".into());
        answered(&env_of(verb), Value::Object(conf).to_string().as_bytes())?;
    }

    #[test]
    fn any_value_is_a_result_or_names_its_mistake(value in json_value()) {
        if let Err(bad) = CniResult::lift(&value) {
            let error = CniError::from(bad);
            prop_assert!([1, 6].contains(&error.code));
            prop_assert!(error.details.contains("result") || error.code == 1, "{:?}", error);
        }
    }

    #[test]
    fn lowering_then_lifting_loses_only_newer_keys(result in result(), version in version()) {
        let lowered = result.lower(version);
        prop_assert_eq!(&lowered["cniVersion"], version.as_str());
        prop_assert_eq!(CniResult::lift(&lowered).unwrap(), in_version(result, version));
    }

    #[test]
    fn a_previous_result_is_what_was_answered(result in result(), version in version()) {
        let conf = json!({
            "cniVersion": version.as_str(), "name": "a", "prevResult": result.lower(version),
        });
        let conf = NetConf::parse(conf.to_string().as_bytes()).unwrap();
        prop_assert_eq!(conf.prev_result, Some(Ok(in_version(result, version))));
    }

    #[test]
    fn the_order_of_arguments_means_nothing(
        (pairs, shuffled) in proptest::collection::btree_map("[A-Za-z0-9_]{1,8}", "[^;\\x00]{0,12}", 0..6)
            .prop_flat_map(|args| {
                let pairs: Vec<_> = args.into_iter().collect();
                (Just(pairs.clone()), Just(pairs).prop_shuffle())
            }),
    ) {
        let text = shuffled.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
        let env = ENV.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let env = env.chain([("CNI_ARGS".to_owned(), text.join(";"))]);
        let request = receive(env, br#"{"cniVersion":"1.0.0","name":"a"}"#).unwrap();
        let Request::Add { call, .. } = request else { panic!("ADD was asked") };
        prop_assert_eq!(call.args, pairs.into_iter().collect());
    }

    #[test]
    fn a_requested_address_reads_as_it_prints(address in addr(), length in any::<Option<u8>>()) {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let ip = RequestedIp { address, prefix_len: length.map(|length| length.min(longest)) };
        prop_assert_eq!(ip.to_string().parse::<RequestedIp>(), Ok(ip));
    }
}
