//! Tables of what is read from a configuration.

use super::*;
use serde_json::json;
use spiderpool_core::intend::{
    HostTable, MacPrefix, Mode, PolicyRoute, RpFilter, Setting, VethMtu,
};

fn conf(keys: &Value) -> NetConf {
    let mut whole = json!({"cniVersion": "1.0.0", "name": "net", "type": "coordinator"});
    for (key, value) in keys.as_object().unwrap() {
        whole[key] = value.clone();
    }
    NetConf::parse(whole.to_string().as_bytes()).unwrap()
}

fn read(keys: &Value) -> Result<Conf, CniError> {
    Conf::of(&conf(keys))
}

#[test]
fn every_key_is_read() {
    let told = read(&json!({
        "mode": "Underlay",
        "podDefaultCniNic": "eth1",
        "vethLinkAddress": "169.254.100.1",
        "vethMTU": 9000,
        "podMACPrefix": "0A-1b",
        "overlayPodCIDR": ["10.244.0.0/16"],
        "serviceCIDR": ["10.96.0.0/12", "fd00:96::/112"],
        "hijackCIDR": ["169.254.20.10"],
        "policyRoutes": [{"dst": " 10.9.0.0/16 ", "gw": "10.6.0.1"}, {"dst": "fd09::1", "gw": "fd06::1"}],
        "tunePodRoutes": false,
        "podDefaultRouteNIC": "net1",
        "hostRuleTable": 600,
        "podRPFilter": 2,
        "txQueueLen": 2000,
        "podNics": ["eth1", "net1"],
        "ipam_unix_socket_path": "/run/agent.sock",
        "stateDir": "/run/x",
        "timeoutSeconds": 5,
        "logOptions": {"logLevel": "WARN", "logFile": "/x", "logMaxSize": -1, "logMaxAge": 0, "logMaxCount": 3},
    }))
    .unwrap();
    let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
    let name = |text: &str| Some(LinkName::new(text).unwrap());
    let expected = Draft {
        mode: Some(Mode::Underlay),
        default_nic: name("eth1"),
        veth_address: Some("169.254.100.1".parse().unwrap()),
        veth_mtu: VethMtu::try_from(9000).ok(),
        mac_prefix: MacPrefix::try_from("0a:1b").ok(),
        pods: Some(vec![net("10.244.0.0/16")]),
        services: Some(vec![net("10.96.0.0/12"), net("fd00:96::/112")]),
        hijacked: Some(vec![net("169.254.20.10/32")]),
        policy_routes: Some(vec![
            PolicyRoute::new("10.9.0.0/16", "10.6.0.1").unwrap(),
            PolicyRoute::new("fd09::1/128", "fd06::1").unwrap(),
        ]),
        tunes_routes: Some(false),
        default_route: name("net1"),
        host_table: HostTable::try_from(600).ok(),
        rp_filter: Some(Setting::Set(RpFilter::Loose)),
        tx_queue_length: Some(Setting::Set(2000)),
        expected: Some(["eth1", "net1"].map(|text| LinkName::new(text).unwrap()).to_vec()),
    };
    assert_eq!(told.draft, expected);
    assert_eq!((told.state, told.timeout), ("/run/x".into(), Duration::from_secs(5)));
    assert_eq!(told.socket, Some("/run/agent.sock".into()));
    let log =
        LogFile { path: "/x".into(), level: Level::Warn, max_size: 100, max_age: 0, max_count: 3 };
    assert_eq!(told.log, log);
    assert_eq!(told.remarks, Vec::<String>::new());
}

#[test]
fn nothing_said_is_nothing_read() {
    let silent = json!({"mode": "", "hijackCIDR": [], "serviceCIDR": null, "podRPFilter": null});
    for keys in [json!({}), silent] {
        let told = read(&keys).unwrap();
        assert_eq!(told.draft, Draft::default());
        assert_eq!((told.state, told.log), (STATE.into(), log_default()));
    }
}

#[test]
fn both_spellings_of_disabled_are_read() {
    for word in ["disable", "disabled", "Disabled"] {
        assert_eq!(read(&json!({"mode": word})).unwrap().draft.mode, Some(Mode::Disabled));
    }
}

#[test]
fn the_first_that_speaks_wins() {
    let annotated = |keys: Value| {
        let mut keys = keys;
        let pods = "io.kubernetes.cri.pod-annotations";
        keys["runtimeConfig"] = json!({pods: {"ipam.spidernet.io/default-route-nic": "net2"}});
        read(&keys).unwrap().draft.default_route.unwrap().to_string()
    };
    assert_eq!(annotated(json!({})), "net2");
    assert_eq!(annotated(json!({"podDefaultRouteNic": "net1"})), "net1");
    let table = HostTable::try_from(3).ok();
    let first = Draft { tunes_routes: Some(true), ..Draft::default() };
    let second = Draft { tunes_routes: Some(false), host_table: table, ..Draft::default() };
    let both = Draft { tunes_routes: Some(true), host_table: table, ..Draft::default() };
    assert_eq!(first.over(second), both);
}

#[test]
fn mistakes_say_what_is_wanted() {
    let check = |key: &str, value: Value| {
        let error = read(&json!({ key: value })).unwrap_err();
        assert_eq!(error.code, code::BAD_NETWORK_CONFIG, "{error:?}");
        assert!(error.msg.starts_with(&format!("`{key}")), "{error:?}");
        assert!(error.msg.contains("; use "), "{error:?}");
    };
    for bad in [json!("on"), json!(1)] {
        check("mode", bad);
    }
    for bad in [json!(0), json!(-1), json!(67), json!(65536), json!("1500"), json!(1.5)] {
        check("vethMTU", bad);
    }
    for bad in ["0a", "01:00", "0a:1b:2c", "0g:00", "0a,1b", "+a:00", "é:00"] {
        check("podMACPrefix", json!(bad));
    }
    for bad in [json!("10.0.0.0/8"), json!(["10.0.0.0/33"]), json!([1])] {
        check("hijackCIDR", bad);
    }
    for bad in [
        json!([{"dst": "10.0.0.0/8", "gw": "fd00::1"}]),
        json!([{"dst": "10.0.0.0/8"}]),
        json!(["10.0.0.0/8"]),
    ] {
        check("policyRoutes", bad);
    }
    for bad in [json!(0), json!(253), json!(254), json!(255), json!(-1), json!(4_294_967_296_u64)] {
        check("hostRuleTable", bad);
    }
    for bad in [json!(3), json!("0")] {
        check("podRPFilter", bad);
    }
    check("vethLinkAddress", json!("10.0.0.1/24"));
    check("vethLinkAddress", json!("127.0.0.1"));
    check("tunePodRoutes", json!("yes"));
    check("txQueueLen", json!(-1));
    check("podNics", json!("eth0"));
    check("podDefaultRouteNic", json!("a/b"));
    check("stateDir", json!("run"));
    check("ipam_unix_socket_path", json!("agent.sock"));
    check("timeoutSeconds", json!(101));
    check("logOptions", json!("debug"));
    check("logOptions", json!({"logLevel": "loud"}));
}

#[test]
fn negative_filters_leave_it() {
    for value in [-1, -2] {
        assert_eq!(
            read(&json!({"podRPFilter": value})).unwrap().draft.rp_filter,
            Some(Setting::Leave)
        );
    }
}

#[test]
fn unknown_keys_are_remarked() {
    let told = read(&json!({"detectGateway": true, "hostRPFilter": 0, "vethMtu2": 1})).unwrap();
    assert_eq!(
        told.remarks,
        [
            "`detectGateway` means nothing to this plugin and is passed over",
            "`hostRPFilter` means nothing to this plugin and is passed over",
            "`vethMtu2` is no key of this plugin; is it misspelt?",
        ]
    );
}

#[test]
fn a_release_reads_what_it_needs() {
    let told = Conf::lenient(&conf(&json!({"mode": "?", "stateDir": "/run/x"})));
    assert_eq!(told.state, PathBuf::from("/run/x"));
    assert_eq!(told.remarks.len(), 1);
}
