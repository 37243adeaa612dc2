//! The shapes of reports.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use weft_admin::{
    EventReport, ProblemCounts, ProblemReport, ServiceReport, ServiceSummary, TopReport, Traffic,
};
use weft_model::{
    Balancing, Distribution, Endpoint, Frontend, FrontendKind, Origin, Outlier, Port, Problem,
    Service, ServiceName, Severity, TrafficPolicy, Workload,
};
use weft_telemetry::{
    BackendCounts, BackendName, EdgeKey, EdgeValue, Event, EventKind, FlowEvent, KernelSnapshot,
    NameTable, PoolLabels, Protocol, RecentEvents, ServiceState,
};

fn workload(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "shop".into(),
        name: name.into(),
        canonical_service: name.into(),
        canonical_revision: "latest".into(),
        app: None,
        version: None,
        service_account: "default".into(),
    })
}

fn pool(name: &str, port: u16) -> Arc<PoolLabels> {
    Arc::new(PoolLabels {
        hostname: format!("{name}.shop.svc.cluster.local").into(),
        short_name: name.into(),
        namespace: "shop".into(),
        port,
        protocol: weft_model::Protocol::Tcp,
        class: "internal".into(),
    })
}

fn names() -> NameTable {
    NameTable {
        pools: [
            (2, pool("web", 80)),
            (3, pool("web", 443)),
            (4, pool("idle", 80)),
        ]
        .into(),
        workloads: [(1, workload("client")), (2, workload("server"))].into(),
        backends: [(
            (7, 1),
            BackendName {
                address: "fd00::1".parse().expect("an address"),
                port: 8080,
                workload: Some(workload("server")),
            },
        )]
        .into(),
    }
}

fn edge(source: u32, service: u32, opened: u64) -> (EdgeKey, EdgeValue) {
    let protocol = Protocol::TCP;
    let key = EdgeKey {
        source,
        service,
        destination: 2,
        protocol,
        security: 0,
        reserved: [0; 2],
    };
    (
        key,
        EdgeValue {
            opened,
            seen: opened,
            ..EdgeValue::default()
        },
    )
}

#[test]
fn top_sums_ports_of_a_service_and_keeps_services_apart() {
    let kernel = KernelSnapshot {
        time: Duration::from_secs(5),
        edges: vec![edge(1, 2, 3), edge(1, 3, 4), edge(0, 0, 9)],
        backends: vec![(
            2,
            BackendCounts {
                ready: 2,
                ejected: 0,
                draining: 1,
                active: 5,
            },
        )],
        services: vec![
            (
                3,
                ServiceState {
                    no_backend: 6,
                    ..ServiceState::default()
                },
            ),
            (4, ServiceState::default()),
        ],
        ..KernelSnapshot::default()
    };
    let top = TopReport::assemble(&kernel, &names(), &RecentEvents::new(4));
    let services: Vec<_> = top
        .services
        .iter()
        .map(|s| (&*s.name, s.traffic.opened))
        .collect();
    assert_eq!(services, [("web", 7)], "a service nobody used is not shown");
    assert_eq!(top.services[0].backends.active, 5);
    assert_eq!(top.services[0].no_backend, 6);
    let edges: Vec<_> = top
        .edges
        .iter()
        .map(|e| {
            (
                &*e.source.name,
                &*e.service,
                &*e.destination.name,
                e.traffic.opened,
            )
        })
        .collect();
    assert_eq!(
        edges,
        [
            ("client", "shop/web", "server", 7),
            ("unknown", "unknown", "server", 9)
        ]
    );
}

#[test]
fn top_keeps_the_most_recently_used_and_says_how_many_it_left_out() {
    let mut names = names();
    names.workloads = (1..=1500)
        .map(|id| (id, workload(&format!("w{id:04}"))))
        .collect();
    let edges = (3..=1500).map(|id| edge(id, 2, u64::from(id))).collect();
    let kernel = KernelSnapshot {
        edges,
        ..KernelSnapshot::default()
    };
    let top = TopReport::assemble(&kernel, &names, &RecentEvents::new(1));
    assert_eq!((top.edges.len(), top.edges_omitted), (1000, 498));
    assert_eq!(top.edges[0].source.name, "w0501");
    assert!(top.edges.is_sorted_by_key(|edge| edge.source.clone()));
}

#[test]
fn a_rate_over_an_entry_made_anew_is_nothing_and_not_huge() {
    let mut before = Traffic {
        opened: 5,
        ..Traffic::default()
    };
    before.rtt[3] = 2;
    let mut now = Traffic {
        opened: 7,
        ..Traffic::default()
    };
    now.rtt[3] = 5;
    assert_eq!(
        (now.since(&before).opened, now.since(&before).rtt[3]),
        (2, 3)
    );
    assert_eq!(
        (before.since(&now).opened, before.since(&now).rtt[3]),
        (0, 0)
    );
}

#[test]
fn an_event_names_service_backend_and_errno() {
    let event = Event {
        time: 4_000_000_000,
        kind: EventKind::CONNECT_FAILED,
        error: 111,
        service: 2,
        backend: 7,
        generation: 1,
        consecutive: 3,
        ..Event::default()
    };
    let mut recent = RecentEvents::new(4);
    recent.push(FlowEvent::decode(&event, &names()));
    let report = EventReport::new(recent.latest().next().unwrap(), Duration::from_secs(6));
    let shape = json!({
        "seconds_ago": 2.0,
        "cause": "connect_failed",
        "errno": 111,
        "service": "shop/web:80",
        "backend": "[fd00::1]:8080",
        "workload": "shop/server",
        "consecutive": 3,
        "count": 1,
    });
    assert_eq!(serde_json::to_value(report).unwrap(), shape);
}

#[test]
fn a_problem_keeps_its_place() {
    let problem = Problem {
        severity: Severity::Error,
        code: "invalid-field",
        origin: Origin {
            kind: "Service".into(),
            namespace: "shop".into(),
            name: "web".into(),
            file: "web.yaml".into(),
            line: 3,
        },
        path: "spec.ports[0].port".into(),
        line: 9,
        message: "0 is no port".into(),
    };
    assert_eq!(ProblemCounts::of([&problem]).errors, 1);
    let shape = json!({
        "severity": "error",
        "code": "invalid-field",
        "origin": {
            "kind": "Service", "namespace": "shop", "name": "web", "file": "web.yaml", "line": 3,
        },
        "path": "spec.ports[0].port",
        "line": 9,
        "message": "0 is no port",
    });
    assert_eq!(
        serde_json::to_value(ProblemReport::from(&problem)).unwrap(),
        shape
    );
}

fn endpoint(last: u8, ready: bool) -> Endpoint {
    Endpoint {
        address: [10, 0, 0, last].into(),
        port: 8080,
        ready,
        serving: ready,
        terminating: false,
        weight: 1,
        workload: None,
        node: None,
        zone: None,
        for_zones: None,
        for_nodes: None,
    }
}

fn service() -> Service {
    let port = |number, node_port, endpoints| Port {
        number,
        name: "http".into(),
        protocol: weft_model::Protocol::Tcp,
        node_port,
        balancing: Balancing::LeastConnections,
        max_connections: Some(10),
        outlier: Some(Outlier {
            consecutive_failures: 5,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection_percent: 10,
            min_health_percent: 0,
        }),
        endpoints,
    };
    Service {
        name: ServiceName {
            namespace: "shop".into(),
            hostname: "web.shop.svc".into(),
        },
        short_name: "web".into(),
        origin: Origin {
            kind: "Service".into(),
            namespace: "shop".into(),
            name: "web".into(),
            file: "web.yaml".into(),
            line: 3,
        },
        ports: vec![
            port(
                80,
                Some(30_080),
                vec![endpoint(1, true), endpoint(2, false)],
            ),
            port(81, None, vec![endpoint(1, true)]),
        ],
        frontends: vec![Frontend {
            address: [10, 96, 0, 1].into(),
            kind: FrontendKind::Cluster,
        }],
        session_affinity: Some(Duration::from_secs(10_800)),
        internal_policy: TrafficPolicy::Local,
        external_policy: TrafficPolicy::Cluster,
        distribution: Distribution::Any,
    }
}

#[test]
fn a_summary_counts_an_endpoint_behind_two_ports_once() {
    let summary = ServiceSummary::configured(&service());
    assert_eq!((summary.ready, summary.endpoints), (1, 2));
    assert_eq!(summary.ports, ["80/TCP", "81/TCP"]);
    assert_eq!(summary.addresses, ["10.96.0.1"]);
}

#[test]
fn a_service_is_shown_at_every_address_it_is_dialled_at() {
    let report = ServiceReport::configured(&service(), &[[192, 0, 2, 1].into()]);
    let frontends: Vec<_> = report
        .frontends
        .iter()
        .map(|one| (&*one.address, one.port, &*one.kind))
        .collect();
    let expected = [
        ("10.96.0.1", 80, "cluster"),
        ("10.96.0.1", 81, "cluster"),
        ("192.0.2.1", 30_080, "nodePort"),
    ];
    assert_eq!(frontends, expected);
    assert_eq!(
        (&*report.internal_policy, report.affinity_seconds),
        ("Local", Some(10_800))
    );
    assert_eq!(report.ports[0].balancing, "least connections");
    assert_eq!(
        report.ports[0]
            .outlier
            .as_ref()
            .expect("outlier")
            .base_ejection_seconds,
        30.0
    );
}
