//! STATUS: whether an ADD could be served (CNI spec 1.1.0, section 2, "STATUS").
//!
//! Links that are missing are no reason to say no: the next ADD makes them.

use spiderpool_cni::{CniError, NetConf, code};

use crate::conf::Conf;
use crate::node;

/// Says nothing when an ADD could be served.
///
/// # Errors
///
/// Code 50 when the configuration is wrong, or something is in the way.
pub(crate) fn run(conf: &NetConf) -> Result<(), CniError> {
    let found = Conf::of(conf).and_then(|own| node::missing(&own.parents));
    found.map(drop).map_err(|error| CniError { code: code::NOT_AVAILABLE, ..error })
}
