//! What is in the maps, typed.

use std::{
    io,
    ops::Range,
    os::fd::{AsFd, OwnedFd},
};

use aya::Pod;
use weft_abi::{
    Address, Affinity, AffinityKey, Attested, Backend, BackendState, Captured, ClientKey,
    ClientLimit, ClientState, ConnectionKey, Counter, EdgeKey, EdgeValue, EndKey, Enrolment,
    FlowKey, FlowValue, HitKey, Origin, Peer, PortModeKey, RuleBits, RuleSet, Service, ServiceKey,
    ServiceState, SetIdentityKey, SetPortKey, SetSourceKey, Slot, names::maps,
};
use weft_lower::MapDump;

use crate::{
    Error, Table,
    pins::BpfDir,
    sys,
    table::{open_map, zero},
};

/// The pinned maps of one installation. Opening them needs no manager and no programs.
#[derive(Debug)]
pub struct Maps {
    /// Frontends.
    pub services: Table<ServiceKey, Service>,
    /// Turns and refusals, by pool id.
    pub service_state: Table<u32, ServiceState>,
    /// Slots of all pools.
    pub slots: Table<u32, Slot>,
    /// Endpoints, by index.
    pub backends: Table<u32, Backend>,
    /// Live state of endpoints, by the same index.
    pub backend_state: Table<u32, BackendState>,
    /// Who owns an address.
    pub workloads: Table<Address, u32>,
    /// Session affinity.
    pub affinity: Table<AffinityKey, Affinity>,
    /// Tracked packet flows.
    pub flows: Table<FlowKey, FlowValue>,
    /// What this node masquerades as: IPv4 and IPv6; zero is nothing.
    pub node_address: Table<u32, Address>,
    /// Traffic per client, service and backend.
    pub edges: Table<EdgeKey, EdgeValue>,
    /// Workloads of this node, by network namespace cookie.
    pub enrolled: Table<u64, Enrolment>,
    /// Workloads of the mesh.
    pub peers: Table<Address, Peer>,
    /// mTLS modes of single ports, as `MtlsMode`.
    pub port_modes: Table<PortModeKey, u32>,
    /// Where connections to the proxy were going.
    pub captured: Table<EndKey, Captured>,
    /// Clients that applications see instead of the proxy.
    pub origins: Table<EndKey, Origin>,
    /// Who the clients of connections on this node are.
    pub attested: Table<ConnectionKey, Attested>,
    /// Rule sets.
    pub sets: Table<u32, RuleSet>,
    /// Clauses by identity.
    pub set_identities: Table<SetIdentityKey, RuleBits>,
    /// Clauses by client address.
    pub set_sources: Table<SetSourceKey, RuleBits>,
    /// Clauses by server port.
    pub set_ports: Table<SetPortKey, RuleBits>,
    /// How often each clause decided.
    pub hits: Table<HitKey, u64>,
    /// Limits per source identity, by pool id.
    pub client_limits: Table<u32, ClientLimit>,
    /// What source identities have open.
    pub client_state: Table<ClientKey, ClientState>,
    counters: OwnedFd,
    pub(crate) sockets: OwnedFd,
}

/// How full a map is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapUsage {
    /// Its name.
    pub map: &'static str,
    /// Entries in use.
    pub used: u32,
    /// Entries it can hold.
    pub capacity: u32,
}

impl Maps {
    /// Opens all maps pinned below `pins`.
    ///
    /// # Errors
    /// [`Error::NoMap`] and [`Error::Layout`].
    pub fn open(pins: &BpfDir) -> Result<Self, Error> {
        Ok(Self {
            services: Table::open(pins, maps::SERVICES)?,
            service_state: Table::open(pins, maps::SERVICE_STATE)?,
            slots: Table::open(pins, maps::SLOTS)?,
            backends: Table::open(pins, maps::BACKENDS)?,
            backend_state: Table::open(pins, maps::BACKEND_STATE)?,
            workloads: Table::open(pins, maps::WORKLOADS)?,
            affinity: Table::open(pins, maps::AFFINITY)?,
            flows: Table::open(pins, maps::FLOWS)?,
            node_address: Table::open(pins, maps::NODE_ADDRESS)?,
            edges: Table::open(pins, maps::EDGES)?,
            enrolled: Table::open(pins, maps::ENROLLED)?,
            peers: Table::open(pins, maps::PEERS)?,
            port_modes: Table::open(pins, maps::PORT_MODES)?,
            captured: Table::open(pins, maps::CAPTURED)?,
            origins: Table::open(pins, maps::ORIGINS)?,
            attested: Table::open(pins, maps::ATTESTED)?,
            sets: Table::open(pins, maps::AUTHZ_SETS)?,
            set_identities: Table::open(pins, maps::AUTHZ_IDENTITY)?,
            set_sources: Table::open(pins, maps::AUTHZ_SOURCE)?,
            set_ports: Table::open(pins, maps::AUTHZ_PORT)?,
            hits: Table::open(pins, maps::AUTHZ_HITS)?,
            client_limits: Table::open(pins, maps::CLIENT_LIMITS)?,
            client_state: Table::open(pins, maps::CLIENT_STATE)?,
            counters: open_counters(pins)?,
            sockets: open_map(maps::SOCKETS, &pins.map(maps::SOCKETS))?,
        })
    }

    /// What was written by [`crate::Plane::apply`], as it is in the kernel now. All slots; only
    /// backends that have a service.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn dump(&self) -> Result<MapDump, Error> {
        let backends = read(&self.backends)?;
        Ok(MapDump {
            services: read(&self.services)?,
            slots: read(&self.slots)?
                .into_iter()
                .map(|(_, slot)| slot)
                .collect(),
            backends: backends
                .into_iter()
                .filter(|(_, one)| one.service != 0)
                .collect(),
            workloads: read(&self.workloads)?,
        })
    }

    /// All edges.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn edges(&self) -> Result<Vec<(EdgeKey, EdgeValue)>, Error> {
        read(&self.edges)
    }

    /// Removes an edge; false when there was none.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn delete_edge(&self, key: &EdgeKey) -> Result<bool, Error> {
        self.edges
            .delete(key)
            .map_err(Error::bpf("write map", maps::EDGES))
    }

    /// The state of the pools with ids in `range`, cut to the map's size.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn service_states(&self, range: Range<u32>) -> Result<Vec<ServiceState>, Error> {
        self.service_state
            .range(range)
            .map_err(Error::bpf("read map", maps::SERVICE_STATE))
    }

    /// The state of the backends with indices in `range`, cut to the map's size.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn backend_states(&self, range: Range<u32>) -> Result<Vec<BackendState>, Error> {
        self.backend_state
            .range(range)
            .map_err(Error::bpf("read map", maps::BACKEND_STATE))
    }

    /// Totals over all CPUs, by [`Counter`].
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn counters(&self) -> Result<[u64; Counter::COUNT as usize], Error> {
        let error = || Error::bpf("read map", maps::COUNTERS);
        let cpus = aya::util::nr_cpus().map_err(|(_, cause)| error()(cause))?;
        let mut totals = [0; Counter::COUNT as usize];
        for (key, total) in (0u32..).zip(&mut totals) {
            let mut values = vec![0u64; cpus];
            // SAFETY: `open_counters` checked that keys are `u32` and values `u64`, which needs
            // no rounding; there is one value per possible CPU.
            unsafe { sys::map::lookup(self.counters.as_fd(), &key, &mut values) }
                .map_err(error())?;
            *total = values.iter().sum();
        }
        Ok(totals)
    }

    /// How full the maps are that the kernel or the manager can fill. Reads them
    /// whole, so not for every second; of arrays, what is not zero is in use.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn usage(&self) -> Result<Vec<MapUsage>, Error> {
        Ok(vec![
            hash_usage(&self.services)?,
            hash_usage(&self.workloads)?,
            hash_usage(&self.affinity)?,
            hash_usage(&self.flows)?,
            hash_usage(&self.edges)?,
            hash_usage(&self.enrolled)?,
            hash_usage(&self.peers)?,
            hash_usage(&self.port_modes)?,
            hash_usage(&self.captured)?,
            hash_usage(&self.origins)?,
            hash_usage(&self.attested)?,
            hash_usage(&self.sets)?,
            hash_usage(&self.set_identities)?,
            hash_usage(&self.set_ports)?,
            hash_usage(&self.set_sources)?,
            hash_usage(&self.hits)?,
            hash_usage(&self.client_limits)?,
            hash_usage(&self.client_state)?,
            array_usage(&self.slots)?,
            usage(
                &self.backends,
                self.backends.count(|backend| backend.service != 0),
            )?,
        ])
    }
}

fn open_counters(pins: &BpfDir) -> Result<OwnedFd, Error> {
    let path = pins.map(maps::COUNTERS);
    let fd = open_map(maps::COUNTERS, &path)?;
    let info =
        sys::object::map_info(fd.as_fd()).map_err(Error::bpf("describe map", maps::COUNTERS))?;
    let sizes = (info.key_size as usize, info.value_size as usize);
    if sizes != (size_of::<u32>(), size_of::<u64>()) {
        return Err(Error::Layout {
            map: maps::COUNTERS,
            path,
            key: info.key_size,
            value: info.value_size,
            expected_key: size_of::<u32>(),
            expected_value: size_of::<u64>(),
        });
    }
    Ok(fd)
}

fn read<K: Pod, V: Pod>(table: &Table<K, V>) -> Result<Vec<(K, V)>, Error> {
    table
        .entries()
        .map_err(Error::bpf("read map", table.name()))
}

fn hash_usage<K: Pod, V: Pod>(table: &Table<K, V>) -> Result<MapUsage, Error> {
    usage(table, table.count(|_| true))
}

fn array_usage<V: Pod + PartialEq>(table: &Table<u32, V>) -> Result<MapUsage, Error> {
    usage(table, table.count(|value| *value != zero()))
}

fn usage<K: Pod, V: Pod>(table: &Table<K, V>, used: io::Result<u32>) -> Result<MapUsage, Error> {
    let used = used.map_err(Error::bpf("read map", table.name()))?;
    Ok(MapUsage {
        map: table.name(),
        used,
        capacity: table.capacity(),
    })
}
