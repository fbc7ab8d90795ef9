//! The one number of a network namespace that is never given twice.
//!
//! Inode numbers of namespaces are given again at once: delete a namespace, make another, and it
//! has the same (`a_namespace_of_the_same_name_is_not_the_same` sees it happen). The cookie counts
//! up from boot (`gen_cookie_next` in the kernel's `net/core/net_namespace.c`).

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket, sockopt};

use crate::fault::Errno;

/// `SO_NETNS_COOKIE` of `include/uapi/asm-generic/socket.h`, which x86, Arm, RISC-V, s390 and
/// POWER share.
const SO_NETNS_COOKIE: libc::c_int = 71;

#[derive(Debug, Clone, Copy)]
struct NetnsCookie;

nix::getsockopt_impl!(NetnsCookie, libc::SOL_SOCKET, SO_NETNS_COOKIE, u64, sockopt::GetStruct<u64>);

/// Reads the cookie of the calling thread's network namespace.
pub(super) fn read() -> Result<u64, Errno> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    Ok(getsockopt(&socket, NetnsCookie)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_of_one_namespace_is_one_number() {
        assert_eq!(read(), read());
        assert!(read().is_ok_and(|cookie| cookie > 0));
    }
}
