//! What operators see is what happened: bytes, labels, histograms, maps, answers of commands.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};

use bpf_tests::{
    Scene,
    scene::{PORT, documents, service, v4, v6, vip, vip6},
    wait_for,
};
use serde_json::Value;
use weft_testkit::{
    client::{connect, mapped, round_trip},
    load::ask_times,
    manifest::{Service, pod_yaml},
    server::TcpService,
};

const SECOND: Duration = Duration::from_secs(1);
const SENT: &str = "istio_tcp_sent_bytes_total";
const RECEIVED: &str = "istio_tcp_received_bytes_total";

/// Reads all the client says, then answers with that many bytes and closes.
fn answers_with(scene: &Scene, at: SocketAddr, length: usize) -> TcpService {
    TcpService::start(&scene.outside(), at, move |mut stream| {
        let mut all = Vec::new();
        if stream.read_to_end(&mut all).is_ok() {
            drop(stream.write_all(&vec![7; length]));
        }
    })
    .unwrap()
}

#[test]
fn bytes_are_counted_exactly_in_both_directions_and_over_half_closed_connections() {
    let Some(mut scene) = Scene::or_skip(4) else {
        return;
    };
    let (sizes, answers) = ([0, 1, 1_000, 3_000_000], [5, 0, 2_000_000, 9]);
    let mut servers = Vec::new();
    let mut yaml = vec![pod_yaml(
        "shop",
        "caller",
        "caller",
        "v1",
        &[scene.client().v4().into()],
    )];
    for (number, answer) in (1..=4).zip(answers) {
        let name = format!("s{number}");
        servers.push(answers_with(&scene, (v4(number), PORT).into(), answer));
        servers.push(answers_with(&scene, (v6(number), PORT).into(), answer));
        let one = service(&name, number, &[number]).address(vip6(number).ip());
        yaml.push(one.backend("six", &[v6(number)]).yaml());
    }
    scene.write("all.yaml", &documents(yaml));
    scene.start();
    let families: [fn(u8) -> SocketAddr; 3] = [vip, vip6, |number| mapped(vip(number))];
    for (number, size) in (1..=4).zip(sizes) {
        for to in families {
            let length = scene.inside().run(|| {
                let mut stream = connect(to(number), 10 * SECOND).unwrap();
                stream.write_all(&vec![1; size]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                answer.len()
            });
            assert_eq!(length, answers[usize::from(number) - 1]);
        }
    }
    let closed = "istio_tcp_connections_closed_total";
    wait_for("all connections to be counted", || {
        scene.metric(closed, &[]) == 12.0
    });
    let metrics = scene.mesh().scrape().unwrap();
    for (number, (size, answer)) in (1..=4).zip(sizes.into_iter().zip(answers)) {
        let name = format!("s{number}");
        let labels = [("destination_service_name", name.as_str())];
        // From the server's side, as Istio has it.
        let counted = [SENT, RECEIVED].map(|name| metrics.sum(name, &labels));
        let happened = [answer, size].map(|bytes| Some(3.0 * bytes as f64));
        assert_eq!(counted, happened, "{name}");
    }
}

#[test]
fn series_name_both_workloads_or_say_unknown_and_histograms_have_a_sample_of_each() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.http(1), scene.http(2)];
    let client = scene.client().v4();
    let stranger = scene.rig().host("stranger").unwrap();
    let stranger = scene.rig().inside(&stranger);
    scene.write(
        "all.yaml",
        &documents([
            service("known", 1, &[1]).yaml(),
            service("unsaid", 2, &[2]).without_pods().yaml(),
            pod_yaml("front", "caller", "caller", "v3", &[client.into()]),
        ]),
    );
    scene.start();
    for (place, count) in [(scene.inside(), 5), (stranger, 3)] {
        assert_eq!(ask_times(&place, vip(1), count).failed, 0);
        assert_eq!(ask_times(&place, vip(2), count).failed, 0);
    }
    wait_for("all connections to be counted", || {
        scene.metric("istio_tcp_connections_closed_total", &[]) == 16.0
    });
    let metrics = scene.mesh().scrape().unwrap();
    let caller = [
        ("source_workload", "caller"),
        ("source_workload_namespace", "front"),
    ];
    let nobody = [
        ("source_workload", "unknown"),
        ("source_workload_namespace", "unknown"),
    ];
    let known = [
        ("destination_workload", "known-b1"),
        ("destination_workload_namespace", "shop"),
        ("destination_service_name", "known"),
        ("destination_service_namespace", "shop"),
        ("destination_service", "known.shop.svc.cluster.local"),
    ];
    let unsaid = [
        ("destination_workload", "unknown"),
        ("destination_service_name", "unsaid"),
    ];
    let app = [
        ("source_app", "caller"),
        ("source_version", "v3"),
        ("destination_app", "known"),
        ("destination_version", "b1"),
        ("request_protocol", "tcp"),
    ];
    let count = |name: &str, parts: &[&[(&str, &str)]]| metrics.sum(name, &parts.concat());
    let opened = "istio_tcp_connections_opened_total";
    assert_eq!(count(opened, &[&caller, &known, &app]), Some(5.0));
    assert_eq!(count(opened, &[&caller, &unsaid]), Some(5.0));
    assert_eq!(count(opened, &[&nobody, &known]), Some(3.0));
    assert_eq!(count(opened, &[&nobody, &unsaid]), Some(3.0));
    for histogram in ["weft_tcp_connect_seconds", "weft_tcp_rtt_seconds"] {
        let samples = metrics.sum(&format!("{histogram}_count"), &[]).unwrap();
        assert!(samples >= 16.0, "{histogram}: {samples}");
        let sum = metrics.sum(&format!("{histogram}_sum"), &[]).unwrap();
        assert!(sum > 0.0 && sum / samples < 1.0, "{histogram}: {sum}");
        let all = metrics.sum(&format!("{histogram}_bucket"), &[("le", "+Inf")]);
        assert_eq!(all, Some(samples));
    }
    let (status, body) = scene.mesh().get("/metrics").unwrap();
    assert_eq!(status, 200);
    read_by_prometheus(&body);
    let (status, _) = scene.mesh().get("/healthz/ready").unwrap();
    assert_eq!(status, 200);

    let top = scene.ask(&["top", "--once"]);
    let services = top["services"].as_array().unwrap();
    let known = services.iter().find(|one| one["name"] == "known").unwrap();
    assert_eq!(known["connections"], 8, "{known}");
    let list = scene.ask(&["service", "list"]);
    let known = list.as_array().unwrap().iter();
    let known = known.clone().find(|one| one["name"] == "known").unwrap();
    assert_eq!(
        (&known["ready"], &known["connections"]),
        (&1.into(), &8.into())
    );
}

/// Has Prometheus's own parser read a scrape, where it is installed.
#[expect(clippy::print_stdout, reason = "a part that is skipped says why")]
fn read_by_prometheus(scrape: &str) {
    let script = "import sys\n\
                  try:\n  from prometheus_client.parser import text_string_to_metric_families\n\
                  except ImportError:\n  sys.exit(77)\n\
                  print(sum(len(f.samples) for f in text_string_to_metric_families(sys.stdin.read())))";
    let python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        return println!("skipped: no python3 to read the scrape with");
    };
    let written = python.stdin.take().unwrap().write_all(scrape.as_bytes());
    let output = python.wait_with_output().unwrap();
    if output.status.code() == Some(77) {
        return println!("skipped: no prometheus_client to read the scrape with");
    }
    written.unwrap();
    assert!(output.status.success(), "{scrape}");
    let read: usize = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap();
    let samples = scrape
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    assert_eq!(read, samples.count());
}

#[test]
fn a_long_connection_is_counted_while_it_lives_and_once() {
    let Some(mut scene) = Scene::or_skip(1) else {
        return;
    };
    let _server = scene.echo(v4(1), "");
    scene.write("web.yaml", &service("web", 1, &[1]).yaml());
    scene.start();
    let mut stream = scene.inside().run(|| connect(vip(1), 5 * SECOND)).unwrap();
    assert_eq!(round_trip(&mut stream, &[1; 1_000]).unwrap().len(), 1_000);
    wait_for("the live connection's bytes", || {
        scene.metric(RECEIVED, &[]) == 1_000.0 && scene.metric(SENT, &[]) == 1_000.0
    });
    assert_eq!(scene.metric("istio_tcp_connections_closed_total", &[]), 0.0);
    assert_eq!(scene.metric("weft_active_connections", &[]), 1.0);
    // Also by a manager younger than it.
    scene.mesh().kill().unwrap();
    assert_eq!(round_trip(&mut stream, &[1; 500]).unwrap().len(), 500);
    scene.mesh().restart().unwrap();
    wait_for("the bytes since", || scene.metric(RECEIVED, &[]) == 1_500.0);
    assert_eq!(round_trip(&mut stream, &[1; 50]).unwrap().len(), 50);
    drop(stream);
    wait_for("the end", || {
        scene.metric("istio_tcp_connections_closed_total", &[]) == 1.0
    });
    assert_eq!(scene.metric(RECEIVED, &[]), 1_550.0);
    assert_eq!(scene.metric(SENT, &[]), 1_550.0);
}

fn bpftool(args: &[&str]) -> Value {
    let output = Command::new("bpftool")
        .arg("-j")
        .args(args)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Numbers found anywhere in an answer under this name.
fn numbers(value: &Value, name: &str, found: &mut Vec<u64>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key.eq_ignore_ascii_case(name)
                    && let Some(number) = value.as_u64()
                {
                    found.push(number);
                }
                numbers(value, name, found);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| numbers(one, name, found)),
        _ => {}
    }
}

#[test]
fn maps_read_the_same_by_weft_and_by_bpftool() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.http(1), scene.http(2)];
    let udp = Service::new("shop", "dns")
        .address(vip(2).ip())
        .udp("dns", 53, PORT)
        .backend("b1", &[v4(1)]);
    scene.write(
        "all.yaml",
        &documents([service("web", 1, &[1, 2]).yaml(), udp.yaml()]),
    );
    scene.start_with(|options| options.argument("--max-backends=64"));
    assert_eq!(ask_times(&scene.inside(), vip(1), 6).failed, 0);

    let list = scene.ask(&["map", "list"]);
    let listed: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|map| map["name"].as_str().unwrap())
        .collect();
    let state = scene.mesh().state().to_owned();
    for name in ["SERVICES", "BACKENDS", "SLOTS", "WORKLOADS", "EDGES"] {
        assert!(listed.contains(&name), "{listed:?}");
        let ours = scene.ask(&["map", "dump", name]);
        let pin = find(&state, name);
        let theirs = bpftool(&["map", "dump", "pinned", &pin]);
        // bpftool's "formatted" is typed; what it has besides are bytes in hexadecimal.
        let theirs: Vec<Value> = theirs
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["formatted"].clone())
            .collect();
        let is_used = |entry: &&Value| {
            let mut all = Vec::new();
            for field in ["service", "backend"] {
                numbers(&entry["value"], field, &mut all);
            }
            !["BACKENDS", "SLOTS"].contains(&name) || all.iter().any(|number| *number != 0)
        };
        let used: Vec<&Value> = theirs.iter().filter(is_used).collect();
        let entries = ours.as_array().or_else(|| ours["entries"].as_array());
        assert_eq!(
            entries.unwrap().len(),
            used.len(),
            "{name}: {ours} {used:?}"
        );
        for field in [
            "first_slot",
            "slots",
            "generation",
            "opened",
            "closed",
            "sent",
            "received",
        ] {
            let (mut one, mut two) = (Vec::new(), Vec::new());
            numbers(&ours, field, &mut one);
            used.iter()
                .for_each(|entry| numbers(entry, field, &mut two));
            one.sort_unstable();
            two.sort_unstable();
            assert_eq!(one, two, "{name}.{field}: {ours} {used:?}");
        }
    }
    let key = format!("{}/tcp", vip(1));
    let entry = scene.ask(&["map", "get", "services", &key]).to_string();
    assert!(entry.contains("web"), "names resolved: {entry}");
    let output = scene
        .mesh()
        .command(&["map", "get", "services", "10.9.9.9:1/tcp"]);
    assert_eq!(output.unwrap().status.code(), Some(1));
}

/// The pin of a map below a state directory.
fn find(state: &std::path::Path, name: &str) -> String {
    let mut directories = vec![state.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if entry.file_name() == name {
                return path.to_string_lossy().into_owned();
            }
        }
    }
    panic!("no pin of {name}")
}
