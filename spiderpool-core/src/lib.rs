//! A pure allocator of IP addresses: pools, subnets, reservations and owners as a deterministic
//! state machine.
//!
//! One function decides, [`decide::decide`]: it looks at a [`view::View`] and says what follows from
//! a [`command::Command`] at a [`moment::Moment`]. One function applies, [`view::View::apply`]. There
//! is no I/O, clock, randomness, lock, log or async in here; time and chance are arguments, so the
//! same input gives the same decision on every machine, and a history can be replayed bit for bit.
//!
//! ```
//! use spiderpool_core::command::{Answer, Command};
//! use spiderpool_core::definition::{Pool, PoolDraft};
//! use spiderpool_core::memory::Memory;
//! use spiderpool_core::moment::Moment;
//! use spiderpool_core::name::Name;
//! use spiderpool_core::owner::{Holder, Owner};
//! use spiderpool_core::request::{FamilyPolicy, PoolNames, Request, Sources, Subject};
//!
//! let mut ledger = Memory::new();
//! let moment = Moment { now_ms: 1_700_000_000_000, seed: 42 };
//! let pool = PoolDraft {
//!     name: "blue".into(),
//!     prefix: "10.6.0.0/16".into(),
//!     ranges: vec!["10.6.0.10-10.6.0.99".into()],
//!     gateway: Some("10.6.0.1".into()),
//!     ..PoolDraft::default()
//! };
//! ledger.execute(&Command::DefinePool(Pool::try_from(pool)?), moment)?;
//!
//! let (uid, container) = (Name::new("0c5e")?, Name::new("c0ffee")?);
//! let request = Request {
//!     holder: Holder {
//!         owner: Owner::pod(&uid)?,
//!         pod_uid: Some(uid),
//!         container: Some(container),
//!         node: Name::new("worker-1")?,
//!     },
//!     attachment: Name::new("eth0")?,
//!     network: Name::new("lan")?,
//!     subject: Subject::default(),
//!     sources: Sources {
//!         pod: Some(PoolNames { v4: vec!["blue".into()], v6: vec![] }),
//!         ..Sources::default()
//!     },
//!     named: vec![],
//!     routes: vec![],
//!     clean_gateway: false,
//!     families: FamilyPolicy::Require,
//!     only: None,
//!     master: None,
//!     ticket: 1,
//! };
//! let Answer::Allocated(allocated) = ledger.execute(&Command::Allocate(request), moment)? else {
//!     unreachable!("an allocation is answered with addresses")
//! };
//! assert_eq!(allocated.addresses[0].address.to_string(), "10.6.0.10/16");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Modules, in reading order:
//!
//! * [`address`]: families, ranges, sets; [`name`], [`moment`], [`label`];
//! * [`definition`]: pools, subnets, reservations, and the rules of each by itself;
//! * [`owner`], [`slots`]: who has an address, and the blocks that say so;
//! * [`event`]: what has happened; [`view`]: the state that events change;
//! * [`request`], [`command`], [`refusal`]: what can be asked, and why the answer may be no;
//! * [`decide`]: what follows; [`memory`], [`transaction`]: how it becomes so;
//! * [`audit`]: what is wrong with a state.
//!
//! Coordination of a pod's networks stands beside the ledger, and knows nothing of it:
//!
//! * [`net`]: links, addresses, routes, rules, neighbours, sysctls: what a namespace holds;
//! * [`intend`]: what a pod's and its host's namespace should hold;
//! * [`plan`]: how to get there, each step with its way back.
//!
//! Left open on purpose, with their places: application pools carved from subnets are commands that
//! define pools (`command`), identities of virtual machines are owners (`owner`), and a block leased
//! to one node would be a field of [`slots::Block`].

pub mod address;
pub mod label;
pub mod moment;
pub mod name;

pub mod definition;
pub mod owner;
pub mod slots;

pub mod event;
pub mod view;

pub mod command;
pub mod refusal;
pub mod request;

pub mod decide;
pub mod memory;
pub mod transaction;

pub mod audit;

pub mod net;

pub mod intend;
pub mod plan;
