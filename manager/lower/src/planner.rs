//! Who holds which index, and what to write.
//!
//! The planner owns everything in the maps that has a number: backends, slot regions, pool ids. It
//! keeps an image of what it wrote, so a plan contains differences only. What is freed rests for
//! [`QUARANTINE`] before it is given out again, so that a reader in the kernel that still holds an
//! old number never finds a stranger there. A service that does not fit keeps what it has of
//! its backends, or stays as it last was, and is tried again when there is room.

mod shortage;

mod draft;

mod commit;

mod addresses;

mod release;

mod adopt;

mod view;

mod reach;

mod steps;

mod image;

mod indexes;

mod regions;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use weft_abi::{ServiceKey, names::maps};
use weft_model::{Change, Mesh, Outlier, Service, ServiceName, Workload};

use self::{
    image::Image,
    indexes::Indexes,
    regions::{Region, Regions},
    steps::Steps,
};
use crate::{
    Capacity, MapOp, NodeFacts, Registry,
    canary::{CANARY_GENERATION, CANARY_SLOT},
    mesh::Reach,
};

pub use self::{
    adopt::MapDump,
    shortage::Shortage,
    view::{BackendView, PoolView, Usage},
};

/// How long a freed number rests. A program in the kernel runs for microseconds; this leaves room
/// for a host that stalls.
pub const QUARANTINE: Duration = Duration::from_secs(2);

/// What to do about one change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Writes, to be applied in this order.
    pub ops: Vec<MapOp>,
    /// Backends that are gone once the writes are done: their sockets have nobody to talk to.
    pub removed: Vec<RemovedBackend>,
    /// Everything that does not fit at present, not only what this change brought.
    pub problems: Vec<Shortage>,
}

/// A backend that the mesh no longer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemovedBackend {
    /// Its index in `BACKENDS`.
    pub index: u32,
    /// Its generation.
    pub generation: u32,
    /// Where its connections go.
    pub address: IpAddr,
    /// Port, host order.
    pub port: u16,
    /// IANA number, 0 when it was adopted and nothing tells.
    pub protocol: u8,
    /// The pool that owned it.
    pub service: u32,
}

/// Plans writes. One per set of maps.
#[derive(Debug)]
pub struct Planner {
    capacity: Capacity,
    node: NodeFacts,
    registry: Registry,
    image: Image,
    services: BTreeMap<ServiceName, Placement>,
    pools: BTreeMap<u32, Pool>,
    indexes: Indexes,
    regions: Regions,
    quarantine: VecDeque<(Duration, Freed)>,
    last_generation: u32,
    /// Services that do not fit, and the first map that was too small.
    waiting: BTreeMap<ServiceName, Shortage>,
    waiting_addresses: BTreeMap<IpAddr, Arc<Workload>>,
    /// Services that do not get a frontend because another has it.
    contested: BTreeMap<ServiceKey, BTreeSet<ServiceName>>,
    /// Whether something became free since what waits was last tried.
    room: bool,
    /// How endpoints of the mesh are reached.
    reach: BTreeMap<IpAddr, Reach>,
    /// Services whose endpoints are reached otherwise since they were placed.
    rerouted: BTreeSet<ServiceName>,
}

/// A service and what it holds.
#[derive(Debug)]
struct Placement {
    wanted: Arc<Service>,
    pools: Vec<u32>,
    /// May contain keys that another service has taken over since.
    keys: Vec<ServiceKey>,
    /// Keys for which it is listed in `contested`.
    lost: Vec<ServiceKey>,
}

/// A pool and what it holds.
#[derive(Debug)]
struct Pool {
    /// Nobody between adoption and the first full plan.
    owner: Option<ServiceName>,
    /// IANA number, 0 when it was adopted and nothing tells.
    protocol: u8,
    /// Backend indexes in ascending (address, port).
    members: Vec<u32>,
    region: Option<Region>,
    slots: u32,
    /// Adopted regions that frontends may name until they are rewritten.
    leftovers: Vec<Region>,
    /// How many frontends named it at adoption; 0 once it has been written.
    adopted_frontends: usize,
    outlier: Option<Outlier>,
}

/// A number in quarantine.
#[derive(Clone, Copy, Debug)]
enum Freed {
    Backend(u32),
    Region(Region),
    Pool(u32),
}

/// One plan in the making.
struct Round {
    now: Duration,
    steps: Steps,
    /// Services to place.
    work: BTreeSet<ServiceName>,
    /// Frontends without owner, to be deleted if none is found.
    vacated: BTreeSet<ServiceKey>,
    deleted_workloads: usize,
    removed: Vec<RemovedBackend>,
}

impl Round {
    fn new(now: Duration) -> Self {
        Self {
            now,
            steps: Steps::default(),
            work: BTreeSet::new(),
            vacated: BTreeSet::new(),
            deleted_workloads: 0,
            removed: Vec::new(),
        }
    }
}

impl Planner {
    /// A planner for empty maps of these sizes.
    pub fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            node: NodeFacts::default(),
            registry: Registry::default(),
            image: Image::default(),
            services: BTreeMap::new(),
            pools: BTreeMap::new(),
            indexes: Indexes::new(capacity.backends),
            regions: Regions::new(CANARY_SLOT + 1, capacity.slots),
            quarantine: VecDeque::new(),
            last_generation: CANARY_GENERATION,
            waiting: BTreeMap::new(),
            waiting_addresses: BTreeMap::new(),
            contested: BTreeMap::new(),
            room: false,
            reach: BTreeMap::new(),
            rerouted: BTreeSet::new(),
        }
    }

    /// Writes for a change of the mesh; `now` is the time since boot and never runs backwards. An
    /// empty change tries again what did not fit ([`Self::retry_at`]). Node facts that differ from
    /// the last ones replan every service.
    pub fn plan(&mut self, change: &Change, node: &NodeFacts, now: Duration) -> Plan {
        let mut round = self.begin(node, now);
        for (name, service) in &change.services {
            match service {
                Some(service) => self.want(name, service, &mut round),
                None => self.withdraw(name, &mut round),
            }
        }
        for (address, workload) in &change.addresses {
            if workload.is_none() {
                self.forget_address(*address, &mut round);
            }
        }
        for (address, workload) in &change.addresses {
            if let Some(workload) = workload {
                self.name_address(*address, workload, &mut round);
            }
        }
        self.finish(round)
    }

    /// Writes that make the maps hold `mesh` and nothing else, whatever they held before.
    pub fn plan_full(&mut self, mesh: &Mesh, node: &NodeFacts, now: Duration) -> Plan {
        let mut round = self.begin(node, now);
        let gone = |name: &&ServiceName| !mesh.services.contains_key(*name);
        let gone: Vec<_> = self.services.keys().filter(gone).cloned().collect();
        for name in &gone {
            self.withdraw(name, &mut round);
        }
        for (name, service) in &mesh.services {
            self.want(name, service, &mut round);
        }
        self.work(&mut round);
        self.sweep(&mut round);
        self.match_addresses(mesh, &mut round);
        self.finish(round)
    }

    /// Plans every service again for other node facts.
    pub fn replan_all(&mut self, node: &NodeFacts, now: Duration) -> Plan {
        let mut round = self.begin(node, now);
        round.work.extend(self.services.keys().cloned());
        self.finish(round)
    }

    /// When an empty change is worth planning because something waits and there will be room.
    pub fn retry_at(&self) -> Option<Duration> {
        if self.waiting.is_empty() && self.waiting_addresses.is_empty() {
            return None;
        }
        if self.room {
            return Some(Duration::ZERO);
        }
        self.quarantine.front().map(|(until, _)| *until)
    }

    /// Passes a backend over until `until_ns` (`CLOCK_MONOTONIC`, ns, cut to below 2^63; 0 takes it
    /// back). `None` when the index has another owner by now.
    pub fn eject(&mut self, index: u32, generation: u32, until_ns: u64) -> Option<MapOp> {
        let mut backend = self.image.backend(index);
        if backend.service == 0 || backend.generation != generation {
            return None;
        }
        backend.ejected_until = until_ns.min(i64::MAX.cast_unsigned());
        self.image.put_backend(index, backend);
        Some(MapOp::PutBackend(index, backend))
    }

    fn begin(&mut self, node: &NodeFacts, now: Duration) -> Round {
        let mut round = Round::new(now);
        self.mature(now);
        round.work.append(&mut self.rerouted);
        if *node != self.node {
            self.node = node.clone();
            round.work.extend(self.services.keys().cloned());
        }
        if std::mem::take(&mut self.room) {
            round.work.extend(self.waiting.keys().cloned());
            for (address, workload) in std::mem::take(&mut self.waiting_addresses) {
                self.name_address(address, &workload, &mut round);
            }
        }
        round
    }

    fn work(&mut self, round: &mut Round) {
        while let Some(name) = round.work.pop_first() {
            self.place(&name, round);
        }
    }

    fn finish(&mut self, mut round: Round) -> Plan {
        self.work(&mut round);
        for key in &round.vacated {
            let ownerless = |frontend: &image::Frontend| frontend.owner.is_none();
            if self.image.services.get(key).is_some_and(ownerless) {
                self.image.services.remove(key);
                round.steps.delete_service(*key);
                self.room = true;
            }
        }
        self.room |= round.deleted_workloads > 0;
        Plan {
            ops: round.steps.into_ops(),
            removed: round.removed,
            problems: self.shortages(),
        }
    }

    fn want(&mut self, name: &ServiceName, service: &Arc<Service>, round: &mut Round) {
        let wanted = Arc::clone(service);
        match self.services.get_mut(name) {
            Some(placement) => placement.wanted = wanted,
            None => {
                let placement = Placement {
                    wanted,
                    pools: Vec::new(),
                    keys: Vec::new(),
                    lost: Vec::new(),
                };
                self.services.insert(name.clone(), placement);
            }
        }
        round.work.insert(name.clone());
    }

    fn withdraw(&mut self, name: &ServiceName, round: &mut Round) {
        self.waiting.remove(name);
        let Some(placement) = self.services.remove(name) else {
            return;
        };
        self.concede(name, &placement.lost);
        for key in placement.keys {
            self.vacate(name, key, round);
        }
        for id in placement.pools {
            self.free_pool(id, round);
        }
    }

    /// Deletes what was adopted and found no owner.
    fn sweep(&mut self, round: &mut Round) {
        for (key, frontend) in &self.image.services {
            if frontend.owner.is_none() {
                round.vacated.insert(*key);
            }
        }
        let ownerless = |(id, pool): (&u32, &Pool)| pool.owner.is_none().then_some(*id);
        let ownerless: Vec<u32> = self.pools.iter().filter_map(ownerless).collect();
        for id in ownerless {
            self.free_pool(id, round);
        }
    }

    fn shortages(&self) -> Vec<Shortage> {
        let addresses = self
            .waiting_addresses
            .keys()
            .map(|address| Shortage::Workload {
                map: maps::WORKLOADS,
                capacity: self.capacity.workloads,
                address: *address,
            });
        let frontends = self.contested.iter().flat_map(|(key, losers)| {
            let owner = self
                .image
                .services
                .get(key)
                .and_then(|held| held.owner.clone());
            losers.iter().map(move |loser| Shortage::Frontend {
                service: loser.clone(),
                address: key.address.into(),
                port: key.port,
                protocol: key.protocol,
                owner: owner.clone(),
            })
        });
        let mut shortages: Vec<_> = self.waiting.values().cloned().collect();
        shortages.extend(addresses.chain(frontends));
        // A frontend taken in both scopes is one problem.
        shortages.sort();
        shortages.dedup();
        shortages
    }
}
