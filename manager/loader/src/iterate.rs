//! Iterator programs: the kernel walks its sockets, we read what the program wrote.

use std::{
    io::{self, Read},
    os::fd::BorrowedFd,
};

use weft_abi::{SocketRecord, names::programs};

use crate::{Error, sys};

/// Runs `program` over all elements of `map`; answers what it wrote.
pub(crate) fn run(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut file = sys::link::iterate_map(program, map)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            // The kernel yields after a million elements without output.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The records `program` writes for `map`.
pub(crate) fn sockets(
    program: BorrowedFd<'_>,
    map: BorrowedFd<'_>,
) -> Result<Vec<SocketRecord>, Error> {
    let bytes = run(program, map).map_err(Error::bpf("run iterator", programs::ITER_SOCKETS))?;
    records(&bytes).ok_or(Error::Malformed {
        what: "list of sockets",
    })
}

fn records(bytes: &[u8]) -> Option<Vec<SocketRecord>> {
    let chunks = bytes.chunks_exact(size_of::<SocketRecord>());
    chunks
        .remainder()
        .is_empty()
        .then(|| chunks.map(record).collect())
}

fn record(bytes: &[u8]) -> SocketRecord {
    assert_eq!(
        bytes.len(),
        size_of::<SocketRecord>(),
        "chunks of this size"
    );
    // SAFETY: there are as many bytes as asserted, any bytes make a `SocketRecord`, and the read
    // does not need alignment.
    unsafe { bytes.as_ptr().cast::<SocketRecord>().read_unaligned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_records_are_read_and_a_torn_one_is_refused() {
        let mut bytes = vec![0; 64];
        bytes[32..40].copy_from_slice(&7u64.to_ne_bytes());
        bytes[60] = 17;
        let read = records(&bytes).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((read[1].cookie, read[1].protocol), (7, 17));
        assert_eq!(records(&bytes[..40]), None);
    }
}
