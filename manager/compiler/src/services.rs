//! Kubernetes Services.

use std::sync::Arc;

use weft_api::{Kind, Object, ObjectKey, Resource, Service as Written, Store};
use weft_model::{
    Balancing, Distribution, Endpoint, Frontend, FrontendKind, Mesh, Port, Problem, Protocol,
    Service, ServiceName, TrafficPolicy,
};

use crate::{
    Settings,
    endpoints::{self, Backends},
    index::Index,
    problems,
    workloads::Workloads,
};

/// What a service is compiled from.
pub(crate) struct Sources<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) store: &'a Store,
    pub(crate) index: &'a Index,
    pub(crate) workloads: &'a Workloads,
    pub(crate) mesh: &'a Mesh,
}

/// A service and what was learned while compiling it.
pub(crate) struct Compiled {
    pub(crate) service: Service,
    /// Hashes of the workloads it asked for.
    pub(crate) asks: Vec<u64>,
    pub(crate) from_pods: bool,
    pub(crate) rule: Option<ObjectKey>,
    pub(crate) problems: Vec<Problem>,
}

/// The Kubernetes Service of this identity, if there is one.
pub(crate) fn kubernetes(sources: &Sources<'_>, name: &ServiceName) -> Option<Compiled> {
    let short = sources.settings.kubernetes_name(name)?;
    let key = ObjectKey {
        kind: Kind::Service,
        namespace: Arc::clone(&name.namespace),
        name: short.into(),
    };
    let object = sources.store.object(&key)?;
    let Resource::Service(written) = &object.resource else {
        return None;
    };
    let Backends {
        mut ports,
        asks,
        from_pods,
        problems,
    } = endpoints::backends(sources, object, written);
    let ports = written.ports.iter().zip(ports.iter_mut());
    let mut ports: Vec<Port> = ports
        .map(|(port, endpoints)| model_port(port, endpoints))
        .collect();
    ports.sort_by_key(|port| (port.number, port.protocol));
    let service = Service {
        name: name.clone(),
        short_name: Arc::clone(&object.key.name),
        origin: problems::origin(object),
        ports,
        frontends: frontends(written),
        session_affinity: written.session_affinity,
        internal_policy: policy(written.internal_policy),
        external_policy: policy(written.external_policy),
        distribution: distribution(sources, object, written),
    };
    Some(Compiled {
        service,
        asks,
        from_pods,
        rule: None,
        problems,
    })
}

fn model_port(port: &weft_api::ServicePort, endpoints: &mut Vec<Endpoint>) -> Port {
    Port {
        number: port.number,
        name: Arc::clone(&port.name),
        protocol: protocol(port.protocol),
        node_port: port.node_port,
        balancing: Balancing::RoundRobin,
        max_connections: None,
        outlier: None,
        endpoints: std::mem::take(endpoints),
    }
}

pub(crate) fn protocol(protocol: weft_api::Protocol) -> Protocol {
    match protocol {
        weft_api::Protocol::Tcp => Protocol::Tcp,
        weft_api::Protocol::Udp => Protocol::Udp,
    }
}

fn policy(policy: weft_api::TrafficPolicy) -> TrafficPolicy {
    match policy {
        weft_api::TrafficPolicy::Cluster => TrafficPolicy::Cluster,
        weft_api::TrafficPolicy::Local => TrafficPolicy::Local,
    }
}

/// Each address once, in ascending order; an address of several kinds counts as the first of them.
fn frontends(written: &Written) -> Vec<Frontend> {
    let kinds = [
        (&written.cluster_ips, FrontendKind::Cluster),
        (&written.external_ips, FrontendKind::External),
        (&written.load_balancer_ips, FrontendKind::LoadBalancer),
    ];
    let each = kinds.into_iter().flat_map(|(ips, kind)| {
        ips.iter().map(move |address| Frontend {
            address: *address,
            kind,
        })
    });
    let mut frontends: Vec<Frontend> = each.collect();
    frontends.sort_unstable();
    frontends.dedup_by_key(|frontend| frontend.address);
    frontends
}

/// The Service's own word, else its namespace's.
fn distribution(sources: &Sources<'_>, object: &Object, written: &Written) -> Distribution {
    let of_namespace = || {
        let key = ObjectKey {
            kind: Kind::Namespace,
            namespace: "".into(),
            name: Arc::clone(&object.key.namespace),
        };
        match sources.store.object(&key).map(|object| &object.resource) {
            Some(Resource::Namespace(namespace)) => namespace.distribution,
            _ => None,
        }
    };
    match written.distribution.or_else(of_namespace) {
        None | Some(weft_api::Distribution::Any) => Distribution::Any,
        Some(weft_api::Distribution::PreferSameZone) => Distribution::PreferSameZone,
        Some(weft_api::Distribution::PreferSameNode) => Distribution::PreferSameNode,
    }
}
