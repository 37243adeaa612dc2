//! A reserved service that shows whether the hooks are where they should be: who connects to it
//! and reaches the listener went through them.

use std::net::SocketAddr;

use weft_abi::{Address, Backend, BackendState, Protocol, Scope, Service, ServiceKey, Slot};

use crate::MapOp;

/// What a canary connect dials: 127.255.255.1 port 15099. No service may claim it.
pub const CANARY: ServiceKey = ServiceKey {
    address: Address::v4([127, 255, 255, 1]),
    port: 15099,
    protocol: Protocol::TCP,
    scope: Scope::SOCKET,
};

/// Pool id of the canary; the planner gives out none below 2.
pub const CANARY_POOL: u32 = 1;

/// Backend index of the canary; the planner gives out none below 2.
pub const CANARY_BACKEND: u32 = 1;

/// Slot of the canary; the planner gives out none below 1.
pub const CANARY_SLOT: u32 = 0;

/// Backend generation of the canary; the planner gives out none below 2.
pub const CANARY_GENERATION: u32 = 1;

/// Writes the canary, or moves it to another listener.
pub fn canary_ops(listener: SocketAddr) -> Vec<MapOp> {
    let state = BackendState {
        generation: CANARY_GENERATION,
        ..BackendState::default()
    };
    let backend = Backend {
        address: Address::from(listener.ip()),
        port: listener.port(),
        flags: Backend::LOCAL,
        service: CANARY_POOL,
        generation: CANARY_GENERATION,
        ..Backend::default()
    };
    let slot = Slot {
        backend: CANARY_BACKEND,
        service: CANARY_POOL,
    };
    let service = Service {
        id: CANARY_POOL,
        first_slot: CANARY_SLOT,
        slots: 1,
        max_connections: u32::MAX,
        algorithm: Service::ROUND_ROBIN,
        ..Service::default()
    };
    vec![
        MapOp::PutBackendState(CANARY_BACKEND, state),
        MapOp::PutBackend(CANARY_BACKEND, backend),
        MapOp::PutSlots(CANARY_SLOT, vec![slot]),
        MapOp::PutService(CANARY, service),
    ]
}
