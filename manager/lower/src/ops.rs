//! What is written to maps, one step at a time.

use weft_abi::{
    Address, Backend, BackendState, ClientLimit, Enrolment, ExcludedKey, Peer, PortModeKey,
    RuleBits, RuleSet, Service, ServiceKey, SetIdentityKey, SetPortKey, SetSourceKey, Slot,
};

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
    /// `ENROLLED[cookie]`.
    PutEnrolment(u64, Enrolment),
    /// Removes `ENROLLED[cookie]`.
    DeleteEnrolment(u64),
    /// `PEERS[address]`.
    PutPeer(Address, Peer),
    /// Removes `PEERS[address]`.
    DeletePeer(Address),
    /// `PORT_MODES[key]`, a `weft_abi::MtlsMode`.
    PutPortMode(PortModeKey, u32),
    /// Removes `PORT_MODES[key]`.
    DeletePortMode(PortModeKey),
    /// `EXCLUDED[key]`, 1 or 0. Comes before the enrolment that says there are some.
    PutExcluded(ExcludedKey, u32),
    /// Removes `EXCLUDED[key]`.
    DeleteExcluded(ExcludedKey),
    /// `AUTHZ_SETS[set]`. Comes after the tables of the set and before the peer that names it.
    PutSet(u32, Box<RuleSet>),
    /// Removes `AUTHZ_SETS[set]`.
    DeleteSet(u32),
    /// `AUTHZ_IDENTITY[key]`.
    PutSetIdentity(SetIdentityKey, RuleBits),
    /// Removes `AUTHZ_IDENTITY[key]`.
    DeleteSetIdentity(SetIdentityKey),
    /// `AUTHZ_SOURCE[key]`.
    PutSetSource(SetSourceKey, RuleBits),
    /// Removes `AUTHZ_SOURCE[key]`.
    DeleteSetSource(SetSourceKey),
    /// `AUTHZ_PORT[key]`.
    PutSetPort(SetPortKey, RuleBits),
    /// Removes `AUTHZ_PORT[key]`.
    DeleteSetPort(SetPortKey),
    /// `CLIENT_LIMITS[pool]`.
    PutClientLimit(u32, ClientLimit),
    /// Removes `CLIENT_LIMITS[pool]`.
    DeleteClientLimit(u32),
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
