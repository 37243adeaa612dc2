//! Pools: sets of backends that frontends share.
//!
//! A service port has at most one pool per family and [`PoolClass`]. All its frontends that mean
//! the same endpoints name the same pool, so a backend has one index, one connection count and one
//! failure count however it is dialled.

use std::{fmt, net::IpAddr};

use weft_model::{Protocol, ServiceName};

/// Address family. A frontend is served by endpoints of its own family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// RFC 791.
    V4,
    /// RFC 8200.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Which endpoints a pool draws from: the two sets that kube-proxy keeps per service port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PoolClass {
    /// All endpoints, after topology: clients on this host at a cluster address with
    /// `internalTrafficPolicy: Cluster` and at any external address or node port, and the uplink
    /// with `externalTrafficPolicy: Cluster`.
    Cluster,
    /// Endpoints on this node: `internalTrafficPolicy: Local`, and the uplink with
    /// `externalTrafficPolicy: Local`.
    Local,
}

impl fmt::Display for PoolClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "Cluster",
            Self::Local => "Local",
        })
    }
}

/// Identity of a pool.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PoolKey {
    /// The service.
    pub service: ServiceName,
    /// The port clients dial at its cluster address.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
    /// Family of frontends and endpoints.
    pub family: Family,
    /// Which endpoints.
    pub class: PoolClass,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            port,
            protocol,
            family,
            class,
        } = self;
        write!(f, "{service}:{port}/{protocol}/{family}/{class}")
    }
}
