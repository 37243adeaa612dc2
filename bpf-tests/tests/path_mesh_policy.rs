//! Who may talk to whom in a mesh of two nodes: refused before a byte, told why, cut while open.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a test's set-up may panic, and effects come in time"
)]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bpf_tests::{
    MeshScene,
    mesh::{PATIENCE, PORT, ask, vip},
    wait_for,
};
use weft_testkit::{
    Place, client,
    cluster::Pod,
    server::{Echo, Http},
};

const SECOND: Duration = Duration::from_secs(1);

fn http(pod: &Pod) -> Http {
    Http::start(&pod.inside(), pod.at(PORT), pod.account()).unwrap()
}

fn refused(place: &Place, to: SocketAddr) -> bool {
    let error = place.run(|| client::connect(to, PATIENCE)).err();
    error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// A connection that carries a round trip.
fn talk(place: &Place, to: SocketAddr) -> TcpStream {
    let mut stream = place.run(|| client::connect(to, PATIENCE)).unwrap();
    let answer = client::round_trip(&mut stream, b"hello").unwrap();
    assert_eq!(answer, b"hello");
    stream
}

/// How long it takes until the connection ends with an error or an end.
fn cut_after(stream: &mut TcpStream) -> Duration {
    let begin = Instant::now();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = stream.read(&mut [0]);
    let waited = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(
        !read.as_ref().is_err_and(|error| waited(error.kind())),
        "the connection goes on"
    );
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    begin.elapsed()
}

#[test]
fn strict_refuses_plain_text_before_a_byte_and_lets_probes_of_the_node_pass() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    let (web, near) = (http(&scene.web), http(&scene.near));
    let outsider = scene.outsider.inside();
    for pod in [&scene.web, &scene.near] {
        assert_eq!(ask(&outsider, pod.at(PORT)).unwrap().0, pod.account());
    }
    // A pod with `hostNetwork` has its node's address and no identity.
    let host = scene.cluster.node(0).inside();
    for (to, server) in [(vip(1), "web"), (vip(2), "near")] {
        assert_eq!(ask(&host, to).unwrap().0, server);
    }
    scene.strict();
    let accepted = (web.service().accepted(), near.service().accepted());
    for pod in [&scene.web, &scene.near] {
        for place in [&outsider, &scene.outsider.outside()] {
            assert!(refused(place, pod.at(PORT)));
        }
    }
    // The other node's own processes are not this node's.
    assert!(refused(&scene.cluster.node(0).inside(), scene.web.at(PORT)));
    assert_eq!(
        (web.service().accepted(), near.service().accepted()),
        accepted
    );
    wait_for("the refusals to be told", || {
        !scene.denied(0, "plaintext").is_empty() && !scene.denied(1, "plaintext").is_empty()
    });
    let told = scene.denied(1, "plaintext");
    let source = told[0]["src"]["addr"].as_str().unwrap();
    assert!(
        source.starts_with("10.81.1.") || source.starts_with("10.80.0.1"),
        "{told:?}"
    );
    assert_eq!(told[0]["dst"]["workload"], "web", "{told:?}");
    // Probes come from the node itself.
    for (node, pod) in [(0, &scene.near), (1, &scene.web)] {
        let probe = scene.cluster.node(node).inside();
        assert_eq!(ask(&probe, pod.at(PORT)).unwrap().0, pod.account());
    }
    // And the mesh itself talks.
    assert_eq!(ask(&scene.client.inside(), vip(1)).unwrap().0, "web");
    assert_eq!(ask(&scene.client.inside(), vip(2)).unwrap().0, "near");
}

#[test]
fn an_identity_is_admitted_and_another_one_refused_and_told_why() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let (web, near) = (http(&scene.web), http(&scene.near));
    let (client, server, same) = (scene.client.clone(), scene.web.clone(), scene.near.clone());
    scene.admit(&server, &[&client]);
    scene.admit(&same, &[&client]);
    assert_eq!(ask(&client.inside(), vip(1)).unwrap().0, "web");
    assert_eq!(ask(&client.inside(), vip(2)).unwrap().0, "near");
    let accepted = (web.service().accepted(), near.service().accepted());
    let other = scene.other.inside();
    for to in [vip(1), scene.web.at(PORT)] {
        assert!(ask(&other, to).is_err(), "{to}");
    }
    // On one node the kernel refuses, and so `connect` itself does.
    for to in [vip(2), scene.near.at(PORT)] {
        assert!(refused(&other, to), "{to}");
    }
    assert_eq!(
        (web.service().accepted(), near.service().accepted()),
        accepted,
        "a refused client reached an application"
    );
    for (node, hop, server) in [(1, "proxy", "web"), (0, "kernel", "near")] {
        wait_for("the refusal to be told", || {
            !scene.denied(node, "denied").is_empty()
        });
        let told = scene.denied(node, "denied").remove(0);
        assert_eq!(told["hop"], hop, "{told}");
        assert_eq!(told["enforced"], true, "{told}");
        assert_eq!(told["src"]["workload"], "other", "{told}");
        let identity = told["src"]["identity"].as_str().unwrap();
        assert!(identity.ends_with("/ns/shop/sa/other"), "{told}");
        assert_eq!(told["dst"]["workload"], server, "{told}");
        assert!(!told["reason"].as_str().unwrap().is_empty(), "{told}");
        let metrics = scene.cluster.mesh(node).scrape().unwrap();
        let hits = |policy, rule, action| {
            let labels = [
                ("policy", policy),
                ("rule", rule),
                ("action", action),
                ("hop", hop),
            ];
            metrics.sum("weft_policy_hits_total", &labels)
        };
        assert_eq!(hits("none", "none", "deny"), Some(2.0), "{hop}");
        assert_eq!(hits(server, "0", "allow"), Some(1.0), "{hop}");
        let report = scene.ask(node, &["policies"]);
        let policies = report["policies"].as_array().unwrap();
        assert_eq!(policies.len(), 1, "only what holds here: {report}");
        assert_eq!(policies[0]["name"], server, "{report}");
        assert_eq!(
            policies[0]["workloads"][0],
            format!("shop/{server}"),
            "{report}"
        );
        assert_eq!(policies[0]["rules"][0][hop], 1, "{report}");
        assert_eq!(report["unmatched"][hop], 2, "{report}");
    }
}

#[test]
fn metrics_tell_who_was_proved_and_what_was_encrypted() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    let _servers = (http(&scene.web), http(&scene.near));
    let client = scene.client.clone();
    for to in [vip(1), vip(2)] {
        ask(&client.inside(), to).unwrap();
        ask(&scene.outsider.inside(), to).unwrap();
    }
    let metrics = scene.cluster.mesh(0).scrape().unwrap();
    let opened = |from: &Pod, to: &Pod, principals: [&str; 2], security| {
        let labels = [
            ("source_workload", from.account()),
            ("destination_workload", to.account()),
            ("source_principal", principals[0]),
            ("destination_principal", principals[1]),
            ("connection_security_policy", security),
        ];
        metrics.sum("istio_tcp_connections_opened_total", &labels)
    };
    let (web, near) = (scene.web.identity(), scene.near.identity());
    let own = client.identity();
    let unproved = ["unknown"; 2];
    let proved = opened(&client, &scene.web, [&own, &web], "mutual_tls");
    assert_eq!(proved, Some(1.0));
    let attested = opened(&client, &scene.near, [&own, &near], "none");
    assert_eq!(attested, Some(1.0));
    for server in [&scene.web, &scene.near] {
        let plain = opened(&scene.outsider, server, unproved, "none");
        assert_eq!(plain, Some(1.0), "{}", server.account());
    }
}

#[test]
fn a_change_of_policy_cuts_live_connections_within_a_second() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let _servers =
        [&scene.web, &scene.near].map(|pod| Echo::start(&pod.inside(), pod.at(PORT), "").unwrap());
    let (client, other) = (scene.client.clone(), scene.other.clone());
    for (server, to) in [(scene.web.clone(), vip(1)), (scene.near.clone(), vip(2))] {
        scene.admit(&server, &[&client, &other]);
        let mut kept = talk(&client.inside(), to);
        let mut cut = talk(&other.inside(), to);
        let file = format!("allow-{}.yaml", server.account());
        let principal = client.identity().replacen("spiffe://", "", 1);
        let yaml =
            weft_testkit::manifest::allow_principals("shop", server.account(), &[&principal]);
        scene.write(&file, &yaml);
        let took = cut_after(&mut cut);
        assert!(took < SECOND, "{to}: cut after {took:?}");
        assert_eq!(client::round_trip(&mut kept, b"still").unwrap(), b"still");
    }
}

#[test]
fn an_address_used_again_never_carries_the_former_identity() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    let first = scene
        .cluster
        .pod_at(0, 200, "shop/trusted-0", "trusted")
        .unwrap();
    scene.cluster.start().unwrap();
    scene.wait_enrolled(0, 4);
    scene.strict();
    let servers = [http(&scene.web), http(&scene.near)];
    for server in [scene.web.clone(), scene.near.clone()] {
        scene.admit(&server, &[&first]);
    }
    let mut pod = first;
    for round in 1..=6 {
        let is_trusted = pod.account() == "trusted";
        let outcome = knock(&pod, &[vip(1), vip(2)], SECOND);
        if is_trusted {
            assert!(outcome.passed > 10, "round {round}: {outcome:?}");
        } else {
            assert_eq!(outcome.passed, 0, "round {round}: {outcome:?}");
        }
        let stopped = Arc::new(AtomicBool::new(false));
        // Somebody is in the middle of asking when the address changes hands.
        let asking = {
            let (stopped, to) = (Arc::clone(&stopped), vip(1));
            pod.inside().spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    drop(client::fetch(to, "/", SECOND / 2));
                }
            })
        };
        let begin = Instant::now();
        scene.cluster.remove_pod(&pod).unwrap();
        let account = if is_trusted { "stranger" } else { "trusted" };
        let name = format!("shop/{account}-{round}");
        let next = scene.cluster.pod_at(0, 200, &name, account).unwrap();
        assert!(
            begin.elapsed() < SECOND,
            "the rig is too slow to show anything"
        );
        // Before it is enrolled it is nobody.
        if is_trusted {
            let early = knock(&next, &[vip(1), vip(2)], SECOND / 10);
            assert_eq!(early.passed, 0, "round {round}, early: {early:?}");
        }
        let claim = next.claim();
        let enrolled = scene.cluster.mesh(0).ask(&["enrol", &claim]);
        enrolled.unwrap_or_else(|error| panic!("{error:#}"));
        stopped.store(true, Ordering::Relaxed);
        asking.join().unwrap();
        pod = next;
    }
    assert!(servers.iter().all(|server| server.service().accepted() > 0));
}

/// What came of requests.
#[derive(Debug, Default)]
struct Knocks {
    passed: u32,
    refused: u32,
}

fn knock(pod: &Pod, targets: &[SocketAddr], time: Duration) -> Knocks {
    pod.inside().run(|| {
        let (mut knocks, begin) = (Knocks::default(), Instant::now());
        while begin.elapsed() < time {
            for target in targets {
                match client::fetch(*target, "/", SECOND) {
                    Ok(_) => knocks.passed += 1,
                    Err(_) => knocks.refused += 1,
                }
            }
        }
        knocks
    })
}

#[test]
fn a_server_that_took_over_an_address_answers_only_as_itself() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    let mut server = scene.cluster.pod_at(1, 200, "shop/blue-0", "blue").unwrap();
    scene.cluster.start().unwrap();
    scene.wait_enrolled(1, 2);
    scene.strict();
    let target = server.at(PORT);
    let client = scene.client.clone();
    for round in 1..=4 {
        let listening = http(&server);
        wait_for("the server to answer", || {
            ask(&client.inside(), target).is_ok()
        });
        let (answer, _) = ask(&client.inside(), target).unwrap();
        assert_eq!(answer, server.account());
        drop(listening);
        scene.cluster.remove_pod(&server).unwrap();
        let account = ["blue", "green"][round % 2];
        let name = format!("shop/{account}-{round}");
        server = scene.cluster.pod_at(1, 200, &name, account).unwrap();
        let claim = server.claim();
        let enrolled = scene.cluster.mesh(1).ask(&["enrol", &claim]);
        enrolled.unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[test]
fn without_its_manager_a_node_refuses_what_it_cannot_encrypt_and_goes_on_with_the_rest() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let (_web, _near) = (http(&scene.web), http(&scene.near));
    let (client, near) = (scene.client.clone(), scene.near.clone());
    scene.admit(&near, &[&client]);
    assert_eq!(ask(&client.inside(), vip(1)).unwrap().0, "web");
    scene.cluster.mesh(0).kill().unwrap();
    for to in [vip(1), scene.web.at(PORT), scene.web.at6(PORT)] {
        assert!(refused(&client.inside(), to), "{to}");
    }
    for _ in 0..50 {
        assert_eq!(ask(&client.inside(), vip(2)).unwrap().0, "near");
    }
    assert!(
        refused(&scene.other.inside(), vip(2)),
        "policy holds without a manager"
    );
    assert!(
        refused(&scene.outsider.inside(), scene.near.at(PORT)),
        "and so does STRICT"
    );
    scene.cluster.mesh(0).restart().unwrap();
    wait_for("the mesh to be whole again", || {
        ask(&client.inside(), vip(1)).is_ok_and(|(server, _)| server == "web")
    });
    assert!(refused(&scene.other.inside(), vip(2)));
}

#[test]
fn a_mesh_that_is_uninstalled_leaves_its_pods_as_they_were() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let (_web, _near) = (http(&scene.web), http(&scene.near));
    assert!(refused(&scene.outsider.inside(), scene.near.at(PORT)));
    for node in [0, 1] {
        scene.cluster.uninstall(node).unwrap();
    }
    for pod in [&scene.near, &scene.web] {
        assert_eq!(
            ask(&scene.outsider.inside(), pod.at(PORT)).unwrap().0,
            pod.account()
        );
        assert_eq!(
            ask(&scene.client.inside(), pod.at(PORT)).unwrap().0,
            pod.account()
        );
    }
}

#[test]
fn floods_of_the_tunnel_port_are_refused_in_bounded_memory_and_others_are_served() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    scene.start();
    scene.strict();
    let _web = http(&scene.web);
    assert_eq!(ask(&scene.client.inside(), vip(1)).unwrap().0, "web");
    let pid = scene.cluster.mesh(1).pid().unwrap();
    let before = weft_testkit::process::resident(pid).unwrap();
    let tunnel = scene.web.at(15008);
    let flood = scene.outsider.inside().spawn(move || {
        let mut held = Vec::new();
        for number in 0..3000_u32 {
            let Ok(mut stream) = client::connect(tunnel, SECOND) else {
                continue;
            };
            // Nothing, a record that promises more than it brings, and what is no TLS at all.
            let said: &[u8] = match number % 3 {
                0 => b"",
                1 => &[22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb],
                _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            };
            drop(stream.write_all(said));
            held.push(stream);
        }
        held
    });
    let mut slowest = Duration::ZERO;
    let mut peak = before;
    while !flood.is_finished() {
        let begin = Instant::now();
        assert_eq!(ask(&scene.client.inside(), vip(1)).unwrap().0, "web");
        slowest = slowest.max(begin.elapsed());
        peak = peak.max(weft_testkit::process::resident(pid).unwrap());
        std::thread::sleep(SECOND / 20);
    }
    let held = flood.join().unwrap();
    assert!(
        held.len() > 500,
        "the flood did not get there: {}",
        held.len()
    );
    assert!(slowest < 4 * SECOND, "a client waited {slowest:?}");
    assert!(peak < before + (64 << 20), "{before} to {peak}");
    // Those that never finish a handshake are let go.
    let begin = Instant::now();
    for stream in &held {
        stream.set_read_timeout(Some(20 * SECOND)).unwrap();
        let mut stream: &TcpStream = stream;
        while let Ok(1..) = stream.read(&mut [0; 64]) {}
        assert!(
            begin.elapsed() < 40 * SECOND,
            "a silent connection is kept for ever"
        );
    }
}
