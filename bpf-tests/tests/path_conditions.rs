//! Backends that must not be chosen: terminating, none at all, full.

#![expect(clippy::disallowed_types, reason = "`at once` is a time")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use bpf_tests::{
    Scene,
    scene::{PORT, documents, service, v4, v6, vip, vip6},
    wait_for,
};
use weft_testkit::{
    client::{greeting, mapped, round_trip},
    load::ask_times,
    manifest::{Service, destination_rule},
    server::{Fault, Faulty},
};

const SECOND: Duration = Duration::from_secs(1);
const DRAINING: &str = "{ready: false, serving: true, terminating: true}";

#[test]
fn a_terminating_backend_keeps_its_connections_and_gets_none_unless_all_terminate() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.echo(v4(1), "b1"), scene.echo(v4(2), "b2")];
    let yaml = |conditions: [Option<&str>; 2]| {
        Service::new("shop", "drain")
            .address(vip(1).ip())
            .tcp("tcp", 80, PORT)
            .backend_with("b1", &[v4(1)], conditions[0])
            .backend_with("b2", &[v4(2)], conditions[1])
            .yaml()
    };
    scene.write("drain.yaml", &yaml([None, Some("{ready: false}")]));
    scene.start_with(|options| options.argument("--connection-grace=0"));
    let inside = scene.inside();
    let mut held = inside.run(|| TcpStream::connect(vip(1))).unwrap();
    held.set_read_timeout(Some(5 * SECOND)).unwrap();
    held.read_exact(&mut [0; 3]).unwrap();
    let names = || -> Vec<String> {
        inside.run(|| (0..8).map(|_| greeting(vip(1), SECOND).unwrap()).collect())
    };
    assert_eq!(names(), ["b1"; 8]);

    scene.apply("drain.yaml", &yaml([Some(DRAINING), None]));
    assert_eq!(names(), ["b2"; 8]);
    assert_eq!(round_trip(&mut held, b"on").unwrap(), b"on");

    scene.apply("drain.yaml", &yaml([Some(DRAINING), Some(DRAINING)]));
    let both = names();
    assert!(both.contains(&"b1".to_owned()) && both.contains(&"b2".to_owned()));

    // The second visit of sockets after the last edit has passed the held one over.
    std::thread::sleep(6 * SECOND);
    assert_eq!(round_trip(&mut held, b"on").unwrap(), b"on");
}

#[test]
fn without_a_backend_connects_and_datagrams_are_refused_at_once() {
    let Some(mut scene) = Scene::or_skip(0) else {
        return;
    };
    let service = Service::new("shop", "empty")
        .address(vip(1).ip())
        .address(vip6(1).ip())
        .tcp("http", 80, PORT)
        .udp("dns", 53, PORT);
    scene.write("empty.yaml", &service.yaml());
    scene.start();
    let inside = scene.inside();
    for to in [vip(1), vip6(1), mapped(vip(1))] {
        let dns = SocketAddr::new(to.ip(), 53);
        let any: SocketAddr = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }
            .parse()
            .unwrap();
        let (errors, took) = inside.run(|| {
            let udp = UdpSocket::bind(any).unwrap();
            let began = Instant::now();
            let errors = [
                TcpStream::connect(to).unwrap_err(),
                udp.send_to(b"hello", dns).unwrap_err(),
                udp.connect(dns).unwrap_err(),
            ];
            (errors, began.elapsed())
        });
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{to}");
        }
        // A SYN that nobody answers is sent again after a second.
        assert!(took < SECOND, "{to}: {took:?}");
    }
    let refused = [
        ("reason", "no_backend"),
        ("destination_service_name", "empty"),
    ];
    assert_eq!(scene.metric("weft_refused_total", &refused), 9.0);
    let events = scene.status()["events"].clone();
    assert!(
        events
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["cause"] == "no_backend"),
        "{events}"
    );
}

#[test]
fn the_connection_limit_refuses_one_more_and_admits_it_after_a_close() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [scene.echo(v4(1), "b1"), scene.echo(v4(2), "b2")];
    scene.write(
        "limit.yaml",
        &documents([
            service("limit", 1, &[1, 2]).yaml(),
            destination_rule(
                "shop",
                "limit",
                "limit",
                "connectionPool: {tcp: {maxConnections: 3}}",
            ),
        ]),
    );
    scene.start();
    let inside = scene.inside();
    let dial = || inside.run(|| TcpStream::connect(vip(1)));
    let mut held: Vec<TcpStream> = (0..6).map(|_| dial().unwrap()).collect();
    for _ in 0..3 {
        assert_eq!(dial().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(
        scene.metric("weft_refused_total", &[("reason", "over_limit")]),
        3.0
    );
    drop(held.pop());
    wait_for("room for one more", || {
        dial().map(|one| held.push(one)).is_ok()
    });
    assert_eq!(dial().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(held);
    wait_for("no connection to be open", || {
        scene.metric("weft_active_connections", &[]) == 0.0
    });
    // Lifted by an edit, without a restart.
    scene.apply("limit.yaml", &service("limit", 1, &[1, 2]).yaml());
    let held: Vec<TcpStream> = (0..10).map(|_| dial().unwrap()).collect();
    assert_eq!(held.len(), 10);
}

#[test]
fn open_connections_are_counted_down_however_they_end() {
    let Some(mut scene) = Scene::or_skip(4) else {
        return;
    };
    let outside = scene.outside();
    let fault = |number, fault| {
        Faulty::start(&outside, (v4(number), PORT).into(), fault).expect("a free address")
    };
    let _servers = (scene.http(1), scene.http_at((v6(1), PORT).into(), 6));
    let _faulty = [
        fault(2, Fault::Refuse),
        fault(3, Fault::Reset),
        fault(4, Fault::ResetOnData),
    ];
    let well = service("well", 1, &[1]).address(vip6(1).ip());
    let well = well.backend("six", &[v6(1)]);
    // Nobody answers for an address that nobody has: the connect is given up.
    let silent = Ipv4Addr::new(10, 77, 99, 99).into();
    scene.write(
        "all.yaml",
        &documents([
            well.yaml(),
            service("refuses", 2, &[2]).yaml(),
            service("resets", 3, &[3]).yaml(),
            service("late", 4, &[4]).yaml(),
            Service::new("shop", "silent")
                .address(vip(5).ip())
                .tcp("tcp", 80, PORT)
                .backend("b", &[silent])
                .yaml(),
        ]),
    );
    scene.start();
    let inside = scene.inside();
    for to in [vip(1), vip6(1), mapped(vip(1))] {
        let outcome = ask_times(&inside, to, 700);
        assert_eq!((outcome.total(), outcome.failed), (700, 0));
    }
    inside.run(|| {
        for _ in 0..300 {
            let error = TcpStream::connect(vip(2)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            // Reset before, while or after connect returns.
            drop(TcpStream::connect(vip(3)).map(|mut stream| stream.read(&mut [0])));
            let mut late = TcpStream::connect(vip(4)).unwrap();
            drop(late.write_all(b"x").and_then(|()| late.read(&mut [0])));
        }
        for _ in 0..5 {
            TcpStream::connect_timeout(&vip(5), Duration::from_millis(20)).unwrap_err();
        }
    });
    wait_for("no connection to be open", || {
        scene.metric("weft_active_connections", &[]) == 0.0
    });
    for name in ["well", "refuses", "resets", "late", "silent"] {
        let report = scene.state(&format!("/state/services/shop/{name}"));
        let endpoints = report["ports"][0]["pools"].as_array().unwrap().iter();
        for endpoint in endpoints.flat_map(|pool| pool["endpoints"].as_array().unwrap()) {
            assert_eq!(endpoint["active"], 0, "{endpoint}");
        }
    }
    let count = |scene: &mut Scene, metric: &str, name| {
        scene.metric(metric, &[("destination_service_name", name)])
    };
    let [opened, closed, failed] =
        ["opened", "closed", "failed"].map(|what| format!("istio_tcp_connections_{what}_total"));
    assert_eq!(count(&mut scene, &opened, "well"), 2100.0);
    assert_eq!(count(&mut scene, &closed, "well"), 2100.0);
    assert_eq!(count(&mut scene, &failed, "refuses"), 300.0);
    assert_eq!(count(&mut scene, &opened, "refuses"), 0.0);
    assert_eq!(count(&mut scene, &closed, "late"), 300.0);
    assert_eq!(count(&mut scene, &opened, "late"), 300.0);
    let losses = scene.status()["losses"].clone();
    let losses = losses.as_object().unwrap().values();
    assert_eq!(losses.filter(|count| **count != 0).count(), 0);
}
