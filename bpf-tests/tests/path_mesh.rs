//! Connections of a mesh of two nodes, end to end: every byte, every kind of address, every end.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr},
    sync::atomic::Ordering,
    time::Duration,
};

use bpf_tests::{
    MeshScene,
    mesh::{PATIENCE, PORT, ask, vip, vip6},
    wait_for,
};
use weft_testkit::{
    Capture, Place,
    client::{self, mapped},
    cluster::Pod,
    exchange::{self, Exchanger},
    manifest::Service,
    server::{Echo, Http, TcpService},
};

/// Where HBONE goes.
const HBONE: u16 = 15008;

/// Connections on each path.
const CONNECTIONS: u32 = 10_000;

fn http(pod: &Pod) -> [Http; 2] {
    let name = pod.account();
    [pod.at(PORT), pod.at6(PORT)].map(|at| Http::start(&pod.inside(), at, name).unwrap())
}

fn every_byte_arrives(place: &Place, server: &Exchanger, to: SocketAddr, seed: u64) {
    let exchanged = exchange::storm(place, to, 16, CONNECTIONS, seed);
    assert_eq!(exchanged.bad, 0, "{exchanged:#?}");
    assert_eq!(exchanged.good, u64::from(CONNECTIONS));
    wait_for("the server to be done", || server.service().open() == 0);
    let tally = server.tally();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(count(&tally.broken), 0, "{tally:?}");
    assert_eq!(count(&tally.blunted), 0, "resets stay resets: {tally:?}");
    // A connection that is reset before it was accepted is not seen by the server at all.
    assert!(
        count(&tally.resets) > u64::from(CONNECTIONS) / 32,
        "{tally:?}"
    );
}

fn exchanger(pod: &Pod) -> Exchanger {
    Exchanger::start(&pod.inside(), pod.at(PORT)).unwrap()
}

#[test]
fn every_byte_arrives_on_one_node_under_policy() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    let (near, client) = (scene.near.clone(), scene.client.clone());
    scene.admit(&near, &[&client]);
    let server = exchanger(&scene.near);
    every_byte_arrives(&scene.client.inside(), &server, vip(2), 1);
}

#[test]
fn every_byte_arrives_in_plain_text_from_outside_of_the_mesh() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    let server = exchanger(&scene.web);
    every_byte_arrives(&scene.outsider.inside(), &server, scene.web.at(PORT), 2);
}

#[test]
fn every_byte_arrives_through_hbone() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let server = exchanger(&scene.web);
    every_byte_arrives(&scene.client.inside(), &server, vip(1), 3);
}

#[test]
fn every_kind_of_address_is_carried_encrypted_and_shows_the_client() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    let headless = Service::new("shop", "bare")
        .tcp("tcp", PORT, PORT)
        .pod(&scene.web);
    scene.write("bare.yaml", &headless.yaml());
    scene.start();
    scene.strict();
    let _web = http(&scene.web);
    let capture = Capture::uplink(scene.cluster.node(0)).unwrap();
    let client = scene.client.inside();
    let [own4, own6] = scene.client.addresses();
    let targets: [(&str, SocketAddr, IpAddr); 6] = [
        ("service", vip(1), own4),
        ("service over IPv6", vip6(1), own6),
        ("service, IPv4 in an IPv6 socket", mapped(vip(1)), own4),
        (
            "pod, as a headless service answers",
            scene.web.at(PORT),
            own4,
        ),
        ("pod over IPv6", scene.web.at6(PORT), own6),
        (
            "pod, IPv4 in an IPv6 socket",
            mapped(scene.web.at(PORT)),
            own4,
        ),
    ];
    for (what, to, own) in targets {
        let (server, seen) = ask(&client, to).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(server, "web", "{what}");
        assert_eq!(seen, Some(own), "{what}: the server sees the client");
        let peer = client.run(|| client::connect(to, PATIENCE).unwrap().peer_addr().unwrap());
        assert_eq!(peer, to, "{what}: the client sees what it dialled");
    }
    let recording = capture.stop();
    let port = |port: u16| {
        recording
            .frames
            .iter()
            .any(|f| f.destination.port() == port)
    };
    assert!(port(HBONE));
    assert!(!port(PORT), "plain text passed");
    assert!(
        !recording.contains(b"HTTP/1.1"),
        "a request passed in clear"
    );
}

#[test]
fn a_pod_reaches_itself() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let _web = http(&scene.web);
    let own = scene.web.inside();
    for to in [
        vip(1),
        vip6(1),
        mapped(vip(1)),
        scene.web.at(PORT),
        scene.web.at6(PORT),
    ] {
        let (server, _) = ask(&own, to).unwrap_or_else(|error| panic!("{to}: {error}"));
        assert_eq!(server, "web", "{to}");
    }
    // What a pod tells itself over loopback is its own affair.
    let local: SocketAddr = ([127, 0, 0, 1], 9999).into();
    let _local = Http::start(&own, local, "local").unwrap();
    assert_eq!(ask(&own, local).unwrap().0, "local");
}

#[test]
fn a_server_may_speak_first_and_a_client_may_end_its_half() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let servers = [(&scene.web, vip(1)), (&scene.near, vip(2))];
    for (pod, to) in servers {
        let _echo = Echo::start(&pod.inside(), pod.at(PORT), "hello").unwrap();
        scene.client.inside().run(|| {
            let mut stream = client::connect(to, PATIENCE).unwrap();
            let mut greeting = [0; 6];
            stream.read_exact(&mut greeting).unwrap();
            assert_eq!(&greeting, b"hello\n");
            stream.write_all(b"last words").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "last words");
        });
    }
}

#[test]
fn an_idle_connection_outlives_quiet_and_a_refusing_port_refuses() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    let client = scene.client.inside();
    let _echo = Echo::start(&scene.web.inside(), scene.web.at(PORT), "").unwrap();
    let mut stream = client.run(|| client::connect(vip(1), PATIENCE)).unwrap();
    assert_eq!(client::round_trip(&mut stream, b"one").unwrap(), b"one");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(client::round_trip(&mut stream, b"two").unwrap(), b"two");
    // Nobody listens there: the client learns it, at the latest when it reads.
    let closed = scene.web.at(9);
    let read = client.run(|| {
        let mut stream = client::connect(closed, PATIENCE)?;
        stream.read(&mut [0])
    });
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    let timed_out = |error: &std::io::Error| {
        matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        )
    };
    assert!(!read.as_ref().is_err_and(timed_out), "{read:?}");
}

#[test]
fn a_slow_reader_holds_the_writer_back() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    // Accepts and does not read until it is told to.
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let (count, counted) = std::sync::mpsc::channel::<u64>();
    let count = std::sync::Mutex::new(count);
    let _server = TcpService::start(
        &scene.web.inside(),
        scene.web.at(PORT),
        move |mut stream| {
            gone.lock().unwrap().recv().unwrap();
            let read = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
            count.lock().unwrap().send(read).unwrap();
        },
    )
    .unwrap();
    let resident = |scene: &mut MeshScene| {
        let pids = [0, 1].map(|node| scene.cluster.mesh(node).pid().unwrap());
        pids.map(|pid| weft_testkit::process::resident(pid).unwrap())
    };
    let before = resident(&mut scene);
    let mut stream = scene
        .client
        .inside()
        .run(|| client::connect(vip(1), Duration::from_secs(2)))
        .unwrap();
    let chunk = vec![7; 64 * 1024];
    let mut sent = 0_u64;
    // Ends with a timeout once every buffer between here and there is full.
    while let Ok(length) = stream.write(&chunk) {
        sent += length as u64;
        assert!(sent < 256 << 20, "nothing holds the writer back");
    }
    let after = resident(&mut scene);
    for (before, after) in before.into_iter().zip(after) {
        assert!(after < before + (48 << 20), "{before} to {after}");
    }
    go.send(()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let read = counted.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(read, sent);
}
