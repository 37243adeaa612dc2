//! The loader against the real kernel: load, attach, upgrade, read back, remove.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's set-up may panic, and tells what it could not clean up"
)]

use std::{collections::BTreeSet, path::Path};

use weft_abi::{
    Address, Backend, BackendState, Protocol, Scope, Service, ServiceKey, Slot, names::maps,
};
use weft_loader::{
    ApplyFault, BpfDir, CGROUP_HOOKS, Cgroup, Error, Lock, OpenReport, Options, Pinned, Plane,
    TC_HOOKS, features, uninstall,
};
use weft_lower::{Capacity, MapOp};
use weft_testkit::Rig;

const SMALL: Capacity = Capacity {
    services: 64,
    backends: 128,
    slots: 512,
    workloads: 128,
};

fn options(rig: &Rig, state: &str) -> Options {
    Options {
        state: rig.directory().join(state),
        cgroup: rig.cgroup().path().to_owned(),
        interfaces: Vec::new(),
        capacity: SMALL,
        trace: false,
    }
}

fn open(options: Options) -> (Plane, OpenReport) {
    let (plane, report, trace) = Plane::open(options).unwrap_or_else(|error| panic!("{error}"));
    assert!(trace.is_none());
    (plane, report)
}

/// Ids of our programs that run for sockets of the plane's cgroup, by hook.
fn attached(plane: &Plane) -> Vec<(&'static str, u32)> {
    let attached = plane.cgroup().attached(Some(plane.pins())).unwrap();
    attached
        .into_iter()
        .filter(|one| one.own)
        .map(|one| (one.hook, one.id))
        .collect()
}

fn hooks() -> BTreeSet<&'static str> {
    CGROUP_HOOKS.iter().map(|hook| hook.name).collect()
}

/// Removes what a test installed, also when it panics.
struct Installed<'a>(&'a Path);

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        if let Err(error) = uninstall(self.0) {
            eprintln!("uninstall after the test: {error}");
        }
    }
}

#[test]
fn opening_attaches_nothing_and_attaching_puts_one_program_on_each_hook() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, report) = open(options(&rig, "state"));
    assert!(!report.adopted);
    assert_eq!(report.sizes, []);
    assert_eq!(attached(&plane), []);
    let report = plane.attach().unwrap();
    assert_eq!(report.created.len(), CGROUP_HOOKS.len());
    let attached = attached(&plane);
    assert_eq!(attached.len(), CGROUP_HOOKS.len());
    assert_eq!(
        attached
            .iter()
            .map(|(hook, _)| *hook)
            .collect::<BTreeSet<_>>(),
        hooks()
    );
}

#[test]
fn an_upgrade_replaces_programs_through_the_same_links() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (first, _) = open(options(&rig, "state"));
    first.attach().unwrap();
    let links = link_ids(&state);
    let old = attached(&first);
    first
        .apply(&[MapOp::PutWorkload(Address::v4([10, 0, 0, 1]), 7)])
        .unwrap();
    drop(first);

    let (second, report) = open(options(&rig, "state"));
    assert!(report.adopted);
    assert_eq!(
        attached(&second),
        old,
        "the old programs run until the new ones are attached"
    );
    let report = second.attach().unwrap();
    assert_eq!(report.replaced.len(), CGROUP_HOOKS.len());
    assert_eq!(report.created, Vec::<String>::new());
    assert_eq!(link_ids(&state), links);
    let new = attached(&second);
    assert_eq!(
        new.len(),
        CGROUP_HOOKS.len(),
        "exactly one program per hook"
    );
    assert!(
        new.iter().zip(&old).all(|(new, old)| new.1 != old.1),
        "{old:?} {new:?}"
    );
    let workloads = second.maps().dump().unwrap().workloads;
    assert_eq!(workloads, [(Address::v4([10, 0, 0, 1]), 7)]);
}

fn link_ids(state: &Path) -> BTreeSet<u32> {
    let programs = Pinned::open(state).unwrap().programs().unwrap();
    assert!(programs.iter().all(|program| program.alive));
    programs.into_iter().map(|program| program.link).collect()
}

#[test]
fn links_of_another_abi_version_are_taken_over() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (first, _) = open(options(&rig, "state"));
    first.attach().unwrap();
    let links = link_ids(&state);
    let root = first.pins().root().to_owned();
    drop(first);
    let version = root.join(format!("v{}", weft_abi::ABI_VERSION));
    std::fs::rename(version, root.join("v0")).unwrap();

    let (second, report) = open(options(&rig, "state"));
    assert!(!report.adopted, "maps of another layout are not used");
    let report = second.attach().unwrap();
    assert_eq!(report.replaced.len(), CGROUP_HOOKS.len());
    assert_eq!(link_ids(&state), links);
    assert_eq!(attached(&second).len(), CGROUP_HOOKS.len());
    assert!(!root.join("v0").exists());
}

#[test]
fn steps_are_applied_in_order_and_read_back() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    let key = service_key(80);
    let service = Service {
        id: 1,
        first_slot: 4,
        slots: 100,
        ..Service::default()
    };
    let backends = (1..=100).map(backend).collect::<Vec<_>>();
    let mut ops: Vec<_> = (1..=100)
        .map(|index| {
            MapOp::PutBackendState(
                index,
                BackendState {
                    generation: 3,
                    ..Default::default()
                },
            )
        })
        .collect();
    ops.extend(
        backends
            .iter()
            .map(|(index, backend)| MapOp::PutBackend(*index, *backend)),
    );
    let slots: Vec<_> = (1..=100)
        .map(|backend| Slot {
            backend,
            service: 1,
        })
        .collect();
    ops.push(MapOp::PutSlots(4, slots.clone()));
    ops.push(MapOp::PutService(key, service));
    ops.push(MapOp::PutService(service_key(81), service));
    ops.push(MapOp::DeleteService(service_key(81)));
    ops.push(MapOp::DeleteService(service_key(82)));
    let applied = plane.apply(&ops).unwrap();
    assert_eq!(applied.writes[maps::BACKENDS], 100);
    assert_eq!(applied.writes[maps::SLOTS], 100);
    assert_eq!(applied.writes[maps::SERVICES], 4);

    let dump = plane.maps().dump().unwrap();
    assert_eq!(dump.services, [(key, service)]);
    assert_eq!(dump.backends, backends);
    assert_eq!(dump.slots.len(), 512);
    assert_eq!(dump.slots[4..104], slots);
    assert!(
        dump.slots[..4]
            .iter()
            .chain(&dump.slots[104..])
            .all(|slot| *slot == Slot::default())
    );
    let states = plane.maps().backend_states(100..9999).unwrap();
    assert_eq!(states.len(), 28);
    assert_eq!((states[0].generation, states[1].generation), (3, 0));
    assert_eq!(plane.maps().backend_states(0..2).unwrap()[1].generation, 3);
    assert_eq!(plane.maps().service_states(0..9999).unwrap().len(), 65);
    assert_eq!(plane.maps().counters().unwrap(), [0; 8]);
    assert_eq!(plane.maps().edges().unwrap(), []);
    let usage = plane.maps().usage().unwrap();
    let used = |map| {
        usage
            .iter()
            .find(|usage| usage.map == map)
            .map(|usage| usage.used)
    };
    assert_eq!(used(maps::SERVICES), Some(1));
    assert_eq!(used(maps::SLOTS), Some(100));
}

fn service_key(port: u16) -> ServiceKey {
    ServiceKey {
        address: Address::v4([10, 96, 0, 1]),
        port,
        protocol: Protocol::TCP,
        scope: Scope::SOCKET,
    }
}

fn backend(index: u32) -> (u32, Backend) {
    let [.., last] = index.to_be_bytes();
    let address = Address::v4([10, 0, 0, last]);
    (
        index,
        Backend {
            address,
            port: 80,
            service: 1,
            generation: 3,
            ..Backend::default()
        },
    )
}

#[test]
fn a_full_map_names_the_step_that_did_not_fit() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    let mut ops = vec![MapOp::PutBackend(1, backend(1).1)];
    ops.extend((0..100).map(|port| MapOp::PutService(service_key(port), Service::default())));
    let error = plane.apply(&ops).unwrap_err();
    assert_eq!((error.op, error.map), (65, maps::SERVICES));
    assert!(
        matches!(error.fault, ApplyFault::Full { capacity: 64 }),
        "{error}"
    );
    assert_eq!(plane.maps().dump().unwrap().services.len(), 64);

    let slots = vec![
        Slot {
            backend: 1,
            service: 1
        };
        4
    ];
    let ops = [
        MapOp::PutSlots(0, slots.clone()),
        MapOp::PutSlots(510, slots),
    ];
    let error = plane.apply(&ops).unwrap_err();
    assert_eq!((error.op, error.map), (1, maps::SLOTS));
    assert!(
        matches!(error.fault, ApplyFault::Full { capacity: 512 }),
        "{error}"
    );
}

#[test]
fn a_million_slots_are_written_and_read_back() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let capacity = Capacity::for_backends(262_144, 65_536);
    let (plane, _) = open(Options {
        capacity,
        ..options(&rig, "state")
    });
    let slots: Vec<_> = (1..=1_000_000)
        .map(|backend| Slot {
            backend,
            service: 9,
        })
        .collect();
    let mut ops = vec![MapOp::PutSlots(5, slots.clone())];
    ops.extend((0..60_000).map(|port| MapOp::PutService(service_key(port), Service::default())));
    let applied = plane.apply(&ops).unwrap();
    assert_eq!(applied.writes[maps::SLOTS], 1_000_000);
    let dump = plane.maps().dump().unwrap();
    assert!(dump.slots[5..1_000_005] == slots);
    assert_eq!(dump.services.len(), 60_000);
    let usage = plane.maps().usage().unwrap();
    let used = |map| {
        usage
            .iter()
            .find(|usage| usage.map == map)
            .map(|usage| usage.used)
    };
    assert_eq!(
        (used(maps::SLOTS), used(maps::SERVICES)),
        (Some(1_000_000), Some(60_000))
    );
}

#[test]
fn maps_keep_their_size_and_the_difference_is_reported() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    drop(open(options(&rig, "state")));
    let capacity = Capacity {
        services: 1000,
        ..SMALL
    };
    let (plane, report) = open(Options {
        capacity,
        ..options(&rig, "state")
    });
    let sizes: Vec<_> = report
        .sizes
        .iter()
        .map(|one| (one.map, one.actual, one.wanted))
        .collect();
    assert_eq!(
        sizes,
        [(maps::SERVICES, 64, 1000), (maps::SERVICE_STATE, 65, 1001)]
    );
    assert_eq!(plane.maps().services.capacity(), 64);
}

#[test]
fn another_weft_on_the_same_subtree_is_refused() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let child = rig.cgroup().child("child").unwrap();
    let middle = Options {
        cgroup: child.path().to_owned(),
        ..options(&rig, "state")
    };
    let grandchild = child.child("grandchild").unwrap();
    let sibling = rig.cgroup().child("sibling").unwrap();
    let (plane, _) = open(middle);
    plane.attach().unwrap();
    for cgroup in [rig.cgroup().path(), child.path(), grandchild.path()] {
        let error = Plane::open(Options {
            cgroup: cgroup.to_owned(),
            ..options(&rig, "other")
        })
        .unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
    }
    assert!(
        !rig.directory().join("other/bpf").exists(),
        "a refused start leaves nothing"
    );
    let beside = Options {
        cgroup: sibling.path().to_owned(),
        ..options(&rig, "beside")
    };
    let other = rig.directory().join("beside");
    let _other = Installed(&other);
    open(beside).0.attach().unwrap();
}

#[test]
fn links_follow_when_another_cgroup_is_served() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let [one, two] = ["one", "two"].map(|name| rig.cgroup().child(name).unwrap());
    let at = |path: &Path| Options {
        cgroup: path.to_owned(),
        ..options(&rig, "state")
    };
    open(at(one.path())).0.attach().unwrap();
    let (plane, _) = open(at(two.path()));
    assert_eq!(plane.attach().unwrap().created.len(), CGROUP_HOOKS.len());
    assert_eq!(attached(&plane).len(), CGROUP_HOOKS.len());
    eventually("nothing is left on the first cgroup", || {
        Cgroup::resolve(one.path())
            .unwrap()
            .attached(None)
            .unwrap()
            .is_empty()
    });
}

#[test]
fn links_on_interfaces_come_go_and_are_made_anew() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let node = rig.namespace("node").unwrap();
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let add = |name: &str| node.ip(&["link", "add", name, "type", "veth"]).unwrap();
    add("up0");
    add("up1.100");
    let named = |names: &[&str]| Options {
        interfaces: names.iter().map(|name| (*name).to_owned()).collect(),
        ..options(&rig, "state")
    };
    node.enter(|| {
        let (plane, _) = open(named(&["up0", "up1.100"]));
        plane.attach().unwrap();
        assert_eq!(
            interfaces(&state),
            BTreeSet::from(["up0".to_owned(), "up1.100".to_owned()])
        );
        node.ip(&["link", "del", "up0"]).unwrap();
        add("up0");
        let report = plane.attach().unwrap();
        assert_eq!(report.created, ["weft_egress@up0", "weft_ingress@up0"]);
        assert_eq!(report.replaced.len(), CGROUP_HOOKS.len() + TC_HOOKS.len());
        drop(plane);

        let (plane, _) = open(named(&["up0"]));
        let report = plane.attach().unwrap();
        assert_eq!(report.removed.len(), TC_HOOKS.len());
        assert_eq!(interfaces(&state), BTreeSet::from(["up0".to_owned()]));

        let error = open(named(&["nowhere"])).0.attach().unwrap_err();
        assert!(matches!(error, Error::NoInterface { .. }), "{error}");
    })
    .unwrap();
}

/// Interfaces with both programs on them, alive.
fn interfaces(state: &Path) -> BTreeSet<String> {
    let programs = Pinned::open(state).unwrap().programs().unwrap();
    assert!(programs.iter().all(|program| program.alive));
    programs
        .into_iter()
        .filter_map(|program| program.interface)
        .collect()
}

#[test]
fn everything_goes_with_uninstall() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    plane.attach().unwrap();
    let programs: Vec<_> = plane
        .program_stats()
        .unwrap()
        .iter()
        .map(|one| one.id)
        .collect();
    drop(plane);
    let pinned = Pinned::open(&state).unwrap();
    let maps: Vec<_> = pinned.list().unwrap().iter().map(|map| map.id).collect();
    assert_eq!(maps.len(), weft_abi::names::maps::ALL.len());
    drop(pinned);

    let report = uninstall(&state).unwrap();
    assert_eq!(
        (report.links, report.programs),
        (CGROUP_HOOKS.len(), CGROUP_HOOKS.len())
    );
    assert!(report.maps >= maps.len());
    assert!(!state.exists());
    for id in programs {
        assert!(!exists("prog", id), "program {id}");
    }
    for id in maps {
        assert!(!exists("map", id), "map {id}");
    }
    let cgroup = Cgroup::resolve(rig.cgroup().path()).unwrap();
    assert_eq!(cgroup.attached(None).unwrap(), []);
    assert_eq!(
        uninstall(&state).unwrap(),
        weft_loader::uninstall::Report::default()
    );
}

/// Whether `bpftool` finds the object.
fn exists(kind: &str, id: u32) -> bool {
    let output = std::process::Command::new("bpftool")
        .args([kind, "show", "id", &id.to_string()])
        .output()
        .expect("bpftool comes with the toolchain");
    output.status.success()
}

#[test]
fn uninstall_is_refused_while_a_manager_runs_and_names_what_is_still_held() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    plane.attach().unwrap();
    let lock = Lock::acquire(&state).unwrap();
    let error = uninstall(&state).unwrap_err();
    assert!(
        matches!(error, Error::Held { holder, .. } if holder == std::process::id()),
        "{error}"
    );
    assert_eq!(attached(&plane).len(), CGROUP_HOOKS.len());
    drop(lock);
    let error = uninstall(&state).unwrap_err();
    let Error::Left { left } = &error else {
        panic!("{error}")
    };
    assert!(
        left.iter()
            .any(|one| one.starts_with("program weft_connect4 ")),
        "{error}"
    );
    assert!(BpfDir::find(&state).unwrap().is_none());
}

#[test]
fn this_kernel_has_all_features() {
    if Rig::or_skip().is_none() {
        return;
    }
    let missing: Vec<_> = features::probe_all()
        .into_iter()
        .filter(|feature| !feature.is_present())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn statistics_count_runs_while_they_are_enabled() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let node = rig.namespace("node").unwrap();
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    plane.attach().unwrap();
    let guard = weft_loader::enable_stats().unwrap();
    rig.inside(&node)
        .run(|| drop(std::net::TcpStream::connect("127.0.0.1:9")));
    drop(guard);
    let stats = plane.program_stats().unwrap();
    let connect4 = stats
        .iter()
        .find(|one| one.program == "weft_connect4")
        .unwrap();
    assert_eq!(connect4.runs, 1);
    assert!(connect4.nanoseconds > 0);
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    for _ in 0..200 {
        if check() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within two seconds: {what}");
}
