//! `/state/services` and `/state/services/NAMESPACE/NAME`.

use serde::{Deserialize, Serialize};

use super::Origin;

/// One line of `/state/services`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ServiceSummary {
    /// Namespace.
    pub namespace: String,
    /// What people call it.
    pub name: String,
    /// Fully qualified host name.
    pub hostname: String,
    /// Addresses clients dial; empty for a headless service.
    pub addresses: Vec<String>,
    /// Ports as `80/TCP`.
    pub ports: Vec<String>,
    /// Endpoints that take new connections, each address and port once.
    pub ready: u64,
    /// Endpoints in the configuration, each address and port once.
    pub endpoints: u64,
    /// Backends passed over for now.
    pub ejected: u64,
    /// Connections open or opening.
    pub active: u64,
    /// Connections begun in all.
    pub connections: u64,
    /// Connect failures and resets in all.
    pub failures: u64,
    /// Refused in all: no backend, or all at their limit.
    pub refused: u64,
}

/// `/state/services/NAMESPACE/NAME`: a service as configured and as the kernel has it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Namespace.
    pub namespace: String,
    /// What people call it.
    pub name: String,
    /// Fully qualified host name.
    pub hostname: String,
    /// The resource that defines it.
    pub origin: Origin,
    /// What clients dial.
    pub frontends: Vec<FrontendReport>,
    /// ClientIP affinity in seconds.
    pub affinity_seconds: Option<u64>,
    /// `internalTrafficPolicy`.
    pub internal_policy: String,
    /// `externalTrafficPolicy`.
    pub external_policy: String,
    /// `trafficDistribution`.
    pub distribution: String,
    /// Ports with what stands behind them.
    pub ports: Vec<PortReport>,
}

/// An address and port clients dial.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FrontendReport {
    /// Address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// `cluster`, `external`, `loadBalancer` or `nodePort`.
    pub kind: String,
    /// Pool its connections go to, as in [`PoolReport::id`]; 0 when the kernel has none.
    pub pool: u32,
}

/// One port of a service.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PortReport {
    /// Port clients dial.
    pub number: u16,
    /// Name, empty when unnamed.
    pub name: String,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// How a backend is chosen: `round robin`, `random`, `least connections`, `source hash`.
    pub balancing: String,
    /// Connections per backend at most.
    pub max_connections: Option<u32>,
    /// When backends are ejected.
    pub outlier: Option<OutlierReport>,
    /// Pools behind it, one per address family and class of traffic.
    pub pools: Vec<PoolReport>,
}

/// `outlierDetection`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct OutlierReport {
    /// Failures in a row that eject.
    pub consecutive_failures: u32,
    /// Base time of an ejection, seconds.
    pub base_ejection_seconds: f64,
    /// At most this share is ejected, 0 to 100.
    pub max_ejection_percent: u8,
}

/// Backends that share a list of slots.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PoolReport {
    /// Pool id in maps.
    pub id: u32,
    /// Class of traffic, such as `internal`.
    pub class: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// Slots; 0 refuses every connection.
    pub slots: u32,
    /// Refused: no usable backend.
    pub no_backend: u64,
    /// Refused: every backend at its limit.
    pub over_limit: u64,
    /// UDP flows given a backend.
    pub udp_flows: u64,
    /// Its endpoints.
    pub endpoints: Vec<EndpointReport>,
}

/// What an endpoint gets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// New connections.
    Ready,
    /// Nothing for now, because it failed too often.
    Ejected,
    /// Only what it already has.
    Draining,
    /// Nothing: not ready, or not chosen by the traffic policy.
    #[default]
    Unused,
}

impl EndpointState {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Unused => "unused",
        }
    }
}

/// One endpoint of a pool.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// What it gets.
    pub state: EndpointState,
    /// Seconds until an ejected one is tried again.
    pub ejected_seconds: Option<f64>,
    /// Share relative to its siblings.
    pub weight: u32,
    /// `NAMESPACE/NAME` of the workload behind it, when known.
    pub workload: Option<String>,
    /// Node it runs on, when known.
    pub node: Option<String>,
    /// Zone it runs in, when known.
    pub zone: Option<String>,
    /// Connections open or opening.
    pub active: u32,
    /// Connections begun in all.
    pub connections: u64,
    /// Connect failures and resets in all.
    pub failures: u32,
    /// Failures since the last success.
    pub consecutive_failures: u32,
}
