//! What the planner holds, for metrics and commands.

use std::{net::IpAddr, sync::Arc};

use weft_abi::{Backend, Service as Entry, ServiceKey};
use weft_model::{Outlier, ServiceName};

use super::Planner;
use crate::{PoolKey, PoolName, Registry};

/// Entries that cannot be given out at present: in use, or in quarantine. Without the canary's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Of `SERVICES`.
    pub services: u32,
    /// Of `BACKENDS`.
    pub backends: u32,
    /// Of `SLOTS`, with what regions keep free to grow.
    pub slots: u32,
    /// Of `WORKLOADS`.
    pub workloads: u32,
}

/// A backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackendView<'a> {
    /// Index in `BACKENDS`.
    pub index: u32,
    /// Where connections go.
    pub address: IpAddr,
    /// Port, host order.
    pub port: u16,
    /// The pool that owns it.
    pub pool: u32,
    /// What that pool is; `None` after adoption when its name was not saved.
    pub name: Option<&'a PoolName>,
    /// Its generation.
    pub generation: u32,
    /// Workload id, 0 when unknown; [`Registry::workload`] names it.
    pub workload: u32,
    /// See [`Backend::LOCAL`] and [`Backend::DRAINING`].
    pub flags: u16,
    /// Passed over until then (`CLOCK_MONOTONIC`, ns); 0 when not ejected.
    pub ejected_until: u64,
}

/// A pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolView<'a> {
    planner: &'a Planner,
    /// Pool id.
    pub id: u32,
    /// Number of slots.
    pub slots: u32,
    /// Outlier detection of its port.
    pub outlier: Option<Outlier>,
    members: &'a [u32],
}

impl<'a> PoolView<'a> {
    /// What the pool is; `None` after adoption when its name was not saved.
    pub fn name(&self) -> Option<&'a PoolName> {
        self.planner.registry.pool(self.id)
    }

    /// Its backends in ascending (address, port), with those that are draining.
    pub fn backends(&self) -> impl Iterator<Item = BackendView<'a>> + use<'a> {
        let planner = self.planner;
        let members = self.members.iter();
        members.filter_map(move |index| planner.backend(*index))
    }

    /// How many of its backends take new connections.
    pub fn taking(&self) -> u32 {
        let taking = |backend: &BackendView<'_>| backend.flags & Backend::DRAINING == 0;
        u32::try_from(self.backends().filter(taking).count()).expect("indexes have 32 bits")
    }
}

impl Planner {
    /// How full the maps are.
    pub fn usage(&self) -> Usage {
        let entries = |len: usize| u32::try_from(len).expect("no map is larger");
        Usage {
            services: entries(self.image.services.len()),
            backends: self.indexes.used(),
            slots: self.regions.used(),
            workloads: entries(self.image.workloads.len()),
        }
    }

    /// The names of ids, to be saved when its revision changes and before the ops are applied.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A backend by its index; `None` when the index is free.
    pub fn backend(&self, index: u32) -> Option<BackendView<'_>> {
        let backend = self.image.backend(index);
        (backend.service != 0).then(|| BackendView {
            index,
            address: backend.address.into(),
            port: backend.port,
            pool: backend.service,
            name: self.registry.pool(backend.service),
            generation: backend.generation,
            workload: backend.workload,
            flags: backend.flags,
            ejected_until: backend.ejected_until,
        })
    }

    /// All backends in ascending index, with those that are draining.
    pub fn backends(&self) -> impl Iterator<Item = BackendView<'_>> {
        self.image
            .backends()
            .filter_map(|(index, _)| self.backend(index))
    }

    /// A pool by its id.
    pub fn pool(&self, id: u32) -> Option<PoolView<'_>> {
        self.pools.get(&id).map(|pool| PoolView {
            planner: self,
            id,
            slots: pool.slots,
            outlier: pool.outlier,
            members: &pool.members,
        })
    }

    /// All pools in ascending id.
    pub fn pools(&self) -> impl Iterator<Item = PoolView<'_>> {
        self.pools.keys().filter_map(|id| self.pool(*id))
    }

    /// The pools of a service.
    pub fn pools_of(&self, service: &ServiceName) -> impl Iterator<Item = PoolView<'_>> {
        let placement = self.services.get(service);
        let ids = placement.into_iter().flat_map(|placement| &placement.pools);
        ids.filter_map(|id| self.pool(*id))
    }

    /// The pool with this identity.
    pub fn pool_of(&self, key: &PoolKey) -> Option<PoolView<'_>> {
        self.registry.pool_id(key).and_then(|id| self.pool(id))
    }

    /// The entries of `SERVICES` that a service has.
    pub fn frontends_of(&self, service: &ServiceName) -> impl Iterator<Item = (ServiceKey, Entry)> {
        let placement = self.services.get(service);
        let keys = placement.into_iter().flat_map(|placement| &placement.keys);
        keys.filter_map(move |key| {
            let held = self.image.services.get(key)?;
            (held.owner.as_ref() == Some(service)).then_some((*key, held.service))
        })
    }

    /// The workload behind a backend.
    pub fn workload_of(&self, backend: &BackendView<'_>) -> Option<&Arc<weft_model::Workload>> {
        self.registry.workload(backend.workload)
    }
}
