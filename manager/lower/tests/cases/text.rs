//! Map contents as text.

use std::{
    collections::BTreeMap,
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use weft_abi::{Address, Backend, Protocol, Scope, Service, ServiceKey, Slot};
use weft_lower::{MapOp, Plan, Registry};

#[path = "mesh.rs"]
mod mesh;

pub(crate) use mesh::render_mesh;

/// Slot lists longer than this are summed up.
const LONG: usize = 32;

#[derive(Default)]
struct Maps {
    services: BTreeMap<ServiceKey, Service>,
    slots: BTreeMap<u32, Slot>,
    backends: BTreeMap<u32, Backend>,
    workloads: BTreeMap<Address, u32>,
}

impl Maps {
    fn of(plan: &Plan) -> Self {
        let mut maps = Self::default();
        for op in &plan.ops {
            match op {
                MapOp::PutBackend(index, backend) => drop(maps.backends.insert(*index, *backend)),
                MapOp::PutSlots(first, slots) => maps.slots.extend((*first..).zip(slots.clone())),
                MapOp::PutService(key, service) => drop(maps.services.insert(*key, *service)),
                MapOp::PutWorkload(address, id) => drop(maps.workloads.insert(*address, *id)),
                MapOp::PutBackendState(..) => {}
                MapOp::DeleteService(..) | MapOp::DeleteWorkload(..) => {
                    panic!("nothing to delete in empty maps: {op:?}")
                }
                other => panic!("not of this planner: {other:?}"),
            }
        }
        maps
    }
}

pub(crate) fn render(plan: &Plan, registry: &Registry) -> String {
    let maps = Maps::of(plan);
    let mut pools: BTreeMap<u32, Vec<(&ServiceKey, &Service)>> = BTreeMap::new();
    for (key, service) in &maps.services {
        pools.entry(service.id).or_default().push((key, service));
    }
    let mut text = String::new();
    for (id, frontends) in pools {
        let name = registry.pool(id).unwrap();
        writeln!(text, "pool {id} {name}").unwrap();
        for (key, service) in &frontends {
            writeln!(text, "  {}", frontend(key, service)).unwrap();
        }
        let (_, service) = frontends[0];
        writeln!(text, "  {}", policy(service)).unwrap();
        writeln!(text, "  {}", slots(service, &maps)).unwrap();
        let members = maps
            .backends
            .iter()
            .filter(|(_, backend)| backend.service == id);
        for (index, held) in members {
            writeln!(text, "  backend {index} {}", backend(held, registry)).unwrap();
        }
    }
    for (address, id) in &maps.workloads {
        let address = IpAddr::from(*address);
        writeln!(text, "address {address} {}", workload(*id, registry)).unwrap();
    }
    for problem in &plan.problems {
        writeln!(text, "problem {problem}").unwrap();
    }
    text
}

fn frontend(key: &ServiceKey, service: &Service) -> String {
    let scope = if key.scope == Scope::UPLINK {
        "uplink"
    } else {
        "socket"
    };
    let protocol = if key.protocol == Protocol::UDP {
        "UDP"
    } else {
        "TCP"
    };
    let address = SocketAddr::new(key.address.into(), key.port);
    let masquerade = service.flags & Service::MASQUERADE != 0;
    format!(
        "{scope} {address}/{protocol}{}",
        if masquerade { " masquerade" } else { "" }
    )
}

fn policy(service: &Service) -> String {
    let mut text = match service.algorithm {
        Service::ROUND_ROBIN => "round robin",
        Service::RANDOM => "random",
        Service::LEAST_CONNECTIONS => "least connections",
        Service::HASH => "hash",
        other => panic!("no algorithm {other}"),
    }
    .to_owned();
    if service.affinity_seconds > 0 {
        write!(text, ", affinity {} s", service.affinity_seconds).unwrap();
    }
    if service.max_connections < u32::MAX {
        write!(text, ", at most {} connections", service.max_connections).unwrap();
    }
    text
}

fn slots(service: &Service, maps: &Maps) -> String {
    if service.slots == 0 {
        return "no slots: refused".into();
    }
    let range = service.first_slot..service.first_slot + service.slots;
    let backends: Vec<u32> = range
        .clone()
        .map(|slot| maps.slots[&slot])
        .inspect(|slot| assert_eq!(slot.service, service.id))
        .map(|slot| slot.backend)
        .collect();
    let mut text = format!("slots {} to {}:", range.start, range.end - 1);
    if backends.len() <= LONG {
        backends
            .iter()
            .for_each(|backend| write!(text, " {backend}").unwrap());
        return text;
    }
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    backends
        .iter()
        .for_each(|backend| *counts.entry(*backend).or_default() += 1);
    for (backend, count) in counts {
        write!(text, " {count} of {backend}").unwrap();
    }
    text
}

fn backend(backend: &Backend, registry: &Registry) -> String {
    let address = SocketAddr::new(backend.address.into(), backend.port);
    let local = backend.flags & Backend::LOCAL != 0;
    let draining = backend.flags & Backend::DRAINING != 0;
    let hbone = backend.flags & Backend::HBONE != 0;
    let enrolled = backend.flags & Backend::ENROLLED != 0;
    format!(
        "{address}{}{}{}{} {}",
        if local { " local" } else { "" },
        if draining { " draining" } else { "" },
        if hbone { " hbone" } else { "" },
        if enrolled { " enrolled" } else { "" },
        workload(backend.workload, registry)
    )
}

fn workload(id: u32, registry: &Registry) -> String {
    let Some(workload) = registry.workload(id) else {
        return "of no known workload".into();
    };
    let (namespace, name) = (&workload.namespace, &workload.name);
    format!(
        "of workload {id} {namespace}/{name} {}",
        workload.canonical_revision
    )
}
