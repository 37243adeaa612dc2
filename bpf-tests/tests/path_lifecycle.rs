//! The mesh comes, is killed, comes again, and goes, while connections are made.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use bpf_tests::{
    Scene,
    scene::{service, vip},
    wait_for,
};
use serde_json::Value;
use weft_loader::{CGROUP_HOOKS, Pinned};
use weft_testkit::{
    Load, Place, PolicyDirectory, Snapshot, Weft, client::fetch, load::ask_times, weft,
};

const SECOND: Duration = Duration::from_secs(1);

/// Ids of pinned links and of the programs behind them.
fn links(state: &Path) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let programs = Pinned::open(state).unwrap().programs().unwrap();
    assert!(programs.iter().all(|program| program.alive));
    (
        programs.iter().map(|program| program.link).collect(),
        programs.iter().map(|program| program.id).collect(),
    )
}

fn bpftool(args: &[&str]) -> Value {
    let output = Command::new("bpftool")
        .arg("-j")
        .args(args)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// Hooks of a cgroup with a program, in order.
fn attached(cgroup: &Path) -> Vec<String> {
    let all = bpftool(&["cgroup", "show", &cgroup.to_string_lossy()]);
    let programs = all.as_array().into_iter().flatten();
    let mut hooks: Vec<String> = programs
        .map(|program| program["attach_type"].as_str().unwrap().to_owned())
        .collect();
    hooks.sort_unstable();
    hooks
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `weft run` where it is expected to refuse.
fn refusal(place: &Place, policy: &Path, cgroup: &Path, state: &Path) -> String {
    let mut command = place.command("timeout");
    command.arg("20").arg(weft::binary().unwrap());
    command.arg("run").arg(policy);
    command
        .arg("--cgroup")
        .arg(cgroup)
        .arg("--state")
        .arg(state);
    command.args(["--admin", "127.0.0.1:0"]);
    let output = command.output().unwrap();
    refused(&output)
}

fn refused(output: &Output) -> String {
    let (code, said) = (output.status.code(), text(&output.stderr));
    assert_eq!(code, Some(2), "{said}{}", text(&output.stdout));
    said
}

#[test]
fn no_connection_fails_whatever_becomes_of_the_manager() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.http(1), scene.http(2)];
    scene.write("web.yaml", &service("web", 1, &[1, 2]).yaml());
    scene.start();
    let cgroup = scene.rig().cgroup().path().to_owned();
    let state = scene.mesh().state().to_owned();
    let (before, programs) = links(&state);
    assert_eq!(attached(&cgroup).len(), CGROUP_HOOKS.len());
    let opened = |scene: &mut Scene| scene.metric("istio_tcp_connections_opened_total", &[]);

    let load = Load::start(&scene.inside(), vip(1), 3, Duration::from_millis(1));
    assert!(load.wait_for(200, 20 * SECOND));
    let counted = opened(&mut scene);
    assert!(counted >= 100.0, "{counted}");
    scene.mesh().kill().unwrap();
    assert!(load.wait_for(300, 20 * SECOND), "the kernel goes on alone");
    assert_eq!(links(&state), (before.clone(), programs.clone()));
    for _ in 0..3 {
        // Again and again, as an upgrade does.
        scene.mesh().restart().unwrap();
        let (links, programs) = links(&state);
        assert_eq!(links, before, "the same links");
        assert_eq!(programs.len(), before.len(), "one program per link");
        assert_eq!(attached(&cgroup).len(), CGROUP_HOOKS.len());
        assert!(load.wait_for(50, 20 * SECOND));
        scene.mesh().kill().unwrap();
    }
    scene.mesh().restart().unwrap();
    assert_ne!(links(&state).1, programs, "programs are replaced");
    assert_eq!(scene.status()["adopted"], true);
    assert!(opened(&mut scene) >= counted + 300.0, "counters go on");
    let starts = [("mode", "adopted")];
    assert_eq!(scene.metric("weft_manager_starts_total", &starts), 1.0);

    assert!(scene.mesh().terminate().unwrap().success());
    assert!(load.wait_for(200, 20 * SECOND), "SIGTERM leaves the mesh");
    scene.mesh().restart().unwrap();
    let outcome = load.stop();
    assert_eq!(outcome.failed, 0, "{outcome:?}");
    assert!((outcome.share("b1") - 0.5).abs() < 0.05, "{outcome:?}");
    wait_for("all connections to be counted", || {
        opened(&mut scene) == outcome.total() as f64
    });
    assert_eq!(scene.metric("weft_active_connections", &[]), 0.0);
}

#[test]
fn a_second_manager_is_refused_on_the_same_ground_and_welcome_beside_it() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.http(1), scene.http(2)];
    scene.write("web.yaml", &service("web", 1, &[1]).yaml());
    scene.start();
    let inside = scene.inside();
    let place = Place::outside(scene.client());
    let policy = scene.policy().path().to_owned();
    let cgroup = scene.rig().cgroup().path().to_owned();
    let state = scene.mesh().state().to_owned();
    let pid = scene.mesh().pid().unwrap().to_string();

    let said = refusal(&place, &policy, &cgroup, &state);
    assert!(said.contains(&pid), "names the process: {said}");
    let elsewhere = scene.rig().directory().join("elsewhere");
    let said = refusal(&place, &policy, &cgroup, &elsewhere);
    assert!(said.contains("weft_"), "names what is attached: {said}");
    // Below it too: sockets there would have two masters.
    let child = scene.rig().cgroup().child("child").unwrap();
    let said = refusal(&place, &policy, child.path(), &elsewhere);
    assert!(!said.is_empty());
    assert_eq!(attached(&cgroup).len(), CGROUP_HOOKS.len());
    assert_eq!(ask_times(&inside, vip(1), 4).answered["b1"], 4);
    assert_eq!(scene.status()["readiness"]["ready"], true);

    // A sibling serves the same address from other backends.
    let host = scene.rig().host("tenant").unwrap();
    let sibling = scene.rig().sibling_cgroup("tenant").unwrap();
    let directory = scene.rig().directory().join("tenant");
    let other = PolicyDirectory::new(directory).unwrap();
    let yaml = service("web", 1, &[2]).yaml();
    other.write("web.yaml", &yaml).unwrap();
    let mesh = Weft::on(scene.rig(), Place::outside(&host), other.path());
    let mut mesh = mesh.unwrap().cgroup(&sibling).start().unwrap();
    let tenant = Place::inside(&host, &sibling);
    let both = |one: &str, two: &str| {
        assert_eq!(ask_times(&inside, vip(1), 10).answered.get(one), Some(&10));
        assert_eq!(ask_times(&tenant, vip(1), 10).answered.get(two), Some(&10));
    };
    both("b1", "b2");
    mesh.kill().unwrap();
    scene.apply("web.yaml", &service("web", 1, &[2]).yaml());
    both("b2", "b2");
    mesh.restart().unwrap();
    mesh.uninstall().unwrap();
    assert_eq!(ask_times(&tenant, vip(1), 2).failed, 2);
    assert_eq!(ask_times(&inside, vip(1), 4).answered["b2"], 4);
    assert_eq!(attached(&cgroup).len(), CGROUP_HOOKS.len());
}

#[test]
fn uninstall_leaves_nothing() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _server = scene.http(1);
    scene.write("web.yaml", &service("web", 1, &[1]).yaml());
    let cgroup = scene.rig().cgroup().path().to_owned();
    let client = scene.client().clone();
    let interfaces = || {
        Place::outside(&client)
            .output("ip", &["-o", "link"])
            .unwrap()
    };
    let before = interfaces();
    scene.start_with(|options| options.interface("eth0"));
    assert_eq!(ask_times(&scene.inside(), vip(1), 3).failed, 0);
    let state = scene.mesh().state().to_owned();
    let (links, _) = links(&state);
    let footprint = Snapshot::of_cgroup(&cgroup).unwrap();
    assert!(footprint.count("prog") == CGROUP_HOOKS.len() && footprint.count("map") > 5);
    assert_eq!(links.len(), CGROUP_HOOKS.len() + 2, "two of them on eth0");
    let mounted = |state: &Path| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.contains(&*state.to_string_lossy())
    };
    assert!(mounted(&state));

    // The running manager is ended first.
    scene.mesh().ask(&["uninstall"]).unwrap();
    assert!(scene.mesh().get("/healthz/live").is_err());
    wait_for("programs and maps to go", || {
        footprint.still_there().unwrap().is_empty()
    });
    for link in links {
        let shown = bpftool(&["link", "show", "id", &link.to_string()]);
        assert!(shown["prog_id"].is_null(), "{shown}");
    }
    assert_eq!(attached(&cgroup), Vec::<String>::new());
    assert!(!mounted(&state));
    assert_eq!(interfaces(), before);
    assert!(
        fs::read_dir(&state).map_or(0, Iterator::count) == 0,
        "{state:?} is not empty"
    );
    let below = fs::read_dir(&cgroup).unwrap().flatten();
    let cells = below.filter(|entry| entry.path().is_dir());
    assert_eq!(cells.count(), 0, "no cgroup of the canary");
    assert_eq!(ask_times(&scene.inside(), vip(1), 1).failed, 1);
}

#[test]
fn run_refuses_with_the_reason_where_it_cannot_work() {
    let Some(mut scene) = Scene::or_skip(0) else {
        return;
    };
    let place = Place::outside(scene.client());
    let policy = scene.policy().path().to_owned();
    let cgroup = scene.rig().cgroup().path().to_owned();
    let state = scene.rig().directory().join("state");
    let said = refusal(&place, &policy, Path::new("/sys/fs/cgroup/nowhere"), &state);
    assert!(said.contains("/sys/fs/cgroup/nowhere"), "{said}");
    let said = refusal(&place, &policy.join("nowhere"), &cgroup, &state);
    assert!(said.contains("directory"), "{said}");

    let mut command = place.command("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all"]);
    command.arg(weft::binary().unwrap()).arg("run").arg(&policy);
    command
        .arg("--cgroup")
        .arg(&cgroup)
        .arg("--state")
        .arg(&state);
    let said = refused(&command.output().unwrap());
    assert!(
        said.contains("root") || said.to_lowercase().contains("cap_"),
        "{said}"
    );
    assert_eq!(attached(&cgroup), Vec::<String>::new());
}

#[test]
fn a_mesh_started_by_ip_netns_exec_outlives_its_manager() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _server = scene.http(1);
    scene.write("web.yaml", &service("web", 1, &[1]).yaml());
    let state = scene.rig().directory().join("exec");
    let cgroup = scene.rig().cgroup().path().to_owned();
    let binary = weft::binary().unwrap();
    let mut child = Command::new("ip")
        .args(["netns", "exec", scene.client().name()])
        .arg(&binary)
        .arg("run")
        .arg(scene.policy().path())
        .arg("--cgroup")
        .arg(&cgroup)
        .arg("--state")
        .arg(&state)
        .args(["--admin", "127.0.0.1:15020"])
        .stderr(fs::File::create(scene.rig().directory().join("exec.log")).unwrap())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let place = Place::outside(scene.client());
    let admin = "127.0.0.1:15020".parse().unwrap();
    let is_ready = || fetch(admin, "/healthz/ready", SECOND).is_ok_and(|one| one.status == 200);
    // No panic before the child is dealt with.
    let started = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        place.run(is_ready)
    });
    let ready = ask_times(&scene.inside(), vip(1), 5);
    child.kill().unwrap();
    child.wait().unwrap();
    let alone = ask_times(&scene.inside(), vip(1), 20);
    let pinned = Pinned::open(&state).map(|pinned| pinned.programs().unwrap().len());
    let mut uninstall = Command::new(&binary);
    let gone = uninstall
        .arg("uninstall")
        .arg("--state")
        .arg(&state)
        .output();
    assert!(gone.unwrap().status.success());
    let log = fs::read_to_string(scene.rig().directory().join("exec.log")).unwrap();
    assert!(started, "{log}");
    assert_eq!((ready.failed, alone.failed), (0, 0), "{alone:?} {log}");
    assert_eq!(pinned.unwrap(), CGROUP_HOOKS.len());
    assert_eq!(attached(&cgroup), Vec::<String>::new());
}

#[test]
fn doctor_tells_which_hook_is_missing() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _server = scene.http(1);
    scene.write("web.yaml", &service("web", 1, &[1]).yaml());
    scene.start();
    let cgroup = scene.rig().cgroup().path().to_string_lossy().into_owned();
    let mut doctor = || {
        let args = ["doctor", "--cgroup", &cgroup, "-o", "json"];
        let output = scene.mesh().command(&args).unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (said, output.status.code())
    };
    let (said, code) = doctor();
    assert_eq!(
        (said["healthy"].as_bool(), code),
        (Some(true), Some(0)),
        "{said}"
    );

    let all = bpftool(&["link", "show"]);
    let programs = bpftool(&["cgroup", "show", &cgroup]);
    let peername = programs
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "weft_peername4")
        .unwrap()["id"]
        .clone();
    let link = all.as_array().unwrap().iter();
    let link = link
        .clone()
        .find(|link| link["prog_id"] == peername)
        .unwrap()["id"]
        .to_string();
    let mut detach = Command::new("bpftool");
    detach.args(["link", "detach", "id", &link]);
    assert!(detach.status().unwrap().success());
    let (said, code) = doctor();
    assert_eq!(
        (said["healthy"].as_bool(), code),
        (Some(false), Some(1)),
        "{said}"
    );
    let checks = said["checks"].as_array().unwrap().iter();
    let failed: Vec<&str> = checks
        .filter(|check| check["verdict"] == "failed")
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert!(
        failed.iter().any(|check| check.contains("getpeername4")),
        "{failed:?}"
    );
    assert!(failed.contains(&"canary"), "{failed:?}");
    // A restart mends it.
    scene.mesh().kill().unwrap();
    scene.mesh().restart().unwrap();
    let args = ["doctor", "--cgroup", &cgroup];
    let output = scene.mesh().command(&args).unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));
}
