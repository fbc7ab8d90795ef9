//! Values as they are written, taken or refused.

use std::net::Ipv4Addr;

use spiderpool_core::intend::{
    HostTable, MacPrefix, Mode, PolicyRoute, RpFilter, Setting, VethMtu, prefix, tx_queue_length,
    veth_link_address,
};

#[test]
fn both_spellings_of_disabled() {
    for (text, mode) in [
        ("auto", Mode::Auto),
        ("underlay", Mode::Underlay),
        ("overlay", Mode::Overlay),
        ("disable", Mode::Disabled),
        ("disabled", Mode::Disabled),
    ] {
        assert_eq!(Mode::try_from(text), Ok(mode));
    }
    let said = Mode::try_from("routed").unwrap_err().to_string();
    assert_eq!(
        said,
        "`mode` cannot be `routed`: there is no such mode; use auto, underlay, overlay or disabled"
    );
}

/// C00022: invalid prefixes are refused; so are those that made the reference panic.
#[test]
fn prefixes_of_hardware_addresses() {
    for (text, bytes) in [("0a:1b", [0x0a, 0x1b]), ("0A-1B", [0x0a, 0x1b]), ("fe:ff", [0xfe, 0xff])]
    {
        assert_eq!(MacPrefix::try_from(text).unwrap().bytes(), bytes);
    }
    for bad in ["", "0a", "0a:1b:2c", "0,:1b", "+a:1b", "01:1b", "0a:1", "0a:1g", "a:1b", "0a 1b"] {
        let said = MacPrefix::try_from(bad).unwrap_err().to_string();
        assert!(said.contains("two bytes such as `0a:1b`"), "{bad}: {said}");
    }
    assert!(MacPrefix::try_from("0b:00").unwrap_err().to_string().contains("odd first byte"));
}

#[test]
fn every_negative_filter_leaves_it() {
    for (given, setting) in [
        (-7, Setting::Leave),
        (-1, Setting::Leave),
        (0, Setting::Set(RpFilter::Off)),
        (1, Setting::Set(RpFilter::Strict)),
        (2, Setting::Set(RpFilter::Loose)),
    ] {
        assert_eq!(Setting::try_from(given), Ok(setting));
    }
    assert!(Setting::<RpFilter>::try_from(3).is_err());
}

#[test]
fn numbers_have_ranges() {
    assert!([68, 1500, 65535].into_iter().all(|bytes| VethMtu::try_from(bytes).is_ok()));
    assert!([-1, 0, 67, 65536].into_iter().all(|bytes| VethMtu::try_from(bytes).is_err()));
    assert!(
        [1, 252, 256, 500, 4_294_967_295].into_iter().all(|it| HostTable::try_from(it).is_ok())
    );
    assert!([-5, 0, 253, 254, 255, 1 << 32].into_iter().all(|it| HostTable::try_from(it).is_err()));
    assert_eq!(tx_queue_length(0), Ok(Setting::Leave));
    assert_eq!(tx_queue_length(500), Ok(Setting::Set(500)));
    assert!(tx_queue_length(-1).is_err());
}

#[test]
fn prefixes_and_addresses() {
    for (text, net) in [(" 10.1.2.3/8 ", "10.0.0.0/8"), ("10.0.0.1", "10.0.0.1/32")] {
        assert_eq!(prefix("hijackCIDR", text).unwrap().to_string(), net);
    }
    let said = prefix("serviceCIDR", "10.0.0.0/33").unwrap_err().to_string();
    assert!(said.starts_with("`serviceCIDR` cannot be `10.0.0.0/33`"), "{said}");
    let route = PolicyRoute::new("10.9.1.1/16", " 10.1.0.1 ").unwrap();
    assert_eq!(route.destination().to_string(), "10.9.0.0/16");
    assert_eq!(veth_link_address(""), Ok(None));
    assert_eq!(veth_link_address("169.254.100.1"), Ok(Some(Ipv4Addr::new(169, 254, 100, 1))));
    for bad in ["fe80::1", "224.0.0.1", "0.0.0.0", "127.0.0.1", "x"] {
        assert!(veth_link_address(bad).is_err(), "{bad}");
    }
}
