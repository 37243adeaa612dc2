//! What the programs report as it happens.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use aya::maps::{Map, MapData, MapError, RingBuf};
use weft_abi::{ConnectionEvent, Event, PolicyEvent, names::maps};

use crate::{Error, pins::BpfDir};

/// One report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Of a connection and its backend.
    Kernel(Event),
    /// Of a connection and policy.
    Policy(PolicyEvent),
    /// Of a connection that has ended.
    Ended(ConnectionEvent),
}

/// The `EVENTS` ring buffer. Readable when there are events; drain it with [`Events::next`] before
/// waiting again.
pub struct Events {
    ring: RingBuf<MapData>,
}

impl Events {
    pub(crate) fn open(pins: &BpfDir) -> Result<Self, Error> {
        let failed = |error: MapError| Error::Bpf {
            action: "map the ring buffer",
            name: maps::EVENTS.to_owned(),
            cause: std::io::Error::other(error),
        };
        let data = MapData::from_pin(pins.map(maps::EVENTS)).map_err(failed)?;
        let ring = RingBuf::try_from(Map::RingBuf(data)).map_err(failed)?;
        Ok(Self { ring })
    }

    /// The next event, `None` when there is none now.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator ends; this goes on"
    )]
    pub fn next(&mut self) -> Option<Told> {
        loop {
            let item = self.ring.next()?;
            // They differ in size. A record of another one is not ours to read; there is none
            // in this ABI version.
            if item.len() == size_of::<Event>() {
                // SAFETY: the record has the size of `Event`, any bytes make one, and the read
                // does not need alignment.
                let event = unsafe { item.as_ptr().cast::<Event>().read_unaligned() };
                return Some(Told::Kernel(event));
            }
            if item.len() == size_of::<PolicyEvent>() {
                // SAFETY: as above.
                let event = unsafe { item.as_ptr().cast::<PolicyEvent>().read_unaligned() };
                return Some(Told::Policy(event));
            }
            if item.len() == size_of::<ConnectionEvent>() {
                // SAFETY: as above.
                let event = unsafe { item.as_ptr().cast::<ConnectionEvent>().read_unaligned() };
                return Some(Told::Ended(event));
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}
