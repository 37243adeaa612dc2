//! What stands behind a Kubernetes Service: its EndpointSlices or, where nobody writes those, the
//! pods that its selector chooses.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use weft_api::{
    EndpointSlice, Kind, Object, Pod, Resource, Service as Written, ServicePort, TargetPort,
};
use weft_model::{Endpoint, Problem, Severity, Workload};

use crate::{problems, services::Sources};

/// Endpoints of each port of a service.
pub(crate) struct Backends {
    /// Like `ports` of the Service.
    pub(crate) ports: Vec<Vec<Endpoint>>,
    pub(crate) asks: Vec<u64>,
    pub(crate) from_pods: bool,
    pub(crate) problems: Vec<Problem>,
}

/// What an endpoint tells of its workload.
#[derive(Hash)]
pub(crate) enum WorkloadRef<'a> {
    /// Namespace and name of a pod.
    Pod(&'a str, &'a str),
    /// An address.
    Address(IpAddr),
}

impl WorkloadRef<'_> {
    /// The same for the same reference, always.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        Hash::hash(self, &mut hasher);
        hasher.finish()
    }
}

pub(crate) fn backends(sources: &Sources<'_>, object: &Object, written: &Written) -> Backends {
    let mut backends = Backends {
        ports: vec![Vec::new(); written.ports.len()],
        asks: Vec::new(),
        from_pods: false,
        problems: Vec::new(),
    };
    if written.service_type == weft_api::ServiceType::ExternalName {
        return backends;
    }
    let slices = sources
        .index
        .slices(&object.key.namespace, &object.key.name);
    let mut has_slices = false;
    for key in slices {
        has_slices = true;
        let Some(slice_object) = sources.store.object(key) else {
            continue;
        };
        if let Resource::EndpointSlice(slice) = &slice_object.resource {
            from_slice(sources, written, slice_object, slice, &mut backends);
        }
    }
    if !has_slices && !written.selector.is_empty() {
        backends.from_pods = true;
        from_pods(sources, object, written, &mut backends);
    }
    for endpoints in &mut backends.ports {
        settle(endpoints);
    }
    backends
}

/// Ascending (address, port), each once: where an endpoint moves between slices both may hold it,
/// and the more usable word counts.
pub(crate) fn settle(endpoints: &mut Vec<Endpoint>) {
    endpoints.sort_by(|a, b| {
        let place = (a.address, a.port).cmp(&(b.address, b.port));
        let usable = |e: &Endpoint| (!e.ready, !e.serving, e.terminating);
        place.then_with(|| usable(a).cmp(&usable(b)))
    });
    endpoints.dedup_by_key(|endpoint| (endpoint.address, endpoint.port));
    endpoints.shrink_to_fit();
}

fn from_slice(
    sources: &Sources<'_>,
    written: &Written,
    object: &Object,
    slice: &EndpointSlice,
    backends: &mut Backends,
) {
    let ports: Vec<Option<u16>> = written
        .ports
        .iter()
        .map(|port| slice_port(slice, port))
        .collect();
    if ports.iter().all(Option::is_none) {
        if !slice.ports.is_empty() && !written.ports.is_empty() {
            let service = slice.service.as_deref().unwrap_or_default();
            backends.problems.push(Problem {
                severity: Severity::Warning,
                code: "unmatched-port",
                origin: problems::origin(object),
                path: "ports".into(),
                line: 0,
                message: format!("no port has the name and protocol of one of Service {service}"),
            });
        }
        return;
    }
    for target in &mut backends.ports {
        target.reserve(slice.endpoints.len());
    }
    for endpoint in &slice.endpoints {
        let namespace = &object.key.namespace;
        let workload = match &endpoint.pod {
            Some(pod) => {
                backends.asks.push(WorkloadRef::Pod(namespace, pod).hash());
                let known = sources.workloads.pod(namespace, pod);
                Some(known.unwrap_or_else(|| Arc::new(sources.workloads.named(namespace, pod))))
            }
            None => {
                backends
                    .asks
                    .push(WorkloadRef::Address(endpoint.address).hash());
                sources.mesh.addresses.get(&endpoint.address).cloned()
            }
        };
        for (port, endpoints) in ports.iter().zip(&mut backends.ports) {
            let Some(port) = *port else { continue };
            let workload = workload.clone();
            endpoints.push(slice_endpoint(
                endpoint,
                port,
                workload,
                written.publishes_not_ready,
            ));
        }
    }
}

/// Ports of a Service and of a slice are matched by name.
fn slice_port(slice: &EndpointSlice, port: &ServicePort) -> Option<u16> {
    let fits =
        |other: &&weft_api::SlicePort| other.name == port.name && other.protocol == port.protocol;
    slice.ports.iter().find(fits).map(|port| port.number)
}

fn slice_endpoint(
    written: &weft_api::Endpoint,
    port: u16,
    workload: Option<Arc<Workload>>,
    publishes_not_ready: bool,
) -> Endpoint {
    let hints = written.hints.as_deref();
    Endpoint {
        address: written.address,
        port,
        ready: written.conditions.ready || publishes_not_ready,
        serving: written.conditions.serving,
        terminating: written.conditions.terminating,
        weight: 1,
        workload,
        node: written.node.clone(),
        zone: written.zone.clone(),
        for_zones: hints.and_then(|hints| hints.zones.clone()),
        for_nodes: hints.and_then(|hints| hints.nodes.clone()),
    }
}

/// What the endpoint slice controller of Kubernetes would write.
fn from_pods(sources: &Sources<'_>, object: &Object, written: &Written, backends: &mut Backends) {
    let pods = sources.store.objects_in(Kind::Pod, &object.key.namespace);
    let mut lacks_port = vec![false; written.ports.len()];
    for pod_object in pods.filter(|pod| written.selector.select(&pod.labels)) {
        let Resource::Pod(pod) = &pod_object.resource else {
            continue;
        };
        if pod.phase.is_finished() {
            continue;
        }
        let workload = sources
            .workloads
            .pod(&pod_object.key.namespace, &pod_object.key.name);
        let node = pod
            .node
            .as_ref()
            .and_then(|node| sources.mesh.nodes.get(node));
        for address in pod
            .addresses
            .iter()
            .filter(|address| has_family(written, **address))
        {
            for (index, port) in written.ports.iter().enumerate() {
                let Some(number) = target_port(port, pod) else {
                    lacks_port[index] = true;
                    continue;
                };
                let zone = node.and_then(|node| node.zone.clone());
                let workload = workload.clone();
                let endpoint = pod_endpoint(pod, *address, number, workload, zone, written);
                backends.ports[index].push(endpoint);
            }
        }
    }
    for (index, _) in lacks_port.iter().enumerate().filter(|(_, lacks)| **lacks) {
        let TargetPort::Name(name) = &written.ports[index].target else {
            continue;
        };
        backends.problems.push(Problem {
            severity: Severity::Warning,
            code: "unmatched-port",
            origin: problems::origin(object),
            path: format!("spec.ports[{index}].targetPort"),
            line: 0,
            message: format!("a selected pod has no container port named {name:?}"),
        });
    }
}

fn pod_endpoint(
    pod: &Pod,
    address: IpAddr,
    port: u16,
    workload: Option<Arc<Workload>>,
    zone: Option<Arc<str>>,
    written: &Written,
) -> Endpoint {
    Endpoint {
        address,
        port,
        ready: written.publishes_not_ready || (pod.is_ready && !pod.is_terminating),
        serving: pod.is_ready,
        terminating: pod.is_terminating,
        weight: 1,
        workload,
        node: pod.node.clone(),
        zone,
        for_zones: None,
        for_nodes: None,
    }
}

/// Endpoints are of the families of the cluster addresses; without one, of both.
fn has_family(written: &Written, address: IpAddr) -> bool {
    written.cluster_ips.is_empty()
        || written
            .cluster_ips
            .iter()
            .any(|ip| ip.is_ipv4() == address.is_ipv4())
}

fn target_port(port: &ServicePort, pod: &Pod) -> Option<u16> {
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => {
            let protocol = match port.protocol {
                weft_api::Protocol::Tcp => "TCP",
                weft_api::Protocol::Udp => "UDP",
            };
            let mut ports = pod.ports.iter();
            let found = ports.find(|port| port.name == *name && *port.protocol == *protocol);
            found.map(|port| port.number)
        }
    }
}
