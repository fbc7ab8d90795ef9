//! Any configuration of the coordinator: it is refused with code 7, or read; a DEL reads all of them.
#![no_main]

// The plugin is a program without a library: its parser is taken as it lies there.
#[path = "../../adapters/coordinator/src/conf/mod.rs"]
mod conf;

use conf::Conf;
use libfuzzer_sys::fuzz_target;
use spiderpool_cni::{Request, SpecVersion, code, receive};

fuzz_target!(|bytes: &[u8]| {
    let _version = SpecVersion::asked_in(bytes);
    let env = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/a"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    let env = env.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let Ok(Request::Add { conf: net, .. }) = receive(env, bytes) else { return };
    let lenient = Conf::lenient(&net);
    assert!(lenient.state.is_absolute());
    match Conf::of(&net) {
        Ok(read) => {
            assert_eq!(read, lenient, "a good configuration is read alike");
            assert!((1..=100).contains(&read.timeout.as_secs()));
            read.draft.configuration().expect("eth0 is a link's name");
        }
        Err(error) => {
            assert_eq!(error.code, code::BAD_NETWORK_CONFIG, "{error:?}");
            assert!(!error.msg.is_empty());
        }
    }
});
