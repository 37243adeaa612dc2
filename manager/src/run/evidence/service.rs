//! One service as configured and as the kernel has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use weft_abi::{Backend, Scope, ServiceState};
use weft_admin::{EndpointReport, EndpointState, PoolReport, ServiceReport, ServiceSummary};
use weft_lower::{BackendView, PoolView};
use weft_model::{Endpoint, Port, Service};

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
    let mut summary = ServiceSummary::configured(service);
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
    // A headless service has no pool: its ready endpoints are those of the configuration.
    if !service.frontends.is_empty() {
        summary.ready = ready.len() as u64;
    }
    summary
}

/// Everything.
pub(crate) fn report(
    shared: &Shared,
    engine: &Engine,
    states: &States,
    service: &Service,
) -> ServiceReport {
    let mut report = ServiceReport::configured(service, &engine.node_facts().addresses);
    let pools: BTreeMap<(String, u16, bool), u32> = engine
        .planner
        .frontends_of(&service.name)
        .filter(|(key, _)| key.scope == Scope::SOCKET)
        .map(|(key, entry)| {
            let address = IpAddr::from(key.address).to_string();
            let is_udp = key.protocol == weft_abi::Protocol::UDP;
            ((address, key.port, is_udp), entry.id)
        })
        .collect();
    for frontend in &mut report.frontends {
        let key = (
            frontend.address.clone(),
            frontend.port,
            frontend.protocol == "UDP",
        );
        frontend.pool = pools.get(&key).copied().unwrap_or(0);
    }
    for (port, described) in service.ports.iter().zip(&mut report.ports) {
        let of_port = |pool: &PoolView<'_>| {
            pool.name().is_some_and(|name| {
                name.key.port == port.number && name.key.protocol == port.protocol
            })
        };
        let pools = engine.planner.pools_of(&service.name).filter(of_port);
        described.pools = pools
            .map(|pool| pool_report(shared, states, port, pool))
            .collect();
    }
    report
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
