//! Tables for the rules of one definition by itself.

use super::*;

fn pool(edit: impl FnOnce(&mut PoolDraft)) -> Result<Pool, BadDefinition> {
    let mut draft = PoolDraft {
        name: "blue".into(),
        prefix: "10.6.0.0/16".into(),
        ranges: vec!["10.6.0.10-10.6.0.99".into(), "10.6.1.0/24".into()],
        excluded: vec!["10.6.0.50".into()],
        gateway: Some("10.6.0.1".into()),
        ..PoolDraft::default()
    };
    edit(&mut draft);
    Pool::try_from(draft)
}

fn refused(edit: impl FnOnce(&mut PoolDraft), expected: &str) {
    assert_eq!(pool(edit).unwrap_err().to_string(), format!("pool blue: {expected}"));
}

fn route(dst: &str, gw: &str) -> RouteDraft {
    RouteDraft { dst: dst.into(), gw: gw.into() }
}

#[test]
fn rules_of_one_pool() {
    assert_eq!(pool(|_| {}).unwrap().usable().count(), 90 - 1 + 256);
    refused(
        |d| d.prefix = "10.6.0.1/16".into(),
        "`subnet`: `10.6.0.1/16` has host bits set; write `10.6.0.0/16`",
    );
    refused(
        |d| d.version = Some(6),
        "`ipVersion`: is 6, but `10.6.0.0/16` is IPv4; leave it out, it follows from the prefix",
    );
    refused(|d| d.ranges.push("10.7.0.1".into()), "`ips`: 10.7.0.1 is not within `10.6.0.0/16`");
    refused(
        |d| d.excluded.push("fd00::1".into()),
        "`excludeIPs`: entry 1 `fd00::1` is IPv6, but IPv4 was expected",
    );
    refused(
        |d| d.gateway = Some("10.6.0.20".into()),
        "`gateway`: 10.6.0.20 is among the addresses to give out; add it to `excludeIPs`",
    );
    refused(
        |d| d.gateway = Some("10.9.0.1".into()),
        "`gateway`: 10.9.0.1 is not within `10.6.0.0/16`",
    );
    refused(
        |d| d.scope.pods = Some(Default::default()),
        "`podAffinity`: is an empty selector, which matches everything; leave it out or write a requirement",
    );
    pool(|d| d.gateway = Some("10.6.0.50".into())).unwrap();
    pool(|d| d.ranges.clear()).unwrap();
}

#[test]
fn rules_of_routes() {
    let with = |routes: Vec<RouteDraft>| move |d: &mut PoolDraft| d.routes = Some(routes);
    refused(
        with(vec![route("0.0.0.0/0", "10.6.0.1")]),
        "`routes`: route 0: `0.0.0.0/0` is a default route; set `gateway` for that",
    );
    refused(
        with(vec![route("172.16.0.0/12", "10.9.0.1")]),
        "`routes`: route 0: the next hop 10.9.0.1 is not within `10.6.0.0/16`",
    );
    refused(
        with(vec![route("172.16.0.0/12", "10.6.0.2"), route("172.16.5.0/12", "10.6.0.3")]),
        "`routes`: route 1: `172.16.0.0/12` is already routed by an earlier entry",
    );
    refused(
        with(vec![route("fd00::/64", "10.6.0.2")]),
        "`routes`: route 0: `fd00::/64` cannot be reached through 10.6.0.2, which is of the other family",
    );
    assert_eq!(pool(with(vec![route("172.16.0.0/12", "10.6.0.2")])).unwrap().routes().len(), 1);
}

#[test]
fn every_flaw_is_told_at_once() {
    let error = pool(|d| {
        d.name = String::new();
        d.ranges = vec!["x".into()];
        d.gateway = Some("y".into());
    })
    .unwrap_err();
    let fields: Vec<_> = error.fields.iter().map(|f| f.field.as_str()).collect();
    assert_eq!(fields, ["metadata.name", "ips", "gateway"]);
}

#[test]
fn a_reservation_takes_its_family_from_its_first_entry() {
    let draft = |version, ranges: &[&str]| ReservationDraft {
        name: "hosts".into(),
        version,
        ranges: ranges.iter().map(|r| (*r).to_owned()).collect(),
        ..ReservationDraft::default()
    };
    let reservation = Reservation::try_from(draft(None, &["fd00::1", "fd00::5-fd00::9"])).unwrap();
    assert_eq!(reservation.addresses().count(), 6);
    let error = Reservation::try_from(draft(None, &["10.0.0.1", "fd00::1"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reservation hosts: `ips`: entry 1 `fd00::1` is IPv6, but IPv4 was expected"
    );
    assert!(Reservation::try_from(draft(None, &[])).is_err());
}

#[test]
fn drafts_round_trip() {
    let pool = pool(|d| d.routes = Some(vec![route("172.16.0.0/12", "10.6.0.2")])).unwrap();
    assert_eq!(Pool::try_from(PoolDraft::from(pool.clone())).unwrap(), pool);
    let json = serde_json::to_string(&pool).unwrap();
    assert_eq!(serde_json::from_str::<Pool>(&json).unwrap(), pool);
}
