//! The kinds that are read, one file each, and a table that lists them.

pub(crate) mod authorization_policy;
pub(crate) mod capture;
pub(crate) mod destination_rule;
pub(crate) mod endpoint_slice;
pub mod extension;
pub mod gateway_api;
pub mod istio_gateway;
pub mod mesh_config;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod peer_authentication;
pub(crate) mod pod;
pub(crate) mod pod_template;
#[cfg(test)]
mod published;
pub(crate) mod rate_limit_policy;
pub(crate) mod request_authentication;
pub(crate) mod scope;
pub(crate) mod service;
pub(crate) mod service_account;
pub(crate) mod service_entry;
pub(crate) mod sidecar;
mod table;
pub mod telemetry;
mod unsupported;
pub mod virtual_service;
mod visibility;
pub(crate) mod workload_entry;
pub mod workload_group;

use std::fmt;

pub(crate) use self::table::{KINDS, NameSyntax, Registration, registration};
use crate::{DestinationRule, EndpointSlice, Namespace, Node, Pod, Service, ServiceEntry};

/// A kind that is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Kubernetes.
    Namespace,
    /// Kubernetes.
    Node,
    /// Kubernetes.
    Pod,
    /// Kubernetes, `apps`.
    Deployment,
    /// Kubernetes, `apps`.
    StatefulSet,
    /// Kubernetes, `apps`.
    DaemonSet,
    /// Kubernetes.
    Service,
    /// Kubernetes, `discovery.k8s.io`.
    EndpointSlice,
    /// Istio, `networking.istio.io`.
    ServiceEntry,
    /// Istio, `networking.istio.io`.
    DestinationRule,
    /// Istio, `networking.istio.io`.
    VirtualService,
    /// `Gateway` of Istio, `networking.istio.io`.
    IstioGateway,
    /// Istio, `networking.istio.io`.
    WorkloadEntry,
    /// Istio, `networking.istio.io`.
    WorkloadGroup,
    /// Istio, `networking.istio.io`.
    Sidecar,
    /// Istio, `networking.istio.io`.
    EnvoyFilter,
    /// Istio, `networking.istio.io`.
    ProxyConfig,
    /// Istio, `telemetry.istio.io`.
    Telemetry,
    /// Istio, `extensions.istio.io`.
    WasmPlugin,
    /// Istio, `extensions.istio.io`.
    TrafficExtension,
    /// Kubernetes.
    ServiceAccount,
    /// Kubernetes.
    Secret,
    /// Kubernetes.
    ConfigMap,
    /// Istio, `security.istio.io`.
    PeerAuthentication,
    /// Istio, `security.istio.io`.
    RequestAuthentication,
    /// Istio, `security.istio.io`.
    AuthorizationPolicy,
    /// Gateway API.
    GatewayClass,
    /// Gateway API.
    Gateway,
    /// Gateway API.
    HttpRoute,
    /// Gateway API.
    GrpcRoute,
    /// Gateway API.
    TcpRoute,
    /// Gateway API.
    UdpRoute,
    /// Gateway API.
    TlsRoute,
    /// Gateway API.
    ReferenceGrant,
    /// Gateway API.
    BackendTlsPolicy,
    /// Weft's own, `weft.dev`.
    RateLimitPolicy,
}

impl Kind {
    /// The kind as it is written.
    pub fn name(self) -> &'static str {
        self.registration().name
    }

    /// The API group, empty for the core group.
    pub fn group(self) -> &'static str {
        self.registration().group
    }

    /// Whether objects have no namespace.
    pub fn is_cluster_scoped(self) -> bool {
        self.registration().is_cluster_scoped
    }

    fn registration(self) -> &'static Registration {
        table::KINDS
            .iter()
            .find(|r| r.kind == self)
            .expect("every kind is in the table; a test holds it")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an object holds, by kind.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are the kinds")]
pub enum Resource {
    Namespace(Namespace),
    Node(Node),
    Pod(Box<Pod>),
    PodTemplate(Box<pod_template::PodTemplate>),
    Service(Box<Service>),
    EndpointSlice(EndpointSlice),
    ServiceEntry(Box<ServiceEntry>),
    DestinationRule(Box<DestinationRule>),
    VirtualService(Box<virtual_service::VirtualService>),
    IstioGateway(Box<istio_gateway::IstioGateway>),
    WorkloadEntry(Box<workload_entry::WorkloadEntry>),
    WorkloadGroup(Box<workload_group::WorkloadGroup>),
    Telemetry(Box<telemetry::Telemetry>),
    WasmPlugin(Box<extension::TrafficExtension>),
    TrafficExtension(Box<extension::TrafficExtension>),
    ServiceAccount,
    Secret(Box<service_account::Secret>),
    ConfigMap(Box<service_account::ConfigMap>),
    Sidecar(Box<sidecar::Sidecar>),
    Unsupported,
    PeerAuthentication(Box<peer_authentication::PeerAuthentication>),
    RequestAuthentication(Box<request_authentication::RequestAuthentication>),
    AuthorizationPolicy(Box<authorization_policy::AuthorizationPolicy>),
    GatewayClass(Box<gateway_api::GatewayClass>),
    Gateway(Box<gateway_api::Gateway>),
    HttpRoute(Box<gateway_api::HttpRoute>),
    GrpcRoute(Box<gateway_api::GrpcRoute>),
    TcpRoute(Box<gateway_api::StreamRoute>),
    UdpRoute(Box<gateway_api::StreamRoute>),
    TlsRoute(Box<gateway_api::TlsRoute>),
    ReferenceGrant(Box<gateway_api::ReferenceGrant>),
    BackendTlsPolicy(Box<gateway_api::BackendTlsPolicy>),
    RateLimitPolicy(Box<rate_limit_policy::RateLimitPolicy>),
}
