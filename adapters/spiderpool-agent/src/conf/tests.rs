//! What a `conf.yml` says, and what is said about it.

use super::*;

/// The keys that the reference's chart writes.
const REFERENCE: &str = r#"
ipamUnixSocketPath: "/var/run/spidernet/spiderpool.sock"
enableIPv4: true
enableIPv6: false
enableStatefulSet: true
enableKubevirtStaticIP: true
enableCleanOutdatedEndpoint: false
enableSpiderSubnet: true
enableAutoPoolForApplication: true
enableIPConflictDetection: true
enableGatewayDetection: false
enableValidatingResourcesDeletedWebhook: false
clusterSubnetDefaultFlexibleIPNumber: 1
tuneSysctlConfig: true
podResourceInject:
  enabled: false
  namespacesExclude: ["kube-system"]
  namespacesInclude: []
agent:
  networkResourcePlugin:
    enabled: false
    kubeletRootDir: /var/lib/kubelet
iaasNetworkProvider:
  serverUrl: ""
  httpRequestTimeout: 30s
clusterNetwork:
"#;

#[test]
fn the_references_file_is_read_without_a_word() {
    let read = Read::of(REFERENCE).unwrap();
    assert_eq!(read.remarks, [""; 0]);
    assert_eq!(read.conf.families, Families { v4: true, v6: false });
    assert_eq!(read.conf.detection, Detection { conflict: true, gateway: false });
    assert!(read.conf.tunes_node && read.conf.statics.virtual_machines);
    assert_eq!(read.conf.own, Read::of("").unwrap().conf.own);
}

#[test]
fn a_family_that_is_off_leaves_the_other() {
    let check = |text, only| assert_eq!(Read::of(text).unwrap().conf.families.only(), only);
    check("", None);
    check("enableIPv6: false", Some(Family::V4));
    check("enableIPv4: false", Some(Family::V6));
}

#[test]
fn what_is_ours_is_read() {
    let text = "agent:\n  logLevel: DEBUG\n  familyPolicy: prefer\n  requestTimeoutSeconds: 30\n  repairIntervalSeconds: 0\n  network: kube-system/macvlan\n";
    let own = Read::of(text).unwrap().conf.own;
    assert_eq!(own.log_level, Some(LevelFilter::DEBUG));
    assert_eq!(own.family_policy, FamilyPolicy::Prefer);
    assert_eq!((own.add_timeout, own.repair_every), (Duration::from_secs(30), None));
    assert_eq!(own.network.as_deref(), Some("kube-system/macvlan"));
}

#[test]
fn a_bad_value_names_its_key() {
    let told = |text: &str| Read::of(text).unwrap_err().to_string();
    assert!(told("agent: {requestTimeoutSeconds: 100}").contains("`agent.requestTimeoutSeconds`"));
    assert!(told("agent: {logLevel: loud}").contains("`agent.logLevel` is `loud`"));
    assert!(told("ipamUnixSocketPath: run/x").contains("`ipamUnixSocketPath`"));
    assert_eq!(Read::of("{enableIPv4: false, enableIPv6: false}").unwrap_err(), BadConf::NoFamily);
    assert!(told("- a\n- b").contains("it is a list"));
    assert!(told("enableIPv4: maybe").contains("a value cannot be used"));
    assert!(told("a: [").contains("no YAML"));
}

#[test]
fn an_unknown_key_names_its_neighbour() {
    let remarks = Read::of("enableIpv4: true\nfoo: 1\nagent: {logLevl: info}\n").unwrap().remarks;
    assert_eq!(
        remarks,
        [
            "`enableIpv4` is unknown; is `enableIPv4` meant?",
            "`foo` is unknown and has no effect",
            "`agent.logLevl` is unknown; is `agent.logLevel` meant?"
        ]
    );
}

#[test]
fn what_is_not_supported_is_told() {
    let text = "iaasNetworkProvider: {serverUrl: \"https://x\"}\nagent: {networkResourcePlugin: {enabled: true}}";
    let remarks = Read::of(text).unwrap().remarks;
    assert!(remarks[0].contains("asks no such provider"), "{remarks:?}");
    assert!(remarks[1].contains("no device plugin"), "{remarks:?}");
}
