//! UDP through the mesh, and what becomes of sockets whose backend is removed.

#![expect(clippy::unwrap_used, reason = "a test's set-up may panic")]

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind, Read},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use bpf_tests::{
    Scene,
    scene::{PORT, v4, v6, vip, vip6},
    wait_for,
};
use weft_testkit::{
    Place,
    client::{UdpClient, mapped, round_trip},
    manifest::Service,
};

const SECOND: Duration = Duration::from_secs(1);

/// A UDP service on port 80 of [`vip`].
fn datagrams(name: &str, number: u8, backends: &[u8]) -> Service {
    let service = Service::new("shop", name)
        .address(vip(number).ip())
        .udp("dns", 80, PORT);
    backends.iter().fold(service, |service, backend| {
        service.backend(&format!("b{backend}"), &[v4(*backend)])
    })
}

/// Sends on a socket and reads the answer; its first word is the server's name.
fn ask(socket: &UdpSocket, text: &str) -> io::Result<String> {
    socket.send(text.as_bytes())?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    let answer = String::from_utf8_lossy(&buffer[..length]);
    Ok(answer.split(' ').next().unwrap_or_default().to_owned())
}

fn connected(place: &Place, to: SocketAddr) -> UdpSocket {
    let client = place.run(|| UdpClient::new(to, 5 * SECOND)).unwrap();
    let socket = client.socket().try_clone().unwrap();
    place.run(|| socket.connect(to)).unwrap();
    socket
}

#[test]
fn one_socket_talks_to_several_services_and_keeps_a_backend_of_each() {
    let Some(mut scene) = Scene::or_skip(3) else {
        return;
    };
    let _servers: Vec<_> = (1..=3)
        .map(|n| scene.udp(v4(n), &format!("b{n}")))
        .collect();
    for number in 1..=3 {
        let name = format!("dns{number}");
        let yaml = datagrams(&name, number, &[1, 2, 3]).yaml();
        scene.write(&format!("{name}.yaml"), &yaml);
    }
    scene.start();
    for map in [std::convert::identity, mapped] {
        scene.inside().run(|| {
            let client = UdpClient::new(map(vip(1)), 5 * SECOND).unwrap();
            let mut first = Vec::new();
            for round in 0..10 {
                for number in 1..=3 {
                    let to = map(vip(number));
                    let (answer, source) = client.ask(to, "x").unwrap();
                    assert_eq!(source, to);
                    if round == 0 {
                        first.push(answer);
                    } else {
                        assert_eq!(answer, first[usize::from(number) - 1]);
                    }
                }
            }
        });
    }
    // Others are shared out.
    let names: BTreeSet<String> = scene.inside().run(|| {
        let ask = |_| UdpClient::new(vip(1), 5 * SECOND)?.ask(vip(1), "x");
        (0..6).map(|n| ask(n).unwrap().0).collect()
    });
    assert_eq!(names.len(), 3);
    assert!(scene.metric("weft_udp_flows_total", &[]) >= 12.0);
}

#[test]
fn an_unconnected_socket_moves_on_when_its_backend_goes() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [1, 2].map(|n| scene.udp(v4(n), &format!("b{n}")));
    scene.write("dns.yaml", &datagrams("dns", 1, &[1]).yaml());
    scene.start();
    let client = scene
        .inside()
        .run(|| UdpClient::new(vip(1), 5 * SECOND))
        .unwrap();
    let name = || client.ask(vip(1), "x").unwrap();
    assert_eq!(name(), ("b1 x".to_owned(), vip(1)));
    scene.apply("dns.yaml", &datagrams("dns", 1, &[2]).yaml());
    assert_eq!(name(), ("b2 x".to_owned(), vip(1)));
    scene.apply("dns.yaml", &datagrams("dns", 1, &[]).yaml());
    let error = client.ask(vip(1), "x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    scene.apply("dns.yaml", &datagrams("dns", 1, &[1]).yaml());
    assert_eq!(name(), ("b1 x".to_owned(), vip(1)));
}

#[test]
fn sockets_of_a_removed_backend_end_udp_at_once_tcp_after_grace_and_no_others() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _datagrams = [1, 2].map(|n| scene.udp(v4(n), &format!("b{n}")));
    let _six = [1, 2].map(|n| scene.udp(v6(n), &format!("b{n}")));
    let _streams = [1, 2].map(|n| scene.echo(v4(n), &format!("b{n}")));
    let both = |backend: u8, grown: bool| {
        let service = Service::new("shop", "both")
            .address(vip(1).ip())
            .address(vip6(1).ip())
            .tcp("tcp", 80, PORT)
            .udp("dns", 80, PORT)
            .backend(&format!("b{backend}"), &[v4(backend), v6(backend)]);
        if grown {
            service.backend("more", &[v4(9)])
        } else {
            service
        }
    };
    scene.write("both.yaml", &both(1, false).yaml());
    scene.write("spared.yaml", &datagrams("spared", 2, &[1]).yaml());
    scene.start_with(|options| options.argument("--connection-grace=3"));
    let inside = scene.inside();
    let doomed = [vip(1), mapped(vip(1)), vip6(1)].map(|to| connected(&inside, to));
    let spared = connected(&inside, vip(2));
    // Not through a service at all.
    let direct = connected(&inside, (v4(1), PORT).into());
    let mut stream = inside.run(|| TcpStream::connect(vip(1))).unwrap();
    stream.set_read_timeout(Some(20 * SECOND)).unwrap();
    stream.read_exact(&mut [0; 3]).unwrap();
    for socket in doomed.iter().chain([&spared, &direct]) {
        assert_eq!(ask(socket, "x").unwrap(), "b1");
    }

    // Sockets older than the running manager.
    scene.mesh().kill().unwrap();
    scene.mesh().restart().unwrap();
    for socket in &doomed {
        assert_eq!(ask(socket, "x").unwrap(), "b1");
    }
    // Others coming is no reason.
    scene.apply("both.yaml", &both(1, true).yaml());
    for socket in &doomed {
        assert_eq!(ask(socket, "x").unwrap(), "b1");
    }

    scene.apply("both.yaml", &both(2, false).yaml());
    for (socket, to) in doomed.iter().zip([vip(1), mapped(vip(1)), vip6(1)]) {
        // As a resolver waits for its answer.
        let error = socket.recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{to}");
        inside.run(|| socket.connect(to)).unwrap();
        assert_eq!(ask(socket, "x").unwrap(), "b2", "{to}");
    }
    assert_eq!(round_trip(&mut stream, b"go on").unwrap(), b"go on");
    assert_eq!(ask(&spared, "x").unwrap(), "b1");
    assert_eq!(ask(&direct, "x").unwrap(), "b1");

    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(ask(&spared, "x").unwrap(), "b1");
    let destroyed = |scene: &mut Scene, protocol: &str| {
        scene.metric("weft_sockets_destroyed_total", &[("protocol", protocol)])
    };
    wait_for("destroyed sockets to be counted", || {
        destroyed(&mut scene, "tcp").max(destroyed(&mut scene, "TCP")) == 1.0
    });
    assert_eq!(
        destroyed(&mut scene, "udp").max(destroyed(&mut scene, "UDP")),
        3.0
    );
}

#[test]
fn a_backend_removed_while_no_manager_runs_is_noticed_by_the_next_one() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [1, 2].map(|n| scene.udp(v4(n), &format!("b{n}")));
    scene.write("dns.yaml", &datagrams("dns", 1, &[1]).yaml());
    scene.start();
    let inside = scene.inside();
    let socket = connected(&inside, vip(1));
    assert_eq!(ask(&socket, "x").unwrap(), "b1");
    scene.mesh().kill().unwrap();
    scene.write("dns.yaml", &datagrams("dns", 1, &[2]).yaml());
    assert_eq!(ask(&socket, "x").unwrap(), "b1");
    scene.mesh().restart().unwrap();
    let error = socket.recv(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    inside.run(|| socket.connect(vip(1))).unwrap();
    assert_eq!(ask(&socket, "x").unwrap(), "b2");
}

#[test]
fn many_short_lived_sockets_forget_nothing_of_a_long_lived_one() {
    let Some(mut scene) = Scene::or_skip(2) else {
        return;
    };
    let _servers = [1, 2].map(|n| scene.udp(v4(n), &format!("b{n}")));
    scene.write("dns.yaml", &datagrams("dns", 1, &[1, 2]).yaml());
    scene.start();
    let inside = scene.inside();
    let old = inside.run(|| UdpClient::new(vip(1), 5 * SECOND)).unwrap();
    let (name, _) = old.ask(vip(1), "x").unwrap();
    inside.run(|| {
        for _ in 0..20_000 {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect(vip(1)).unwrap();
        }
        for _ in 0..500 {
            let short = UdpClient::new(vip(1), 5 * SECOND).unwrap();
            assert_eq!(short.ask(vip(1), "y").unwrap().1, vip(1));
        }
    });
    let (again, source) = old.ask(vip(1), "x").unwrap();
    assert_eq!((again, source), (name, vip(1)));
}
