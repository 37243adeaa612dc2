//! The maps as the kernel sees them, written one step at a time and looked up as the programs do.

use std::collections::{BTreeMap, BTreeSet};

use weft_abi::{Address, Backend, BackendState, Service, ServiceKey, Slot};
use weft_lower::{Capacity, MapDump, MapOp};

/// Simulated maps of fixed sizes.
#[derive(Clone, Default)]
pub(crate) struct Kernel {
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) backends: Vec<Backend>,
    pub(crate) states: Vec<BackendState>,
    pub(crate) workloads: BTreeMap<Address, u32>,
    capacity: Option<Capacity>,
}

/// Where a frontend may lead.
pub(crate) type Targets = BTreeSet<(Address, u16)>;

impl Kernel {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            slots: vec![Slot::default(); capacity.slots as usize],
            backends: vec![Backend::default(); capacity.backends as usize],
            states: vec![BackendState::default(); capacity.backends as usize],
            capacity: Some(capacity),
            ..Self::default()
        }
    }

    /// One write, refused as the kernel would: out of range, or no room in a hash.
    pub(crate) fn apply(&mut self, op: &MapOp) {
        let capacity = self.capacity.unwrap();
        match op {
            MapOp::PutBackendState(index, state) => self.states[*index as usize] = *state,
            MapOp::PutBackend(index, backend) => {
                assert!(*index > 1, "reserved");
                self.backends[*index as usize] = *backend;
            }
            MapOp::PutSlots(first, slots) => {
                assert!(*first > 0, "reserved");
                self.slots[*first as usize..][..slots.len()].copy_from_slice(slots);
            }
            MapOp::PutService(key, service) => {
                assert!(
                    service.id > 1 && service.id < capacity.services,
                    "{service:?}"
                );
                self.services.insert(*key, *service);
                // One entry is the canary's.
                assert!(self.services.len() < capacity.services as usize);
            }
            MapOp::DeleteService(key) => assert!(self.services.remove(key).is_some()),
            MapOp::PutWorkload(address, id) => {
                self.workloads.insert(*address, *id);
                assert!(self.workloads.len() <= capacity.workloads as usize);
            }
            MapOp::DeleteWorkload(address) => assert!(self.workloads.remove(address).is_some()),
            other => panic!("not of this planner: {other:?}"),
        }
    }

    /// Applies a plan and looks at every frontend after every write.
    pub(crate) fn apply_watching(&mut self, ops: &[MapOp]) {
        let before = self.targets();
        let mut end = self.clone();
        ops.iter().for_each(|op| end.apply(op));
        let after = end.targets();
        let members = end.members();
        for (at, op) in ops.iter().enumerate() {
            self.apply(op);
            self.check(
                &before,
                &after,
                &members,
                &format!("after write {at}, {op:?}"),
            );
        }
    }

    /// Every lookup leads to a backend that is right before or after the whole plan. A frontend
    /// that changes hands may also see what its old pool becomes.
    fn check(
        &self,
        before: &BTreeMap<ServiceKey, Targets>,
        after: &BTreeMap<ServiceKey, Targets>,
        members: &BTreeMap<u32, Targets>,
        when: &str,
    ) {
        let none = Targets::new();
        for (key, service) in &self.services {
            let old = before.get(key).unwrap_or(&none);
            let new = after.get(key).unwrap_or(&none);
            if service.slots == 0 {
                let refuses =
                    |side: &BTreeMap<_, Targets>| side.get(key).is_some_and(Targets::is_empty);
                assert!(refuses(before) || refuses(after), "{key:?} refuses {when}");
            }
            let becoming = members.get(&service.id).unwrap_or(&none);
            for pick in 0..service.slots {
                let backend = self.resolve(service, pick, when);
                let target = (backend.address, backend.port);
                assert!(
                    [old, new, becoming]
                        .iter()
                        .any(|side| side.contains(&target)),
                    "{key:?} leads to {target:?} {when}"
                );
            }
        }
    }

    /// The lookup of the kernel programs, without their retries.
    pub(crate) fn resolve(&self, service: &Service, pick: u32, when: &str) -> Backend {
        assert!(pick < service.slots);
        let slot = self.slots[(service.first_slot + pick) as usize];
        assert_eq!(
            slot.service, service.id,
            "slot {pick} of {service:?} {when}"
        );
        let backend = self.backends[slot.backend as usize];
        assert_eq!(
            backend.service, service.id,
            "backend {} {when}",
            slot.backend
        );
        assert_eq!(backend.flags & Backend::DRAINING, 0, "draining {when}");
        let state = self.states[slot.backend as usize];
        assert_eq!(state.generation, backend.generation, "state {when}");
        backend
    }

    fn targets(&self) -> BTreeMap<ServiceKey, Targets> {
        let targets = |service: &Service| {
            let picks = 0..service.slots;
            picks
                .map(|pick| self.resolve(service, pick, "at rest"))
                .map(|backend| (backend.address, backend.port))
                .collect()
        };
        let services = self.services.iter();
        services
            .map(|(key, service)| (*key, targets(service)))
            .collect()
    }

    fn members(&self) -> BTreeMap<u32, Targets> {
        let mut members = BTreeMap::<u32, Targets>::new();
        for backend in &self.backends {
            let target = (backend.address, backend.port);
            members.entry(backend.service).or_default().insert(target);
        }
        members
    }

    pub(crate) fn dump(&self) -> MapDump {
        let backends = (0..).zip(self.backends.iter().copied());
        MapDump {
            services: self.services.iter().map(|(key, s)| (*key, *s)).collect(),
            slots: self.slots.clone(),
            backends: backends.filter(|(_, b)| b.service != 0).collect(),
            workloads: self.workloads.iter().map(|(a, id)| (*a, *id)).collect(),
        }
    }
}
