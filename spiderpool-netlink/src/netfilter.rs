//! Packet marks and tracked connections, over the kernel's netfilter protocol, without `nft` or
//! `conntrack`.
//!
//! Two things of coordination go past the route socket: a pod's reply must leave by the link that
//! its request came in by ([`add_marks`], one nftables table), and the connections of an address
//! that has a new owner must be forgotten ([`flush_connections`]). Whoever changes a namespace opens
//! a [`NetfilterSocket`] inside it. The model is in [`spiderpool_core::net::Marks`].
//!
//! Invariants:
//!
//! 1. A change is one transaction: the table is there with all that is in it, or not at all
//!    (`a_second_table_is_refused_and_the_first_stays`).
//! 2. Tables of others are never touched (`tables_of_others_are_left_alone`).
//! 3. What others keep in the other bits of a mark stays (`only_the_marks_own_bits_are_touched`).
//! 4. A table counts as ours only if nothing is missing from it, added to it or changed in it
//!    (`a_table_that_somebody_touched_is_damaged`).
//! 5. No bytes make the reading panic (`hostile_answers_end`, `hostile_contents_end`,
//!    `hostile_entries_end`).
//!
//! Private, in reading order: `marks` (what is asked and changed), `contents` (what the table
//! holds), `expression` (a rule's steps), `connections`; below them `socket`, `talk` (which answers
//! belong to a request, and how it ended), `message` and `attribute` (bytes).

mod marks;

mod contents;
mod expression;

mod connections;

mod socket;
mod talk;

mod attribute;
mod message;

pub use connections::flush_connections;
pub use marks::{add_marks, delete_marks, observe_marks};
pub use socket::NetfilterSocket;
