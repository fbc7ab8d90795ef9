//! What a pod's and its host's namespace should hold.
//!
//! An [`Intent`] is a list of wishes; [`plan`](crate::plan) turns it into steps. Each wish says whom it
//! serves (its [`Tenure`]) and what it is for (its [`Reason`]). Three functions make intents, all of
//! them pure:
//!
//! * [`intend`]: what an attachment needs, from the [`Topology`] and its [`Configuration`];
//! * [`renew`]: the same again when the node or the pod has changed since;
//! * [`withdraw`]: how an attachment is taken back ([`withdraw_unrecorded`] where nothing is known of it).
//!
//! What an attachment was given is kept as a [`Record`]; the records of a pod's other attachments say
//! what is shared, which table is whose and who came first. Nothing is ever counted.
//!
//! Invariants, each kept by a test in `tests/intend`:
//!
//! 1. The same topology gives the same intent (`the_same_topology_gives_the_same_intent`).
//! 2. Once everything is so, intending again asks for nothing (`once_applied_nothing_is_left_to_do`).
//! 3. When every attachment is withdrawn, in any order, both namespaces are as before, but for what is
//!    the node's, and for IPv6 that was switched on (`withdrawn_in_any_order_nothing_is_left`,
//!    `ipv6_is_switched_on_for_each_link`).
//! 4. An intent speaks of tables 100 and up, of main, and of the host's table: foreign tables, rules
//!    and marks are left alone (`foreign_tables_and_rules_are_never_mentioned`).

mod configuration;
mod intent;
mod note;
mod record;
mod refusal;
mod topology;

mod before;
mod filter;
mod interface;
mod leftover;
mod mode;
mod moved;
mod natural;
mod node;
mod pair;
mod reply;
mod retire;
mod settle;
mod situation;
mod table;
mod to_node;
mod to_pod;
mod tune;

mod parent;

pub use configuration::{
    BadSetting, Configuration, HostTable, MacPrefix, Mode, PolicyRoute, RpFilter, Setting, VethMtu,
    prefix, tx_queue_length, veth_link_address,
};
pub use intent::{Intent, Reason, Tenure, Want, Wish};
pub use note::Note;
pub use pair::{POD_END, host_end};
pub use parent::{NodeAddresses, ParentBond, ParentConfiguration, ParentRefusal, Parents, parents};
pub use record::{Displaced, Founder, Record, Style};
pub use refusal::Refusal;
pub use retire::{withdraw, withdraw_unrecorded};
pub use situation::{intend, renew};
pub use topology::{Intended, Topology};
