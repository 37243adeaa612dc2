//! From drafts to writes.

use weft_abi::{Backend, Service as Entry, ServiceKey};
use weft_model::{Service, ServiceName};

use super::{
    Freed, Planner, Pool, Round,
    draft::{Draft, Growth},
    image::Frontend,
};
use crate::{
    CANARY,
    intent::{Intent, PoolIntent, affinity_seconds, algorithm, protocol_number},
};

impl Planner {
    /// Brings a service to its wanted state, or as near to it as it fits.
    pub(super) fn place(&mut self, name: &ServiceName, round: &mut Round) {
        let Some(placement) = self.services.get(name) else {
            return;
        };
        let service = placement.wanted.clone();
        let node = self.node.clone();
        let intent = Intent::of(&service, &node);
        let shortage = match self.draft(&service, &intent, Growth::Full, round) {
            Ok(drafts) => {
                self.waiting.remove(name);
                return self.commit(&service, &intent, drafts, round);
            }
            Err(shortage) => shortage,
        };
        self.waiting.insert(name.clone(), shortage);
        // In a full map a rolling update must go on: what is gone makes room for what is new.
        match self.draft(&service, &intent, Growth::None, round) {
            Ok(drafts) => self.commit(&service, &intent, drafts, round),
            Err(_) => self.keep_last_good(&service, &intent),
        }
    }

    fn commit(
        &mut self,
        service: &Service,
        intent: &Intent<'_>,
        drafts: Vec<Draft>,
        round: &mut Round,
    ) {
        let name = &service.name;
        let ids: Vec<u32> = drafts.iter().map(|draft| draft.id).collect();
        let entries: Vec<Entry> = intent
            .pools
            .iter()
            .zip(&drafts)
            .map(|(pool, draft)| entry(service, pool, draft))
            .collect();
        for (pool, draft) in intent.pools.iter().zip(drafts) {
            self.write_pool(name, pool, draft, round);
        }
        let (keys, lost) = self.write_frontends(name, intent, &entries, round);
        let placement = self.services.get_mut(name).expect("it is being placed");
        let old_keys = std::mem::replace(&mut placement.keys, keys.clone());
        let old_pools = std::mem::replace(&mut placement.pools, ids.clone());
        placement.lost = lost;
        for key in old_keys.into_iter().filter(|key| !keys.contains(key)) {
            self.vacate(name, key, round);
        }
        for id in old_pools.into_iter().filter(|id| !ids.contains(id)) {
            self.free_pool(id, round);
        }
    }

    fn write_pool(
        &mut self,
        owner: &ServiceName,
        pool: &PoolIntent<'_>,
        draft: Draft,
        round: &mut Round,
    ) {
        let protocol = protocol_number(pool.port.protocol);
        for (index, backend) in &draft.members {
            self.write_backend(*index, *backend, round);
        }
        if let Some(region) = draft.region {
            let (image, steps) = (&mut self.image, &mut round.steps);
            image.write_slots(region.first, draft.id, &draft.slots, steps);
        }
        for index in draft.dropped {
            self.free_backend(index, protocol, round);
        }
        let written = Pool {
            owner: Some(owner.clone()),
            protocol,
            members: draft.members.iter().map(|(index, _)| *index).collect(),
            region: draft.region,
            slots: u32::try_from(draft.slots.len()).expect("they fit in a region"),
            leftovers: Vec::new(),
            adopted_frontends: 0,
            outlier: pool.port.outlier,
        };
        if let Some(before) = self.pools.insert(draft.id, written) {
            let moved = before.region.filter(|region| Some(*region) != draft.region);
            for region in moved.into_iter().chain(before.leftovers) {
                self.rest(Freed::Region(region), round.now);
            }
        }
    }

    fn write_backend(&mut self, index: u32, backend: Backend, round: &mut Round) {
        let before = self.image.backend(index);
        if before == backend {
            return;
        }
        self.image.put_backend(index, backend);
        if before.generation != backend.generation {
            round.steps.fresh_backend(index, backend);
        } else if backend.flags & Backend::DRAINING != 0 {
            round.steps.drain(index, backend);
        } else {
            round.steps.backend(index, backend);
        }
    }

    /// Returns the keys the service has and those it does not get.
    fn write_frontends(
        &mut self,
        name: &ServiceName,
        intent: &Intent<'_>,
        entries: &[Entry],
        round: &mut Round,
    ) -> (Vec<ServiceKey>, Vec<ServiceKey>) {
        let lost_before = std::mem::take(
            &mut self
                .services
                .get_mut(name)
                .expect("it is being placed")
                .lost,
        );
        self.concede(name, &lost_before);
        let (mut keys, mut lost) = (Vec::with_capacity(intent.frontends.len()), Vec::new());
        for frontend in &intent.frontends {
            let key = frontend.key;
            if !self.claim(name, key, round) {
                self.contested.entry(key).or_default().insert(name.clone());
                lost.push(key);
                continue;
            }
            let entry = Entry {
                flags: frontend.flags,
                ..entries[frontend.pool]
            };
            let owner = Some(name.clone());
            let written = Frontend {
                service: entry,
                owner,
            };
            let before = self.image.services.insert(key, written);
            if before.is_none_or(|before| before.service != entry) {
                round.steps.service(key, entry);
            }
            keys.push(key);
        }
        (keys, lost)
    }

    /// Whether the service may have the frontend: of all that claim one, the first by name, so
    /// that the outcome does not depend on who came first.
    fn claim(&self, name: &ServiceName, key: ServiceKey, round: &mut Round) -> bool {
        if key == CANARY {
            return false;
        }
        let held = self.image.services.get(&key);
        let Some(owner) = held.and_then(|held| held.owner.as_ref()) else {
            return true;
        };
        if owner > name {
            // Planned again, it finds out what it lost.
            round.work.insert(owner.clone());
        }
        owner >= name
    }

    /// Takes a service off the lists of those that want a frontend of another.
    pub(super) fn concede(&mut self, name: &ServiceName, lost: &[ServiceKey]) {
        for key in lost {
            if let Some(losers) = self.contested.get_mut(key) {
                losers.remove(name);
                if losers.is_empty() {
                    self.contested.remove(key);
                }
            }
        }
    }

    /// Gives up a frontend, if the service still has it, for the next claimant or for deletion.
    pub(super) fn vacate(&mut self, name: &ServiceName, key: ServiceKey, round: &mut Round) {
        let Some(held) = self.image.services.get_mut(&key) else {
            return;
        };
        if held.owner.as_ref() != Some(name) {
            return;
        }
        held.owner = None;
        round.vacated.insert(key);
        if let Some(next) = self.contested.get(&key).and_then(|losers| losers.first()) {
            round.work.insert(next.clone());
        }
    }

    /// Nothing is written. What the service has in adopted maps becomes its own, so that it is
    /// not swept away.
    fn keep_last_good(&mut self, service: &Service, intent: &Intent<'_>) {
        let name = &service.name;
        let mut keys = Vec::new();
        let mut pools = Vec::new();
        for (position, pool) in intent.pools.iter().enumerate() {
            let id = self.registry.pool_id(&pool.key(service));
            let Some((id, adopted)) = id.and_then(|id| Some((id, self.pools.get_mut(&id)?))) else {
                continue;
            };
            if adopted.owner.is_none() {
                adopted.owner = Some(name.clone());
                pools.push(id);
            }
            for frontend in intent.frontends.iter().filter(|held| held.pool == position) {
                let held = self.image.services.get_mut(&frontend.key);
                let held = held.filter(|held| held.owner.is_none() && held.service.id == id);
                if let Some(held) = held {
                    held.owner = Some(name.clone());
                    keys.push(frontend.key);
                }
            }
        }
        let placement = self.services.get_mut(name).expect("it is being placed");
        placement.keys.extend(keys);
        placement.pools.extend(pools);
    }
}

/// The entry that all frontends of a pool share but for their flags.
fn entry(service: &Service, pool: &PoolIntent<'_>, draft: &Draft) -> Entry {
    Entry {
        id: draft.id,
        first_slot: draft.region.map_or(0, |region| region.first),
        slots: u32::try_from(draft.slots.len()).expect("they fit in a region"),
        max_connections: pool.port.max_connections.unwrap_or(u32::MAX),
        affinity_seconds: affinity_seconds(service),
        algorithm: algorithm(pool.port.balancing),
        flags: 0,
        reserved: 0,
    }
}
