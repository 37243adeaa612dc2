//! A new process on old maps.

use std::sync::Arc;

use weft_abi::{Address, Backend};
use weft_lower::{Capacity, Planner, Registry};
use weft_model::{Change, Mesh, Service};

use crate::{
    kernel::Kernel,
    world::{endpoints, ip, name, node, port, seconds, service, web, workload},
};

const CAPACITY: Capacity = Capacity::for_backends(256, 64);

fn mesh(services: impl IntoIterator<Item = Service>) -> Mesh {
    let services = services
        .into_iter()
        .map(|service| (service.name.clone(), Arc::new(service)));
    Mesh {
        services: services.collect(),
        addresses: [(ip("10.0.0.1"), workload("web"))].into(),
        ..Mesh::default()
    }
}

fn shop() -> Mesh {
    let mut weighted = endpoints([7, 8, 9]);
    weighted[1].weight = 3;
    weighted[2].workload = Some(workload("db"));
    mesh([
        web(endpoints(1..=5)),
        service("db", &["10.96.0.2"], vec![port(5432, weighted)]),
    ])
}

fn start(mesh: &Mesh) -> (Planner, Kernel) {
    let (mut planner, mut kernel) = (Planner::new(CAPACITY), Kernel::new(CAPACITY));
    let plan = planner.plan_full(mesh, &node(), seconds(1));
    kernel.apply_watching(&plan.ops);
    (planner, kernel)
}

fn adopt(kernel: &Kernel, registry: Registry) -> Planner {
    let mut planner = Planner::new(CAPACITY);
    planner.adopt(kernel.dump(), registry);
    planner
}

#[test]
fn an_unchanged_mesh_writes_nothing_after_a_restart() {
    let (planner, kernel) = start(&shop());
    let saved = planner.registry().to_json();
    let mut planner = adopt(&kernel, Registry::from_json(&saved).unwrap());
    let plan = planner.plan_full(&shop(), &node(), seconds(10));
    assert_eq!(
        (plan.ops, plan.removed, plan.problems),
        (vec![], vec![], vec![])
    );
}

#[test]
fn a_lost_registry_costs_no_connection() {
    let (_, kernel) = start(&shop());
    let mut planner = adopt(&kernel, Registry::default());
    let plan = planner.plan_full(&shop(), &node(), seconds(10));
    assert_eq!((plan.ops, plan.removed), (vec![], vec![]));
    assert_eq!(planner.pools_of(&name("web")).count(), 1);
}

#[test]
fn a_restart_writes_what_changed_meanwhile_and_deletes_what_is_gone() {
    let (planner, mut kernel) = start(&shop());
    let generation = kernel.backends.iter().map(|b| b.generation).max();
    let mut planner = adopt(&kernel, planner.registry().clone());
    let after = mesh([web(endpoints(2..=6))]);
    let plan = planner.plan_full(&after, &node(), seconds(10));
    kernel.apply_watching(&plan.ops);
    let mut removed: Vec<_> = plan.removed.iter().map(|gone| gone.address).collect();
    removed.sort();
    assert_eq!(
        removed,
        ["10.0.0.1", "10.0.0.7", "10.0.0.8", "10.0.0.9"].map(ip)
    );
    assert_eq!(kernel.services.len(), 1);
    let fresh = Address::from(ip("10.0.0.6"));
    let fresh = kernel
        .backends
        .iter()
        .find(|backend| backend.address == fresh);
    assert!(fresh.map(|backend| backend.generation) > generation);
    assert_eq!(kernel.workloads.len(), 1);
}

#[test]
fn a_generation_is_not_used_twice_even_when_its_backend_is_gone() {
    let (mut planner, kernel) = start(&mesh([]));
    let change = crate::world::put(web(endpoints(1..=9)));
    planner.plan(&change, &node(), seconds(1));
    let used = planner.backends().map(|backend| backend.generation).max();
    let mut planner = adopt(&kernel, planner.registry().clone());
    planner.plan_full(&shop(), &node(), seconds(10));
    let next = planner.backends().map(|backend| backend.generation).min();
    assert!(next > used, "{next:?} after {used:?}");
}

#[test]
fn an_ejection_and_a_draining_backend_are_adopted() {
    let (mut planner, mut kernel) = start(&shop());
    let mut leaving = web(endpoints(1..=5));
    leaving.ports[0].endpoints[0].terminating = true;
    let plan = planner.plan(&crate::world::put(leaving.clone()), &node(), seconds(2));
    kernel.apply_watching(&plan.ops);
    let target = planner
        .backends()
        .find(|backend| backend.address == ip("10.0.0.2"))
        .unwrap();
    let (index, generation) = (target.index, target.generation);
    let op = planner.eject(index, generation, 1 << 62).unwrap();
    kernel.apply(&op);
    let mut planner = adopt(&kernel, planner.registry().clone());
    let mut now = shop();
    now.services.insert(leaving.name.clone(), Arc::new(leaving));
    assert_eq!(planner.plan_full(&now, &node(), seconds(10)).ops, []);
    assert_eq!(planner.backend(index).unwrap().ejected_until, 1 << 62);
    let draining = |flags: u16| flags & Backend::DRAINING != 0;
    assert_eq!(planner.backends().filter(|b| draining(b.flags)).count(), 1);
}

#[test]
fn adopted_services_that_do_not_fit_any_more_keep_what_they_have() {
    let (planner, mut kernel) = start(&shop());
    let mut planner = adopt(&kernel, planner.registry().clone());
    let mut grown = shop();
    let huge = web(endpoints(1..=300));
    grown.services.insert(huge.name.clone(), Arc::new(huge));
    let before = kernel.services.clone();
    let plan = planner.plan_full(&grown, &node(), seconds(10));
    kernel.apply_watching(&plan.ops);
    assert_eq!(plan.problems.len(), 1);
    assert_eq!(kernel.services, before);
    let plan = planner.plan_full(&mesh([]), &node(), seconds(11));
    kernel.apply_watching(&plan.ops);
    assert!(kernel.services.is_empty());
    assert_eq!(plan.removed.len(), 8);
}

#[test]
fn foreign_contents_are_cleared_without_a_panic() {
    let (planner, mut kernel) = start(&shop());
    let mut dump = kernel.dump();
    let mut wild = dump.services[0];
    wild.0.port = 9;
    (wild.1.id, wild.1.first_slot, wild.1.slots) = (4_000_000_000, u32::MAX - 1, u32::MAX);
    dump.services.push(wild);
    kernel.services.insert(wild.0, wild.1);
    let stray = Backend {
        service: 77,
        generation: 3,
        ..Backend::default()
    };
    dump.backends.push((90, stray));
    dump.backends.push((u32::MAX, stray));
    let mut planner_two = Planner::new(CAPACITY);
    planner_two.adopt(dump, planner.registry().clone());
    let plan = planner_two.plan_full(&shop(), &node(), seconds(10));
    assert_eq!(plan.ops.len(), 2, "{:?}", plan.ops);
    kernel.services.remove(&wild.0);
    let plan = planner_two.plan(&Change::default(), &node(), seconds(20));
    assert_eq!(plan.ops, []);
}

/// Three frontends share a pool whose slots move to another region: whatever was written when
/// the process died, the next one leads nobody astray.
#[test]
fn a_death_after_any_write_is_survived() {
    let three = |last: u32| {
        service(
            "web",
            &["10.96.0.1", "10.96.0.3", "10.96.0.4"],
            vec![port(80, endpoints(1..=last))],
        )
    };
    let (mut old, kernel) = start(&mesh([three(4)]));
    let saved = old.registry().clone();
    let plan = old.plan(&crate::world::put(three(5)), &node(), seconds(2));
    assert!(plan.ops.len() >= 6);
    let second = service("second", &["10.96.0.9"], vec![port(80, endpoints(20..24))]);
    for registry in [old.registry().clone(), saved, Registry::default()] {
        for died_after in 0..=plan.ops.len() {
            let mut kernel = kernel.clone();
            kernel.apply_watching(&plan.ops[..died_after]);
            let mut planner = adopt(&kernel, registry.clone());
            let after = mesh([three(5), second.clone()]);
            let plan = planner.plan_full(&after, &node(), seconds(3));
            kernel.apply_watching(&plan.ops);
            assert_eq!(plan.removed, [], "after {died_after}");
            assert_eq!(kernel.services.len(), 4);
            planner.plan(&Change::default(), &node(), seconds(9));
            assert_eq!(planner.usage().slots, 8 + 4, "after {died_after}");
        }
    }
}
