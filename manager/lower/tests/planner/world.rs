//! Small meshes, built by hand.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use weft_lower::NodeFacts;
use weft_model::{
    Balancing, Change, Distribution, Endpoint, Frontend, FrontendKind, Origin, Port, Protocol,
    Service, ServiceName, TrafficPolicy, Workload,
};

pub(crate) fn name(short: &str) -> ServiceName {
    ServiceName {
        namespace: "shop".into(),
        hostname: format!("{short}.shop.svc.cluster.local").into(),
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn workload(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "shop".into(),
        name: name.into(),
        canonical_service: name.into(),
        canonical_revision: "v1".into(),
        app: None,
        version: None,
        service_account: "default".into(),
    })
}

pub(crate) fn endpoint(address: &str) -> Endpoint {
    Endpoint {
        address: ip(address),
        port: 8080,
        ready: true,
        serving: true,
        terminating: false,
        weight: 1,
        workload: None,
        node: None,
        zone: None,
        for_zones: None,
        for_nodes: None,
    }
}

/// Endpoints 10.0.0.n.
pub(crate) fn endpoints(last: impl IntoIterator<Item = u32>) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = last
        .into_iter()
        .map(|n| Endpoint {
            address: Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
            ..endpoint("10.0.0.0")
        })
        .collect();
    endpoints.sort_by_key(|endpoint| (endpoint.address, endpoint.port));
    endpoints
}

pub(crate) fn port(number: u16, endpoints: Vec<Endpoint>) -> Port {
    Port {
        number,
        name: "".into(),
        protocol: Protocol::Tcp,
        node_port: None,
        balancing: Balancing::RoundRobin,
        max_connections: None,
        outlier: None,
        endpoints,
    }
}

pub(crate) fn service(short: &str, cluster: &[&str], ports: Vec<Port>) -> Service {
    let frontend = |address: &&str| Frontend {
        address: ip(address),
        kind: FrontendKind::Cluster,
    };
    Service {
        name: name(short),
        short_name: short.into(),
        origin: Origin {
            kind: "Service".into(),
            namespace: "shop".into(),
            name: short.into(),
            file: "".into(),
            line: 0,
        },
        ports,
        frontends: cluster.iter().map(frontend).collect(),
        session_affinity: None,
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        distribution: Distribution::Any,
    }
}

/// The service `web` at 10.96.0.1:80 with these endpoints.
pub(crate) fn web(endpoints: Vec<Endpoint>) -> Service {
    service("web", &["10.96.0.1"], vec![port(80, endpoints)])
}

pub(crate) fn put(service: Service) -> Change {
    Change {
        services: vec![(service.name.clone(), Some(Arc::new(service)))],
        ..Change::default()
    }
}

pub(crate) fn remove(short: &str) -> Change {
    Change {
        services: vec![(name(short), None)],
        ..Change::default()
    }
}

pub(crate) fn node() -> NodeFacts {
    NodeFacts {
        name: Some("n1".into()),
        zone: Some("z1".into()),
        addresses: vec![ip("192.0.2.1"), ip("2001:db8::1")],
    }
}
