//! Kubernetes `Service`.

use std::{net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::{ServicePort as WrittenPort, ServiceSpec, ServiceStatus},
    apimachinery::pkg::util::intstr::IntOrString,
};
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
    let withhold = withholds_load_balancer(&spec, service_type, cx);
    let load_balancer_ips = load_balancer_ips(&status, cx);
    let mut service = Service {
        service_type,
        is_headless,
        cluster_ips: cluster_ips(&spec, service_type, cx),
        external_ips: addresses(spec.external_ips.as_deref(), "externalIPs", cx),
        load_balancer_ips: if withhold {
            Vec::new()
        } else {
            load_balancer_ips
        },
        ports: ports(&spec, service_type, cx),
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

fn withholds_load_balancer(
    spec: &ServiceSpec,
    service_type: ServiceType,
    cx: &mut Reading<'_>,
) -> bool {
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or(&[]);
    if ranges.is_empty() {
        return false;
    }
    let list = SPEC.key("loadBalancerSourceRanges");
    if service_type != ServiceType::LoadBalancer {
        cx.reject(list, "may only be used when `type` is 'LoadBalancer'");
    }
    for (index, range) in ranges.iter().enumerate() {
        let fits = range.trim().parse::<ipnet::IpNet>().is_ok();
        cx.require(
            fits,
            list.index(index),
            format_args!("{range:?} is not a CIDR"),
        );
    }
    let message =
        "is not supported yet, so the load balancer addresses and node ports are withheld";
    cx.find(Severity::Error, "not-supported", list.into(), message);
    true
}

fn cluster_ips(spec: &ServiceSpec, service_type: ServiceType, cx: &mut Reading<'_>) -> Vec<IpAddr> {
    let single = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty());
    let list = spec.cluster_ips.as_deref().filter(|ips| !ips.is_empty());
    let at = SPEC.key("clusterIPs");
    if let (Some(single), Some(list)) = (single, list) {
        let agrees = list.first().map(String::as_str) == Some(single);
        cx.require(agrees, at, "the first value must match `clusterIP`");
    }
    if service_type == ServiceType::ExternalName {
        return Vec::new();
    }
    let is_none = |ip: &str| ip == "None";
    if single.is_some_and(is_none) || list.is_some_and(|ips| ips.iter().all(|ip| is_none(ip))) {
        return Vec::new();
    }
    let Some(list) = list else {
        return single
            .and_then(|ip| cx.address(SPEC.key("clusterIP"), ip))
            .into_iter()
            .collect();
    };
    let ips = addresses(Some(list), "clusterIPs", cx);
    let per_family = ips.iter().filter(|ip| ip.is_ipv4()).count();
    let fits = per_family <= 1 && ips.len() - per_family <= 1;
    cx.require(fits, at, "may hold at most one address of each family");
    ips
}

fn addresses(written: Option<&[String]>, field: &str, cx: &mut Reading<'_>) -> Vec<IpAddr> {
    let list = SPEC.key(field);
    let written = written.unwrap_or(&[]).iter().enumerate();
    written
        .filter_map(|(index, ip)| cx.address(list.index(index), ip))
        .collect()
}

fn load_balancer_ips(status: &ServiceStatus, cx: &mut Reading<'_>) -> Vec<IpAddr> {
    let at = At::top("status");
    let at = at.key("loadBalancer");
    let list = at.key("ingress");
    let ingress = status
        .load_balancer
        .as_ref()
        .and_then(|status| status.ingress.as_ref());
    let mut ips = Vec::new();
    for (index, ingress) in ingress.into_iter().flatten().enumerate() {
        let at = list.index(index);
        let Some(ip) = ingress.ip.as_deref().filter(|ip| !ip.is_empty()) else {
            continue;
        };
        let ip = cx.address(at.key("ip"), ip);
        match ingress.ip_mode.as_deref() {
            None | Some("VIP") => ips.extend(ip),
            Some("Proxy") => {}
            Some(mode) => {
                cx.reject(
                    at.key("ipMode"),
                    format_args!("{mode:?} is not known; use VIP or Proxy"),
                );
            }
        }
    }
    ips
}

fn ports(spec: &ServiceSpec, service_type: ServiceType, cx: &mut Reading<'_>) -> Vec<ServicePort> {
    let list = SPEC.key("ports");
    let written = spec.ports.as_deref().unwrap_or(&[]);
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    if written.is_empty() && !is_headless && service_type != ServiceType::ExternalName {
        cx.reject(list, "a Service needs at least one port");
    }
    let mut ports: Vec<ServicePort> = Vec::new();
    for (index, port) in written.iter().enumerate() {
        let at = list.index(index);
        check_port_name(port, &written[..index], written.len() > 1, at, cx);
        if let Some(port) = service_port(port, service_type, at, cx) {
            check_unique(&port, &ports, at, cx);
            ports.push(port);
        }
    }
    ports
}

fn check_port_name(
    port: &WrittenPort,
    before: &[WrittenPort],
    must_be_named: bool,
    at: At<'_>,
    cx: &mut Reading<'_>,
) {
    let name = port.name.as_deref().unwrap_or("");
    if name.is_empty() {
        cx.require(
            !must_be_named,
            at.key("name"),
            "is required when there are several ports",
        );
        return;
    }
    let fits = syntax::is_label(name);
    cx.require(
        fits,
        at.key("name"),
        format_args!("{name:?} is not a valid port name"),
    );
    let is_new = before
        .iter()
        .all(|other| other.name.as_deref() != Some(name));
    cx.require(
        is_new,
        at.key("name"),
        format_args!("port name {name:?} is used twice"),
    );
}

fn check_unique(port: &ServicePort, before: &[ServicePort], at: At<'_>, cx: &mut Reading<'_>) {
    let same = |other: &&ServicePort| other.protocol == port.protocol;
    if before
        .iter()
        .filter(same)
        .any(|other| other.number == port.number)
    {
        cx.reject(
            at,
            format_args!("port {} is used twice for one protocol", port.number),
        );
    }
    if let Some(node_port) = port.node_port
        && before
            .iter()
            .filter(same)
            .any(|other| other.node_port == Some(node_port))
    {
        let at = at.key("nodePort");
        cx.reject(
            at,
            format_args!("node port {node_port} is used twice for one protocol"),
        );
    }
}

fn service_port(
    written: &WrittenPort,
    service_type: ServiceType,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> Option<ServicePort> {
    let number = cx.port(at.key("port"), i64::from(written.port));
    let target = target_port(written, at, cx);
    let node_port = match written.node_port.filter(|port| *port != 0) {
        None => None,
        Some(_) if service_type == ServiceType::ClusterIp => {
            cx.reject(
                at.key("nodePort"),
                "may not be used when `type` is 'ClusterIP'",
            );
            None
        }
        Some(node_port) => cx.port(at.key("nodePort"), i64::from(node_port)),
    };
    let protocol = match written.protocol.as_deref() {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => {
            cx.not_supported(
                at.key("protocol"),
                "SCTP is not supported yet; the port is skipped",
            );
            return None;
        }
        Some(other) => {
            cx.reject(
                at.key("protocol"),
                format_args!("{other:?} is not TCP, UDP or SCTP"),
            );
            return None;
        }
    };
    let name = cx.interner.name(written.name.as_deref().unwrap_or(""));
    let number = number?;
    Some(ServicePort {
        name,
        number,
        protocol,
        target: target.unwrap_or(TargetPort::Number(number)),
        node_port,
    })
}

fn target_port(written: &WrittenPort, at: At<'_>, cx: &mut Reading<'_>) -> Option<TargetPort> {
    let at = at.key("targetPort");
    match written.target_port.as_ref()? {
        // Kubernetes writes an unset target port as 0.
        IntOrString::Int(0) => None,
        IntOrString::Int(number) => cx.port(at, i64::from(*number)).map(TargetPort::Number),
        IntOrString::String(name) if name.is_empty() => None,
        IntOrString::String(name) => {
            let fits = syntax::is_port_name(name);
            let message = "must be a number or a port name with at least one letter, at most 15";
            cx.require(fits, at, format_args!("{name:?} {message}"));
            Some(TargetPort::Name(cx.interner.name(name)))
        }
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
