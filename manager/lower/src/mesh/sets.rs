//! Rule sets in use: what each holds in the maps, and when it may go.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use weft_abi::{SetIdentityKey, SetPortKey, SetSourceKey};
use weft_model::policy::AuthorizationPolicy;

use super::{MeshDump, MeshNames};
use crate::{MapOp, authz::RuleTables, planner::QUARANTINE};

/// Rule sets by id.
#[derive(Debug, Default)]
pub(super) struct Sets {
    sets: BTreeMap<u32, LiveSet>,
    /// Identities up to this number are in all sets.
    numbered: u32,
}

/// A set in the maps.
#[derive(Debug, Default)]
struct LiveSet {
    /// None of one that an earlier process left.
    tables: Option<Arc<RuleTables>>,
    identities: BTreeSet<SetIdentityKey>,
    sources: BTreeSet<SetSourceKey>,
    ports: BTreeSet<SetPortKey>,
    /// When it may go, since no peer names it.
    rests_until: Option<Duration>,
}

impl Sets {
    pub(super) fn adopt(dump: &MeshDump) -> Self {
        let mut sets = Self::default();
        for (set, _) in &dump.sets {
            sets.sets.entry(*set).or_default();
        }
        for (key, _) in &dump.set_identities {
            let set = sets.sets.entry(key.set).or_default();
            set.identities.insert(*key);
        }
        for (key, _) in &dump.set_sources {
            let set = sets.sets.entry(u32::from_be(key.set)).or_default();
            set.sources.insert(*key);
        }
        for (key, _) in &dump.set_ports {
            let set = sets.sets.entry(key.set).or_default();
            set.ports.insert(*key);
        }
        sets
    }

    pub(super) fn last_id(&self) -> Option<u32> {
        self.sets.last_key_value().map(|(id, _)| *id)
    }

    pub(super) fn tables(&self, id: u32) -> Option<&Arc<RuleTables>> {
        self.sets.get(&id)?.tables.as_ref()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Arc<RuleTables>)> {
        let sets = self.sets.iter();
        sets.filter_map(|(id, set)| Some((*id, set.tables.as_ref()?)))
    }

    /// Identities that came since: every set gets its answer before anybody may have one of them.
    pub(super) fn number(&mut self, names: &MeshNames, ops: &mut Vec<MapOp>) {
        let fresh: Vec<_> = names
            .principals()
            .filter(|(number, _)| *number > self.numbered)
            .collect();
        let Some((last, _)) = fresh.last() else {
            return;
        };
        self.numbered = *last;
        for (id, set) in &mut self.sets {
            let Some(tables) = &set.tables else { continue };
            let tables = Arc::clone(tables);
            set.put_identities(*id, &tables, fresh.iter().copied(), ops);
        }
    }

    /// The set of these policies, 0 without any; a new one if need be.
    pub(super) fn of(
        &mut self,
        policies: Vec<Arc<AuthorizationPolicy>>,
        destination: IpAddr,
        names: &mut MeshNames,
        ops: &mut Vec<MapOp>,
    ) -> u32 {
        let same = |set: &LiveSet| {
            let tables = set.tables.as_ref();
            tables.is_some_and(|tables| tables.is_of(&policies, destination))
        };
        if let Some((id, set)) = self.sets.iter_mut().find(|(_, set)| same(set)) {
            set.rests_until = None;
            return *id;
        }
        let Some(tables) = RuleTables::new(policies, destination) else {
            return 0;
        };
        let id = names.next_set();
        let tables = Arc::new(tables);
        let mut set = LiveSet::default();
        let unknown = SetIdentityKey {
            set: id,
            identity: 0,
        };
        let others = SetIdentityKey {
            identity: SetIdentityKey::OTHERS,
            ..unknown
        };
        set.identities.extend([unknown, others]);
        ops.push(MapOp::PutSetIdentity(unknown, tables.of_principal(None)));
        ops.push(MapOp::PutSetIdentity(others, tables.of_others()));
        set.put_identities(id, &tables, names.principals(), ops);
        for (key, bits) in tables.source_entries(id) {
            set.sources.insert(key);
            ops.push(MapOp::PutSetSource(key, bits));
        }
        for (key, bits) in tables.port_entries(id) {
            set.ports.insert(key);
            ops.push(MapOp::PutSetPort(key, bits));
        }
        ops.push(MapOp::PutSet(id, Box::new(*tables.rule_set())));
        set.tables = Some(tables);
        self.sets.insert(id, set);
        id
    }

    /// Removes what has rested, and lets rest what no peer names any more: a program that read the
    /// id a moment ago still finds it.
    pub(super) fn release(&mut self, used: &BTreeSet<u32>, now: Duration, ops: &mut Vec<MapOp>) {
        self.sets.retain(|id, set| {
            if used.contains(id) {
                set.rests_until = None;
                return true;
            }
            let until = *set.rests_until.get_or_insert(now + QUARANTINE);
            if until > now {
                return true;
            }
            ops.push(MapOp::DeleteSet(*id));
            ops.extend(
                set.identities
                    .iter()
                    .map(|key| MapOp::DeleteSetIdentity(*key)),
            );
            ops.extend(set.sources.iter().map(|key| MapOp::DeleteSetSource(*key)));
            ops.extend(set.ports.iter().map(|key| MapOp::DeleteSetPort(*key)));
            false
        });
    }

    /// When the next set has rested.
    pub(super) fn retry_at(&self) -> Option<Duration> {
        self.sets.values().filter_map(|set| set.rests_until).min()
    }
}

impl LiveSet {
    fn put_identities<'n>(
        &mut self,
        id: u32,
        tables: &RuleTables,
        identities: impl Iterator<Item = (u32, &'n Arc<str>)>,
        ops: &mut Vec<MapOp>,
    ) {
        let others = tables.of_others();
        for (identity, principal) in identities {
            let bits = tables.of_principal(Some(principal));
            if bits != others {
                let key = SetIdentityKey { set: id, identity };
                self.identities.insert(key);
                ops.push(MapOp::PutSetIdentity(key, bits));
            }
        }
    }
}
