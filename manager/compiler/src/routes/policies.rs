//! What DestinationRules say of a service to each client: subsets and hashes.
//!
//! For a client the rule of its own namespace holds, else that of the service's, else that of the
//! root namespace; in each the most specific host. Rules of one namespace with the same host add
//! their subsets to the oldest's.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_api::{
    DestinationRule, Labels, ObjectKey, Policy, Resource, Subset as Written, traffic::HashKey,
};
use weft_model::{
    Service,
    route::{DestinationPolicy, HashPolicy, Subset, Visibility},
};

use super::virtual_service::visibility;
use crate::{rules::Fitting, services::Sources};

/// Policies of a service in the order in which clients ask them.
pub(crate) fn policies(
    sources: &Sources<'_>,
    service: &Service,
    fitting: Vec<Fitting<'_>>,
) -> Vec<DestinationPolicy> {
    let mut by_namespace: BTreeMap<Arc<str>, Vec<Fitting<'_>>> = BTreeMap::new();
    for fitting in fitting {
        // Rules for some workloads only are reported, and not in force.
        if fitting.rule.applies_to_all_clients {
            let namespace = Arc::clone(&fitting.key.namespace);
            by_namespace.entry(namespace).or_default().push(fitting);
        }
    }
    let labels = EndpointLabels::new(sources, service);
    let mut ranked: Vec<(u8, DestinationPolicy)> = Vec::new();
    for (namespace, mut rules) in by_namespace {
        rules.sort_by_key(|f| (Reverse(f.specificity), f.created.unwrap_or(0), f.key));
        let widest = rules[0].specificity;
        rules.retain(|fitting| fitting.specificity == widest);
        let own: BTreeSet<_> = [Arc::clone(&namespace)].into();
        let exported = visibility(&namespace, &rules[0].rule.export_to);
        let is_own = namespace == service.name.namespace;
        let is_root = namespace == sources.settings.root_namespace;
        let to_own = exported
            .includes(&namespace)
            .then_some(Visibility::Namespaces(own));
        // Clients of the rule's own namespace first, whoever owns the service.
        if let Some(clients) = to_own {
            ranked.push((0, policy(clients, &rules, service, &labels)));
        }
        if is_own || is_root {
            let rank = if is_own { 1 } else { 2 };
            ranked.push((rank, policy(exported, &rules, service, &labels)));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, policy)| policy).collect()
}

fn policy(
    clients: Visibility,
    rules: &[Fitting<'_>],
    service: &Service,
    labels: &EndpointLabels<'_>,
) -> DestinationPolicy {
    let mut subsets: Vec<Subset> = Vec::new();
    for written in rules.iter().flat_map(|fitting| &fitting.rule.subsets) {
        if subsets.iter().all(|subset| subset.name != written.name) {
            let hashes = hashes(rules[0].rule, Some(written), service);
            subsets.push(subset(written, hashes, service, labels));
        }
    }
    DestinationPolicy {
        origin: rules[0].origin.clone(),
        clients,
        subsets,
        hashes: hashes(rules[0].rule, None, service),
    }
}

fn subset(
    written: &Written,
    hashes: Vec<Option<HashPolicy>>,
    service: &Service,
    labels: &EndpointLabels<'_>,
) -> Subset {
    let endpoints = service.ports.iter().map(|port| {
        let fitting = (0..).zip(&port.endpoints).filter(|(_, endpoint)| {
            written.labels.is_empty()
                || labels
                    .of(endpoint.address, endpoint.port)
                    .is_some_and(|labels| written.labels.select(labels))
        });
        fitting.map(|(position, _)| position).collect()
    });
    Subset {
        name: Arc::clone(&written.name),
        labels: written.labels.iter().cloned().collect(),
        endpoints: endpoints.collect(),
        hashes,
    }
}

/// What holds for each port: settings of the subset for the port, else the subset's, else those of the
/// rule for the port, else the rule's. Settings for a port replace the others of their level whole.
fn hashes(
    rule: &DestinationRule,
    subset: Option<&Written>,
    service: &Service,
) -> Vec<Option<HashPolicy>> {
    let ports = service.ports.iter().map(|port| {
        if let Some(subset) = subset {
            if let Some(policy) = for_port(&subset.ports, port.number) {
                return hash(policy);
            }
            if let Some(policy) = subset.policy.as_ref().filter(|it| balances(it)) {
                return hash(policy);
            }
        }
        hash(for_port(&rule.ports, port.number).unwrap_or(&rule.policy))
    });
    ports.collect()
}

fn for_port(settings: &[(u16, Policy)], number: u16) -> Option<&Policy> {
    let own = settings.iter().find(|(port, _)| *port == number);
    own.map(|(_, policy)| policy)
}

/// Whether there is a `loadBalancer`.
fn balances(policy: &Policy) -> bool {
    policy.balancing.is_some() || policy.hash.is_some() || policy.locality.is_some()
}

fn hash(policy: &Policy) -> Option<HashPolicy> {
    Some(match &policy.hash.as_ref()?.key {
        HashKey::Header(name) => HashPolicy::Header(Arc::clone(name)),
        HashKey::Query(name) => HashPolicy::QueryParameter(Arc::clone(name)),
        HashKey::SourceIp => HashPolicy::SourceIp,
        HashKey::Cookie {
            name, path, ttl, ..
        } => HashPolicy::Cookie {
            name: Arc::clone(name),
            path: Some(path).filter(|path| !path.is_empty()).cloned(),
            ttl: *ttl,
        },
    })
}

/// Labels of a service's endpoints.
struct EndpointLabels<'s> {
    sources: &'s Sources<'s>,
    /// Those that ServiceEntries give their endpoints.
    written: BTreeMap<IpAddr, &'s Labels>,
}

impl<'s> EndpointLabels<'s> {
    fn new(sources: &'s Sources<'s>, service: &Service) -> Self {
        let mut written = BTreeMap::new();
        let keys: Vec<&ObjectKey> = sources.index.entries(&service.name).collect();
        for object in keys.into_iter().filter_map(|key| sources.store.object(key)) {
            if let Resource::ServiceEntry(entry) = &object.resource {
                for endpoint in &entry.endpoints {
                    written.entry(endpoint.address).or_insert(&endpoint.labels);
                }
            }
        }
        Self { sources, written }
    }

    fn of(&self, address: IpAddr, _port: u16) -> Option<&'s Labels> {
        let written = self.written.get(&address).copied();
        written.or_else(|| self.sources.workloads.labels(address))
    }
}
