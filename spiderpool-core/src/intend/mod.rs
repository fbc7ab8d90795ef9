//! What a pod's and its host's namespace should hold.
//!
//! An [`Intent`] is a list of wishes; [`plan`](crate::plan) turns it into steps. Each wish says whom it
//! serves (its [`Tenure`]) and what it is for (its [`Reason`]).

mod intent;
mod parent;

pub use intent::{Intent, Reason, Tenure, Want, Wish};
pub use parent::{NodeAddresses, ParentBond, ParentConfiguration, ParentRefusal, Parents, parents};
