//! The shapes of reports.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use weft_admin::{EventReport, ProblemCounts, ProblemReport, TopReport, Traffic};
use weft_model::{Origin, Problem, Severity, Workload};
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
        reserved: [0; 3],
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
