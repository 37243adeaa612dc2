//! What is given up rests for a while before anybody else gets it.

use std::time::Duration;

use weft_abi::Backend;

use super::{Freed, Planner, QUARANTINE, RemovedBackend, Round};

impl Planner {
    /// Gives back what has rested long enough.
    pub(super) fn mature(&mut self, now: Duration) {
        while let Some((until, freed)) = self.quarantine.front().copied() {
            if until > now {
                return;
            }
            self.quarantine.pop_front();
            self.room = true;
            match freed {
                Freed::Backend(index) => self.indexes.give_back(index),
                Freed::Region(region) => self.regions.give_back(region),
                // The service may have come back in the meantime.
                Freed::Pool(id) if self.pools.contains_key(&id) => {}
                Freed::Pool(id) => self.registry.retire_pool(id),
            }
        }
    }

    pub(super) fn rest(&mut self, freed: Freed, now: Duration) {
        self.quarantine.push_back((now + QUARANTINE, freed));
    }

    pub(super) fn free_pool(&mut self, id: u32, round: &mut Round) {
        let Some(pool) = self.pools.remove(&id) else {
            return;
        };
        for index in pool.members {
            self.free_backend(index, pool.protocol, round);
        }
        for region in pool.region.into_iter().chain(pool.leftovers) {
            self.rest(Freed::Region(region), round.now);
        }
        self.rest(Freed::Pool(id), round.now);
    }

    pub(super) fn free_backend(&mut self, index: u32, protocol: u8, round: &mut Round) {
        let backend = self.image.backend(index);
        round.removed.push(RemovedBackend {
            index,
            generation: backend.generation,
            address: backend.address.into(),
            port: backend.port,
            protocol,
            service: backend.service,
        });
        self.image.put_backend(index, Backend::default());
        round.steps.free(index, &backend);
        self.rest(Freed::Backend(index), round.now);
    }
}
