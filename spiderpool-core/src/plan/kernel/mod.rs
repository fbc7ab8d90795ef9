//! A pure model of what the kernel does with an op.

mod refusal;

pub use refusal::{Errno, KernelRefusal};

use serde::{Deserialize, Serialize};

use super::Op;
use crate::net::{Object, Scene, Side};

/// One thing that an op changed: made if it was not there before, gone if it is not there after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change {
    /// In which namespace.
    pub side: Side,
    /// What it was; none for what is new.
    pub before: Option<Object>,
    /// What it is; none for what is gone.
    pub after: Option<Object>,
}

/// Does an op as the kernel would: changes the scene, and says what changed, side effects included,
/// in the order in which it changed.
///
/// # Errors
///
/// [`KernelRefusal`], as the kernel would refuse it; the scene is then as it was.
pub fn perform(scene: &mut Scene, side: Side, op: &Op) -> Result<Vec<Change>, KernelRefusal> {
    let _ = (scene, side, op);
    Ok(Vec::new())
}
