//! What the proxy sees of policy: changed as a whole, read by its threads without waiting for a
//! compile.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use weft_abi::HitKey;
use weft_admin::{DenialReport, EndReport};
use weft_lower::authz::RuleTables;
use weft_model::{Change, Instance, Mesh};

use super::bridge::Outbox;

/// A workload on this node.
#[derive(Debug)]
pub(super) struct Here {
    /// Its addresses with the id and tables of the rule set in force there; id 0 is none.
    addresses: BTreeMap<IpAddr, (u32, Option<Arc<RuleTables>>)>,
}

impl Here {
    pub(super) fn new(addresses: BTreeMap<IpAddr, (u32, Option<Arc<RuleTables>>)>) -> Self {
        Self { addresses }
    }
}

/// Rules that hold at an address.
pub(super) enum Rules {
    /// Nobody here has the address.
    Unknown,
    /// No policy: all may.
    None,
    /// These, of the set with this id.
    Tables(u32, Arc<RuleTables>),
    /// A set that cannot be read: nobody may.
    Missing,
}

/// The view. `Default` sees nothing, so refuses everything.
#[derive(Debug, Default)]
pub(crate) struct View(RwLock<Seen>, Outbox, Hits);

/// How often clauses decided in the proxy: the like of `AUTHZ_HITS`.
#[derive(Debug, Default)]
struct Hits(Mutex<BTreeMap<HitKey, u64>>);

#[derive(Debug, Default)]
struct Seen {
    here: BTreeMap<u64, Here>,
    instances: BTreeMap<IpAddr, Arc<Instance>>,
}

impl View {
    /// Takes in a change; without one, the whole mesh.
    pub(super) fn update(&self, mesh: &Mesh, change: Option<&Change>, here: BTreeMap<u64, Here>) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        seen.here = here;
        let Some(change) = change else {
            seen.instances.clone_from(&mesh.instances);
            return;
        };
        for (address, instance) in &change.instances {
            match instance {
                Some(instance) => drop(seen.instances.insert(*address, Arc::clone(instance))),
                None => drop(seen.instances.remove(address)),
            }
        }
    }

    /// Who stands at an address.
    pub(super) fn instance(&self, address: IpAddr) -> Option<Arc<Instance>> {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.instances.get(&address.to_canonical()).cloned()
    }

    /// Whether an address is the workload's.
    pub(super) fn owns(&self, workload: u64, address: IpAddr) -> bool {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let here = seen.here.get(&workload);
        here.is_some_and(|here| here.addresses.contains_key(&address.to_canonical()))
    }

    /// What holds at an address of a workload.
    pub(super) fn rules(&self, workload: u64, address: IpAddr) -> Rules {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let held = seen
            .here
            .get(&workload)
            .and_then(|here| here.addresses.get(&address.to_canonical()));
        match held {
            None => Rules::Unknown,
            Some((0, _)) => Rules::None,
            Some((set, Some(tables))) => Rules::Tables(*set, Arc::clone(tables)),
            Some((_, None)) => Rules::Missing,
        }
    }

    /// Counts a clause that decided in the proxy.
    pub(super) fn hit(&self, set: u32, clause: u32) {
        let mut hits = self.2.0.lock().unwrap_or_else(PoisonError::into_inner);
        *hits.entry(HitKey { set, clause }).or_default() += 1;
    }

    /// How often clauses of these sets decided in the proxy; others are forgotten.
    pub(super) fn hits(&self, sets: &BTreeSet<u32>) -> Vec<(HitKey, u64)> {
        let mut hits = self.2.0.lock().unwrap_or_else(PoisonError::into_inner);
        hits.retain(|key, _| sets.contains(&key.set));
        hits.iter().map(|(key, count)| (*key, *count)).collect()
    }

    /// Keeps a refusal of the proxy for the engine.
    pub(super) fn tell(&self, report: DenialReport) {
        self.1.push(report);
    }

    /// What the proxy refused since the last call.
    pub(crate) fn told(&self) -> Vec<DenialReport> {
        self.1.take()
    }

    /// An end of a connection as reports name it.
    pub(super) fn end(&self, addr: SocketAddr, identity: Option<String>) -> EndReport {
        let instance = self.instance(addr.ip());
        EndReport {
            addr: addr.to_string(),
            workload: instance.as_ref().map(|one| one.workload.name.to_string()),
            namespace: instance.as_ref().map(|one| one.namespace.to_string()),
            identity,
        }
    }
}
