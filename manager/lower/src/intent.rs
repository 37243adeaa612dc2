//! What one service asks of the maps on this node, before any index is given out.

use std::net::IpAddr;

use weft_abi::{Address, Scope, Service as Entry, ServiceKey};
use weft_model::{Balancing, FrontendKind, Port, Protocol, Service, TrafficPolicy};

use crate::{Family, NodeFacts, PoolClass, PoolKey};

/// The pools and frontends of one service.
pub(crate) struct Intent<'a> {
    /// Without repetition.
    pub(crate) pools: Vec<PoolIntent<'a>>,
    /// Without repetition of a key.
    pub(crate) frontends: Vec<FrontendIntent>,
}

/// One pool.
pub(crate) struct PoolIntent<'a> {
    pub(crate) port: &'a Port,
    pub(crate) family: Family,
    pub(crate) class: PoolClass,
}

/// One entry of `SERVICES`.
pub(crate) struct FrontendIntent {
    pub(crate) key: ServiceKey,
    /// Position in [`Intent::pools`].
    pub(crate) pool: usize,
    /// `Service::flags`.
    pub(crate) flags: u8,
}

impl PoolIntent<'_> {
    pub(crate) fn key(&self, service: &Service) -> PoolKey {
        PoolKey {
            service: service.name.clone(),
            port: self.port.number,
            protocol: self.port.protocol,
            family: self.family,
            class: self.class,
        }
    }
}

impl<'a> Intent<'a> {
    /// Everything `service` asks for on `node`. When an address serves twice (an external address
    /// that is also a load balancer's), the first of cluster, external, node port wins.
    pub(crate) fn of(service: &'a Service, node: &NodeFacts) -> Self {
        let mut intent = Self {
            pools: Vec::new(),
            frontends: Vec::new(),
        };
        for port in &service.ports {
            for frontend in &service.frontends {
                if frontend.kind == FrontendKind::Cluster {
                    let class = class_of(service.internal_policy);
                    intent.listen(port, frontend.address, port.number, Scope::SOCKET, class);
                } else {
                    intent.listen_outside(service, port, frontend.address, port.number);
                }
            }
        }
        // After all ports: a node port never takes what a frontend of the service itself serves.
        for port in &service.ports {
            let Some(node_port) = port.node_port else {
                continue;
            };
            for address in &node.addresses {
                intent.listen_outside(service, port, *address, node_port);
            }
        }
        intent
    }

    /// An address that traffic from outside may use as well. Clients on this host are never
    /// limited by `externalTrafficPolicy`.
    fn listen_outside(&mut self, service: &Service, port: &'a Port, address: IpAddr, number: u16) {
        self.listen(port, address, number, Scope::SOCKET, PoolClass::Cluster);
        let class = class_of(service.external_policy);
        self.listen(port, address, number, Scope::UPLINK, class);
    }

    fn listen(
        &mut self,
        port: &'a Port,
        address: IpAddr,
        number: u16,
        scope: u8,
        class: PoolClass,
    ) {
        let key = ServiceKey {
            address: Address::from(address),
            port: number,
            protocol: protocol_number(port.protocol),
            scope,
        };
        if self.frontends.iter().any(|frontend| frontend.key == key) {
            return;
        }
        // With `Local` the backend is on this node and answers the client itself.
        let flags = if scope == Scope::UPLINK && class == PoolClass::Cluster {
            Entry::MASQUERADE
        } else {
            0
        };
        let pool = self.pool(port, Family::of(address), class);
        self.frontends.push(FrontendIntent { key, pool, flags });
    }

    fn pool(&mut self, port: &'a Port, family: Family, class: PoolClass) -> usize {
        let known = self.pools.iter().position(|pool| {
            same_port(pool.port, port) && pool.family == family && pool.class == class
        });
        known.unwrap_or_else(|| {
            self.pools.push(PoolIntent {
                port,
                family,
                class,
            });
            self.pools.len() - 1
        })
    }
}

fn same_port(a: &Port, b: &Port) -> bool {
    (a.number, a.protocol) == (b.number, b.protocol)
}

fn class_of(policy: TrafficPolicy) -> PoolClass {
    match policy {
        TrafficPolicy::Cluster => PoolClass::Cluster,
        TrafficPolicy::Local => PoolClass::Local,
    }
}

/// The IANA number of a protocol.
pub(crate) fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => weft_abi::Protocol::TCP,
        Protocol::Udp => weft_abi::Protocol::UDP,
    }
}

/// `Service::algorithm`.
pub(crate) fn algorithm(balancing: Balancing) -> u8 {
    match balancing {
        Balancing::RoundRobin => Entry::ROUND_ROBIN,
        Balancing::Random => Entry::RANDOM,
        Balancing::LeastConnections => Entry::LEAST_CONNECTIONS,
        Balancing::SourceHash { .. } => Entry::HASH,
    }
}

/// `Service::affinity_seconds`; an affinity below a second counts as one, so that it is not lost.
pub(crate) fn affinity_seconds(service: &Service) -> u32 {
    service.session_affinity.map_or(0, |timeout| {
        u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).max(1)
    })
}
