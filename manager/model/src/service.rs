//! A service: what clients dial, and what stands behind it.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{Origin, Workload};

/// Identity of a service: `namespace/hostname`, as Istio's workload discovery keys it. A
/// Kubernetes Service's hostname is `NAME.NAMESPACE.svc.DOMAIN`; a ServiceEntry has one service
/// per host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct ServiceName {
    /// Namespace of the resource that defines it.
    pub namespace: Arc<str>,
    /// Fully qualified host name.
    pub hostname: Arc<str>,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

/// A service with all that is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Service {
    /// Identity.
    pub name: ServiceName,
    /// What people call it: `metadata.name` of a Service, the host of a ServiceEntry.
    pub short_name: Arc<str>,
    /// The resource that defines it.
    pub origin: Origin,
    /// Ports in ascending (number, protocol).
    pub ports: Vec<Port>,
    /// Addresses clients dial, without node ports. Empty for a headless service.
    pub frontends: Vec<Frontend>,
    /// `sessionAffinity: ClientIP` with its timeout.
    pub session_affinity: Option<Duration>,
    /// `internalTrafficPolicy`: which endpoints clients on this host may use at a cluster address.
    pub internal_policy: TrafficPolicy,
    /// `externalTrafficPolicy`: which endpoints traffic from outside may use.
    pub external_policy: TrafficPolicy,
    /// `trafficDistribution`.
    pub distribution: Distribution,
}

/// An address clients dial.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Frontend {
    /// The address.
    pub address: IpAddr,
    /// Where it comes from.
    pub kind: FrontendKind,
}

/// Where a frontend's address comes from. Node ports are [`Port::node_port`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum FrontendKind {
    /// `spec.clusterIPs`, or `spec.addresses` of a ServiceEntry.
    Cluster,
    /// `spec.externalIPs`.
    External,
    /// `status.loadBalancer.ingress`.
    LoadBalancer,
}

/// One port of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Port {
    /// Port clients dial, 1 to 65535.
    pub number: u16,
    /// `spec.ports[].name`, empty when unnamed.
    pub name: Arc<str>,
    /// Transport.
    pub protocol: Protocol,
    /// `spec.ports[].nodePort`.
    pub node_port: Option<u16>,
    /// How a backend is chosen.
    pub balancing: Balancing,
    /// `connectionPool.tcp.maxConnections`, per backend.
    pub max_connections: Option<u32>,
    /// `outlierDetection`.
    pub outlier: Option<Outlier>,
    /// What stands behind it, both families, in ascending (address, port), no address twice.
    pub endpoints: Vec<Endpoint>,
}

/// Transport protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// How a backend is chosen (`DestinationRule.trafficPolicy.loadBalancer`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Balancing {
    /// In turn. The default of Weft's kernel path.
    RoundRobin,
    /// At random.
    Random,
    /// The less loaded of two at random.
    LeastConnections,
    /// Consistent hash of the client's address in a Maglev table.
    SourceHash {
        /// `maglev.tableSize` when the resource names one (a prime), else sized by the endpoints.
        table_size: Option<u32>,
    },
}

/// `DestinationRule.trafficPolicy.outlierDetection`, for TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Outlier {
    /// Failures in a row that eject; at least 1.
    pub consecutive_failures: u32,
    /// Time between sweeps in which the ejection count of a healthy backend falls.
    pub interval: Duration,
    /// Ejection lasts this long times the number of ejections so far.
    pub base_ejection: Duration,
    /// At most this share of the backends is ejected (but one always may be), 0 to 100.
    pub max_ejection_percent: u8,
    /// Below this share of healthy backends nothing counts as ejected, 0 to 100.
    pub min_health_percent: u8,
}

/// One endpoint of one port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Endpoint {
    /// Where it listens.
    pub address: IpAddr,
    /// Port it listens on.
    pub port: u16,
    /// Condition `ready` (or `publishNotReadyAddresses`).
    pub ready: bool,
    /// Condition `serving`.
    pub serving: bool,
    /// Condition `terminating`.
    pub terminating: bool,
    /// Share of the traffic relative to its siblings; 0 gets none.
    pub weight: u32,
    /// The workload behind it.
    pub workload: Option<Arc<Workload>>,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
    /// `hints.forZones`.
    pub for_zones: Option<Arc<[Arc<str>]>>,
    /// `hints.forNodes`.
    pub for_nodes: Option<Arc<[Arc<str>]>>,
}

/// `Cluster` or `Local`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub enum TrafficPolicy {
    /// All endpoints.
    #[default]
    Cluster,
    /// Only endpoints on this node.
    Local,
}

/// `spec.trafficDistribution`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub enum Distribution {
    /// All endpoints alike, unless endpoints carry hints.
    #[default]
    Any,
    /// `PreferSameZone` and its older name `PreferClose`.
    PreferSameZone,
    /// `PreferSameNode`.
    PreferSameNode,
}
