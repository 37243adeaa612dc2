use weft_admin::{EndpointState, FrontendReport, Origin, OutlierReport};

use super::*;

#[test]
fn the_list_is_one_line_per_service() {
    let service = ServiceSummary {
        namespace: "shop".into(),
        name: "web".into(),
        hostname: "web.shop.svc.cluster.local".into(),
        addresses: vec!["10.96.0.1".into(), "fd00::1".into()],
        ports: vec!["80/TCP".into()],
        ready: 2,
        endpoints: 3,
        ejected: 1,
        active: 4,
        connections: 100,
        failures: 5,
        refused: 0,
    };
    let headless = ServiceSummary {
        namespace: "shop".into(),
        name: "db".into(),
        ..ServiceSummary::default()
    };
    let text = "\
NAMESPACE  NAME  ADDRESSES          PORTS   READY  EJECTED  ACTIVE  CONNECTIONS  FAILURES  REFUSED
shop       web   10.96.0.1,fd00::1  80/TCP    2/3        1       4          100         5        0
shop       db    -                  -         0/0        0       0            0         0        0
";
    assert_eq!(list(&[service, headless]), text);
    assert_eq!(list(&[]), "no services\n");
}

#[test]
fn one_service_shows_frontends_pools_and_endpoints() {
    let endpoint = |address: &str, state, ejected_seconds| EndpointReport {
        address: address.into(),
        port: 8080,
        state,
        ejected_seconds,
        weight: 1,
        workload: Some("shop/web-v1".into()),
        active: 2,
        connections: 50,
        ..EndpointReport::default()
    };
    let pool = PoolReport {
        id: 7,
        class: "Cluster".into(),
        family: "IPv4".into(),
        slots: 1,
        no_backend: 3,
        endpoints: vec![
            endpoint("10.0.0.1", EndpointState::Ready, None),
            endpoint("10.0.0.2", EndpointState::Ejected, Some(28.04)),
        ],
        ..PoolReport::default()
    };
    let service = ServiceReport {
        namespace: "shop".into(),
        name: "web".into(),
        hostname: "web.shop.svc.cluster.local".into(),
        origin: Origin {
            kind: "Service".into(),
            file: "web.yaml".into(),
            line: 3,
            ..Origin::default()
        },
        frontends: vec![FrontendReport {
            address: "10.96.0.1".into(),
            port: 80,
            protocol: "TCP".into(),
            kind: "cluster".into(),
            pool: 7,
        }],
        affinity_seconds: Some(10_800),
        internal_policy: "Cluster".into(),
        external_policy: "Cluster".into(),
        distribution: "Any".into(),
        ports: vec![PortReport {
            number: 80,
            name: "http".into(),
            protocol: "TCP".into(),
            balancing: "round robin".into(),
            max_connections: Some(10),
            outlier: Some(OutlierReport {
                consecutive_failures: 5,
                base_ejection_seconds: 30.0,
                max_ejection_percent: 10,
            }),
            pools: vec![
                pool,
                PoolReport {
                    id: 8,
                    family: "IPv6".into(),
                    ..PoolReport::default()
                },
            ],
        }],
    };
    let text = "\
shop/web (web.shop.svc.cluster.local)
  defined by Service in web.yaml:3
  internal traffic Cluster, external traffic Cluster, distribution Any, clients stick for 3h00m

FRONTEND          KIND     POOL
10.96.0.1:80/TCP  cluster     7

port 80/TCP (http): round robin, at most 10 connections per backend, 5 failures in a row eject for 30.0s or longer, at most 10%
  pool 7: Cluster IPv4, 1 slots, 3 refused without a backend
    ENDPOINT       STATE          WEIGHT  ACTIVE  CONNECTIONS  FAILURES  WORKLOAD     NODE  ZONE
    10.0.0.1:8080  ready               1       2           50         0  shop/web-v1  -     -
    10.0.0.2:8080  ejected 28.0s       1       2           50         0  shop/web-v1  -     -
  pool 8:  IPv6, 0 slots
    no endpoints: every connection is refused
";
    assert_eq!(describe(&service), text);
}
