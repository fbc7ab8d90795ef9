//! CHECK: whether the node still holds what pods' interfaces rest on.

use spiderpool_cni::{CniError, NetConf};

use crate::conf::Conf;
use crate::failure::MISMATCH;
use crate::node;

/// Says nothing when all is as it should be.
///
/// # Errors
///
/// Code 104 with the commands that would repair it, or with what is in the way.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let own = Conf::of(conf)?;
    let missing = node::missing(&own.parents).map_err(|error| match error.code {
        crate::failure::IN_THE_WAY => CniError { code: MISMATCH, ..error },
        _ => error,
    })?;
    if missing.is_empty() {
        return Ok(());
    }
    let told = format!("the links of network `{}` are not as they should be", conf.name);
    Err(CniError::new(MISMATCH, told).with_details(missing.join("; ")))
}
