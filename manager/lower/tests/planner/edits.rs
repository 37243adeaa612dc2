//! What an edit writes, and nothing else.

use std::{net::IpAddr, sync::Arc};

use weft_abi::{Backend, Slot};
use weft_lower::{Capacity, MapOp, Plan, Planner};
use weft_model::{Balancing, Change, Endpoint, Service};

use crate::{
    kernel::Kernel,
    world::{endpoints, ip, name, node, port, put, remove, seconds, service, web, workload},
};

/// A planner and the maps it writes.
struct Rig {
    planner: Planner,
    kernel: Kernel,
    now: u64,
}

impl Rig {
    fn new() -> Self {
        let capacity = Capacity::for_backends(1024, 256);
        Self {
            planner: Planner::new(capacity),
            kernel: Kernel::new(capacity),
            now: 100,
        }
    }

    fn plan(&mut self, change: &Change) -> Plan {
        let plan = self.planner.plan(change, &node(), seconds(self.now));
        self.kernel.apply_watching(&plan.ops);
        plan
    }

    fn put(&mut self, service: Service) -> Plan {
        self.plan(&put(service))
    }
}

/// What the writes are, in order.
fn kinds(plan: &Plan) -> Vec<&'static str> {
    let kind = |op: &MapOp| match op {
        MapOp::PutBackendState(..) => "state",
        MapOp::PutBackend(_, backend) if backend.service == 0 => "free",
        MapOp::PutBackend(_, backend) if backend.flags & Backend::DRAINING != 0 => "drain",
        MapOp::PutBackend(..) => "backend",
        MapOp::PutSlots(..) => "slots",
        MapOp::PutService(..) => "service",
        MapOp::DeleteService(..) => "delete",
        MapOp::PutWorkload(..) => "workload",
        MapOp::DeleteWorkload(..) => "delete workload",
        other => panic!("not of this planner: {other:?}"),
    };
    plan.ops.iter().map(kind).collect()
}

fn slots(plan: &Plan) -> Vec<(u32, Vec<u32>)> {
    let written = |op: &MapOp| match op {
        MapOp::PutSlots(first, slots) => Some((
            *first,
            slots.iter().map(|Slot { backend, .. }| *backend).collect(),
        )),
        _ => None,
    };
    plan.ops.iter().filter_map(written).collect()
}

#[test]
fn a_new_service_is_written_from_the_backends_up() {
    let mut rig = Rig::new();
    let plan = rig.put(web(endpoints([1, 2])));
    let expected = ["state", "state", "backend", "backend", "slots", "service"];
    assert_eq!(kinds(&plan), expected);
    assert_eq!((plan.removed, plan.problems), (vec![], vec![]));
}

#[test]
fn the_same_service_again_writes_nothing() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2])));
    assert_eq!(rig.put(web(endpoints([1, 2]))).ops, []);
    assert_eq!(rig.planner.replan_all(&node(), seconds(200)).ops, []);
}

#[test]
fn one_endpoint_more_writes_one_slot() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2, 3])));
    let plan = rig.put(web(endpoints([1, 2, 3, 4])));
    assert_eq!(kinds(&plan), ["state", "backend", "slots", "service"]);
    assert_eq!(slots(&plan)[0].1, [5], "indexes start at 2");
}

#[test]
fn one_endpoint_less_writes_one_slot_and_frees_the_backend_last() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2, 3, 4])));
    let plan = rig.put(web(endpoints([2, 3, 4])));
    assert_eq!(kinds(&plan), ["slots", "service", "free"]);
    assert_eq!(
        slots(&plan)[0].1,
        [5],
        "the last takes the place of the first"
    );
    let [removed] = &plan.removed[..] else {
        panic!("{:?}", plan.removed)
    };
    assert_eq!((removed.index, removed.address), (2, ip("10.0.0.1")));
    assert_eq!((removed.protocol, removed.service), (6, 2));
}

#[test]
fn a_list_that_outgrows_its_region_moves_as_a_whole() {
    let mut rig = Rig::new();
    rig.put(web(endpoints(1..=4)));
    let plan = rig.put(web(endpoints(1..=5)));
    assert_eq!(slots(&plan), [(8, vec![2, 3, 4, 5, 6])]);
}

#[test]
fn an_excluded_endpoint_drains_and_comes_back_as_the_same_backend() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2])));
    let generation = |rig: &Rig| rig.planner.backend(2).unwrap().generation;
    let before = generation(&rig);
    let mut leaving = endpoints([1, 2]);
    leaving[0].terminating = true;
    let plan = rig.put(web(leaving));
    assert_eq!(kinds(&plan), ["slots", "service", "drain"]);
    assert_eq!(plan.removed, []);
    let plan = rig.put(web(endpoints([1, 2])));
    assert_eq!(kinds(&plan), ["backend", "slots", "service"]);
    assert_eq!(generation(&rig), before);
}

#[test]
fn an_endpoint_that_never_took_connections_gets_no_backend() {
    let mut rig = Rig::new();
    let mut list = endpoints([1, 2]);
    list[0].ready = false;
    rig.put(web(list));
    assert_eq!(rig.planner.usage().backends, 1);
}

#[test]
fn a_service_without_endpoints_refuses() {
    let mut rig = Rig::new();
    let plan = rig.put(web(vec![]));
    assert_eq!(kinds(&plan), ["service"]);
    assert_eq!(rig.kernel.services.values().next().unwrap().slots, 0);
    rig.put(web(endpoints([1])));
    let plan = rig.put(web(vec![]));
    assert_eq!(kinds(&plan), ["service", "free"]);
}

#[test]
fn a_service_that_is_gone_is_deleted_before_its_backends() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2])));
    let plan = rig.plan(&remove("web"));
    assert_eq!(kinds(&plan), ["delete", "free", "free"]);
    assert_eq!(plan.removed.len(), 2);
    let freed: Vec<(IpAddr, u16, u32)> = plan
        .ops
        .iter()
        .filter_map(|op| match op {
            MapOp::PutBackend(_, backend) => {
                Some((backend.address.into(), backend.port, backend.service))
            }
            _ => None,
        })
        .collect();
    let removed = plan.removed.iter().map(|one| (one.address, one.port, 0));
    assert_eq!(
        freed,
        removed.collect::<Vec<_>>(),
        "a program that has just chosen one still reads where it leads"
    );
    assert_eq!(rig.plan(&remove("web")), Plan::default());
}

#[test]
fn a_service_that_comes_back_has_its_old_id_and_new_backends() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1])));
    let old = *rig.kernel.services.values().next().unwrap();
    rig.plan(&remove("web"));
    rig.now += 1;
    rig.put(service(
        "other",
        &["10.96.0.9"],
        vec![port(80, endpoints([9]))],
    ));
    rig.put(web(endpoints([1])));
    let id = |short: &str| {
        let service = name(short);
        let mut pools = rig.planner.pools_of(&service);
        pools.next().unwrap().id
    };
    assert_eq!(id("web"), old.id);
    assert_ne!(id("other"), old.id);
    let index = |rig: &Rig, at: u32| rig.planner.backend(at).map(|backend| backend.address);
    assert_eq!(index(&rig, 2), None, "still in quarantine");
}

#[test]
fn freed_indexes_and_slots_rest_for_two_seconds() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2])));
    rig.plan(&remove("web"));
    let busy = rig.planner.usage();
    assert_eq!((busy.backends, busy.slots), (2, 2));
    rig.now += 2;
    rig.plan(&Change::default());
    let free = rig.planner.usage();
    assert_eq!((free.backends, free.slots), (0, 0));
}

#[test]
fn generations_only_rise() {
    let mut rig = Rig::new();
    let mut last = 1;
    for n in 1..20 {
        rig.now += 3;
        rig.put(web(endpoints([n])));
        let generation = rig.planner.backends().next().unwrap().generation;
        assert!(generation > last, "{generation} after {last}");
        last = generation;
    }
}

#[test]
fn policy_without_endpoints_changes_only_the_entry() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2])));
    let mut tuned = web(endpoints([1, 2]));
    tuned.session_affinity = Some(seconds(10800));
    tuned.ports[0].max_connections = Some(3);
    tuned.ports[0].balancing = Balancing::LeastConnections;
    assert_eq!(kinds(&rig.put(tuned)), ["service"]);
    let entry = rig.kernel.services.values().next().unwrap();
    assert_eq!(
        (
            entry.affinity_seconds,
            entry.max_connections,
            entry.algorithm
        ),
        (10800, 3, 2)
    );
}

#[test]
fn an_ejection_outlasts_a_rewrite_until_its_time_is_up() {
    let mut rig = Rig::new();
    rig.put(web(endpoints([1, 2])));
    let generation = rig.planner.backend(2).unwrap().generation;
    let until = 105_000_000_000;
    let Some(MapOp::PutBackend(2, written)) = rig.planner.eject(2, generation, until) else {
        panic!("not ejected")
    };
    assert_eq!((written.ejected_until, written.service), (until, 2));
    assert_eq!(
        rig.planner.eject(2, generation + 5, until),
        None,
        "another owner"
    );
    assert_eq!(rig.planner.eject(900, 0, until), None, "nobody");
    let renamed = |n: &str| -> Vec<Endpoint> {
        let mut list = endpoints([1, 2]);
        list[0].workload = Some(workload(n));
        list
    };
    rig.put(web(renamed("a")));
    assert_eq!(rig.kernel.backends[2].ejected_until, until);
    rig.now = 106;
    assert_eq!(
        rig.put(web(renamed("a"))).ops,
        [],
        "nothing to write but that it is over"
    );
    rig.put(web(renamed("b")));
    assert_eq!(rig.kernel.backends[2].ejected_until, 0);
}

#[test]
fn addresses_lead_to_workloads_by_value() {
    let mut rig = Rig::new();
    let own = |n: &str, w: Option<&str>| Change {
        addresses: vec![(ip(n), w.map(workload))],
        ..Change::default()
    };
    rig.plan(&own("10.0.0.1", Some("web")));
    rig.plan(&own("10.0.0.2", Some("web")));
    rig.plan(&own("10.0.0.3", Some("db")));
    let ids: Vec<u32> = rig.kernel.workloads.values().copied().collect();
    assert_eq!(ids, [1, 1, 2]);
    assert_eq!(rig.planner.registry().workload(2), Some(&workload("db")));
    assert_eq!(kinds(&rig.plan(&own("10.0.0.1", Some("web")))), [""; 0]);
    assert_eq!(
        kinds(&rig.plan(&own("10.0.0.1", None))),
        ["delete workload"]
    );
    assert_eq!(kinds(&rig.plan(&own("10.0.0.1", None))), [""; 0]);
}

#[test]
fn a_change_writes_for_the_changed_service_only() {
    let mut rig = Rig::new();
    let both = Change {
        services: ["a", "b"]
            .into_iter()
            .zip(["10.96.0.1", "10.96.0.2"])
            .map(|(short, vip)| service(short, &[vip], vec![port(80, endpoints(1..9))]))
            .map(|service| (service.name.clone(), Some(Arc::new(service))))
            .collect(),
        ..Change::default()
    };
    rig.plan(&both);
    let plan = rig.put(service(
        "b",
        &["10.96.0.2"],
        vec![port(80, endpoints(1..8))],
    ));
    let id = rig.planner.pools_of(&name("b")).next().unwrap().id;
    for op in &plan.ops {
        match op {
            MapOp::PutSlots(_, slots) => assert!(slots.iter().all(|slot| slot.service == id)),
            MapOp::PutService(_, service) => assert_eq!(service.id, id),
            MapOp::PutBackend(_, backend) => assert_eq!(backend.service, 0),
            _ => panic!("{op:?}"),
        }
    }
    assert_eq!(plan.removed.len(), 1);
}
