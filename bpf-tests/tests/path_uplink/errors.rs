//! Refusals, and errors of routers on the way.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use weft_testkit::client::fetch;

use crate::{
    echo, http,
    town::{NODE_PORT, PATIENCE, TRANSLATED, Town, balancer, eventually, outside, service},
    transfers,
};

#[test]
fn a_service_without_backends_refuses_at_once_and_serves_as_soon_as_it_has_one() {
    let Some(town) = Town::or_skip(&service(1, "", &[])) else {
        return;
    };
    let _http = http(&town, &[0]);
    town.at_client().run(|| {
        for target in outside(&town) {
            let refused = TcpStream::connect_timeout(&target, Duration::from_secs(1)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{target}");
        }
        for address in balancer(1).into_iter().chain(town.node_addresses()) {
            let port = if balancer(1).contains(&address) {
                53
            } else {
                NODE_PORT + 2
            };
            assert_refused((address, port).into());
        }
    });
    town.policy
        .write("mesh.yaml", &service(1, "", &[0]))
        .unwrap();
    for target in outside(&town) {
        eventually("served", || {
            town.at_client()
                .run(|| fetch(target, "/", PATIENCE))
                .is_ok()
        });
    }
}

/// A datagram on a connected socket is refused by an ICMP error as from the address dialled.
fn assert_refused(target: SocketAddr) {
    let any = if target.is_ipv6() {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(target).unwrap();
    socket.send(b"x").unwrap();
    let error = socket.recv(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{target}");
}

#[test]
fn a_backend_that_does_not_listen_refuses_as_the_service() {
    let yaml = service(1, "", &[0]) + &service(2, "", &[2]);
    let Some(town) = Town::or_skip(&yaml) else {
        return;
    };
    town.at_client().run(|| {
        for address in balancer(1).into_iter().chain(balancer(2)) {
            assert_refused((address, 53).into());
            let error = TcpStream::connect_timeout(&(address, 80).into(), PATIENCE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    });
    // Two families here once each, and elsewhere at two hooks each.
    assert_eq!(town.counter(TRANSLATED), 2 + 4);
}

#[test]
fn the_path_s_mtu_is_found_on_every_side_of_the_node() {
    let yaml = service(1, "", &[0]) + &service(2, "", &[2]);
    let Some(town) = Town::or_skip(&yaml) else {
        return;
    };
    let _echo = echo(&town, &[0, 2]);
    // Only one end of each wire knows, so that neither TCP's MSS nor the sender's route does.
    town.router
        .ip(&["link", "set", "inner", "mtu", "1400"])
        .unwrap();
    town.node
        .ip(&["link", "set", "pod1", "mtu", "1320"])
        .unwrap();
    town.peer
        .ip(&["link", "set", "pod3", "mtu", "1320"])
        .unwrap();
    let targets: Vec<SocketAddr> = balancer(1)
        .into_iter()
        .chain(balancer(2))
        .map(|address| (address, 7).into())
        .collect();
    for target in &targets {
        let before = town.counter(TRANSLATED);
        transfers(&town.at_client(), &[*target], 1, 2 << 20);
        let translated = town.counter(TRANSLATED) - before;
        assert!(
            translated >= 2,
            "{target}: {translated} errors translated, both ways are narrow"
        );
    }
}

#[test]
fn a_packet_that_is_too_old_on_its_way_is_told_of_as_the_client_s_own() {
    let yaml = service(1, "", &[0]) + &service(2, "", &[2]);
    let Some(town) = Town::or_skip(&yaml) else {
        return;
    };
    // This node and the other node: each gives up at another count.
    let dials: Vec<_> = [(1, 2), (2, 2), (2, 3)]
        .into_iter()
        .flat_map(|(number, hops)| balancer(number).map(|address| (address, hops)))
        .map(|(address, hops)| {
            let dial = move || dial_with_hops((address, 80).into(), hops);
            (address, hops, town.at_client().spawn(dial))
        })
        .collect();
    for (address, hops, dial) in dials {
        let error = dial.join().unwrap();
        let kind = error.kind();
        assert_eq!(kind, ErrorKind::HostUnreachable, "{address}, {hops} hops");
    }
    // The other node's errors cross the uplink twice.
    assert!(town.counter(TRANSLATED) >= 8);
}

/// Connects with packets that live for so many hops: how it fails.
fn dial_with_hops(target: SocketAddr, hops: u8) -> std::io::Error {
    use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
    let family = if target.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    if target.is_ipv6() {
        sockopt::set_ipv6_unicast_hops(&socket, Some(hops)).unwrap();
    } else {
        sockopt::set_ip_ttl(&socket, u32::from(hops)).unwrap();
    }
    let patience = u32::try_from(PATIENCE.as_millis()).unwrap();
    sockopt::set_tcp_user_timeout(&socket, patience).unwrap();
    connect(&socket, &target).unwrap_err().into()
}
