//! Names that outlive the process: which id a pool or a workload has in the maps.
//!
//! Ids in maps must keep their meaning over a restart, or counters and live connections would be
//! taken for somebody else's. The registry is saved (before the writes that use a new id) and
//! given back to [`Planner::adopt`](crate::Planner::adopt); metrics and dumps resolve ids with it.

mod document;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use weft_model::Workload;

use crate::{PoolKey, canary::CANARY_POOL};

/// First pool id that is given out.
const FIRST_POOL: u32 = CANARY_POOL + 1;

/// Generations that are given out between two changes of the registry.
const GENERATION_BLOCK: u32 = 1 << 16;

/// What stands behind a pool id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolName {
    /// Identity.
    pub key: PoolKey,
    /// What people call the service.
    pub short_name: Arc<str>,
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

/// Ids of pools and workloads. A pool id has another name only when all ids have been used, and
/// then the one that has been dead the longest; a workload id never has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "document::Document", into = "document::Document")]
pub struct Registry {
    pools: BTreeMap<u32, PoolName>,
    pool_ids: BTreeMap<PoolKey, u32>,
    /// Pool ids that may be given another name, the one that died first in front.
    dead: BTreeMap<u64, u32>,
    /// Where in `dead` a pool id is.
    died: BTreeMap<u32, u64>,
    deaths: u64,
    /// Pool ids that the maps use and nobody can name.
    unnamed: BTreeSet<u32>,
    workloads: BTreeMap<u32, Arc<Workload>>,
    workload_ids: BTreeMap<Arc<Workload>, u32>,
    /// All generations given out so far are below this.
    generation_ceiling: u32,
    revision: u64,
}

/// Why a saved registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not JSON, or not the JSON of a registry.
    #[error("saved registry is damaged ({0}); remove it to start afresh with the maps as they are")]
    Damaged(#[from] serde_json::Error),
    /// Written by another version.
    #[error(
        "saved registry has format {found}, this version reads {expected}; remove it to start afresh with the maps as they are"
    )]
    Format {
        /// What it says.
        found: u32,
        /// What can be read.
        expected: u32,
    },
    /// Two things with one id, or one thing with two.
    #[error(
        "saved registry names {what} {id} twice or under two ids; remove it to start afresh with the maps as they are"
    )]
    Ambiguous {
        /// `pool` or `workload`.
        what: &'static str,
        /// The id.
        id: u32,
    },
}

impl Registry {
    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// When the text is no registry, of another format, or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self, RegistryError> {
        let document: document::Document = serde_json::from_str(text)?;
        Self::try_from(document)
    }

    /// The registry as one JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers only")
    }

    /// Changes whenever there is something new to save.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What a pool id means, or last meant. The canary's has no name here.
    pub fn pool(&self, id: u32) -> Option<&PoolName> {
        self.pools.get(&id)
    }

    /// The id of a pool that has or had one.
    pub fn pool_id(&self, key: &PoolKey) -> Option<u32> {
        self.pool_ids.get(key).copied()
    }

    /// What a workload id means.
    pub fn workload(&self, id: u32) -> Option<&Arc<Workload>> {
        self.workloads.get(&id)
    }

    /// The id of a workload that has one.
    pub fn workload_id(&self, workload: &Workload) -> Option<u32> {
        self.workload_ids.get(workload).copied()
    }

    /// The id of a workload, a new one if need be. Never 0.
    pub(crate) fn name_workload(&mut self, workload: &Arc<Workload>) -> u32 {
        if let Some(id) = self.workload_ids.get(workload) {
            return *id;
        }
        let id = self.workloads.last_key_value().map_or(1, |(id, _)| id + 1);
        self.workloads.insert(id, Arc::clone(workload));
        self.workload_ids.insert(Arc::clone(workload), id);
        self.revision += 1;
        id
    }

    /// The id of a pool, a new or a dead one if need be, below `limit`. From now on it is alive.
    pub(crate) fn name_pool(&mut self, name: &PoolName, limit: u32) -> Option<u32> {
        let known = self.pool_id(&name.key).filter(|id| *id < limit);
        let id = known
            .or_else(|| self.unused_pool(limit))
            .or_else(|| self.oldest_dead(limit))?;
        self.bind(id, name);
        Some(id)
    }

    /// Gives a pool the id that the maps already use for it, though nobody saved its name.
    pub(crate) fn claim_unnamed(&mut self, name: &PoolName, id: u32) -> bool {
        let claimed = self.pool_id(&name.key).is_none() && self.unnamed.contains(&id);
        if claimed {
            self.bind(id, name);
        }
        claimed
    }

    /// Marks an id that the maps use as alive, with or without a name.
    pub(crate) fn keep_pool(&mut self, id: u32) {
        if self.pools.contains_key(&id) {
            self.revive(id);
        } else {
            self.unnamed.insert(id);
        }
    }

    /// From now on another pool may have this id, when there is no other left. Its own pool gets
    /// it back until then.
    pub(crate) fn retire_pool(&mut self, id: u32) {
        self.unnamed.remove(&id);
        if self.pools.contains_key(&id) && !self.died.contains_key(&id) {
            self.dead.insert(self.deaths, id);
            self.died.insert(id, self.deaths);
            self.deaths += 1;
        }
    }

    /// A generation that no backend ever had; never 0 or the canary's.
    pub(crate) fn next_generation(&mut self, last: u32) -> u32 {
        let next = last.checked_add(1).unwrap_or(2).max(2);
        if next >= self.generation_ceiling {
            self.generation_ceiling = next.saturating_add(GENERATION_BLOCK);
            self.revision += 1;
        } else if next < last {
            self.generation_ceiling = GENERATION_BLOCK;
            self.revision += 1;
        }
        next
    }

    /// At least every generation given out before the registry was saved.
    pub(crate) fn last_generation(&self) -> u32 {
        self.generation_ceiling
    }

    fn bind(&mut self, id: u32, name: &PoolName) {
        self.revive(id);
        self.unnamed.remove(&id);
        if self.pools.get(&id) == Some(name) {
            return;
        }
        // Only an id beyond the limit of smaller maps is left behind here.
        if let Some(other) = self.pool_id(&name.key).filter(|other| *other != id) {
            self.pools.remove(&other);
            self.revive(other);
        }
        if let Some(before) = self.pools.insert(id, name.clone()) {
            self.pool_ids.remove(&before.key);
        }
        self.pool_ids.insert(name.key.clone(), id);
        self.revision += 1;
    }

    fn revive(&mut self, id: u32) {
        if let Some(death) = self.died.remove(&id) {
            self.dead.remove(&death);
        }
    }

    fn unused_pool(&self, limit: u32) -> Option<u32> {
        let free = |id: &u32| !self.pools.contains_key(id) && !self.unnamed.contains(id);
        // Ids are given out in ascending order, so the one after the last is nearly always free.
        let next = self
            .pools
            .last_key_value()
            .map_or(FIRST_POOL, |(id, _)| id + 1);
        let gaps = || {
            let used = u32::try_from(self.pools.len() + self.unnamed.len());
            let room = used.is_ok_and(|used| used < limit.saturating_sub(FIRST_POOL));
            room.then(|| (FIRST_POOL..limit.min(next)).find(free))
                .flatten()
        };
        (next..limit).find(free).or_else(gaps)
    }

    fn oldest_dead(&self, limit: u32) -> Option<u32> {
        self.dead.values().copied().find(|id| *id < limit)
    }
}

#[cfg(test)]
mod tests;
