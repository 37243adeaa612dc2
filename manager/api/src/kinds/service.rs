//! Kubernetes `Service`.

mod addresses;
mod ports;

use std::{net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{ServiceSpec, ServiceStatus};
use serde_json::Value;

use crate::{
    Distribution, Labels, Protocol, Resource, Severity,
    decode::Reading,
    object::{self, Metadata},
    path::At,
    syntax,
};

const SPEC: At<'_> = At::top("spec");

/// A Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// `spec.type`.
    pub service_type: ServiceType,
    /// `spec.clusterIP: None`.
    pub is_headless: bool,
    /// `spec.clusterIPs`, else `spec.clusterIP`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` but for those with `ipMode: Proxy`. Empty when
    /// `spec.loadBalancerSourceRanges` is set: it cannot be enforced yet, so it fails closed.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Ports as written, without SCTP.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`.
    pub selector: Labels,
    /// `sessionAffinity: ClientIP` with its timeout.
    pub session_affinity: Option<Duration>,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// `spec.trafficDistribution`, else the annotation.
    pub distribution: Option<Distribution>,
    /// `spec.publishNotReadyAddresses`.
    pub publishes_not_ready: bool,
}

/// `spec.type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are the types of Kubernetes")]
pub enum ServiceType {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

/// `Cluster` or `Local`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the variants are the policies of Kubernetes")]
pub enum TrafficPolicy {
    Cluster,
    Local,
}

/// A port of a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// Name, empty when unnamed.
    pub name: Arc<str>,
    /// `appProtocol`, empty when unset.
    pub app_protocol: Arc<str>,
    /// Port clients dial.
    pub number: u16,
    /// Transport.
    pub protocol: Protocol,
    /// `targetPort`, by default the number.
    pub target: TargetPort,
    /// `nodePort`; none when `spec.loadBalancerSourceRanges` is set.
    pub node_port: Option<u16>,
}

/// Where a pod listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetPort {
    /// At a number.
    Number(u16),
    /// At the container port of this name.
    Name(Arc<str>),
}

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: ServiceSpec = cx.field(object, "spec")?;
    let status: ServiceStatus = cx.field(object, "status")?;
    let service_type = service_type(&spec, cx)?;
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    check_exposure(&spec, service_type, is_headless, cx);
    if spec.health_check_node_port.is_some_and(|port| port != 0) {
        cx.not_supported(SPEC.key("healthCheckNodePort"), "is not supported yet");
    }
    let withhold = addresses::withholds_load_balancer(&spec, service_type, cx);
    let load_balancer_ips = addresses::load_balancer_ips(&status, cx);
    let mut service = Service {
        service_type,
        is_headless,
        cluster_ips: addresses::cluster_ips(&spec, service_type, cx),
        external_ips: addresses::addresses(spec.external_ips.as_deref(), "externalIPs", cx),
        load_balancer_ips: if withhold {
            Vec::new()
        } else {
            load_balancer_ips
        },
        ports: ports::ports(&spec, service_type, cx),
        session_affinity: session_affinity(&spec, cx),
        internal_policy: policy(
            spec.internal_traffic_policy.as_deref(),
            "internalTrafficPolicy",
            cx,
        ),
        external_policy: policy(
            spec.external_traffic_policy.as_deref(),
            "externalTrafficPolicy",
            cx,
        ),
        distribution: distribution(&spec, metadata, cx),
        publishes_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
        selector: object::labels(spec.selector, SPEC.key("selector"), cx),
    };
    if withhold {
        service
            .ports
            .iter_mut()
            .for_each(|port| port.node_port = None);
    }
    warn_unreachable(&service, withhold, cx);
    Some(Resource::Service(Box::new(service)))
}

fn service_type(spec: &ServiceSpec, cx: &mut Reading<'_>) -> Option<ServiceType> {
    Some(match spec.type_.as_deref() {
        None | Some("" | "ClusterIP") => ServiceType::ClusterIp,
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        Some("ExternalName") => ServiceType::ExternalName,
        Some(other) => {
            let known = "use ClusterIP, NodePort, LoadBalancer or ExternalName";
            cx.reject(
                SPEC.key("type"),
                format_args!("{other:?} is not known; {known}"),
            );
            return None;
        }
    })
}

/// What may be said only of services of some types.
fn check_exposure(
    spec: &ServiceSpec,
    service_type: ServiceType,
    is_headless: bool,
    cx: &mut Reading<'_>,
) {
    let is_external = matches!(
        service_type,
        ServiceType::NodePort | ServiceType::LoadBalancer
    );
    if is_headless && is_external {
        cx.reject(
            SPEC.key("clusterIP"),
            "may not be None for NodePort and LoadBalancer services",
        );
    }
    let has_external_ips = spec
        .external_ips
        .as_ref()
        .is_some_and(|ips| !ips.is_empty());
    if spec.external_traffic_policy.is_some() && !is_external && !has_external_ips {
        let at = SPEC.key("externalTrafficPolicy");
        cx.reject(at, "may only be set for externally-accessible services");
    }
    if service_type == ServiceType::ExternalName {
        let name = spec.external_name.as_deref().unwrap_or("");
        let name = name.strip_suffix('.').unwrap_or(name);
        let at = SPEC.key("externalName");
        cx.require(
            syntax::is_subdomain(name),
            at,
            "an ExternalName service needs a host name here",
        );
        let has_address = spec
            .cluster_ip
            .as_deref()
            .is_some_and(|ip| !matches!(ip, "" | "None"));
        let at = SPEC.key("clusterIP");
        cx.require(!has_address, at, "may not be set for ExternalName services");
    }
}

fn session_affinity(spec: &ServiceSpec, cx: &mut Reading<'_>) -> Option<Duration> {
    let config = spec.session_affinity_config.as_ref();
    let timeout = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => {
            let at = SPEC.key("sessionAffinityConfig");
            cx.require(
                timeout.is_none(),
                at,
                "must not be set when session affinity is None",
            );
            None
        }
        Some("ClientIP") => {
            let timeout = timeout.unwrap_or(10_800);
            let at = SPEC.key("sessionAffinityConfig");
            let at = at.key("clientIP");
            let at = at.key("timeoutSeconds");
            let fits = (1..=86_400).contains(&timeout);
            cx.require(
                fits,
                at,
                format_args!("{timeout} is not between 1 and 86400"),
            );
            u64::try_from(timeout).ok().map(Duration::from_secs)
        }
        Some(other) => {
            let at = SPEC.key("sessionAffinity");
            cx.reject(
                at,
                format_args!("{other:?} is not known; use ClientIP or None"),
            );
            None
        }
    }
}

fn policy(written: Option<&str>, field: &str, cx: &mut Reading<'_>) -> TrafficPolicy {
    match written {
        None | Some("" | "Cluster") => TrafficPolicy::Cluster,
        Some("Local") => TrafficPolicy::Local,
        Some(other) => {
            let at = SPEC.key(field);
            cx.reject(
                at,
                format_args!("{other:?} is not known; use Cluster or Local"),
            );
            TrafficPolicy::Cluster
        }
    }
}

fn distribution(
    spec: &ServiceSpec,
    metadata: &Metadata,
    cx: &mut Reading<'_>,
) -> Option<Distribution> {
    let Some(written) = spec.traffic_distribution.as_deref() else {
        return metadata.distribution;
    };
    let known = Distribution::parse(written);
    let at = SPEC.key("trafficDistribution");
    let names = "use PreferSameZone, PreferSameNode or PreferClose";
    cx.require(
        known.is_some(),
        at,
        format_args!("{written:?} is not known; {names}"),
    );
    known
}

/// Nothing allocates addresses here, unlike in a cluster, so a service without one is never met.
fn warn_unreachable(service: &Service, withheld: bool, cx: &mut Reading<'_>) {
    let is_reachable = service.is_headless
        || withheld
        || service.service_type == ServiceType::ExternalName
        || service.ports.iter().any(|port| port.node_port.is_some())
        || !(service.cluster_ips.is_empty()
            && service.external_ips.is_empty()
            && service.load_balancer_ips.is_empty());
    if !is_reachable && !cx.is_rejected {
        let message = "no address to be reached at; outside a cluster nothing allocates one";
        cx.find(
            Severity::Warning,
            "no-address",
            SPEC.key("clusterIP").into(),
            message,
        );
    }
}
