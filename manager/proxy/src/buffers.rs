//! Memory for traffic, shared by all connections of a thread: one that is idle holds none.

use std::cell::{Cell, RefCell, RefMut};

use tokio::time::Instant;

use crate::tls::RECORD;

/// Buffers of one thread, and its coarse clock.
pub(crate) struct Buffers {
    receive: RefCell<Vec<u8>>,
    spare: RefCell<Vec<Vec<u8>>>,
    /// Buffers that hold what a full socket did not take.
    lent: Cell<usize>,
    burst: usize,
    now: Cell<Instant>,
}

/// Buffers kept for the next use.
const SPARE: usize = 4;
/// With more than this many lent out, connections send single records and keep only what is left.
const MANY: usize = 64;

impl Buffers {
    /// For reads of `burst` records at once.
    pub(crate) fn new(burst: usize, now: Instant) -> Self {
        let burst = burst.clamp(1, MAX_BURST);
        Self {
            // Room for what is left of a record, and whole ones behind it.
            receive: RefCell::new(vec![0; (burst + 1) * RECEIVED]),
            spare: RefCell::default(),
            lent: Cell::new(0),
            burst,
            now: Cell::new(now),
        }
    }

    /// For one read, used up before the next.
    pub(crate) fn receive(&self) -> RefMut<'_, Vec<u8>> {
        self.receive.borrow_mut()
    }

    /// A buffer to seal records in.
    pub(crate) fn take(&self) -> Vec<u8> {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| vec![0; self.burst * RECORD])
    }

    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            // One that was lent may have become shorter, or longer.
            buffer.resize(self.burst * RECORD, 0);
            spare.push(buffer);
        }
    }

    /// Keeps what a socket did not take: in the buffer it lies in when it is much, else in a copy
    /// of its size.
    pub(crate) fn keep(&self, buffer: Vec<u8>, from: usize, until: usize) -> Rest {
        if until - from > RECORD * 2 && self.lent.get() < MANY {
            self.lent.set(self.lent.get() + 1);
            let lent = true;
            return Rest {
                buffer,
                from,
                until,
                lent,
            };
        }
        let copy = buffer[from..until].to_vec();
        self.give(buffer);
        Rest::from(copy)
    }

    pub(crate) fn take_back(&self, rest: Rest) {
        if rest.lent {
            self.lent.set(self.lent.get() - 1);
            self.give(rest.buffer);
        }
    }

    /// How many records may be read at once now.
    pub(crate) fn burst(&self) -> usize {
        if self.lent.get() < MANY {
            self.burst
        } else {
            1
        }
    }

    /// The time as of the last tick: good for timeouts of seconds.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn set_now(&self, now: Instant) {
        self.now.set(now);
    }
}

/// Most records in one read: what one call's vector of buffers holds here.
pub(crate) const MAX_BURST: usize = 16;
/// The largest record of a peer.
const RECEIVED: usize = RECORD + 256;

/// Bytes that wait for room in a socket.
#[derive(Default)]
pub(crate) struct Rest {
    buffer: Vec<u8>,
    from: usize,
    until: usize,
    lent: bool,
}

impl Rest {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.from..self.until]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.until
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.from += count;
        if self.is_empty() && !self.lent {
            *self = Self::default();
        }
    }

    /// Adds bytes; those already sent make room.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.from > 0 && !self.lent {
            self.buffer.drain(..self.from);
            self.until -= self.from;
            self.from = 0;
        }
        self.buffer.truncate(self.until);
        self.buffer.extend_from_slice(bytes);
        self.until += bytes.len();
    }
}

impl From<Vec<u8>> for Rest {
    fn from(buffer: Vec<u8>) -> Self {
        Self {
            until: buffer.len(),
            buffer,
            from: 0,
            lent: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_whole_when_more_was_added_to_what_it_kept() {
        let buffers = Buffers::new(8, Instant::now());
        let whole = buffers.take();
        let length = whole.len();
        let mut rest = buffers.keep(whole, 100, 100 + 3 * RECORD);
        rest.push(b"a frame of our own");
        assert_eq!(rest.bytes().len(), 3 * RECORD + 18);
        rest.consume(rest.bytes().len());
        buffers.take_back(rest);
        assert_eq!(buffers.take().len(), length);
    }
}
