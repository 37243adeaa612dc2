//! Random edits, restarts, deaths between two writes and full maps: after every single write every
//! frontend leads to a backend that is right, and in the end the maps are what a fresh planner
//! would have written.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use weft_abi::{Service as Entry, ServiceKey};
use weft_lower::{Capacity, NodeFacts, Plan, Planner, Registry, Shortage};
use weft_model::{
    Balancing, Change, Distribution, Endpoint, Frontend, FrontendKind, Mesh, Service, TrafficPolicy,
};

use crate::{
    kernel::Kernel,
    world::{endpoint, ip, name, node, port, service, workload},
};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Clone, Debug)]
enum Edit {
    Put(usize, Service),
    Remove(usize),
    Own(u8, Option<u8>),
    Node(NodeFacts),
    Wait(u64),
    Restart {
        registry: bool,
    },
    /// Die after so many writes of the next plan.
    Die(usize, usize, Service),
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let place = (1_u32..40, any::<bool>(), 0_u8..3, 0_u8..3);
    let state = (0_u8..8, 0_u8..8, 0_u8..6, any::<Option<bool>>());
    (place, state).prop_map(
        |((last, six, at, zone), (ready, leaving, weight, hint))| Endpoint {
            address: if six {
                ip(&format!("fd00::{last}"))
            } else {
                Ipv4Addr::from_bits(0x0a00_0000 + last).into()
            },
            ready: ready > 0,
            serving: ready > 1,
            terminating: leaving == 0,
            weight: if weight > 3 { u32::from(weight) } else { 1 },
            workload: (weight % 2 == 0).then(|| workload(NAMES[usize::from(at)])),
            node: (at > 0).then(|| format!("n{at}").into()),
            zone: (zone > 0).then(|| format!("z{zone}").into()),
            for_zones: hint.map(|near| vec![if near { "z1".into() } else { "z2".into() }].into()),
            ..endpoint("10.0.0.0")
        },
    )
}

fn any_endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let size = prop_oneof![3 => 0_usize..8, 1 => 0_usize..60];
    size.prop_flat_map(|size| proptest::collection::vec(any_endpoint(), size))
        .prop_map(|mut endpoints| {
            endpoints.sort_by_key(|endpoint| (endpoint.address, endpoint.port));
            endpoints.dedup_by_key(|endpoint| (endpoint.address, endpoint.port));
            endpoints
        })
}

fn any_balancing() -> impl Strategy<Value = Balancing> {
    prop_oneof![
        3 => Just(Balancing::RoundRobin),
        1 => Just(Balancing::Random),
        1 => Just(Balancing::LeastConnections),
        1 => Just(Balancing::SourceHash { table_size: Some(61) }),
    ]
}

fn any_service(index: usize) -> impl Strategy<Value = Service> {
    let ports = proptest::collection::vec((any_endpoints(), any_balancing(), 0_u16..4), 1..3);
    let frontends = proptest::collection::btree_set((0_u8..4, 0_u8..3, any::<bool>()), 0..4);
    let policy = (any::<bool>(), any::<bool>(), 0_u8..3);
    (ports, frontends, policy).prop_map(move |(ports, frontends, (internal, external, near))| {
        let ports = (80..)
            .zip(ports)
            .map(|(number, (endpoints, balancing, node_port))| {
                let mut port = port(number, endpoints);
                port.balancing = balancing;
                port.node_port = (node_port > 0).then_some(30000 + node_port);
                port
            });
        let mut service = service(NAMES[index], &[], ports.collect());
        let frontends = frontends.into_iter().map(|(last, kind, six)| Frontend {
            address: ip(&if six {
                format!("fd96::{last}")
            } else {
                format!("10.96.0.{last}")
            }),
            kind: [
                FrontendKind::Cluster,
                FrontendKind::External,
                FrontendKind::LoadBalancer,
            ][usize::from(kind)],
        });
        service.frontends = frontends.collect();
        let policy = |local| [TrafficPolicy::Cluster, TrafficPolicy::Local][usize::from(local)];
        (service.internal_policy, service.external_policy) = (policy(internal), policy(external));
        service.distribution = [
            Distribution::Any,
            Distribution::PreferSameZone,
            Distribution::PreferSameNode,
        ][usize::from(near)];
        service
    })
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let put = (0..NAMES.len()).prop_flat_map(|index| (Just(index), any_service(index)));
    prop_oneof![
        8 => put.clone().prop_map(|(index, service)| Edit::Put(index, service)),
        3 => (0..NAMES.len()).prop_map(Edit::Remove),
        2 => (1_u8..8, any::<Option<u8>>()).prop_map(|(at, w)| Edit::Own(at, w.map(|w| w % 5))),
        1 => (0_u8..3, 0_u8..3).prop_map(|(at, n)| Edit::Node(NodeFacts {
            name: Some(format!("n{at}").into()),
            addresses: (0..n).map(|last| ip(&format!("192.0.2.{last}"))).collect(),
            ..node()
        })),
        3 => (1_u64..3000).prop_map(Edit::Wait),
        1 => any::<bool>().prop_map(|registry| Edit::Restart { registry }),
        1 => (put, 0_usize..60).prop_map(|((index, service), at)| Edit::Die(at, index, service)),
    ]
}

struct World {
    capacity: Capacity,
    planner: Planner,
    kernel: Kernel,
    mesh: Mesh,
    node: NodeFacts,
    now: Duration,
}

impl World {
    fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            planner: Planner::new(capacity),
            kernel: Kernel::new(capacity),
            mesh: Mesh::default(),
            node: node(),
            now: Duration::from_secs(100),
        }
    }

    fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Put(index, service) => self.change(index, Some(service)),
            Edit::Remove(index) => self.change(index, None),
            Edit::Own(last, owner) => {
                let address = IpAddr::from([10, 0, 0, last]);
                let owner = owner.map(|owner| workload(NAMES[usize::from(owner)]));
                self.plan(Change {
                    addresses: vec![(address, owner)],
                    ..Change::default()
                });
            }
            Edit::Node(facts) => {
                self.node = facts;
                self.plan(Change::default());
            }
            Edit::Wait(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                self.plan(Change::default());
            }
            Edit::Restart { registry } => self.restart(registry),
            Edit::Die(at, index, service) => self.die(at, index, service),
        }
    }

    fn change(&mut self, index: usize, service: Option<Service>) {
        self.plan(Change {
            services: vec![(name(NAMES[index]), service.map(Arc::new))],
            ..Change::default()
        });
    }

    fn plan(&mut self, change: Change) {
        self.mesh.apply(&change);
        let plan = self.planner.plan(&change, &self.node, self.now);
        self.apply(&plan);
    }

    fn apply(&mut self, plan: &Plan) {
        let before = self.kernel.clone();
        self.kernel.apply_watching(&plan.ops);
        let removed = plan
            .removed
            .iter()
            .map(|gone| (gone.index, gone.generation));
        for (index, generation) in removed {
            assert_eq!(before.backends[index as usize].generation, generation);
            assert_eq!(self.kernel.backends[index as usize].generation, 0, "freed");
        }
    }

    /// A new process finds the maps, with the saved registry or without.
    fn restart(&mut self, registry: bool) {
        let saved = match registry {
            true => Registry::from_json(&self.planner.registry().to_json()).unwrap(),
            false => Registry::default(),
        };
        self.planner = Planner::new(self.capacity);
        self.planner.adopt(self.kernel.dump(), saved);
        let plan = self.planner.plan_full(&self.mesh, &self.node, self.now);
        self.apply(&plan);
    }

    /// The process dies in the middle of a plan, its registry saved before the first write.
    fn die(&mut self, at: usize, index: usize, service: Service) {
        let change = Change {
            services: vec![(name(NAMES[index]), Some(Arc::new(service)))],
            ..Change::default()
        };
        self.mesh.apply(&change);
        let plan = self.planner.plan(&change, &self.node, self.now);
        let ops = &plan.ops[..at.min(plan.ops.len())];
        self.kernel.apply_watching(ops);
        self.restart(true);
    }

    /// Lets everything that waits for room have it, as far as there is any.
    fn settle(&mut self) -> Vec<Shortage> {
        for _ in 0..3 {
            self.now += Duration::from_secs(3);
            self.plan(Change::default());
        }
        self.planner
            .plan(&Change::default(), &self.node, self.now)
            .problems
    }
}

/// What a map image means, without the numbers that the planner chose.
fn meaning(kernel: &Kernel, planner: &Planner) -> BTreeMap<ServiceKey, Vec<String>> {
    let lines = |service: &Entry| -> Vec<String> {
        let backend = |pick| {
            let backend = kernel.resolve(service, pick, "in the end");
            let workload = planner.registry().workload(backend.workload);
            let workload = workload.map(|workload| &workload.name);
            let address = IpAddr::from(backend.address);
            format!("{address} {} {} {workload:?}", backend.port, backend.flags)
        };
        let mut lines: Vec<String> = (0..service.slots).map(backend).collect();
        if service.algorithm != Entry::HASH {
            lines.sort();
        }
        let pool = planner.registry().pool(service.id).map(ToString::to_string);
        let numbers = Entry {
            id: 0,
            first_slot: 0,
            ..*service
        };
        lines.push(format!("{pool:?} {numbers:?}"));
        lines
    };
    kernel
        .services
        .iter()
        .map(|(key, service)| (*key, lines(service)))
        .collect()
}

fn workloads(kernel: &Kernel, planner: &Planner) -> BTreeMap<IpAddr, String> {
    let registry = planner.registry();
    let name = |id: &u32| registry.workload(*id).unwrap().name.to_string();
    let held = kernel.workloads.iter();
    held.map(|(address, id)| (IpAddr::from(*address), name(id)))
        .collect()
}

/// Draining backends are those of endpoints that are still listed; nothing else is left.
fn check_leftovers(world: &World) {
    let listed: BTreeSet<IpAddr> = world
        .mesh
        .services
        .values()
        .flat_map(|service| service.ports.iter())
        .flat_map(|port| port.endpoints.iter().map(|endpoint| endpoint.address))
        .collect();
    let indexes = 0..u32::try_from(world.kernel.backends.len()).unwrap();
    for index in indexes {
        let held = &world.kernel.backends[index as usize];
        let view = world.planner.backend(index);
        assert_eq!(view.map_or(0, |view| view.generation), held.generation);
        assert!(held.generation == 0 || listed.contains(&IpAddr::from(held.address)));
    }
}

fn fits(problem: &Shortage) -> bool {
    matches!(problem, Shortage::Frontend { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn maps_with_room_end_as_if_written_afresh(
        edits in proptest::collection::vec(any_edit(), 1..25),
    ) {
        let capacity = Capacity::for_backends(4096, 512);
        let mut world = World::new(capacity);
        edits.into_iter().for_each(|edit| world.edit(edit));
        let problems = world.settle();
        prop_assert!(problems.iter().all(fits), "{:?}", problems);
        let mut fresh = World::new(capacity);
        let plan = fresh.planner.plan_full(&world.mesh, &world.node, fresh.now);
        fresh.kernel.apply_watching(&plan.ops);
        prop_assert_eq!(
            meaning(&world.kernel, &world.planner),
            meaning(&fresh.kernel, &fresh.planner)
        );
        prop_assert_eq!(
            workloads(&world.kernel, &world.planner),
            workloads(&fresh.kernel, &fresh.planner)
        );
        prop_assert_eq!(plan.problems, problems);
        check_leftovers(&world);
        // Nothing leaks: what a fresh planner does not hold is draining or room to grow.
        prop_assert_eq!(world.planner.usage().services, fresh.planner.usage().services);
        world.mesh = Mesh::default();
        let plan = world.planner.plan_full(&world.mesh, &world.node, world.now);
        world.apply(&plan);
        world.settle();
        prop_assert_eq!(world.planner.usage(), Default::default());
    }

    #[test]
    fn full_maps_never_lead_astray(
        edits in proptest::collection::vec(any_edit(), 1..40),
    ) {
        let capacity = Capacity { services: 16, backends: 40, slots: 128, workloads: 3 };
        let mut world = World::new(capacity);
        edits.into_iter().for_each(|edit| world.edit(edit));
        world.settle();
        check_leftovers_of_full(&world);
        world.mesh = Mesh::default();
        let plan = world.planner.plan_full(&world.mesh, &world.node, world.now);
        world.apply(&plan);
        prop_assert_eq!(world.settle(), vec![]);
        prop_assert_eq!(world.planner.usage(), Default::default());
        prop_assert!(world.kernel.services.is_empty());
    }
}

/// The planner's own view is what the maps hold, even when some services stay as they were.
fn check_leftovers_of_full(world: &World) {
    for (index, held) in (0..).zip(&world.kernel.backends) {
        let view = world.planner.backend(index);
        assert_eq!(view.map_or(0, |view| view.generation), held.generation);
    }
    let used = world.planner.usage();
    assert_eq!(used.services as usize, world.kernel.services.len());
    assert_eq!(used.workloads as usize, world.kernel.workloads.len());
}
