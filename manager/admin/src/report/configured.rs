//! What the configuration alone says of a service. Who knows the kernel's side adds to it.

use std::{collections::BTreeSet, net::IpAddr};

use weft_model::{
    Balancing, Distribution, FrontendKind, Outlier, Port, Protocol, Service, TrafficPolicy,
};

use super::{FrontendReport, Origin, OutlierReport, PortReport, ServiceReport, ServiceSummary};

impl ServiceSummary {
    /// Names, addresses, ports and endpoints; counts of the kernel are 0.
    pub fn configured(service: &Service) -> Self {
        let endpoints = || service.ports.iter().flat_map(|port| &port.endpoints);
        let all: BTreeSet<(IpAddr, u16)> = endpoints().map(|one| (one.address, one.port)).collect();
        let usable = endpoints().filter(|one| one.ready && !one.terminating);
        let ready: BTreeSet<(IpAddr, u16)> = usable.map(|one| (one.address, one.port)).collect();
        Self {
            namespace: service.name.namespace.to_string(),
            name: service.short_name.to_string(),
            hostname: service.name.hostname.to_string(),
            addresses: service
                .frontends
                .iter()
                .map(|one| one.address.to_string())
                .collect(),
            ports: service
                .ports
                .iter()
                .map(|port| format!("{}/{}", port.number, port.protocol))
                .collect(),
            ready: ready.len() as u64,
            endpoints: all.len() as u64,
            ..Self::default()
        }
    }
}

impl ServiceReport {
    /// Rules, frontends and ports; `pool` of frontends is 0, `pools` of ports are empty.
    /// `node_addresses` are this node's, where its node ports are served.
    pub fn configured(service: &Service, node_addresses: &[IpAddr]) -> Self {
        Self {
            namespace: service.name.namespace.to_string(),
            name: service.short_name.to_string(),
            hostname: service.name.hostname.to_string(),
            origin: Origin::from(&service.origin),
            frontends: frontends(service, node_addresses),
            affinity_seconds: service.session_affinity.map(|timeout| timeout.as_secs()),
            internal_policy: policy(service.internal_policy).to_owned(),
            external_policy: policy(service.external_policy).to_owned(),
            distribution: match service.distribution {
                Distribution::Any => "Any",
                Distribution::PreferSameZone => "PreferSameZone",
                Distribution::PreferSameNode => "PreferSameNode",
            }
            .to_owned(),
            ports: service.ports.iter().map(PortReport::configured).collect(),
        }
    }
}

impl PortReport {
    fn configured(port: &Port) -> Self {
        Self {
            number: port.number,
            name: port.name.to_string(),
            protocol: port.protocol.to_string(),
            balancing: match port.balancing {
                Balancing::RoundRobin => "round robin",
                Balancing::Random => "random",
                Balancing::LeastConnections => "least connections",
                Balancing::SourceHash { .. } => "source hash",
            }
            .to_owned(),
            max_connections: port.max_connections,
            outlier: port.outlier.as_ref().map(OutlierReport::from),
            pools: Vec::new(),
        }
    }
}

impl From<&Outlier> for OutlierReport {
    fn from(outlier: &Outlier) -> Self {
        Self {
            consecutive_failures: outlier.consecutive_failures,
            base_ejection_seconds: outlier.base_ejection.as_secs_f64(),
            max_ejection_percent: outlier.max_ejection_percent,
        }
    }
}

fn frontends(service: &Service, node_addresses: &[IpAddr]) -> Vec<FrontendReport> {
    let mut reports = Vec::new();
    let report = |address: IpAddr, number: u16, protocol: Protocol, kind: &str| FrontendReport {
        address: address.to_string(),
        port: number,
        protocol: protocol.to_string(),
        kind: kind.to_owned(),
        pool: 0,
    };
    for frontend in &service.frontends {
        let kind = match frontend.kind {
            FrontendKind::Cluster => "cluster",
            FrontendKind::External => "external",
            FrontendKind::LoadBalancer => "loadBalancer",
        };
        for port in &service.ports {
            reports.push(report(frontend.address, port.number, port.protocol, kind));
        }
    }
    for port in &service.ports {
        let Some(number) = port.node_port else {
            continue;
        };
        for address in node_addresses {
            reports.push(report(*address, number, port.protocol, "nodePort"));
        }
    }
    reports
}

fn policy(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}
