//! The loader against the real kernel: load, attach, upgrade, read back, remove.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's set-up may panic, and tells what it could not clean up"
)]

#[path = "load_plane/contents.rs"]
mod contents;

use std::{collections::BTreeSet, path::Path};

use weft_abi::{
    Address, Backend, BackendState, Protocol, Scope, Service, ServiceKey, Slot,
    names::{maps, programs},
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

/// Instructions the verifier may look at in one program. It stops at a million, but long before that
/// loading takes seconds; and other kernels count otherwise.
const VERIFIED_INSTRUCTIONS: u32 = 50_000;

#[test]
fn no_program_costs_the_verifier_more_than_a_twentieth_of_its_limit() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let mut stats = Vec::new();
    for trace in [false, true] {
        let (plane, _, _) = Plane::open(Options {
            trace,
            ..options(&rig, "state")
        })
        .unwrap_or_else(|error| panic!("{error}"));
        stats.extend(plane.program_stats().unwrap());
    }
    for name in [
        programs::SK_LOOKUP,
        programs::CONNECT4,
        programs::TC_INGRESS,
    ] {
        assert_eq!(stats.iter().filter(|one| one.program == name).count(), 2);
    }
    for one in stats {
        let (program, verified) = (one.program, one.verified_instructions);
        assert!(
            (1..=VERIFIED_INSTRUCTIONS).contains(&verified),
            "{program}: {verified}"
        );
    }
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
