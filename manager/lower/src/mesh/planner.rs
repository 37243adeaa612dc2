//! From the mesh to the writes of its maps.

mod enrolments;
mod problems;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use weft_abi::{Address, ClientLimit, Enrolment, ExcludedKey, Peer, PortModeKey};
use weft_model::{Change, ConnectionLimits, Instance, InstanceKind, Mesh, Protocol};

use super::{
    MeshDump, MeshFacts, MeshNames, MeshPlan, NodeEnrolment, Reach,
    sets::Sets,
    standing::{Modes, Standing, mode_number, with_subject},
};
use crate::{MapOp, Planner, authz};

type Name = (Arc<str>, Arc<str>);

/// Plans writes of the mesh's maps. One per set of maps.
///
/// For each change: [`Self::prepare`], then [`Planner::plan`], then [`Self::plan`]; then the names
/// of both are saved; then the writes are made, `before`, the planner's, `after`. After each single
/// write, a connection meets the old or the new policy as a whole: a set is there before the peer
/// that names it, an identity is in all sets before anybody has it, a workload is ready last.
#[derive(Debug, Default)]
pub struct MeshPlanner {
    names: MeshNames,
    facts: MeshFacts,
    standings: BTreeMap<IpAddr, Standing>,
    /// Addresses of instances by name.
    named: BTreeMap<Name, BTreeSet<(InstanceKind, IpAddr)>>,
    instances: BTreeMap<IpAddr, Arc<Instance>>,
    sets: Sets,
    image: Image,
    /// Addresses to be planned.
    dirty: BTreeSet<IpAddr>,
}

/// What the maps hold. Writes are differences to this.
#[derive(Debug, Default)]
struct Image {
    enrolled: BTreeMap<u64, Enrolment>,
    peers: BTreeMap<Address, Peer>,
    port_modes: BTreeMap<PortModeKey, u32>,
    excluded: BTreeMap<ExcludedKey, u32>,
    limits: BTreeMap<u32, ClientLimit>,
}

/// Writes of one plan, gathered by phase.
#[derive(Default)]
struct Steps {
    sets: Vec<MapOp>,
    identities: Vec<MapOp>,
    modes: Vec<MapOp>,
    peers: Vec<MapOp>,
    limits: Vec<MapOp>,
    excluded: Vec<MapOp>,
    enrolments: Vec<MapOp>,
    /// Before what they name.
    gone_peers: Vec<MapOp>,
    deletes: Vec<MapOp>,
}

impl MeshPlanner {
    /// A planner for empty maps.
    pub fn new(names: MeshNames) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// Starts from maps that are in use, and from the names saved with them. The next plan must be
    /// of the whole mesh ([`Self::prepare`] without change): it writes what differs, rule sets anew,
    /// and deletes what is left over.
    pub fn adopt(&mut self, dump: MeshDump, names: MeshNames) {
        let sets = Sets::adopt(&dump);
        *self = Self::new(names);
        if let Some(last) = sets.last_id() {
            self.names.skip_set(last);
        }
        self.sets = sets;
        self.image = Image {
            enrolled: dump.enrolled.into_iter().collect(),
            peers: dump.peers.into_iter().collect(),
            port_modes: dump.port_modes.into_iter().collect(),
            excluded: dump.excluded.into_iter().collect(),
            limits: dump.client_limits.into_iter().collect(),
        };
    }

    /// The numbers of identities, to be saved when their revision changes and before the writes are
    /// made.
    pub fn names(&self) -> &MeshNames {
        &self.names
    }

    /// The tables of a set that is in the maps: its policies, where a clause comes from, and verdicts
    /// in memory.
    pub fn tables(&self, set: u32) -> Option<&Arc<authz::RuleTables>> {
        self.sets.tables(set)
    }

    /// All rule sets in the maps, with their tables, but for those of an earlier process.
    pub fn rule_sets(&self) -> impl Iterator<Item = (u32, &Arc<authz::RuleTables>)> {
        self.sets.all()
    }

    /// What `PEERS` holds for an address.
    pub fn peer(&self, address: IpAddr) -> Option<&Peer> {
        self.image.peers.get(&Address::from(address))
    }

    /// What `PEERS` holds for the addresses of the workload in a network namespace.
    pub fn peers_in(&self, netns: u64) -> impl Iterator<Item = &Peer> {
        let peers = self.image.peers.values();
        peers.filter(move |peer| peer.flags & Peer::HERE != 0 && peer.netns == netns)
    }

    /// What `ENROLLED` holds for a network namespace.
    pub fn enrolment(&self, netns: u64) -> Option<&Enrolment> {
        self.image.enrolled.get(&netns)
    }

    /// Which connections a port takes: a `weft_abi::MtlsMode`, as the kernel looks it up.
    pub fn mode(&self, address: IpAddr, port: u16) -> u8 {
        let key = PortModeKey {
            address: Address::from(address),
            port,
            reserved: 0,
        };
        let named = self.image.port_modes.get(&key).copied();
        let named = named.and_then(|mode| u8::try_from(mode).ok());
        named
            .or_else(|| Some(self.peer(address)?.mode))
            .unwrap_or(weft_abi::MtlsMode::PERMISSIVE)
    }

    /// Who stands at an address and takes part in the mesh.
    pub fn instance(&self, address: IpAddr) -> Option<&Arc<Instance>> {
        self.standings.get(&address).map(|held| &held.instance)
    }

    /// When a plan without change is worth it, because something has rested.
    pub fn retry_at(&self) -> Option<Duration> {
        self.sets.retry_at()
    }

    /// Takes in a change of the mesh (the whole, without one) and of the node, and tells `planner`
    /// how backends are reached from now on.
    pub fn prepare(
        &mut self,
        mesh: &Mesh,
        change: Option<&Change>,
        facts: &MeshFacts,
        planner: &mut Planner,
    ) {
        let touched = match change {
            Some(change) if change.policies.is_empty() && *facts == self.facts => {
                let changed = change.instances.iter();
                changed.map(|(address, _)| *address).collect()
            }
            _ => {
                let reached = planner.reach().keys().copied();
                self.everywhere(mesh).into_iter().chain(reached).collect()
            }
        };
        self.facts = facts.clone();
        let touched = self.rename(mesh, touched);
        let here = self.here();
        let node = facts.node.as_ref();
        let mut reach: Vec<(IpAddr, Option<Reach>)> = Vec::new();
        for address in &touched {
            let standing = mesh.instances.get(address).and_then(|instance| {
                let here = here.get(address).copied();
                Standing::new(instance, here, node, &mesh.policies)
            });
            let now = standing.as_ref().map(Standing::reach);
            if planner.reach().get(address) != now.as_ref() {
                reach.push((*address, now));
            }
            match standing {
                Some(standing) => drop(self.standings.insert(*address, standing)),
                None => drop(self.standings.remove(address)),
            }
        }
        self.dirty.extend(touched);
        planner.set_reach(reach);
    }

    /// The writes for all that was prepared.
    pub fn plan(&mut self, mesh: &Mesh, planner: &mut Planner, now: Duration) -> MeshPlan {
        let mut steps = Steps::default();
        let dirty = std::mem::take(&mut self.dirty);
        for address in &dirty {
            if let Some(standing) = self.standings.get(address) {
                self.names.name(&standing.instance.identity.principal());
            }
        }
        self.sets.number(&self.names, &mut steps.identities);
        for address in dirty {
            self.plan_modes(address, &mut steps);
            self.plan_peer(mesh, address, &mut steps);
        }
        self.plan_enrolments(planner, &mut steps);
        self.plan_limits(mesh, planner, &mut steps);
        let used = self.image.peers.values().map(|peer| peer.set).collect();
        self.sets.release(&used, now, &mut steps.deletes);
        MeshPlan {
            before: [
                steps.sets,
                steps.identities,
                steps.modes,
                steps.peers,
                steps.limits,
                steps.excluded,
            ]
            .concat(),
            // Sets that an earlier process left know no new identities: no peer may name one when
            // somebody gets his.
            after: [steps.gone_peers, steps.enrolments, steps.deletes].concat(),
            problems: self.problems(),
        }
    }

    fn everywhere(&self, mesh: &Mesh) -> BTreeSet<IpAddr> {
        let held = self.image.peers.keys().map(|address| (*address).into());
        let ports = self.image.port_modes.keys().map(|key| key.address.into());
        let known = mesh.instances.keys().chain(self.instances.keys());
        held.chain(ports).chain(known.copied()).collect()
    }

    /// Brings `named` up to date. Returns what is touched with what shares a name with it.
    fn rename(&mut self, mesh: &Mesh, mut touched: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let mut names: BTreeSet<Name> = BTreeSet::new();
        for address in &touched {
            let now = mesh.instances.get(address);
            let before = match now {
                Some(now) => self.instances.insert(*address, Arc::clone(now)),
                None => self.instances.remove(address),
            };
            if let Some(before) = before {
                let name = name_of(&before);
                if let Some(places) = self.named.get_mut(&name) {
                    places.remove(&(before.kind, *address));
                    if places.is_empty() {
                        self.named.remove(&name);
                    }
                }
                names.insert(name);
            }
            if let Some(now) = now {
                let places = self.named.entry(name_of(now)).or_default();
                places.insert((now.kind, *address));
                names.insert(name_of(now));
            }
        }
        let places = names.iter().filter_map(|name| self.named.get(name));
        touched.extend(places.flatten().map(|(_, address)| *address));
        touched
    }

    /// Cookies by the addresses of workloads that are enrolled here.
    fn here(&self) -> BTreeMap<IpAddr, u64> {
        let mut here = BTreeMap::new();
        for enrolment in &self.facts.enrolments {
            for address in self.addresses(enrolment) {
                here.insert(address, enrolment.netns);
            }
        }
        here
    }

    /// Addresses of the instance that an enrolment names.
    fn addresses(&self, enrolment: &NodeEnrolment) -> impl Iterator<Item = IpAddr> + use<'_> {
        let name = (
            Arc::clone(&enrolment.namespace),
            Arc::clone(&enrolment.name),
        );
        let places = self.named.get(&name);
        let first = places
            .and_then(|places| places.first())
            .map(|(kind, _)| *kind);
        let places = places.into_iter().flatten();
        places
            .filter(move |(kind, _)| Some(*kind) == first)
            .map(|(_, address)| *address)
    }

    fn plan_modes(&mut self, address: IpAddr, steps: &mut Steps) {
        let key = |port| PortModeKey {
            address: address.into(),
            port,
            reserved: 0,
        };
        let standing = self.standings.get(&address);
        let modes = standing.map(|standing| &standing.modes);
        let ports = modes.into_iter().flat_map(Modes::entries);
        let wanted: BTreeMap<PortModeKey, u32> =
            ports.map(|(port, mode)| (key(port), mode.into())).collect();
        let held = self.image.port_modes.range(key(0)..=key(u16::MAX));
        let gone = held.filter(|(key, _)| !wanted.contains_key(*key));
        let gone: Vec<PortModeKey> = gone.map(|(key, _)| *key).collect();
        for key in gone {
            self.image.port_modes.remove(&key);
            steps.deletes.push(MapOp::DeletePortMode(key));
        }
        for (key, mode) in wanted {
            if self.image.port_modes.insert(key, mode) != Some(mode) {
                steps.modes.push(MapOp::PutPortMode(key, mode));
            }
        }
    }

    fn plan_peer(&mut self, mesh: &Mesh, address: IpAddr, steps: &mut Steps) {
        let key = Address::from(address);
        let wanted = match self.standings.get(&address) {
            Some(standing) => {
                let standing = standing.clone();
                Some(self.peer_of(mesh, address, &standing, steps))
            }
            // Its namespace is still enrolled, so it is still there; but who it is nobody says.
            None => self.image.peers.get(&key).and_then(|held| {
                let mut enrolments = self.facts.enrolments.iter();
                let is_enrolled = enrolments.any(|it| it.netns == held.netns);
                is_enrolled.then(|| Peer {
                    netns: held.netns,
                    flags: Peer::HERE,
                    mode: held.mode,
                    ..Peer::default()
                })
            }),
        };
        match wanted {
            Some(peer) => {
                if self.image.peers.insert(key, peer) != Some(peer) {
                    steps.peers.push(MapOp::PutPeer(key, peer));
                }
            }
            None => {
                if self.image.peers.remove(&key).is_some() {
                    steps.gone_peers.push(MapOp::DeletePeer(key));
                }
            }
        }
    }

    fn peer_of(
        &mut self,
        mesh: &Mesh,
        address: IpAddr,
        standing: &Standing,
        steps: &mut Steps,
    ) -> Peer {
        let instance = &standing.instance;
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let mut flags = flag(standing.has_hbone, Peer::HBONE)
            | flag(!standing.modes.entries().is_empty(), Peer::PORT_MODES);
        let mut set = 0;
        if standing.here.is_some() {
            let bypasses = instance.exclusions.bypasses_inbound;
            flags |= Peer::HERE
                | Peer::READY
                | flag(self.facts.encrypts_local, Peer::ENCRYPT_LOCAL)
                | flag(bypasses, Peer::BYPASS_INBOUND);
            let held = with_subject(instance, |subject| authz::held(&mesh.policies, subject));
            set = self
                .sets
                .of(held, address, &mut self.names, &mut steps.sets);
        }
        Peer {
            netns: standing.here.unwrap_or(0),
            identity: self.names.name(&instance.identity.principal()),
            flags,
            set,
            mode: mode_number(standing.modes.mode),
            reserved: [0; 3],
        }
    }

    fn plan_limits(&mut self, mesh: &Mesh, planner: &Planner, steps: &mut Steps) {
        let mut wanted = BTreeMap::new();
        for (service, limits) in &mesh.limits {
            for pool in planner.pools_of(service) {
                let is_tcp = |name: &crate::PoolName| name.key.protocol == Protocol::Tcp;
                if pool.name().is_some_and(is_tcp) {
                    wanted.insert(pool.id, limit(limits));
                }
            }
        }
        let held = self.image.limits.keys();
        let gone: Vec<u32> = held
            .filter(|id| !wanted.contains_key(id))
            .copied()
            .collect();
        for pool in gone {
            self.image.limits.remove(&pool);
            steps.deletes.push(MapOp::DeleteClientLimit(pool));
        }
        for (pool, limit) in wanted {
            if self.image.limits.insert(pool, limit) != Some(limit) {
                steps.limits.push(MapOp::PutClientLimit(pool, limit));
            }
        }
    }
}

fn name_of(instance: &Instance) -> Name {
    let Instance {
        namespace, name, ..
    } = instance;
    (Arc::clone(namespace), Arc::clone(name))
}

fn limit(limits: &ConnectionLimits) -> ClientLimit {
    ClientLimit {
        per_second: limits.per_second.unwrap_or(0),
        burst: limits.burst,
        concurrent: limits.concurrent.unwrap_or(0),
        reserved: 0,
    }
}
