//! Gateways: listeners, and the tables behind them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;

use super::{HostPattern, HostTable};
use crate::Origin;

/// Identity of a gateway. An Istio Gateway and one of the Gateway API may share a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct GatewayName {
    /// Whether it is one of the Gateway API.
    pub is_gateway_api: bool,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Gateway {
    /// The resource.
    pub origin: Origin,
    /// Listeners, in the order of the resource.
    pub listeners: Vec<Listener>,
}

/// A listener for hosts at a port. An Istio server with several hosts is several listeners.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Listener {
    /// Its name; empty when it has none.
    pub name: Arc<str>,
    /// Port it listens on.
    pub port: u16,
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// Hosts it is for.
    pub hostname: HostPattern,
    /// Whether every request is sent to HTTPS.
    pub https_redirect: bool,
    /// Rules by host.
    pub tables: BTreeMap<HostPattern, Arc<HostTable>>,
}

/// What a listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ListenerProtocol {
    /// HTTP, gRPC included.
    Http,
    /// HTTP in TLS, opened here.
    Https,
    /// TLS, passed on unopened, routed by its server name.
    TlsPassthrough,
    /// TLS, opened here, then TCP.
    TlsTerminate,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl ListenerProtocol {
    /// Whether requests are seen.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// The scheme of requests.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Https => "https",
            _ => "http",
        }
    }
}
