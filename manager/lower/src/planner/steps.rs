//! The order of writes.

use weft_abi::{Address, Backend, BackendState, Service, ServiceKey, Slot};

use crate::MapOp;

/// Writes of one plan, gathered by phase. After each single write, what a frontend names is there:
/// backends come before slots, slots before the entry that names them, and nothing is taken away
/// before the last entry that led to it.
#[derive(Default)]
pub(super) struct Steps {
    workloads: Vec<MapOp>,
    states: Vec<MapOp>,
    backends: Vec<MapOp>,
    slots: Vec<MapOp>,
    services: Vec<MapOp>,
    deletes: Vec<MapOp>,
    drains: Vec<MapOp>,
    frees: Vec<MapOp>,
}

impl Steps {
    pub(super) fn workload(&mut self, address: Address, id: u32) {
        self.workloads.push(MapOp::PutWorkload(address, id));
    }

    pub(super) fn delete_workload(&mut self, address: Address) {
        self.deletes.push(MapOp::DeleteWorkload(address));
    }

    pub(super) fn fresh_backend(&mut self, index: u32, backend: Backend) {
        let state = BackendState {
            generation: backend.generation,
            ..BackendState::default()
        };
        self.states.push(MapOp::PutBackendState(index, state));
        self.backends.push(MapOp::PutBackend(index, backend));
    }

    pub(super) fn backend(&mut self, index: u32, backend: Backend) {
        self.backends.push(MapOp::PutBackend(index, backend));
    }

    /// A backend that slots may name until this plan's slots are written.
    pub(super) fn drain(&mut self, index: u32, backend: Backend) {
        self.drains.push(MapOp::PutBackend(index, backend));
    }

    /// Where it leads stays written: a program that was interrupted after its choice still reads
    /// that, and must not read half of it.
    pub(super) fn free(&mut self, index: u32, backend: &Backend) {
        let freed = Backend {
            address: backend.address,
            port: backend.port,
            ..Backend::default()
        };
        self.frees.push(MapOp::PutBackend(index, freed));
    }

    pub(super) fn slots(&mut self, first: u32, slots: Vec<Slot>) {
        self.slots.push(MapOp::PutSlots(first, slots));
    }

    pub(super) fn service(&mut self, key: ServiceKey, service: Service) {
        self.services.push(MapOp::PutService(key, service));
    }

    pub(super) fn delete_service(&mut self, key: ServiceKey) {
        self.deletes.push(MapOp::DeleteService(key));
    }

    pub(super) fn into_ops(self) -> Vec<MapOp> {
        let phases = [
            self.workloads,
            self.states,
            self.backends,
            self.slots,
            self.services,
            self.deletes,
            self.drains,
            self.frees,
        ];
        let mut ops = Vec::with_capacity(phases.iter().map(Vec::len).sum());
        for phase in phases {
            ops.extend(phase);
        }
        ops
    }
}
