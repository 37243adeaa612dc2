//! What is written to maps, one step at a time.

use weft_abi::{Address, Backend, BackendState, Service, ServiceKey, Slot};

/// One write. A list of them is applied in order; after each one every lookup in the kernel
/// yields a backend that is right before or after the whole list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MapOp {
    /// `BACKEND_STATE[index]`: reset for a new owner of the index. Comes before its backend.
    PutBackendState(u32, BackendState),
    /// `BACKENDS[index]`; without a service it is free.
    PutBackend(u32, Backend),
    /// `SLOTS[first..]`, contiguous.
    PutSlots(u32, Vec<Slot>),
    /// `SERVICES[key]`.
    PutService(ServiceKey, Service),
    /// Removes `SERVICES[key]`.
    DeleteService(ServiceKey),
    /// `WORKLOADS[address]`.
    PutWorkload(Address, u32),
    /// Removes `WORKLOADS[address]`.
    DeleteWorkload(Address),
}

/// Map sizes, in entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// `SERVICES` (frontends) and, with one entry per pool, `SERVICE_STATE`.
    pub services: u32,
    /// `BACKENDS` and `BACKEND_STATE`.
    pub backends: u32,
    /// `SLOTS`.
    pub slots: u32,
    /// `WORKLOADS`.
    pub workloads: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self::for_backends(262_144, 65_536)
    }
}

impl Capacity {
    /// Sizes that go with a number of backends and of frontends.
    pub const fn for_backends(backends: u32, services: u32) -> Self {
        Self {
            services,
            backends,
            slots: backends.saturating_mul(4),
            workloads: backends,
        }
    }
}
