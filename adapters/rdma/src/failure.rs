//! The plugin's own error codes, and which failure has which.
//!
//! | code | when | try again |
//! |---|---|---|
//! | 5 | the kernel or a file did not do what it was told | yes |
//! | 7 | the configuration leads to no device, or to one without RDMA | no |
//! | 8 | the namespace cannot be used | no |
//! | 50 | STATUS: no RDMA here, or not in exclusive mode | no |
//! | 100 | the system is not in exclusive mode | when the mode is set |
//! | 101 | CHECK: a device is not where it should be | no |

use std::error::Error;

use spiderpool_cni::{CniError, code};

/// The system is not in exclusive mode.
pub(crate) const NOT_EXCLUSIVE: u32 = 100;
/// A device is not where it should be.
pub(crate) const MISMATCH: u32 = 101;

/// A fault of the kernel or of a file.
pub(crate) fn io(error: &(dyn Error + 'static)) -> CniError {
    CniError::caused_by(code::IO_FAILURE, error)
}

/// A configuration that leads nowhere.
pub(crate) fn conf(told: impl Into<String>) -> CniError {
    CniError::new(code::BAD_NETWORK_CONFIG, told)
}
