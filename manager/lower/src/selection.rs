//! Which endpoints of a pool take new connections, as kube-proxy decides it
//! (`pkg/proxy/topology.go`, Kubernetes 1.34), with weights and with `trafficDistribution` for
//! endpoints that carry no hints.

use std::sync::Arc;

use weft_model::{Distribution, Endpoint};

use crate::{NodeFacts, PoolClass};

/// For each of `endpoints`, whether it takes new connections.
pub(crate) fn choose(
    endpoints: &[&Endpoint],
    class: PoolClass,
    distribution: Distribution,
    node: &NodeFacts,
) -> Vec<bool> {
    let candidate = |endpoint: &Endpoint| class == PoolClass::Cluster || node.runs(endpoint);
    let usable: Vec<bool> = endpoints
        .iter()
        .map(|endpoint| candidate(endpoint) && endpoint.ready && !endpoint.terminating)
        .collect();
    if usable.contains(&true) {
        let weighty = with_weight(endpoints, usable);
        return match class {
            PoolClass::Cluster => near(endpoints, weighty, distribution, node),
            PoolClass::Local => weighty,
        };
    }
    // Better an endpoint on its way out than none; topology no longer counts.
    let leaving = endpoints
        .iter()
        .map(|endpoint| candidate(endpoint) && endpoint.serving && endpoint.terminating)
        .collect();
    with_weight(endpoints, leaving)
}

/// Leaves out weight 0, unless nothing has a weight.
fn with_weight(endpoints: &[&Endpoint], chosen: Vec<bool>) -> Vec<bool> {
    let some_weight = narrow(endpoints, &chosen, |endpoint| endpoint.weight > 0);
    some_weight.unwrap_or(chosen)
}

/// Applies hints when every chosen endpoint carries them and one is for this node or zone, else
/// the service's own preference.
fn near(
    endpoints: &[&Endpoint],
    chosen: Vec<bool>,
    distribution: Distribution,
    node: &NodeFacts,
) -> Vec<bool> {
    let all = |has: fn(&Endpoint) -> bool| {
        endpoints
            .iter()
            .zip(&chosen)
            .all(|(endpoint, chosen)| !chosen || has(endpoint))
    };
    let for_nodes = all(|endpoint| is_hint(&endpoint.for_nodes));
    let for_zones = all(|endpoint| is_hint(&endpoint.for_zones));
    let narrowed = if for_nodes || for_zones {
        let by_node = || narrow(endpoints, &chosen, |e| names(&e.for_nodes, &node.name));
        let by_zone = || narrow(endpoints, &chosen, |e| names(&e.for_zones, &node.zone));
        for_nodes
            .then(by_node)
            .flatten()
            .or_else(|| for_zones.then(by_zone).flatten())
    } else {
        let same_node = || narrow(endpoints, &chosen, |e| node.runs(e));
        let same_zone = || narrow(endpoints, &chosen, |e| node.shares_zone(e));
        match distribution {
            Distribution::Any => None,
            Distribution::PreferSameZone => same_zone(),
            Distribution::PreferSameNode => same_node().or_else(same_zone),
        }
    };
    narrowed.unwrap_or(chosen)
}

/// The chosen endpoints that `keep` keeps, if any.
fn narrow(
    endpoints: &[&Endpoint],
    chosen: &[bool],
    keep: impl Fn(&Endpoint) -> bool,
) -> Option<Vec<bool>> {
    let narrowed: Vec<bool> = endpoints
        .iter()
        .zip(chosen)
        .map(|(endpoint, chosen)| *chosen && keep(endpoint))
        .collect();
    narrowed.contains(&true).then_some(narrowed)
}

fn is_hint(hints: &Option<Arc<[Arc<str>]>>) -> bool {
    hints.as_ref().is_some_and(|hints| !hints.is_empty())
}

fn names(hints: &Option<Arc<[Arc<str>]>>, place: &Option<Arc<str>>) -> bool {
    match (hints, place) {
        (Some(hints), Some(place)) => hints.contains(place),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
