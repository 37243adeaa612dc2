//! Socket options that rustix does not offer.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Makes the socket drop every packet before it is looked at (`SO_ATTACH_FILTER`, socket(7)).
pub(crate) fn drop_all(socket: BorrowedFd<'_>) -> io::Result<()> {
    // Classic BPF: `ret #0`, of a packet keep nothing.
    const RETURN: u16 = 0x06;
    let mut filter = [libc::sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: filter.as_mut_ptr(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&program)).expect("sixteen bytes");
    // SAFETY: `program` is valid for `length` bytes and names one instruction; the kernel copies both.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
