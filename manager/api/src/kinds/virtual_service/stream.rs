//! Rules for connections.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    Labels,
    proto::{self, PortSelector},
};

/// A rule for TLS connections that are not opened (`TLSRoute` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TlsRoute {
    /// `match`: one of these fits.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    /// `route`: where the connection goes, by weight.
    pub route: Vec<StreamDestination>,
}

/// What a TLS connection must be like: all of it (`TLSMatchAttributes`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsMatch {
    /// `sniHosts`: one of these; may begin with a wildcard.
    pub sni_hosts: Vec<Arc<str>>,
    /// `destinationSubnets`: one of these; empty asks nothing.
    pub destination_subnets: Vec<Arc<str>>,
    /// `port` that was dialled; 0 when unset.
    pub port: u32,
    /// `sourceLabels` of the client; empty asks nothing.
    #[serde(deserialize_with = "proto::labels")]
    pub source_labels: Labels,
    /// `sourceNamespace` of the client; may be empty.
    pub source_namespace: Arc<str>,
    /// `gateways`: instead of those of the VirtualService.
    pub gateways: Vec<Arc<str>>,
}

/// A rule for connections (`TCPRoute` of istio/api).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TcpRoute {
    /// `match`: one of these fits; empty fits every connection.
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    /// `route`: where the connection goes, by weight.
    pub route: Vec<StreamDestination>,
}

/// What a connection must be like: all of it (`L4MatchAttributes`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpMatch {
    /// `destinationSubnets`: one of these; empty asks nothing.
    pub destination_subnets: Vec<Arc<str>>,
    /// `port` that was dialled; 0 when unset.
    pub port: u32,
    /// `sourceSubnet`, which Istio reads but does not act on; may be empty.
    pub source_subnet: Arc<str>,
    /// `sourceLabels` of the client; empty asks nothing.
    #[serde(deserialize_with = "proto::labels")]
    pub source_labels: Labels,
    /// `sourceNamespace` of the client; may be empty.
    pub source_namespace: Arc<str>,
    /// `gateways`: instead of those of the VirtualService.
    pub gateways: Vec<Arc<str>>,
}

/// A destination with its share (`RouteDestination`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamDestination {
    /// `destination`.
    pub destination: Destination,
    /// `weight`; a single destination gets everything even with 0.
    #[serde(deserialize_with = "proto::weight")]
    pub weight: u32,
}

/// Where something goes (`Destination`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// `host` as written: a short name, resolved in the VirtualService's namespace, or a full one.
    pub host: Arc<str>,
    /// `subset` of a DestinationRule; may be empty.
    pub subset: Arc<str>,
    /// `port`; none if the service has only one, or the dialled one is meant.
    pub port: Option<PortSelector>,
}
