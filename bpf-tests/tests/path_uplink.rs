//! Traffic from outside through a node that runs the mesh: real packets between namespaces.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a test's set-up may panic, and its deadlines are real"
)]

#[path = "path_uplink/town.rs"]
mod town;

#[path = "path_uplink/errors.rs"]
mod errors;

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use weft_abi::Counter;
use weft_testkit::{
    Load, Place,
    client::{UdpClient, fetch},
    load::ask_times,
    server::{Echo, Http, UdpEcho},
};

use town::{
    DATAGRAMS, ECHO, HTTP, NODE_PORT, PATIENCE, Town, balancer, client, cluster, eventually,
    outside, pod, service,
};

const NAMES: [&str; 3] = ["near1", "near2", "far"];
const LOCAL: &str = "externalTrafficPolicy: Local";

fn http(town: &Town, pods: &[usize]) -> Vec<Http> {
    serve(pods, |index, address| {
        Http::start(&town.at_pod(index), (address, HTTP).into(), NAMES[index]).unwrap()
    })
}

fn echo(town: &Town, pods: &[usize]) -> Vec<Echo> {
    serve(pods, |index, address| {
        Echo::start(&town.at_pod(index), (address, ECHO).into(), "").unwrap()
    })
}

fn datagrams(town: &Town, pods: &[usize]) -> Vec<UdpEcho> {
    serve(pods, |index, address| {
        UdpEcho::start(
            &town.at_pod(index),
            (address, DATAGRAMS).into(),
            NAMES[index],
        )
        .unwrap()
    })
}

/// A server in each pod for each family.
fn serve<T>(pods: &[usize], start: impl Fn(usize, IpAddr) -> T) -> Vec<T> {
    pods.iter()
        .flat_map(|index| pod(*index).map(|address| start(*index, address)))
        .collect()
}

/// The client's address of the same family.
fn own(peers: [IpAddr; 2], target: SocketAddr) -> IpAddr {
    peers[usize::from(target.is_ipv6())]
}

#[test]
fn a_local_policy_keeps_the_client_s_address_and_uses_only_this_node_s_endpoints() {
    let Some(town) = Town::or_skip(&service(1, LOCAL, &[0, 1, 2])) else {
        return;
    };
    let (_http, _udp) = (http(&town, &[0, 1, 2]), datagrams(&town, &[0, 1, 2]));
    for target in outside(&town) {
        let mut servers = BTreeSet::new();
        town.at_client().run(|| {
            for _ in 0..16 {
                let answer =
                    fetch(target, "/", PATIENCE).unwrap_or_else(|e| panic!("{target}: {e}"));
                assert_eq!(answer.peer.unwrap().ip(), own(client(), target), "{target}");
                servers.insert(answer.server);
            }
            let port = if target.port() == NODE_PORT {
                NODE_PORT + 2
            } else {
                53
            };
            let target = SocketAddr::new(target.ip(), port);
            let (text, source) = ask(target);
            assert_eq!(source, target);
            assert!(text.starts_with("near"), "{text}");
        });
        assert_eq!(
            servers,
            ["near1", "near2"].map(String::from).into(),
            "{target}"
        );
    }
    for address in cluster(1) {
        let target = SocketAddr::new(address, 80);
        let refused = town
            .at_client()
            .run(|| TcpStream::connect_timeout(&target, Duration::from_millis(500)).unwrap_err());
        assert_ne!(
            refused.kind(),
            ErrorKind::ConnectionRefused,
            "a cluster address is not served"
        );
    }
    assert_eq!(town.counter(Counter::FLOWS_FULL), 0);
}

/// One datagram and its answer.
fn ask(target: SocketAddr) -> (String, SocketAddr) {
    let client = UdpClient::new(target, PATIENCE).unwrap();
    client
        .ask(target, "hello")
        .unwrap_or_else(|error| panic!("{target}: {error}"))
}

#[test]
fn a_cluster_policy_masquerades_only_what_goes_to_another_node() {
    let yaml = service(1, "", &[2]) + &service(2, "", &[0]);
    let Some(town) = Town::or_skip(&yaml) else {
        return;
    };
    let (_http, _udp) = (http(&town, &[0, 2]), datagrams(&town, &[2]));
    for target in outside(&town) {
        town.at_client().run(|| {
            let answer = fetch(target, "/", PATIENCE).unwrap_or_else(|e| panic!("{target}: {e}"));
            assert_eq!(answer.server, "far");
            assert_eq!(
                answer.peer.unwrap().ip(),
                own(town.node_addresses(), target)
            );
        });
    }
    town.at_client().run(|| {
        for address in balancer(1) {
            let (text, source) = ask((address, 53).into());
            assert_eq!((text.as_str(), source), ("far hello", (address, 53).into()));
        }
        for address in balancer(2) {
            let target = (address, 80).into();
            let answer = fetch(target, "/", PATIENCE).unwrap();
            assert_eq!(answer.server, "near1");
            assert_eq!(answer.peer.unwrap().ip(), own(client(), target));
        }
    });
}

/// Sends `length` bytes and reads them back, on a connection of its own.
fn transfer(target: SocketAddr, seed: u8, length: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let sent: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8 ^ seed).collect();
    let mut writer = stream.try_clone()?;
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&copy)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut back = Vec::with_capacity(length);
    stream.read_to_end(&mut back)?;
    writing.join().expect("the writer does not panic")?;
    assert!(
        back == sent,
        "{} of {length} bytes, or wrong ones",
        back.len()
    );
    Ok(())
}

/// Transfers in parallel from one place; fails with the first failure.
fn transfers(place: &Place, targets: &[SocketAddr], count: u8, length: usize) {
    let threads: Vec<_> = (0..count)
        .map(|seed| {
            let target = targets[usize::from(seed) % targets.len()];
            place
                .spawn(move || transfer(target, seed, length).map_err(|e| format!("{target}: {e}")))
        })
        .collect();
    for thread in threads {
        thread
            .join()
            .unwrap()
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn parallel_transfers_arrive_byte_for_byte_and_are_counted() {
    let Some(town) = Town::or_skip(&service(1, "", &[0, 1, 2])) else {
        return;
    };
    let _echo = echo(&town, &[0, 1, 2]);
    let targets = balancer(1).map(|address| SocketAddr::new(address, 7));
    let (count, length) = (32, 1 << 20);
    transfers(&town.at_client(), &targets, count, length);
    let total = f64::from(count) * length as f64;
    let labels = [("destination_service_name", "s1")];
    let mut last = Vec::new();
    eventually("all connections and bytes counted", || {
        let metrics = town.weft.scrape().unwrap();
        let names = [
            "connections_opened",
            "connections_closed",
            "sent_bytes",
            "received_bytes",
        ];
        last = names
            .map(|name| {
                metrics
                    .sum(&format!("istio_tcp_{name}_total"), &labels)
                    .unwrap_or(0.0)
            })
            .to_vec();
        let [opened, closed, sent, received] = last[..] else {
            return false;
        };
        (opened, closed) == (f64::from(count), f64::from(count))
            && sent >= total
            && received >= total
    });
    assert!(
        last[2..].iter().all(|bytes| *bytes < total * 1.1),
        "{last:?}"
    );
    assert_eq!(town.counter(Counter::FLOWS), u64::from(count));
}

#[test]
fn a_port_used_again_after_its_connection_ended_gets_a_backend_again() {
    let Some(town) = Town::or_skip(&service(1, "", &[0, 1, 2])) else {
        return;
    };
    let _http = http(&town, &[0, 1, 2]);
    let target = SocketAddr::new(balancer(1)[0], 80);
    let servers = town.at_client().run(|| {
        let mut servers = BTreeSet::new();
        for _ in 0..24 {
            let mut stream = connect_from(40_000, target);
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .unwrap();
            // The server closes first, so the client's port is free at once.
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            servers.insert(
                answer
                    .split_once("x-server: ")
                    .unwrap()
                    .1
                    .lines()
                    .next()
                    .unwrap()
                    .to_owned(),
            );
        }
        servers
    });
    assert_eq!(servers.len(), 3, "{servers:?}");
}

/// Connects from a port of its own choice.
fn connect_from(port: u16, target: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    bind(&socket, &SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
    // The last acknowledgement of the connection before may still be on its way.
    eventually("the port is free", || connect(&socket, &target).is_ok());
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn datagrams_stay_with_their_backend_until_it_is_removed() {
    let Some(town) = Town::or_skip(&service(1, "", &[0, 2])) else {
        return;
    };
    let _udp = datagrams(&town, &[0, 2]);
    for address in balancer(1) {
        let target = SocketAddr::new(address, 53);
        let client = town
            .at_client()
            .run(|| UdpClient::new(target, PATIENCE).unwrap());
        let name = || {
            client
                .ask(target, "x")
                .map(|(text, _)| text[..4].to_owned())
        };
        let first = name().unwrap();
        assert!((0..20).all(|_| name().unwrap() == first));
        let [removed, left] = if first == "near" { [0, 2] } else { [2, 0] };
        town.policy
            .write("mesh.yaml", &service(1, "", &[left]))
            .unwrap();
        eventually("the other backend answers", || name().unwrap() != first);
        town.policy
            .write("mesh.yaml", &service(1, "", &[removed, left]))
            .unwrap();
        assert!(name().unwrap() != first, "and goes on to");
    }
}

#[test]
fn large_datagrams_arrive_in_fragments() {
    let yaml = service(1, "", &[0]) + &service(2, "", &[2]);
    let Some(town) = Town::or_skip(&yaml) else {
        return;
    };
    let _udp = datagrams(&town, &[0, 2]);
    let payload = "0123456789".repeat(400);
    for (number, name) in [(1, "near1"), (2, "far")] {
        for address in balancer(number) {
            let target = SocketAddr::new(address, 53);
            let socket = town
                .at_client()
                .run(|| UdpClient::new(target, PATIENCE).unwrap());
            let socket = socket.socket();
            socket.send_to(payload.as_bytes(), target).unwrap();
            let mut buffer = vec![0; 8192];
            let (length, source) = socket
                .recv_from(&mut buffer)
                .unwrap_or_else(|e| panic!("{target}: {e}"));
            assert_eq!(source, target);
            assert!(buffer[..length] == *format!("{name} {payload}").as_bytes());
        }
    }
}

#[test]
fn a_client_keeps_its_backend_by_its_own_address() {
    let affine = service(1, "sessionAffinity: ClientIP", &[0, 1, 2]);
    let hashed = service(2, "", &[0, 1, 2]);
    let rule = weft_testkit::manifest::destination_rule(
        "shop",
        "s2",
        "s2.shop.svc.cluster.local",
        "loadBalancer: {consistentHash: {useSourceIp: true}}",
    );
    let Some(town) = Town::or_skip(&(affine + &hashed + &rule)) else {
        return;
    };
    let _http = http(&town, &[0, 1, 2]);
    // Twelve clients behind one wire.
    for last in 10..22 {
        town.client
            .address("eth0", &format!("10.70.0.{last}/24"))
            .unwrap();
    }
    for number in [1, 2] {
        let target = SocketAddr::new(balancer(number)[0], 80);
        let mut servers = BTreeSet::new();
        for last in 10..22 {
            let to = format!("{}", target.ip());
            town.client
                .ip(&[
                    "route",
                    "replace",
                    &to,
                    "via",
                    "10.70.0.1",
                    "src",
                    &format!("10.70.0.{last}"),
                ])
                .unwrap();
            let outcome = ask_times(&town.at_client(), target, 6);
            assert_eq!(
                (outcome.failed, outcome.answered.len()),
                (0, 1),
                "{outcome:?}"
            );
            servers.extend(outcome.answered.into_keys());
        }
        assert!(
            servers.len() > 1,
            "service {number}: not all clients are one"
        );
    }
}

#[test]
fn algorithms_share_out_among_all_endpoints() {
    let mut yaml = String::new();
    for (number, simple) in (1..).zip(["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"]) {
        let host = format!("s{number}.shop.svc.cluster.local");
        let policy = format!("loadBalancer: {{simple: {simple}}}");
        yaml += &service(number, "", &[0, 1, 2]);
        yaml += &weft_testkit::manifest::destination_rule(
            "shop",
            &format!("s{number}"),
            &host,
            &policy,
        );
        yaml += "---\n";
    }
    let Some(town) = Town::or_skip(&yaml) else {
        return;
    };
    let _http = http(&town, &[0, 1, 2]);
    for number in 1..=3 {
        let target = SocketAddr::new(balancer(number)[0], 80);
        let outcome = ask_times(&town.at_client(), target, 90);
        assert_eq!((outcome.failed, outcome.total()), (0, 90), "{outcome:?}");
        let least = if number == 1 { 30 } else { 10 };
        assert!(
            outcome.answered.len() == 3 && outcome.answered.values().all(|n| *n >= least),
            "{outcome:?}"
        );
    }
}

#[test]
fn killing_and_restarting_the_manager_under_load_fails_nobody() {
    let Some(mut town) = Town::or_skip(&service(1, "", &[0, 2])) else {
        return;
    };
    let (_http, _echo) = (http(&town, &[0, 2]), echo(&town, &[0, 2]));
    let load = |address: IpAddr| {
        Load::start(
            &town.at_client(),
            (address, 80).into(),
            2,
            Duration::from_millis(2),
        )
    };
    let loads = balancer(1).map(load);
    let mut lasting = town
        .at_client()
        .run(|| TcpStream::connect((balancer(1)[0], 7)).unwrap());
    lasting.set_read_timeout(Some(PATIENCE)).unwrap();
    let go_on = |loads: &[Load]| assert!(loads.iter().all(|load| load.wait_for(50, PATIENCE)));
    go_on(&loads);
    town.weft.kill().unwrap();
    go_on(&loads);
    town.weft.restart().unwrap();
    go_on(&loads);
    lasting.write_all(b"still here").unwrap();
    lasting.read_exact(&mut [0; 10]).unwrap();
    for load in loads {
        let outcome = load.stop();
        assert_eq!(outcome.failed, 0, "{:?}", outcome.failures);
    }
}

#[test]
fn an_interface_made_anew_is_served_again() {
    let Some(town) = Town::or_skip(&service(1, "", &[0])) else {
        return;
    };
    let _http = http(&town, &[0]);
    let target = SocketAddr::new(balancer(1)[0], 80);
    let served = || {
        town.at_client()
            .run(|| fetch(target, "/", Duration::from_millis(500)))
            .is_ok()
    };
    assert!(served());
    town.node.ip(&["link", "del", "eth0"]).unwrap();
    assert!(!served());
    // Now straight to the router.
    town.rig
        .link(&town.node, "eth0", &town.router, "again")
        .unwrap();
    town.node.address("eth0", "10.79.0.1/24").unwrap();
    town.router.address("again", "10.79.0.2/24").unwrap();
    town.node
        .route("10.70.0.0/16", [10, 79, 0, 2].into())
        .unwrap();
    town.router
        .ip(&["route", "replace", "10.96.0.0/16", "via", "10.79.0.1"])
        .unwrap();
    eventually("served again", served);
}
