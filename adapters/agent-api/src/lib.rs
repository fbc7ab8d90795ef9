//! What is said on the agent's unix socket, for both sides of it.
//!
//! The agent of a node serves HTTP/1.1 on a unix socket. CNI plugins ask it: `spiderpool` for addresses,
//! `coordinator` for what the cluster says. This crate owns the messages ([`message`]), the paths
//! ([`path`]), the errors ([`ErrorBody`]) and a blocking [`Client`]; it starts no runtime, since a plugin is
//! a process for every pod. An agent reads requests with [`read`] and tells errors with
//! [`ErrorBody::lower`]. `docs/agent-api.md` describes the whole interface for people.
//!
//! The interface is the reference's (version 1), with fields and paths added (version 2). Invariants:
//!
//! 1. Either side may be the older one: unknown fields are passed over, and a message without
//!    `apiVersion` is of version 1 (`an_older_side_is_understood`, `unknown_fields_are_passed_over`).
//! 2. Whoever asks in version 1 is told of errors as a JSON string, as the reference tells them
//!    (`an_error_is_a_string_to_an_older_plugin`).
//! 3. An exchange ends at its deadline, however slowly the other side speaks
//!    (`slow_bytes_end_at_the_deadline`, `a_full_backlog_ends_at_the_deadline` in `tests/client.rs`).
//! 4. A reply has bounded size, and no bytes make the client panic (`a_reply_has_a_largest_size`,
//!    `every_prefix_of_a_reply_is_torn`, `no_reply_panics` in `tests/client.rs`).
//!
//! ```no_run
//! use spiderpool_agent_api::{Client, SOCKET, message::PodQuery};
//! use std::time::{Duration, Instant};
//!
//! let client = Client::new(SOCKET, Instant::now() + Duration::from_secs(30));
//! let config = client.coordinator_config(&PodQuery::of("default", "web-0"))?;
//! println!("{}", config.mode);
//! # Ok::<(), spiderpool_agent_api::AgentFault>(())
//! ```

pub mod message;
pub mod path;
pub mod query;

mod client;
mod error;
mod fault;
mod http;
mod read;
mod version;

pub use client::Client;
pub use error::{ErrorBody, reason, status};
pub use fault::AgentFault;
pub use read::{BadMessage, Message, read};
pub use version::ApiVersion;

/// Where the agent listens unless it is told otherwise (reference, section 2.1).
pub const SOCKET: &str = "/var/run/spidernet/spiderpool.sock";

/// The largest request that a plugin sends, in bytes: room for GC with some 30,000 attachments.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// The largest body of a reply that the client takes, in bytes.
pub const MAX_REPLY_BYTES: usize = 4 * 1024 * 1024;
