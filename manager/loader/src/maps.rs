//! What is in the maps, typed.

use std::{
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use aya::Pod;
use weft_abi::{
    Address, Affinity, AffinityKey, Attested, Backend, BackendState, Captured, ClientKey,
    ClientLimit, ClientState, ConnectionKey, Counter, EdgeKey, EdgeValue, EndKey, Enrolment,
    ExcludedKey, FlowKey, FlowValue, HitKey, Origin, Peer, PortModeKey, RuleBits, RuleSet, Service,
    ServiceKey, ServiceState, SetIdentityKey, SetPortKey, SetSourceKey, Slot, SocketInfo,
    names::maps,
};
use weft_lower::{MapDump, MeshDump};

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
    /// What workloads exclude from capture.
    pub excluded: Table<ExcludedKey, u32>,
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
    pub(crate) hold: OwnedFd,
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
            excluded: Table::open(pins, maps::EXCLUDED)?,
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
            counters: open_checked::<u32, u64>(pins, maps::COUNTERS)?,
            sockets: open_checked::<i32, SocketInfo>(pins, maps::SOCKETS)?,
            hold: open_checked::<u32, u32>(pins, maps::HOLD)?,
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

    /// What of enrolment was written by [`crate::Plane::apply`], as it is in the kernel now.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn mesh(&self) -> Result<MeshDump, Error> {
        Ok(MeshDump {
            enrolled: read(&self.enrolled)?,
            peers: read(&self.peers)?,
            port_modes: read(&self.port_modes)?,
            excluded: read(&self.excluded)?,
            sets: read(&self.sets)?,
            set_identities: read(&self.set_identities)?,
            set_sources: read(&self.set_sources)?,
            set_ports: read(&self.set_ports)?,
            client_limits: read(&self.client_limits)?,
        })
    }

    /// Where a connection to the proxy was going, once: `end` is the client's end. `None` for one
    /// that the kernel did not send there.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn take_captured(&self, end: &EndKey) -> Result<Option<Captured>, Error> {
        self.captured
            .take(end)
            .map_err(Error::bpf("read map", maps::CAPTURED))
    }

    /// Says whom an application shall see as the client of a connection; `end` is the proxy's end
    /// of it. Comes before the connect. False when another connection has that end.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn put_origin(&self, end: &EndKey, origin: &Origin) -> Result<bool, Error> {
        self.origins
            .add(end, origin)
            .map_err(Error::bpf("write map", maps::ORIGINS))
    }

    /// Removes all that [`Self::put_origin`] wrote: connections of a proxy end with its process.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn clear_origins(&self) -> Result<(), Error> {
        let held = self.origins.entries();
        let held = held.map_err(Error::bpf("read map", maps::ORIGINS))?;
        held.iter()
            .try_for_each(|(end, _)| self.delete_origin(end).map(drop))
    }

    /// Removes what [`Self::put_origin`] wrote; false when there was nothing.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn delete_origin(&self, end: &EndKey) -> Result<bool, Error> {
        self.origins
            .delete(end)
            .map_err(Error::bpf("write map", maps::ORIGINS))
    }

    /// Who the client of a connection on this node is; `None` when unknown.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn attested(&self, connection: &ConnectionKey) -> Result<Option<Attested>, Error> {
        self.attested
            .value(connection)
            .map_err(Error::bpf("read map", maps::ATTESTED))
    }

    /// Marks a TCP socket as one of the proxy's own: what it connects to is never captured, and not
    /// counted as an application's. Comes before the connect.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn mark_proxy(&self, socket: BorrowedFd<'_>) -> Result<(), Error> {
        let info = SocketInfo {
            flags: SocketInfo::PROXY,
            ..SocketInfo::default()
        };
        // SAFETY: `open` compared the map's sizes: its keys are descriptors, its values
        // `SocketInfo`.
        unsafe { sys::map::update(self.sockets.as_fd(), &socket.as_raw_fd(), &info, 0) }
            .map_err(Error::bpf("write map", maps::SOCKETS))
    }

    /// How often each clause decided.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn authz_hits(&self) -> Result<Vec<(HitKey, u64)>, Error> {
        read(&self.hits)
    }

    /// Whether what is enrolled in a namespace has its policy in the maps.
    pub(crate) fn is_ready(&self, netns: u64) -> Result<bool, Error> {
        let enrolment = self.enrolled.value(&netns);
        let enrolment = enrolment.map_err(Error::bpf("read map", maps::ENROLLED))?;
        Ok(enrolment.is_some_and(|it| it.flags & Enrolment::READY != 0))
    }

    /// Forgets whom the clients of a namespace were written down as.
    pub(crate) fn forget_clients(&self, netns: u64) -> Result<(), Error> {
        let clients = read(&self.attested)?;
        for (connection, _) in clients.iter().filter(|(_, client)| client.netns == netns) {
            self.attested
                .delete(connection)
                .map_err(Error::bpf("write map", maps::ATTESTED))?;
        }
        Ok(())
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
            // SAFETY: `open` checked that keys are `u32` and values `u64`, which needs
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
            hash_usage(&self.excluded)?,
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

/// Opens a map that is no [`Table`], and compares its sizes.
fn open_checked<K, V>(pins: &BpfDir, name: &'static str) -> Result<OwnedFd, Error> {
    let path = pins.map(name);
    let fd = open_map(name, &path)?;
    let info = sys::object::map_info(fd.as_fd()).map_err(Error::bpf("describe map", name))?;
    let sizes = (info.key_size as usize, info.value_size as usize);
    if sizes != (size_of::<K>(), size_of::<V>()) {
        return Err(Error::Layout {
            map: name,
            path,
            key: info.key_size,
            value: info.value_size,
            expected_key: size_of::<K>(),
            expected_value: size_of::<V>(),
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
