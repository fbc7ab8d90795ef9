//! The open door to the kernel from inside one network namespace.
//!
//! [`Namespace::run`](crate::Namespace::run) hands one to its closure; [`Session::here`] opens one
//! for the namespace that the calling thread is in. What can be asked is in
//! [`observe`](crate::observe), what can be changed in [`change`](crate::change).

use crate::fault::NetlinkFault;
use crate::socket::RouteSocket;

/// A route socket in one network namespace.
#[derive(Debug)]
pub struct Session {
    pub(crate) socket: RouteSocket,
}

impl Session {
    /// Opens a session in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`NetlinkFault::NoSocket`] if no socket can be had.
    pub fn here() -> Result<Self, NetlinkFault> {
        Ok(Self { socket: RouteSocket::open()? })
    }
}
