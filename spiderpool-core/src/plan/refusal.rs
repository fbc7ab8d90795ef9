//! Why there is no plan.

use super::Op;
use super::kernel::KernelRefusal;
use crate::intend::Wish;
use crate::net::{LinkName, Object, Side};

/// Why there is no plan; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// Something that is not ours has the place of what is wished for.
    #[error(
        "the {side} side holds {found}, which is not ours, where {wanted} should be; remove it, or choose another table, metric or priority"
    )]
    Foreign {
        /// In which namespace.
        side: Side,
        /// What is wished for.
        wanted: Box<Object>,
        /// What is there.
        found: Box<Object>,
    },
    /// A link of that name is something else than wished for.
    #[error(
        "the {side} side has a link `{name}` already, {found}, but {wanted} is wanted; remove it, or choose another name"
    )]
    OtherLink {
        /// In which namespace.
        side: Side,
        /// Its name.
        name: LinkName,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// A link that is spoken of is not there.
    #[error(
        "the {side} side has no link `{name}`; is its interface attached, and is that its name?"
    )]
    NoLink {
        /// In which namespace.
        side: Side,
        /// Its name.
        name: LinkName,
    },
    /// A wish undoes another, or cannot come true beside the others.
    #[error("`{}` on the {} side cannot be together with the other wishes; one of them has to go", .wish.want, .wish.side)]
    Contradiction {
        /// The one that does not come true.
        wish: Box<Wish>,
    },
    /// The kernel would refuse a step.
    #[error("the {side} side would refuse `{op}`")]
    Kernel {
        /// In which namespace.
        side: Side,
        /// The step.
        op: Box<Op>,
        /// What it would say.
        source: KernelRefusal,
    },
}
