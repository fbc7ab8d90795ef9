//! Links as messages: what the kernel says about them, and what it is asked to do with them.
//!
//! [`lift_all`] turns a listing into [`Link`](spiderpool_core::net::Link)s; [`create`], [`change`] and
//! [`move_to`] turn single changes into messages. All of this is pure: whoever observes or applies
//! resolves names to indices, sends, and reads the answers. Every message but those of a question and
//! of a deletion is an `RTM_NEWLINK`, as iproute2 sends it: with `NLM_F_CREATE | NLM_F_EXCL` from
//! [`create`], with neither from [`change`] and [`move_to`]. (`RTM_SETLINK` passes over a kind's
//! attributes, hence over a bond's options.) Invariants:
//!
//! 1. The messages are those of iproute2, attribute by attribute
//!    (`messages_are_those_of_iproute2`, captured in `link/golden.txt`).
//! 2. What is created lifts to what was wished (`what_is_created_lifts_to_what_was_wished`).
//! 3. Every kind, every change and every option of a bond is taken by a kernel that has them
//!    (`tests/vm_link.rs`).
//! 4. An attribute of a newer kernel is passed over (`unknown_attributes_are_passed_over`), and no
//!    message makes it panic (`hostile_messages_are_lifted_or_refused`).

mod bond;
mod function;
mod kind;
mod lift;
mod lower;

#[cfg(test)]
mod tests;

pub(crate) use function::{functions_of, question_of_functions};
pub(crate) use lift::{lift_all, question};
pub(crate) use lower::{change, create, deletion, move_to, names_link};
