//! Taking over maps that an earlier process left.

use std::collections::{BTreeMap, BTreeSet};

use weft_abi::{Address, Backend, Service, ServiceKey, Slot};

use super::{Planner, Pool, image::Frontend};
use crate::{
    CANARY, Registry,
    canary::{CANARY_BACKEND, CANARY_POOL},
    intent::protocol_number,
};

/// What the maps hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MapDump {
    /// `SERVICES`.
    pub services: Vec<(ServiceKey, Service)>,
    /// `SLOTS` from index 0; zeroes at the end may be left out.
    pub slots: Vec<Slot>,
    /// `BACKENDS` without the free ones, in any order.
    pub backends: Vec<(u32, Backend)>,
    /// `WORKLOADS`.
    pub workloads: Vec<(Address, u32)>,
}

impl Planner {
    /// Starts from maps that are in use, and from the registry saved with them. Nothing is written
    /// for it; the next [`Planner::plan_full`] writes what differs and deletes what is left over.
    /// Pools keep their ids, backends their index, generation and ejection. Without a saved
    /// registry, pools are recognised by their frontends.
    pub fn adopt(&mut self, dump: MapDump, registry: Registry) {
        let mut planner = Self::new(self.capacity);
        planner.last_generation = planner.last_generation.max(registry.last_generation());
        planner.registry = registry;
        planner.adopt_backends(&dump.backends);
        let ranges = planner.adopt_services(&dump.services);
        planner.adopt_regions(ranges);
        planner.image.put_slots(dump.slots);
        planner.image.workloads = dump.workloads.into_iter().collect();
        let ids: Vec<u32> = planner.pools.keys().copied().collect();
        for id in ids {
            planner.registry.keep_pool(id);
        }
        *self = planner;
    }

    fn adopt_backends(&mut self, backends: &[(u32, Backend)]) {
        // What no planner can have written is left to be overwritten.
        let ours = |(index, backend): &&(u32, Backend)| {
            (CANARY_BACKEND + 1..self.capacity.backends).contains(index)
                && backend.service > CANARY_POOL
        };
        let backends: BTreeMap<u32, Backend> = backends.iter().filter(ours).copied().collect();
        self.indexes.adopt(backends.keys().copied());
        let mut members: BTreeMap<u32, Vec<(Address, u16, u32)>> = BTreeMap::new();
        for (index, backend) in backends {
            self.image.put_backend(index, backend);
            self.last_generation = self.last_generation.max(backend.generation);
            let place = (backend.address, backend.port, index);
            members.entry(backend.service).or_default().push(place);
        }
        for (id, mut members) in members {
            members.sort_unstable();
            self.adopted_pool(id).members = members.into_iter().map(|(.., index)| index).collect();
        }
    }

    /// Returns the ranges of slots that entries name, by pool.
    fn adopt_services(
        &mut self,
        services: &[(ServiceKey, Service)],
    ) -> BTreeMap<u32, BTreeSet<(u32, u32)>> {
        let mut ranges: BTreeMap<u32, BTreeSet<(u32, u32)>> = BTreeMap::new();
        for (key, service) in services.iter().filter(|(key, _)| *key != CANARY) {
            let frontend = Frontend {
                service: *service,
                owner: None,
            };
            self.image.services.insert(*key, frontend);
            if service.id <= CANARY_POOL {
                continue;
            }
            let pool = self.adopted_pool(service.id);
            pool.adopted_frontends += 1;
            if pool.protocol == 0 {
                pool.protocol = key.protocol;
            }
            if service.slots > 0 {
                let range = (service.slots, service.first_slot);
                ranges.entry(service.id).or_default().insert(range);
            }
        }
        ranges
    }

    /// A pool has one region. More than one, or one of two lengths, is what a process leaves that
    /// died between two writes: the longest becomes the pool's, the others stay reserved until
    /// the entries that name them are rewritten.
    fn adopt_regions(&mut self, ranges: BTreeMap<u32, BTreeSet<(u32, u32)>>) {
        let mut leftovers = Vec::new();
        for (id, mut ranges) in ranges {
            let Some((slots, first)) = ranges.pop_last() else {
                continue;
            };
            let region = self.regions.reserve(first, slots);
            let pool = self.adopted_pool(id);
            pool.region = region;
            pool.slots = if region.is_some() { slots } else { 0 };
            if region.is_none() {
                leftovers.push((id, first, slots));
            }
            let others = ranges.into_iter().filter(|(_, other)| *other != first);
            leftovers.extend(others.map(|(slots, first)| (id, first, slots)));
        }
        for (id, first, slots) in leftovers {
            let whole = self.regions.reserve(first, slots);
            let regions = match whole {
                Some(region) => vec![region],
                None => self.regions.reserve_range(first, slots),
            };
            self.adopted_pool(id).leftovers.extend(regions);
        }
    }

    fn adopted_pool(&mut self, id: u32) -> &mut Pool {
        let registry = &self.registry;
        self.pools.entry(id).or_insert_with(|| Pool {
            owner: None,
            protocol: registry
                .pool(id)
                .map_or(0, |name| protocol_number(name.key.protocol)),
            members: Vec::new(),
            region: None,
            slots: 0,
            leftovers: Vec::new(),
            adopted_frontends: 0,
            outlier: None,
        })
    }
}
