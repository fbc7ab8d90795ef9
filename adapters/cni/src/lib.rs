//! The CNI protocol as plain values, for every plugin of this project.
//!
//! A plugin's `main` reads its environment and standard input, and hands both to [`receive`]. What comes
//! back is a [`Request`] in which everything that its verb requires is present. The plugin answers with a
//! [`CniResult`], lowered to the version that was asked, or with a [`CniError`]; [`serve`] turns either,
//! and a panic, into the bytes and the exit code that the runtime expects.
//!
//! The crate is pure: it reads no clock, file or environment variable, and prints nothing. [`receive`] is the
//! one place where the environment enters, as an argument.
//!
//! Invariants:
//!
//! 1. No input, whatever its bytes, panics (`any_bytes_are_answered` in `tests/properties.rs`).
//! 2. A result survives lowering and lifting in each version, but for the keys which that version does
//!    not have (`lowering_then_lifting_loses_only_newer_keys`).
//! 3. The order of `CNI_ARGS` means nothing (`the_order_of_arguments_means_nothing`).
//! 4. What a runtime sees is pinned byte for byte (`tests/golden.rs`).
//!
//! ```
//! use spiderpool_cni::{CniResult, IpConfig, Request, SpecVersion, receive, serve};
//!
//! let env = [
//!     ("CNI_COMMAND", "ADD"),
//!     ("CNI_CONTAINERID", "c0ffee"),
//!     ("CNI_NETNS", "/var/run/netns/blue"),
//!     ("CNI_IFNAME", "eth0"),
//!     ("CNI_ARGS", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0"),
//! ];
//! let stdin = br#"{"cniVersion": "1.0.0", "name": "blue", "type": "macvlan", "ipam": {"type": "spiderpool"}}"#;
//!
//! let reply = serve(SpecVersion::asked_in(stdin), || match receive(env, stdin)? {
//!     Request::Add { call, conf } => {
//!         assert_eq!(call.args["K8S_POD_NAME"], "web-0");
//!         let ips = vec![IpConfig::from("10.1.2.3/24".parse::<ipnet::IpNet>().unwrap())];
//!         Ok(Some(CniResult { ips, ..CniResult::default() }.lower(conf.version)))
//!     }
//!     Request::Check { .. } | Request::Del { .. } => Ok(None),
//!     Request::Status { .. } | Request::Gc { .. } => Ok(None),
//!     Request::Version { answer_in } => Ok(Some(answer_in.version_reply())),
//! });
//!
//! assert_eq!(reply.exit, 0);
//! assert_eq!(reply.stdout, b"{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.1.2.3/24\"}]}\n");
//! ```

mod request;

mod args;
mod call;
mod conf;
mod field;
mod runtime;
mod verb;
mod version;

mod carry;
mod error;
mod lift;
mod result;
mod serve;

pub use call::{BadEnv, Call};
pub use conf::{BadConf, MAX_STDIN_BYTES, NetConf, ValidAttachment};
pub use error::{CniError, code};
pub use field::BadField;
pub use lift::BadResult;
pub use request::{Request, receive};
pub use result::{CniResult, Dns, Interface, IpConfig, Route};
pub use runtime::{CniArgs, RequestedIp, Runtime};
pub use serve::{Reply, serve};
pub use verb::Verb;
pub use version::{BadVersion, SpecVersion};
