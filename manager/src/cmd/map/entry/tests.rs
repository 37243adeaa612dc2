use std::{collections::BTreeMap, sync::Arc};

use weft_model::Workload;
use weft_telemetry::{NameTable, PoolLabels};

use super::*;

impl Backends for BTreeMap<u32, Backend> {
    fn at(&self, index: u32) -> Option<Backend> {
        self.get(&index).copied()
    }
}

fn backend() -> Backend {
    Backend {
        address: Address::v4([10, 0, 0, 7]),
        port: 8080,
        flags: Backend::LOCAL | 0x40,
        service: 2,
        generation: 5,
        workload: 1,
        ejected_until: 0,
    }
}

fn with(act: impl FnOnce(&Describe<'_>)) {
    let pool = PoolLabels {
        hostname: "web.shop.svc.cluster.local".into(),
        short_name: "web".into(),
        namespace: "shop".into(),
        port: 80,
        protocol: weft_model::Protocol::Tcp,
        class: "cluster".into(),
    };
    let workload = Workload {
        namespace: "shop".into(),
        name: "web-v1".into(),
        canonical_service: "web".into(),
        canonical_revision: "v1".into(),
        app: None,
        version: None,
        service_account: "default".into(),
    };
    let names = NameTable {
        pools: [(2, Arc::new(pool))].into(),
        workloads: [(1, Arc::new(workload))].into(),
        backends: BTreeMap::new(),
    };
    let backends: BTreeMap<u32, Backend> = [(9, backend())].into();
    act(&Describe {
        names: &names,
        backends: &backends,
    });
}

#[test]
fn a_frontend_names_its_pool_and_rules() {
    let key = ServiceKey {
        address: Address::v4([10, 96, 0, 1]),
        port: 80,
        protocol: Protocol::TCP,
        scope: Scope::UPLINK,
    };
    let service = Service {
        id: 2,
        first_slot: 16,
        slots: 3,
        max_connections: u32::MAX,
        flags: Service::MASQUERADE,
        algorithm: Service::LEAST_CONNECTIONS,
        ..Service::default()
    };
    with(|describe| {
        let line = "10.96.0.1:80/tcp/uplink  id=2 pool=shop/web:80/TCP cluster first_slot=16 \
            slots=3 algorithm=least_connections affinity_seconds=0 flags=masquerade\n";
        assert_eq!(describe.service(&key, &service).line(), line);
    });
}

#[test]
fn backends_are_resolved_only_in_their_generation_and_unknown_flags_are_shown() {
    with(|describe| {
        let entry = describe.backend(9, &backend());
        assert_eq!(entry.value["address"], "10.0.0.7:8080");
        assert_eq!(entry.value["workload_name"], "shop/web-v1");
        assert_eq!(entry.value["flags"], json!(["local", "0x40"]));
        let state = |generation| BackendState {
            generation,
            ..BackendState::default()
        };
        assert_eq!(
            describe.backend_state(9, &state(5)).value["address"],
            "10.0.0.7:8080"
        );
        assert_eq!(
            describe.backend_state(9, &state(4)).value["address"],
            Value::Null
        );
        let slot = describe.slot(
            3,
            &Slot {
                backend: 9,
                service: 7,
            },
        );
        assert_eq!(
            slot.line(),
            "3  backend=9 address=10.0.0.7:8080 service=7\n"
        );
    });
}

#[test]
fn an_edge_names_both_ends_and_its_key_can_be_asked_for() {
    let key = EdgeKey {
        source: 0,
        service: 2,
        destination: 1,
        protocol: 6,
        security: EdgeKey::HBONE,
        reserved: [0; 2],
    };
    with(|describe| {
        let entry = describe.edge(
            &key,
            &EdgeValue {
                opened: 3,
                ..EdgeValue::default()
            },
        );
        assert_eq!(entry.key, "0,2,1,tcp,hbone");
        let asked = super::super::Key::parse("EDGES", &entry.key).expect("a key");
        assert_eq!(asked, super::super::Key::Edge(key));
        assert_eq!(entry.value["source"], Value::Null);
        assert_eq!(entry.value["destination"], "shop/web-v1");
        assert!(
            entry.lines().contains("\n  opened                 3\n"),
            "{}",
            entry.lines()
        );
    });
}

#[test]
fn an_unbound_client_is_its_namespace() {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&77_u64.to_ne_bytes());
    assert_eq!(client(Address { bytes }), "netns:77");
    assert_eq!(client(Address::v4([10, 0, 0, 1])), "10.0.0.1");
    assert_eq!(client(Address::default()), "::");
}

#[test]
fn a_flow_says_what_it_rewrites() {
    let key = FlowKey {
        source: Address::v4([192, 0, 2, 1]),
        destination: Address::v4([192, 0, 2, 9]),
        source_port: 40_000,
        destination_port: 30_080,
        protocol: Protocol::UDP,
        hook: FlowKey::INGRESS,
        reserved: 0,
    };
    let flow = FlowValue {
        address: Address::v4([10, 0, 0, 7]),
        port: 53,
        flags: FlowValue::FORWARD,
        ..FlowValue::default()
    };
    with(|describe| {
        let entry = describe.flow(&key, &flow);
        assert_eq!(entry.key, "192.0.2.1:40000>192.0.2.9:30080/udp/ingress");
        assert_eq!(entry.value["rewrites"], "destination");
        assert_eq!(entry.value["to"], "10.0.0.7:53");
        assert_eq!(entry.value["flags"], json!(["forward"]));
    });
}

#[test]
fn the_canary_is_named_though_no_registry_knows_it() {
    with(|describe| {
        let slot = describe.slot(
            0,
            &Slot {
                backend: 1,
                service: 1,
            },
        );
        assert_eq!(slot.line(), "0  backend=1 service=1 pool=canary\n");
    });
}
