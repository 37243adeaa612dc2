//! The one table of the kinds that are read, and how.

use std::fmt;

use serde_json::Value;

use super::{
    Kind, Resource, authorization_policy, destination_rule, endpoint_slice, extension, gateway_api,
    istio_gateway, namespace, node, peer_authentication, pod, pod_template, rate_limit_policy,
    request_authentication, service, service_account, service_entry, telemetry, unsupported,
    virtual_service, workload_entry, workload_group,
};
use crate::{decode::Reading, object::Metadata};

/// How a kind is read.
pub(crate) struct Registration {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    /// Served versions, all read alike.
    pub(crate) versions: &'static [&'static str],
    pub(crate) is_cluster_scoped: bool,
    pub(crate) name_syntax: NameSyntax,
    pub(crate) read: Read,
}

/// What `metadata.name` may be.
#[derive(Clone, Copy)]
pub(crate) enum NameSyntax {
    Subdomain,
    Label,
    ServiceLabel,
}

impl fmt::Display for NameSyntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subdomain => "use lower-case letters, digits, '-' and '.', at most 253",
            Self::Label => "use lower-case letters, digits and '-', at most 63",
            Self::ServiceLabel => {
                "use lower-case letters, digits and '-', at most 63, beginning with a letter"
            }
        })
    }
}

const ISTIO_NETWORKING: &[&str] = &["v1alpha3", "v1beta1", "v1"];

type Read = fn(&Value, &Metadata, &mut Reading<'_>) -> Option<Resource>;

/// A kind whose objects have namespaces and whose names are subdomains.
const fn namespaced(
    kind: Kind,
    name: &'static str,
    group: &'static str,
    versions: &'static [&'static str],
    read: Read,
) -> Registration {
    Registration {
        kind,
        name,
        group,
        versions,
        is_cluster_scoped: false,
        name_syntax: NameSyntax::Subdomain,
        read,
    }
}

/// A kind of Kubernetes that makes pods.
const fn workload(kind: Kind, name: &'static str) -> Registration {
    namespaced(kind, name, "apps", &["v1"], pod_template::read)
}

/// A kind of Istio's networking group.
const fn networking(kind: Kind, name: &'static str, read: Read) -> Registration {
    namespaced(kind, name, "networking.istio.io", ISTIO_NETWORKING, read)
}

const ISTIO_SECURITY: &[&str] = &["v1beta1", "v1"];

/// A kind of Istio's security group.
const fn security(kind: Kind, name: &'static str, read: Read) -> Registration {
    namespaced(kind, name, "security.istio.io", ISTIO_SECURITY, read)
}

/// A kind of the Gateway API.
const fn gateway_api(
    kind: Kind,
    name: &'static str,
    versions: &'static [&'static str],
    read: Read,
) -> Registration {
    namespaced(kind, name, gateway_api::GROUP, versions, read)
}

/// Every kind that is read.
pub(crate) static KINDS: &[Registration] = &[
    Registration {
        kind: Kind::Namespace,
        name: "Namespace",
        group: "",
        versions: &["v1"],
        is_cluster_scoped: true,
        name_syntax: NameSyntax::Label,
        read: namespace::read,
    },
    Registration {
        kind: Kind::Node,
        name: "Node",
        group: "",
        versions: &["v1"],
        is_cluster_scoped: true,
        name_syntax: NameSyntax::Subdomain,
        read: node::read,
    },
    Registration {
        kind: Kind::Pod,
        name: "Pod",
        group: "",
        versions: &["v1"],
        is_cluster_scoped: false,
        name_syntax: NameSyntax::Subdomain,
        read: pod::read,
    },
    workload(Kind::Deployment, "Deployment"),
    workload(Kind::StatefulSet, "StatefulSet"),
    workload(Kind::DaemonSet, "DaemonSet"),
    Registration {
        kind: Kind::Service,
        name: "Service",
        group: "",
        versions: &["v1"],
        is_cluster_scoped: false,
        name_syntax: NameSyntax::ServiceLabel,
        read: service::read,
    },
    Registration {
        kind: Kind::EndpointSlice,
        name: "EndpointSlice",
        group: "discovery.k8s.io",
        versions: &["v1"],
        is_cluster_scoped: false,
        name_syntax: NameSyntax::Subdomain,
        read: endpoint_slice::read,
    },
    networking(Kind::ServiceEntry, "ServiceEntry", service_entry::read),
    networking(
        Kind::DestinationRule,
        "DestinationRule",
        destination_rule::read,
    ),
    networking(
        Kind::VirtualService,
        "VirtualService",
        virtual_service::read,
    ),
    networking(Kind::IstioGateway, "Gateway", istio_gateway::read),
    networking(Kind::WorkloadEntry, "WorkloadEntry", workload_entry::read),
    networking(Kind::WorkloadGroup, "WorkloadGroup", workload_group::read),
    networking(Kind::Sidecar, "Sidecar", unsupported::read),
    networking(Kind::EnvoyFilter, "EnvoyFilter", unsupported::read),
    networking(Kind::ProxyConfig, "ProxyConfig", unsupported::read),
    namespaced(
        Kind::Telemetry,
        "Telemetry",
        "telemetry.istio.io",
        &["v1alpha1", "v1"],
        telemetry::read,
    ),
    namespaced(
        Kind::WasmPlugin,
        "WasmPlugin",
        "extensions.istio.io",
        &["v1alpha1"],
        extension::read_plugin,
    ),
    namespaced(
        Kind::TrafficExtension,
        "TrafficExtension",
        "extensions.istio.io",
        &["v1alpha1"],
        extension::read,
    ),
    namespaced(
        Kind::ServiceAccount,
        "ServiceAccount",
        "",
        &["v1"],
        service_account::read_account,
    ),
    namespaced(
        Kind::Secret,
        "Secret",
        "",
        &["v1"],
        service_account::read_secret,
    ),
    namespaced(
        Kind::ConfigMap,
        "ConfigMap",
        "",
        &["v1"],
        service_account::read_config_map,
    ),
    security(
        Kind::PeerAuthentication,
        "PeerAuthentication",
        peer_authentication::read,
    ),
    security(
        Kind::RequestAuthentication,
        "RequestAuthentication",
        request_authentication::read,
    ),
    security(
        Kind::AuthorizationPolicy,
        "AuthorizationPolicy",
        authorization_policy::read,
    ),
    Registration {
        is_cluster_scoped: true,
        ..gateway_api(
            Kind::GatewayClass,
            "GatewayClass",
            &["v1", "v1beta1"],
            gateway_api::read_gateway_class,
        )
    },
    gateway_api(
        Kind::Gateway,
        "Gateway",
        &["v1", "v1beta1"],
        gateway_api::read_gateway,
    ),
    gateway_api(
        Kind::HttpRoute,
        "HTTPRoute",
        &["v1", "v1beta1"],
        gateway_api::read_http_route,
    ),
    gateway_api(
        Kind::GrpcRoute,
        "GRPCRoute",
        &["v1"],
        gateway_api::read_grpc_route,
    ),
    gateway_api(
        Kind::TcpRoute,
        "TCPRoute",
        &["v1", "v1alpha2"],
        gateway_api::read_tcp_route,
    ),
    gateway_api(
        Kind::UdpRoute,
        "UDPRoute",
        &["v1", "v1alpha2"],
        gateway_api::read_udp_route,
    ),
    gateway_api(
        Kind::TlsRoute,
        "TLSRoute",
        &["v1", "v1alpha3", "v1alpha2"],
        gateway_api::read_tls_route,
    ),
    gateway_api(
        Kind::ReferenceGrant,
        "ReferenceGrant",
        &["v1", "v1beta1"],
        gateway_api::read_reference_grant,
    ),
    gateway_api(
        Kind::BackendTlsPolicy,
        "BackendTLSPolicy",
        &["v1", "v1alpha3"],
        gateway_api::read_backend_tls_policy,
    ),
    namespaced(
        Kind::RateLimitPolicy,
        "RateLimitPolicy",
        "weft.dev",
        &["v1alpha1"],
        rate_limit_policy::read,
    ),
];

/// How a group and kind are read.
pub(crate) fn registration(group: &str, name: &str) -> Option<&'static Registration> {
    KINDS
        .iter()
        .find(|registration| registration.group == group && registration.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_the_table_once() {
        use Kind::*;
        for kind in [
            Namespace,
            Node,
            Pod,
            Deployment,
            StatefulSet,
            DaemonSet,
            Service,
            EndpointSlice,
            ServiceEntry,
            DestinationRule,
            VirtualService,
            IstioGateway,
            WorkloadEntry,
            WorkloadGroup,
            Sidecar,
            EnvoyFilter,
            ProxyConfig,
            Telemetry,
            WasmPlugin,
            TrafficExtension,
            ServiceAccount,
            Secret,
            ConfigMap,
            PeerAuthentication,
            RequestAuthentication,
            AuthorizationPolicy,
            GatewayClass,
            Gateway,
            HttpRoute,
            GrpcRoute,
            TcpRoute,
            UdpRoute,
            TlsRoute,
            ReferenceGrant,
            BackendTlsPolicy,
            RateLimitPolicy,
        ] {
            assert_eq!(
                KINDS.iter().filter(|entry| entry.kind == kind).count(),
                1,
                "{kind:?}"
            );
        }
    }
}
