//! `weft run --hold`: connections of a pod that is enrolled before its policy is known wait for it.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    io,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use bpf_tests::{
    MeshScene,
    mesh::{PORT, vip, vip6},
    wait_for,
};
use weft_testkit::{
    Capture, Place,
    client::{self, http::Response},
    cluster::Pod,
    exchange::{self, Exchanger},
    server::Http,
};

/// Longest wait of a client that is held.
const PATIENCE: Duration = Duration::from_secs(20);

/// The mesh, in which the second node holds, and `web` on it is enrolled but the node does not know
/// it.
struct Unknown {
    scene: MeshScene,
    web: Arc<Pod>,
    /// On the same node, and known.
    neighbour: Arc<Pod>,
}

impl Unknown {
    fn or_skip(hold: &str) -> Option<Self> {
        let mut scene = MeshScene::or_skip()?;
        let web = scene.web.clone();
        let neighbour = scene.cluster.pod(1, "shop/neighbour", "neighbour").unwrap();
        scene.cluster.part_policies().unwrap();
        scene.cluster.write_second(&web.file(), "").unwrap();
        let with = |node, options: weft_testkit::weft::WeftOptions| match node {
            1 => options.argument(hold),
            _ => options,
        };
        scene.cluster.start_with(with).unwrap();
        scene.wait_enrolled(0, 3);
        Some(Self {
            scene,
            web,
            neighbour,
        })
    }

    fn reveal(&self) {
        let (file, yaml) = (self.web.file(), self.web.yaml());
        self.scene.cluster.write_second(&file, &yaml).unwrap();
    }

    /// Connections of the second node that have waited.
    fn held(&mut self) -> f64 {
        let metrics = self.scene.cluster.mesh(1).scrape().unwrap();
        metrics.sum("weft_connections_held_total", &[]).unwrap()
    }
}

fn fetch(place: &Place, to: std::net::SocketAddr) -> JoinHandle<io::Result<Response>> {
    place.spawn(move || client::fetch(to, "/", PATIENCE))
}

#[test]
fn what_an_unknown_pod_opens_waits_and_goes_on_encrypted_as_that_pod() {
    let Some(mut unknown) = Unknown::or_skip("--hold") else {
        return;
    };
    let (near, web) = (unknown.scene.near.clone(), unknown.web.clone());
    unknown.scene.strict();
    unknown.scene.admit(&near, &[&web]);
    let servers = [near.at(PORT), near.at6(PORT)];
    let _servers = servers.map(|at| Http::start(&near.inside(), at, "near").unwrap());
    let capture = Capture::uplink(unknown.scene.cluster.node(0)).unwrap();
    let targets = [vip(2), near.at(PORT), near.at6(PORT)];
    let asked = targets.map(|to| fetch(&web.inside(), to));
    wait_for("the connections to be held", || unknown.held() >= 3.0);
    // What it tells itself over loopback is its own affair.
    let local = ([127, 0, 0, 1], 9999).into();
    let _local = Http::start(&web.inside(), local, "local").unwrap();
    let answer = fetch(&web.inside(), local).join().unwrap().unwrap();
    assert_eq!(answer.server, "local");
    assert!(asked.iter().all(|thread| !thread.is_finished()));

    unknown.reveal();
    let own = [IpAddr::from(web.v4()), web.v6().into()];
    for thread in asked {
        let answer = thread.join().unwrap().unwrap();
        assert_eq!(answer.server, "near");
        assert!(own.contains(&answer.peer.unwrap().ip()), "{answer:?}");
    }
    let recording = capture.stop();
    let mut frames = recording.frames.iter();
    assert!(frames.all(|frame| frame.destination.port() != PORT));
    // None of it was a refusal.
    assert_eq!(unknown.scene.denied(1, "not_ready").len(), 0);
    // From now on they go their usual way.
    let before = unknown.held();
    let answer = fetch(&web.inside(), vip(2)).join().unwrap().unwrap();
    assert_eq!(answer.server, "near");
    assert!(unknown.held() <= before);
}

#[test]
fn every_byte_arrives_of_what_waited_and_of_what_came_meanwhile() {
    const AT_ONCE: u32 = 64;
    const CONNECTIONS: u32 = 1984;
    let Some(mut unknown) = Unknown::or_skip("--hold") else {
        return;
    };
    unknown.scene.strict();
    let near = unknown.scene.near.clone();
    let server = Exchanger::start(&near.inside(), near.at(PORT)).unwrap();
    let place = unknown.web.inside();
    let storm =
        std::thread::spawn(move || exchange::storm(&place, vip(2), AT_ONCE, CONNECTIONS, 5));
    wait_for("clients to be held", || {
        unknown.held() >= f64::from(AT_ONCE)
    });
    assert_eq!(server.service().accepted(), 0);
    unknown.reveal();
    let exchanged = storm.join().unwrap();
    assert_eq!(exchanged.bad, 0, "{exchanged:#?}");
    assert_eq!(exchanged.good, u64::from(CONNECTIONS));
    wait_for("the server to be done", || server.service().open() == 0);
    assert_eq!(server.tally().broken.load(Ordering::Relaxed), 0);
}

#[test]
fn what_comes_to_an_unknown_pod_waits_and_meets_its_policy() {
    let Some(mut unknown) = Unknown::or_skip("--hold") else {
        return;
    };
    let web = unknown.web.clone();
    let outsider = unknown.scene.outsider.inside();
    let _servers =
        [web.at(PORT), web.at6(PORT)].map(|at| Http::start(&web.inside(), at, "web").unwrap());
    let targets = [web.at(PORT), web.at6(PORT)];
    let asked = targets.map(|to| fetch(&outsider, to));
    wait_for("the SYNs to be dropped", || unknown.held() >= 2.0);
    assert!(asked.iter().all(|thread| !thread.is_finished()));
    unknown.reveal();
    for thread in asked {
        assert_eq!(thread.join().unwrap().unwrap().server, "web");
    }
}

#[test]
fn a_neighbour_and_the_node_that_waited_are_known_for_who_they_are() {
    let Some(mut unknown) = Unknown::or_skip("--hold") else {
        return;
    };
    let (web, neighbour) = (unknown.web.clone(), unknown.neighbour.clone());
    unknown.scene.strict();
    unknown.scene.admit(&web, &[&neighbour]);
    let _server = Http::start(&web.inside(), web.at(PORT), "web").unwrap();
    let from = [neighbour.inside(), unknown.scene.cluster.node(1).inside()];
    let asked = from.map(|place| fetch(&place, web.at(PORT)));
    let other = fetch(&unknown.scene.outsider.inside(), web.at(PORT));
    wait_for("the SYNs to be dropped", || unknown.held() >= 3.0);
    unknown.reveal();
    for thread in asked {
        assert_eq!(thread.join().unwrap().unwrap().server, "web");
    }
    let error = other.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "plain text");
}

#[test]
fn what_comes_encrypted_to_an_unknown_pod_waits_too() {
    let Some(mut unknown) = Unknown::or_skip("--hold") else {
        return;
    };
    let web = unknown.web.clone();
    unknown.scene.strict();
    let _server = Http::start(&web.inside(), web.at(PORT), "web").unwrap();
    let client = unknown.scene.client.clone();
    let asked = fetch(&client.inside(), vip(1));
    wait_for("the SYN to be dropped", || unknown.held() >= 1.0);
    unknown.reveal();
    let answer = asked.join().unwrap().unwrap();
    assert_eq!(answer.server, "web");
    assert_eq!(answer.peer.unwrap().ip(), IpAddr::from(client.v4()));
}

#[test]
fn a_connection_that_waited_too_long_is_reset_and_told_of() {
    let Some(mut unknown) = Unknown::or_skip("--hold=1") else {
        return;
    };
    let error = fetch(&unknown.web.inside(), vip6(1)).join().unwrap();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    let denied = unknown.scene.denied(1, "not_ready");
    assert_eq!(denied.len(), 1, "{denied:#?}");
    assert_eq!(denied[0]["dst"]["addr"], vip6(1).to_string());
}

#[test]
fn a_manager_outside_of_the_cgroup_it_serves_cannot_hold_and_says_so() {
    let Some(mut scene) = MeshScene::or_skip() else {
        return;
    };
    let options = scene.cluster.options(0).unwrap().argument("--hold");
    let error = format!("{:#}", options.start().unwrap_err());
    assert!(error.contains("must itself run in the cgroup"), "{error}");
}
