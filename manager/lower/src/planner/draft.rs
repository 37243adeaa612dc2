//! A service's new state, worked out in full before anything is written, so that what does not
//! fit changes nothing.

use weft_abi::{Address, Backend, names::maps};
use weft_model::{Endpoint, Service};

use super::{Freed, Planner, Region, Round, Shortage};
use crate::{
    Family, PoolName,
    intent::{Intent, PoolIntent},
    selection,
    slots::{self, Member},
};

/// A pool as it will be.
pub(super) struct Draft {
    pub(super) id: u32,
    /// Index and contents, in ascending (address, port).
    pub(super) members: Vec<(u32, Backend)>,
    /// Members it has now and will not have.
    pub(super) dropped: Vec<u32>,
    /// Backend index by slot.
    pub(super) slots: Vec<u32>,
    pub(super) region: Option<Region>,
}

/// Whether a draft may take new backends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// For all endpoints.
    Full,
    /// None: only what is gone goes, which makes room for the rest.
    None,
}

/// The map that has no more room.
struct Full(&'static str);

impl Planner {
    /// Drafts of all pools, in the order of the intent.
    pub(super) fn draft(
        &mut self,
        service: &Service,
        intent: &Intent<'_>,
        growth: Growth,
        round: &Round,
    ) -> Result<Vec<Draft>, Shortage> {
        let mut drafts = Vec::with_capacity(intent.pools.len());
        self.fill_drafts(service, intent, growth, round, &mut drafts)
            .map_err(|Full(map)| {
                self.undo(std::mem::take(&mut drafts), round);
                Shortage::Service {
                    map,
                    capacity: self.capacity_of(map),
                    service: service.name.clone(),
                }
            })?;
        Ok(drafts)
    }

    fn fill_drafts(
        &mut self,
        service: &Service,
        intent: &Intent<'_>,
        growth: Growth,
        round: &Round,
        drafts: &mut Vec<Draft>,
    ) -> Result<(), Full> {
        self.check_frontends(intent)?;
        for (position, pool) in intent.pools.iter().enumerate() {
            let id = self.pool_id(service, intent, position)?;
            // Pushed before it is filled, so that a failure half-way is undone too.
            let mut draft = Draft {
                id,
                members: Vec::new(),
                dropped: Vec::new(),
                slots: Vec::new(),
                region: None,
            };
            let filled = self.fill_draft(service, pool, growth, round, &mut draft);
            drafts.push(draft);
            filled?;
        }
        Ok(())
    }

    /// Entries that this plan will delete still count: deletes come last.
    fn check_frontends(&self, intent: &Intent<'_>) -> Result<(), Full> {
        let held = &self.image.services;
        let fresh = intent
            .frontends
            .iter()
            .filter(|frontend| !held.contains_key(&frontend.key))
            .count();
        // One entry is the canary's.
        let entries = u32::try_from(held.len() + fresh + 1);
        match entries.is_ok_and(|entries| entries <= self.capacity.services) || fresh == 0 {
            true => Ok(()),
            false => Err(Full(maps::SERVICES)),
        }
    }

    fn pool_id(
        &mut self,
        service: &Service,
        intent: &Intent<'_>,
        position: usize,
    ) -> Result<u32, Full> {
        let name = PoolName {
            key: intent.pools[position].key(service),
            short_name: service.short_name.clone(),
        };
        if let Some(id) = self.recognise(&name, intent, position) {
            return Ok(id);
        }
        self.registry
            .name_pool(&name, self.capacity.services)
            .ok_or(Full(maps::SERVICE_STATE))
    }

    /// When the maps are newer than the saved registry, their frontends tell which pool this is:
    /// the one that all of its frontends name, and no other frontend does.
    fn recognise(&mut self, name: &PoolName, intent: &Intent<'_>, position: usize) -> Option<u32> {
        let services = &self.image.services;
        let frontends = intent.frontends.iter().filter(|held| held.pool == position);
        let held = || frontends.clone().filter_map(|held| services.get(&held.key));
        let id = held().find(|held| held.owner.is_none())?.service.id;
        let naming = held().filter(|held| held.service.id == id).count();
        let all = self
            .pools
            .get(&id)
            .is_some_and(|pool| pool.adopted_frontends == naming);
        (all && self.registry.claim_unnamed(name, id)).then_some(id)
    }

    fn fill_draft(
        &mut self,
        service: &Service,
        pool: &PoolIntent<'_>,
        growth: Growth,
        round: &Round,
        draft: &mut Draft,
    ) -> Result<(), Full> {
        let endpoints = endpoints_of(pool);
        let mut chosen =
            selection::choose(&endpoints, pool.class, service.distribution, &self.node);
        if growth == Growth::None {
            self.keep_members_only(&endpoints, &mut chosen, draft.id)?;
        }
        self.fill_members(&endpoints, &chosen, round, draft)?;
        let weights = self.slot_members(&endpoints, &chosen, draft);
        let current = self.current_slots(draft.id);
        draft.slots = slots::fill(pool.port.balancing, &weights, &current);
        draft.region = self.region_for(draft.id, draft.slots.len())?;
        Ok(())
    }

    /// Passes over endpoints that have no backend yet, unless no other would be left: then what
    /// was good before is better.
    fn keep_members_only(
        &self,
        endpoints: &[&Endpoint],
        chosen: &mut [bool],
        id: u32,
    ) -> Result<(), Full> {
        let pool = self.pools.get(&id);
        let held = pool.map(|pool| pool.members.as_slice()).unwrap_or_default();
        let had_choice = chosen.contains(&true);
        for (endpoint, chosen) in endpoints.iter().zip(&mut *chosen) {
            let here = (Address::from(endpoint.address), endpoint.port);
            let found = held.binary_search_by_key(&here, |index| self.place_of(*index));
            *chosen &= found.is_ok();
        }
        if had_choice && !chosen.contains(&true) {
            return Err(Full(maps::BACKENDS));
        }
        Ok(())
    }

    /// Walks the endpoints and the pool's members side by side; both are in ascending (address,
    /// port). A member keeps its index as long as the endpoint is listed.
    fn fill_members(
        &mut self,
        endpoints: &[&Endpoint],
        chosen: &[bool],
        round: &Round,
        draft: &mut Draft,
    ) -> Result<(), Full> {
        let pool = self.pools.get(&draft.id);
        let held = pool.map(|pool| pool.members.clone()).unwrap_or_default();
        let mut held = held.into_iter().peekable();
        let mut workload = RecentWorkload::default();
        for (endpoint, chosen) in endpoints.iter().zip(chosen) {
            let here = (Address::from(endpoint.address), endpoint.port);
            let mut before = None;
            while let Some(index) = held.next_if(|index| self.place_of(*index) <= here) {
                match before.is_none() && self.place_of(index) == here {
                    true => before = Some(index),
                    false => draft.dropped.push(index),
                }
            }
            // An endpoint that never took connections has none to finish.
            if before.is_none() && !chosen {
                continue;
            }
            let index = match before {
                Some(index) => index,
                None => self.indexes.take().ok_or(Full(maps::BACKENDS))?,
            };
            let mut backend = Backend {
                address: here.0,
                port: here.1,
                flags: self.flags(endpoint, *chosen),
                service: draft.id,
                workload: workload.id(endpoint, self),
                ..Backend::default()
            };
            match before {
                Some(index) => keep_history(&mut backend, &self.image.backend(index), round),
                None => backend.generation = self.next_generation(),
            }
            draft.members.push((index, backend));
        }
        draft.dropped.extend(held);
        Ok(())
    }

    fn place_of(&self, index: u32) -> (Address, u16) {
        let backend = self.image.backend(index);
        (backend.address, backend.port)
    }

    fn flags(&self, endpoint: &Endpoint, chosen: bool) -> u16 {
        let local = self.node.runs(endpoint) || self.node.addresses.contains(&endpoint.address);
        let local = if local { Backend::LOCAL } else { 0 };
        let draining = if chosen { 0 } else { Backend::DRAINING };
        let reach = self.reach.get(&endpoint.address);
        let reach = reach.map_or(0, |reach| reach.flags(endpoint.port));
        local | draining | reach
    }

    fn next_generation(&mut self) -> u32 {
        self.last_generation = self.registry.next_generation(self.last_generation);
        self.last_generation
    }

    /// The members that take new connections, with their weights.
    fn slot_members(&self, endpoints: &[&Endpoint], chosen: &[bool], draft: &Draft) -> Vec<Member> {
        let chosen = endpoints.iter().zip(chosen).filter(|(_, chosen)| **chosen);
        let taking = |backend: &Backend| backend.flags & Backend::DRAINING == 0;
        let members = draft.members.iter().filter(|(_, backend)| taking(backend));
        members
            .zip(chosen)
            .map(|((index, backend), (endpoint, _))| Member {
                index: *index,
                weight: endpoint.weight,
                address: backend.address,
                port: backend.port,
            })
            .collect()
    }

    fn current_slots(&self, id: u32) -> Vec<u32> {
        let Some((pool, region)) = self
            .pools
            .get(&id)
            .and_then(|pool| Some((pool, pool.region?)))
        else {
            return Vec::new();
        };
        let slots = region.first..region.first + pool.slots;
        slots.map(|slot| self.image.slot(slot).backend).collect()
    }

    /// The pool's region if its size still suits, else a new one.
    fn region_for(&mut self, id: u32, slots: usize) -> Result<Option<Region>, Full> {
        if slots == 0 {
            return Ok(None);
        }
        let slots = u32::try_from(slots).or(Err(Full(maps::SLOTS)))?;
        let held = self.pools.get(&id).and_then(|pool| pool.region);
        let fitting = held.filter(|region| region.capacity() >= slots);
        // Much too large: worth moving, but never at the price of failing.
        let spacious = |region: &Region| region.capacity() / 4 >= slots.next_power_of_two();
        match fitting {
            Some(region) if !spacious(&region) => Ok(Some(region)),
            Some(region) => Ok(self.regions.take(slots).or(Some(region))),
            None => match self.regions.take(slots) {
                Some(region) => Ok(Some(region)),
                None => Err(Full(maps::SLOTS)),
            },
        }
    }

    /// Gives back what was taken for drafts that will not be written.
    fn undo(&mut self, drafts: Vec<Draft>, round: &Round) {
        for draft in drafts {
            for (index, backend) in &draft.members {
                if self.image.backend(*index).generation != backend.generation {
                    self.indexes.give_back(*index);
                }
            }
            let held = self.pools.get(&draft.id).and_then(|pool| pool.region);
            if let Some(region) = draft.region.filter(|region| Some(*region) != held) {
                self.regions.give_back(region);
            }
            if !self.pools.contains_key(&draft.id) {
                self.rest(Freed::Pool(draft.id), round.now);
            }
        }
    }

    fn capacity_of(&self, map: &str) -> u32 {
        match map {
            maps::BACKENDS => self.capacity.backends,
            maps::SLOTS => self.capacity.slots,
            _ => self.capacity.services,
        }
    }
}

/// The endpoints of the pool's family in ascending (address, port), none twice.
fn endpoints_of<'a>(pool: &PoolIntent<'a>) -> Vec<&'a Endpoint> {
    let place = |endpoint: &&Endpoint| (Address::from(endpoint.address), endpoint.port);
    let family = |endpoint: &&Endpoint| Family::of(endpoint.address) == pool.family;
    let mut endpoints: Vec<&Endpoint> = pool.port.endpoints.iter().filter(family).collect();
    if !endpoints.is_sorted_by(|a, b| place(a) < place(b)) {
        endpoints.sort_by_key(place);
        endpoints.dedup_by_key(|endpoint| place(endpoint));
    }
    endpoints
}

/// Generation and ejection outlast a rewrite; an ejection that is over is not written again.
fn keep_history(backend: &mut Backend, before: &Backend, round: &Round) {
    backend.generation = before.generation;
    backend.ejected_until = before.ejected_until;
    let now = u64::try_from(round.now.as_nanos()).unwrap_or(u64::MAX);
    if *backend != *before && before.ejected_until <= now {
        backend.ejected_until = 0;
    }
}

/// Siblings mostly share a workload, and finding its id compares many strings.
#[derive(Default)]
struct RecentWorkload<'a> {
    last: Option<(&'a std::sync::Arc<weft_model::Workload>, u32)>,
}

impl<'a> RecentWorkload<'a> {
    fn id(&mut self, endpoint: &'a Endpoint, planner: &mut Planner) -> u32 {
        let Some(workload) = &endpoint.workload else {
            return 0;
        };
        match self.last {
            Some((last, id)) if std::sync::Arc::ptr_eq(last, workload) => id,
            _ => {
                let id = planner.registry.name_workload(workload);
                self.last = Some((workload, id));
                id
            }
        }
    }
}
