//! Istio ServiceEntries with static endpoints.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{EntryEndpoint, EntryPort, Kind, Object, ObjectKey, Resource, ServiceEntry};
use weft_model::{
    Balancing, Distribution, Endpoint, Frontend, FrontendKind, Port, Problem, Service, ServiceName,
    Severity, TrafficPolicy,
};

use crate::{
    endpoints::{self, WorkloadRef},
    problems,
    services::{self, Compiled, Sources},
};

/// The service of this identity that a ServiceEntry defines: the oldest's, if there are several.
pub(crate) fn service_entry(sources: &Sources<'_>, name: &ServiceName) -> Option<Compiled> {
    let (object, entry) = *definitions(sources, name).first()?;
    let mut asks = Vec::new();
    let ports = entry
        .ports
        .iter()
        .map(|port| model_port(sources, entry, port, &mut asks));
    let mut ports: Vec<Port> = ports.collect();
    ports.sort_by_key(|port| (port.number, port.protocol));
    let mut problems = Vec::new();
    let frontends = if entry.hosts.first() == Some(&name.hostname) {
        let addresses = entry.addresses.iter();
        addresses
            .map(|ip| Frontend {
                address: *ip,
                kind: FrontendKind::Cluster,
            })
            .collect()
    } else {
        let first = entry.hosts.first().map_or("", |host| &**host);
        problems.push(Problem {
            severity: Severity::Info,
            code: "shared-address",
            origin: problems::origin(object),
            path: "spec.hosts".into(),
            line: 0,
            message: format!(
                "connections to {} are seen as ones to {first}",
                name.hostname
            ),
        });
        Vec::new()
    };
    let mut frontends: Vec<Frontend> = frontends;
    frontends.sort_unstable();
    frontends.dedup();
    let service = Service {
        name: name.clone(),
        short_name: Arc::clone(&name.hostname),
        origin: problems::origin(object),
        ports,
        frontends,
        session_affinity: None,
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        distribution: Distribution::Any,
    };
    Some(Compiled {
        service,
        asks,
        from_pods: false,
        rule: None,
        problems,
    })
}

/// ServiceEntries that define this service too, but not the one in force.
pub(crate) fn hidden(sources: &Sources<'_>, name: &ServiceName) -> Vec<Problem> {
    let definitions = definitions(sources, name);
    let kubernetes = sources.settings.kubernetes_name(name).and_then(|short| {
        let namespace = Arc::clone(&name.namespace);
        let key = ObjectKey {
            kind: Kind::Service,
            namespace,
            name: short.into(),
        };
        sources.store.object(&key)
    });
    let (winner, losers) = match (kubernetes, definitions.split_first()) {
        (Some(service), _) => (&service.key, definitions.as_slice()),
        (None, Some((first, rest))) => (&first.0.key, rest),
        (None, None) => return Vec::new(),
    };
    let losers = losers.iter();
    let problem = |(loser, _): &(&Object, &ServiceEntry)| Problem {
        severity: Severity::Warning,
        code: "conflict",
        origin: problems::origin(loser),
        path: "spec.hosts".into(),
        line: 0,
        message: format!("{} is defined by {winner}, which is used", name.hostname),
    };
    losers.map(problem).collect()
}

/// The oldest first.
fn definitions<'a>(
    sources: &Sources<'a>,
    name: &ServiceName,
) -> Vec<(&'a Object, &'a ServiceEntry)> {
    let objects = sources
        .index
        .entries(name)
        .filter_map(|key| sources.store.object(key));
    let mut entries: Vec<_> = objects
        .filter_map(|object| match &object.resource {
            Resource::ServiceEntry(entry) => Some((&**object, &**entry)),
            _ => None,
        })
        .collect();
    entries.sort_by_key(|(object, _)| (object.created, &object.key));
    entries
}

fn model_port(
    sources: &Sources<'_>,
    entry: &ServiceEntry,
    port: &EntryPort,
    asks: &mut Vec<u64>,
) -> Port {
    let endpoint = |written: &EntryEndpoint| {
        asks.push(WorkloadRef::Address(written.address).hash());
        model_endpoint(sources, port, written)
    };
    Port {
        number: port.number,
        name: Arc::clone(&port.name),
        protocol: services::protocol(port.protocol),
        node_port: None,
        balancing: Balancing::RoundRobin,
        max_connections: None,
        outlier: None,
        endpoints: merge(entry.endpoints.iter().map(endpoint)),
    }
}

fn model_endpoint(sources: &Sources<'_>, port: &EntryPort, written: &EntryEndpoint) -> Endpoint {
    let own = written.ports.iter().find(|(name, _)| *name == port.name);
    Endpoint {
        address: written.address,
        port: own.map_or(port.target, |(_, number)| *number),
        ready: true,
        serving: true,
        terminating: false,
        weight: written.weight,
        workload: sources.mesh.addresses.get(&written.address).cloned(),
        node: None,
        zone: written.zone.clone(),
        for_zones: None,
        for_nodes: None,
    }
}

/// An endpoint that is written twice counts for the sum of its weights.
fn merge(endpoints: impl Iterator<Item = Endpoint>) -> Vec<Endpoint> {
    let mut merged: BTreeMap<_, Endpoint> = BTreeMap::new();
    for endpoint in endpoints {
        let place = (endpoint.address, endpoint.port);
        match merged.get_mut(&place) {
            Some(same) => same.weight = same.weight.saturating_add(endpoint.weight),
            None => drop(merged.insert(place, endpoint)),
        }
    }
    let mut endpoints = merged.into_values().collect();
    endpoints::settle(&mut endpoints);
    endpoints
}
