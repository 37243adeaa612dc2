//! One service as configured and as the kernel has it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use weft_abi::{Backend, Scope, ServiceKey, ServiceState};
use weft_admin::{
    EndpointReport, EndpointState, FrontendReport, Origin, OutlierReport, PoolReport, PortReport,
    ServiceReport, ServiceSummary,
};
use weft_lower::{BackendView, PoolView};
use weft_model::{Balancing, Distribution, Endpoint, FrontendKind, Port, Service, TrafficPolicy};

use super::States;
use crate::run::{Shared, engine::Engine, now};

/// A line of the list.
pub(crate) fn summary(
    shared: &Shared,
    engine: &Engine,
    states: &States,
    service: &Service,
) -> ServiceSummary {
    let time = now();
    let mut summary = ServiceSummary {
        namespace: service.name.namespace.to_string(),
        name: service.short_name.to_string(),
        hostname: service.name.hostname.to_string(),
        addresses: service
            .frontends
            .iter()
            .map(|f| f.address.to_string())
            .collect(),
        ports: service
            .ports
            .iter()
            .map(|port| format!("{}/{}", port.number, port.protocol))
            .collect(),
        ..ServiceSummary::default()
    };
    let configured = service.ports.iter().flat_map(|port| &port.endpoints);
    let configured: BTreeSet<SocketAddr> = configured
        .map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port))
        .collect();
    summary.endpoints = configured.len() as u64;
    let mut ready: BTreeSet<SocketAddr> = BTreeSet::new();
    for pool in engine.planner.pools_of(&service.name) {
        for backend in pool.backends() {
            match state_of(&backend, time) {
                EndpointState::Ready => {
                    ready.insert(SocketAddr::new(backend.address, backend.port));
                }
                EndpointState::Ejected => summary.ejected += 1,
                EndpointState::Draining | EndpointState::Unused => {}
            }
            let state = states.of(backend.index, backend.generation);
            summary.active += u64::from(state.active);
            summary.connections += state.connections;
            summary.failures += u64::from(state.failures);
        }
        let state = service_state(shared, pool.id);
        summary.refused += state.no_backend + state.over_limit;
    }
    if service.frontends.is_empty() {
        // A headless service: clients dial its endpoints, the kernel has no pool.
        ready = usable(service);
    }
    summary.ready = ready.len() as u64;
    summary
}

fn usable(service: &Service) -> BTreeSet<SocketAddr> {
    let endpoints = service.ports.iter().flat_map(|port| &port.endpoints);
    let usable = endpoints.filter(|endpoint| endpoint.ready && !endpoint.terminating);
    usable
        .map(|endpoint| SocketAddr::new(endpoint.address, endpoint.port))
        .collect()
}

/// Everything.
pub(crate) fn report(
    shared: &Shared,
    engine: &Engine,
    states: &States,
    service: &Service,
) -> ServiceReport {
    let origin = &service.origin;
    let ports = service
        .ports
        .iter()
        .map(|port| port_report(shared, engine, states, service, port));
    ServiceReport {
        namespace: service.name.namespace.to_string(),
        name: service.short_name.to_string(),
        hostname: service.name.hostname.to_string(),
        origin: Origin {
            kind: origin.kind.to_string(),
            namespace: origin.namespace.to_string(),
            name: origin.name.to_string(),
            file: origin.file.to_string(),
            line: origin.line,
        },
        frontends: frontends(engine, service),
        affinity_seconds: service.session_affinity.map(|timeout| timeout.as_secs()),
        internal_policy: policy(service.internal_policy).to_owned(),
        external_policy: policy(service.external_policy).to_owned(),
        distribution: match service.distribution {
            Distribution::Any => "any",
            Distribution::PreferSameZone => "PreferSameZone",
            Distribution::PreferSameNode => "PreferSameNode",
        }
        .to_owned(),
        ports: ports.collect(),
    }
}

fn frontends(engine: &Engine, service: &Service) -> Vec<FrontendReport> {
    let entries: Vec<(ServiceKey, u32)> = engine
        .planner
        .frontends_of(&service.name)
        .filter(|(key, _)| key.scope == Scope::SOCKET)
        .map(|(key, entry)| (key, entry.id))
        .collect();
    let mut frontends: Vec<FrontendReport> = entries
        .into_iter()
        .map(|(key, pool)| {
            let address = IpAddr::from(key.address);
            FrontendReport {
                address: address.to_string(),
                port: key.port,
                protocol: if key.protocol == weft_abi::Protocol::UDP {
                    "UDP"
                } else {
                    "TCP"
                }
                .to_owned(),
                kind: kind(service, address).to_owned(),
                pool,
            }
        })
        .collect();
    frontends.sort_by(|a, b| (&a.kind, &a.address, a.port).cmp(&(&b.kind, &b.address, b.port)));
    frontends
}

fn kind(service: &Service, address: IpAddr) -> &'static str {
    let frontend = service
        .frontends
        .iter()
        .find(|frontend| frontend.address == address);
    match frontend.map(|frontend| frontend.kind) {
        Some(FrontendKind::Cluster) => "cluster",
        Some(FrontendKind::External) => "external",
        Some(FrontendKind::LoadBalancer) => "loadBalancer",
        None => "nodePort",
    }
}

fn policy(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}

fn port_report(
    shared: &Shared,
    engine: &Engine,
    states: &States,
    service: &Service,
    port: &Port,
) -> PortReport {
    let of_port = |pool: &PoolView<'_>| {
        pool.name()
            .is_some_and(|name| name.key.port == port.number && name.key.protocol == port.protocol)
    };
    let pools = engine.planner.pools_of(&service.name).filter(of_port);
    PortReport {
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
        outlier: port.outlier.map(|outlier| OutlierReport {
            consecutive_failures: outlier.consecutive_failures,
            base_ejection_seconds: outlier.base_ejection.as_secs_f64(),
            max_ejection_percent: outlier.max_ejection_percent,
        }),
        pools: pools
            .map(|pool| pool_report(shared, states, port, pool))
            .collect(),
    }
}

fn pool_report(shared: &Shared, states: &States, port: &Port, pool: PoolView<'_>) -> PoolReport {
    let state = service_state(shared, pool.id);
    let name = pool.name();
    let family = name.map(|name| name.key.family);
    let of_family = |endpoint: &&Endpoint| {
        family.is_some_and(|family| weft_lower::Family::of(endpoint.address) == family)
    };
    let backends: Vec<BackendView<'_>> = pool.backends().collect();
    let endpoints = port.endpoints.iter().filter(of_family);
    PoolReport {
        id: pool.id,
        class: name
            .map(|name| name.key.class.to_string().to_lowercase())
            .unwrap_or_default(),
        family: family.map(|family| family.to_string()).unwrap_or_default(),
        slots: pool.slots,
        no_backend: state.no_backend,
        over_limit: state.over_limit,
        udp_flows: state.udp_flows,
        endpoints: endpoints
            .map(|endpoint| endpoint_report(endpoint, &backends, states))
            .collect(),
    }
}

fn endpoint_report(
    endpoint: &Endpoint,
    backends: &[BackendView<'_>],
    states: &States,
) -> EndpointReport {
    let time = now();
    let backend = backends
        .iter()
        .find(|backend| backend.address == endpoint.address && backend.port == endpoint.port);
    let state = backend
        .map(|backend| states.of(backend.index, backend.generation))
        .unwrap_or_default();
    let until = backend.map_or(Duration::ZERO, |b| Duration::from_nanos(b.ejected_until));
    let workload = endpoint.workload.as_ref();
    EndpointReport {
        address: endpoint.address.to_string(),
        port: endpoint.port,
        state: backend.map_or(EndpointState::Unused, |backend| state_of(backend, time)),
        ejected_seconds: (until > time).then(|| (until - time).as_secs_f64()),
        weight: endpoint.weight,
        workload: workload.map(|w| format!("{}/{}", w.namespace, w.name)),
        node: endpoint.node.as_ref().map(ToString::to_string),
        zone: endpoint.zone.as_ref().map(ToString::to_string),
        active: state.active,
        connections: state.connections,
        failures: state.failures,
        consecutive_failures: state.consecutive_failures + state.consecutive_resets,
    }
}

fn state_of(backend: &BackendView<'_>, now: Duration) -> EndpointState {
    if backend.flags & Backend::DRAINING != 0 {
        EndpointState::Draining
    } else if Duration::from_nanos(backend.ejected_until) > now {
        EndpointState::Ejected
    } else {
        EndpointState::Ready
    }
}

fn service_state(shared: &Shared, pool: u32) -> ServiceState {
    let states = shared
        .plane
        .maps()
        .service_states(pool..pool + 1)
        .unwrap_or_default();
    states.first().copied().unwrap_or_default()
}
