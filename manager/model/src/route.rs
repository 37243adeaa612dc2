//! Where requests and connections go: route tables as checked data.
//!
//! A table is found by host, its rules are tried in order and the first that fits decides. How
//! resources become tables is the compiler's, how a table is asked is `weft-decision`'s.
//!
//! Reading order: [`host`] (which table), [`http`] (rules for requests), [`stream`] (rules for
//! connections), [`gateway`] (tables behind a gateway's listeners), [`destination`] (subsets and
//! policies of what rules name).

pub mod host;

pub mod http;

pub mod stream;

pub mod gateway;

pub mod destination;

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

pub use destination::{DestinationPolicy, HashPolicy, Subset};
pub use gateway::{Gateway, GatewayName, Listener, ListenerProtocol};
pub use host::{HostPattern, Visibility};
pub use http::{
    Abort, ClaimPath, Cors, Delay, Destination, DirectResponse, Fallback, Fault, HeaderEdits,
    HeaderMatch, HttpAction, HttpMatch, HttpRoute, HttpRule, Mirror, PathMatch, PathRewrite,
    PortRewrite, Redirect, Retries, Rewrite, Session, SessionCarrier, Source, StringMatch, Target,
};
pub use stream::{StreamMatch, StreamRoute};

use crate::{Origin, ServiceName};

/// Tables of one host, for different clients and ports.
pub type HostTables = Arc<[Arc<HostTable>]>;

/// All route tables.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct RouteTables {
    /// For clients inside the mesh. Of the tables of one host, the first that is visible to the
    /// client and has rules for the port decides; without one the service itself is meant.
    pub mesh: BTreeMap<HostPattern, HostTables>,
    /// For traffic that arrives at a gateway.
    pub gateways: BTreeMap<GatewayName, Arc<Gateway>>,
    /// What DestinationRules say of a service, in order: the first that holds for the client counts.
    pub policies: BTreeMap<ServiceName, Arc<[DestinationPolicy]>>,
}

/// What changed in [`RouteTables`]: only what is named here differs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteChange {
    /// Hosts whose tables are new or different (`Some`), or gone (`None`), each at most once.
    pub mesh: Vec<(HostPattern, Option<HostTables>)>,
    /// Gateways new or different (`Some`), or gone (`None`), each at most once.
    pub gateways: Vec<(GatewayName, Option<Arc<Gateway>>)>,
    /// Services whose policies are new or different (`Some`), or gone (`None`), each at most once.
    pub policies: Vec<(ServiceName, Option<Arc<[DestinationPolicy]>>)>,
}

impl RouteChange {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.mesh.is_empty() && self.gateways.is_empty() && self.policies.is_empty()
    }
}

impl RouteTables {
    /// Applies a change.
    pub fn apply(&mut self, change: &RouteChange) {
        replace(&mut self.mesh, &change.mesh);
        replace(&mut self.gateways, &change.gateways);
        replace(&mut self.policies, &change.policies);
    }
}

fn replace<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, changes: &[(K, Option<V>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key.clone(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
}

/// Whose rules of precedence and whose answers hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Dialect {
    /// VirtualService: first rule that matches; a destination that is not there is 503.
    Istio,
    /// Gateway API: rules stand in order of precedence; an invalid backend is 500.
    GatewayApi,
}

/// The rules of one host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HostTable {
    /// Where the rules come from, oldest first; several at a gateway, or when routes attach to one
    /// service.
    pub origins: Vec<Origin>,
    /// Whose rules of precedence hold.
    pub dialect: Dialect,
    /// Clients for which the table holds.
    pub visibility: Visibility,
    /// Only at this port of the service, when given.
    pub port: Option<u16>,
    /// Rules for requests, in order of precedence.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS connections that are not opened, in order.
    pub tls: Vec<StreamRoute>,
    /// Rules for other connections, in order.
    pub tcp: Vec<StreamRoute>,
    /// Rules for datagrams, in order.
    pub udp: Vec<StreamRoute>,
}
