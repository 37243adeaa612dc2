//! Connections that go to the proxy; the tests play it.

use std::{
    io::{ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::net::{AddressFamily, SocketType, sockopt};
use weft_abi::{
    Address, Backend, Captured, Enrolment, ExcludedKey, MtlsMode, Origin, Peer, PortModeKey,
};
use weft_lower::MapOp;
use weft_testkit::{Namespace, client::mapped};

use super::town::{
    A, PORT, PROXY, Said, Server, Town, at, cookie, dial, end, enrolment, hear, reaches, refused,
};

/// The proxy of a workload, for one connection.
struct Proxy {
    listener: TcpListener,
    netns: u64,
}

impl Proxy {
    fn start(town: &Town, of: &Arc<Namespace>, v6: bool) -> Self {
        let at: SocketAddr = if v6 {
            ([0, 0, 0, 0, 0, 0, 0, 1], PROXY).into()
        } else {
            ([127, 0, 0, 1], PROXY).into()
        };
        Self {
            listener: town.inside(of).run(|| TcpListener::bind(at).unwrap()),
            netns: cookie(of),
        }
    }

    /// Dials from the workload; answers what the client saw and what the proxy was told.
    fn takes(&self, town: &Town, from: &Arc<Namespace>, to: SocketAddr) -> (Said, Captured) {
        let client = town
            .inside(from)
            .run(|| TcpStream::connect(to).unwrap_or_else(|error| panic!("{to}: {error}")));
        let (mut stream, peer) = self.listener.accept().unwrap();
        let key = end(self.netns, peer);
        let maps = town.plane().maps();
        let captured = maps.take_captured(&key).unwrap().expect("written down");
        assert_eq!(maps.take_captured(&key).unwrap(), None, "only once");
        stream.write_all(b"").unwrap();
        drop(stream);
        (hear(client).unwrap(), captured)
    }
}

#[track_caller]
fn went(captured: &Captured, vip: SocketAddr, peer: SocketAddr) {
    let told = |address: weft_abi::Address, port| SocketAddr::new(address.into(), port);
    assert_eq!(told(captured.vip, captured.vip_port), vip);
    assert_eq!(told(captured.peer, captured.peer_port), peer);
    assert_eq!(captured.identity, A);
}

#[test]
fn what_goes_to_another_node_goes_to_the_proxy_with_where_it_was_going() {
    let Some(town) = Town::or_skip() else { return };
    town.put_remote(&town.c);
    let far = [at(&town.c), (town.c.v6(), PORT).into()];
    let proxies = [
        Proxy::start(&town, &town.a, false),
        Proxy::start(&town, &town.a, true),
    ];
    for (proxy, far) in proxies.iter().zip(far) {
        // A pod's own address.
        let (said, captured) = proxy.takes(&town, &town.a, far);
        assert_eq!(said.peer, far);
        went(&captured, far, far);
        assert_eq!((captured.service, captured.backend), (0, 0));
    }
    let (said, captured) = proxies[0].takes(&town, &town.a, mapped(far[0]));
    assert_eq!(said.peer, mapped(far[0]));
    went(&captured, far[0], far[0]);

    // A service.
    let vip = SocketAddr::from(([10, 96, 0, 1], 80));
    town.put_service(vip, far[0], Backend::HBONE);
    for to in [vip, mapped(vip)] {
        let (said, captured) = proxies[0].takes(&town, &town.a, to);
        assert_eq!(said.peer, to);
        went(&captured, vip, far[0]);
        assert_eq!(
            (captured.service, captured.backend, captured.generation),
            (1, 1, 5)
        );
    }
    let counters = town.plane().maps().counters().unwrap();
    assert_eq!(counters[weft_abi::Counter::CAPTURED as usize], 5);

    // Others are not captured: not clients outside of the mesh, nor who bypasses it.
    let _server = Server::start(&town, &town.c, far[0]);
    reaches(town.dial(&town.node, vip));
    let bypass = enrolment(A, Enrolment::READY | Enrolment::BYPASS_OUTBOUND);
    town.apply(vec![MapOp::PutEnrolment(cookie(&town.a), bypass)]);
    reaches(town.dial(&town.a, vip));
}

#[test]
fn without_a_proxy_what_it_should_carry_is_refused() {
    let Some(town) = Town::or_skip() else { return };
    town.put_remote(&town.c);
    let server = Server::start(&town, &town.c, at(&town.c));
    refused(town.dial(&town.a, at(&town.c)));
    assert_eq!(server.accepted(), 0);
    // A port that takes no mTLS is dialled plainly.
    let plain = Peer {
        flags: Peer::HBONE,
        mode: MtlsMode::DISABLE,
        ..Peer::default()
    };
    town.apply(vec![MapOp::PutPeer(at(&town.c).ip().into(), plain)]);
    reaches(town.dial(&town.a, at(&town.c)));
}

fn excluded(town: &Town, port: u16, address: Address, bits: u32) -> ExcludedKey {
    ExcludedKey {
        prefix_length: ExcludedKey::PLACE_BITS + bits,
        port,
        reserved: 0,
        netns: cookie(&town.a),
        address,
    }
}

#[test]
fn what_a_workload_excludes_by_port_or_range_dialled_is_not_captured() {
    let Some(town) = Town::or_skip() else { return };
    town.put_remote(&town.c);
    let vip = SocketAddr::from(([10, 96, 0, 1], 80));
    let far6 = SocketAddr::from((town.c.v6(), PORT));
    let _servers = [
        Server::start(&town, &town.c, at(&town.c)),
        Server::start(&town, &town.c, far6),
    ];
    town.put_service(vip, at(&town.c), Backend::HBONE);
    let address = |at: SocketAddr| Address::from(at.ip());
    let any = Address::default();
    let excludes = enrolment(A, Enrolment::READY | Enrolment::EXCLUDES);
    town.apply(vec![MapOp::PutEnrolment(cookie(&town.a), excludes)]);
    // There is no proxy: what is captured is refused, what is not arrives. IPv4, IPv6, service.
    let arrive = |expected: [bool; 3], what: &str| {
        for (to, arrives) in [at(&town.c), far6, vip].into_iter().zip(expected) {
            let dialled = town.dial(&town.a, to);
            assert_eq!(dialled.is_ok(), arrives, "{what}: {to}: {dialled:?}");
        }
        assert_eq!(
            town.dial(&town.a, mapped(vip)).is_ok(),
            expected[2],
            "{what}, mapped"
        );
    };
    arrive([false; 3], "nothing excluded");
    let v4 = 96 + 24;
    let cases = [
        ("a port", excluded(&town, PORT, any, 0), [true, true, false]),
        (
            "the service's port",
            excluded(&town, 80, any, 0),
            [false, false, true],
        ),
        (
            "a range",
            excluded(&town, 0, address(at(&town.c)), v4),
            [true, false, false],
        ),
        (
            "the service",
            excluded(&town, 0, address(vip), 128),
            [false, false, true],
        ),
        (
            "an IPv6 range",
            excluded(&town, 0, address(far6), 64),
            [false, true, false],
        ),
    ];
    for (what, key, expected) in cases {
        town.apply(vec![MapOp::PutExcluded(key, 1)]);
        arrive(expected, what);
        town.apply(vec![MapOp::DeleteExcluded(key)]);
    }
    // Another workload's exclusions are its own, and a longer prefix may take some back.
    let others = ExcludedKey {
        netns: cookie(&town.b),
        ..excluded(&town, 0, any, 0)
    };
    town.apply(vec![MapOp::PutExcluded(others, 1)]);
    arrive([false; 3], "another's");
    let all = excluded(&town, 0, any, 0);
    let v4 = excluded(&town, 0, Address::v4([0; 4]), 96);
    town.apply(vec![MapOp::PutExcluded(v4, 0), MapOp::PutExcluded(all, 1)]);
    arrive([false, true, false], "all of IPv6");
}

#[test]
fn an_excluded_port_of_a_server_is_neither_captured_nor_looked_at() {
    let Some(town) = Town::or_skip() else { return };
    let mode = |namespace: &Namespace| PortModeKey {
        address: at(namespace).ip().into(),
        port: PORT,
        reserved: 0,
    };
    let _servers = [
        Server::start(&town, &town.b, at(&town.b)),
        Server::start(&town, &town.c, at(&town.c)),
    ];
    // On another node: it would be captured.
    town.put_remote(&town.c);
    refused(town.dial(&town.a, at(&town.c)));
    let far = Peer {
        flags: Peer::HBONE | Peer::PORT_MODES,
        mode: MtlsMode::STRICT,
        ..Peer::default()
    };
    town.apply(vec![
        MapOp::PutPortMode(mode(&town.c), MtlsMode::EXCLUDED.into()),
        MapOp::PutPeer(at(&town.c).ip().into(), far),
    ]);
    reaches(town.dial(&town.a, at(&town.c)));
    // Here: STRICT refuses plain clients, but not at that port.
    town.put_peer(&town.b, |peer| {
        peer.mode = MtlsMode::STRICT;
        peer.flags |= Peer::PORT_MODES;
    });
    refused(town.dial(&town.c, at(&town.b)));
    let excluded = MapOp::PutPortMode(mode(&town.b), MtlsMode::EXCLUDED.into());
    town.apply(vec![excluded]);
    reaches(town.dial(&town.c, at(&town.b)));
}

#[test]
fn the_proxys_own_sockets_are_left_alone_and_only_the_marked_ones() {
    let Some(town) = Town::or_skip() else { return };
    town.put_remote(&town.c);
    let _server = Server::start(&town, &town.c, at(&town.c));
    let socket = town
        .inside(&town.a)
        .run(|| rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap());
    town.plane().maps().mark_proxy(socket.as_fd()).unwrap();
    town.inside(&town.a)
        .run(|| rustix::net::connect(&socket, &at(&town.c)))
        .unwrap();
    let said = reaches(hear(TcpStream::from(socket)));
    assert_eq!(said.peer, at(&town.c));
    refused(town.dial(&town.a, at(&town.c)));
}

#[test]
fn connections_on_the_node_are_captured_when_they_shall_be_encrypted() {
    let Some(town) = Town::or_skip() else { return };
    let _server = Server::start(&town, &town.b, at(&town.b));
    reaches(town.dial(&town.a, at(&town.b)));
    town.put_peer(&town.b, |peer| {
        peer.flags |= Peer::ENCRYPT_LOCAL;
        peer.mode = MtlsMode::STRICT;
    });
    let proxy = Proxy::start(&town, &town.a, false);
    let (_, captured) = proxy.takes(&town, &town.a, at(&town.b));
    went(&captured, at(&town.b), at(&town.b));
    let vip = SocketAddr::from(([10, 96, 0, 1], 80));
    town.put_service(vip, at(&town.b), Backend::ENROLLED);
    went(&proxy.takes(&town, &town.a, vip).1, vip, at(&town.b));
    // Itself it reaches as ever.
    reaches(town.dial(&town.b, at(&town.b)));
    reaches(town.dial(&town.b, vip));
}

#[test]
fn an_application_sees_the_client_that_the_proxy_dials_it_for() {
    let Some(town) = Town::or_skip() else { return };
    let any = SocketAddr::from(([0u16; 8], PORT));
    let v4only = SocketAddr::from((town.b.v4(), PORT + 1));
    let v6 = |port| SocketAddr::from((town.b.v6(), port));
    let _servers = [
        Server::start(&town, &town.b, any),
        Server::start(&town, &town.b, v4only),
    ];
    for (to, client) in [
        (at(&town.b), "10.9.8.7:4321"),
        (v4only, "10.9.8.7:4321"),
        (v6(PORT), "[fd99::7]:4321"),
    ] {
        let client: SocketAddr = client.parse().unwrap();
        let family = if to.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let (socket, own) = town.inside(&town.b).run(|| bound(family, to));
        let key = end(cookie(&town.b), own);
        let origin = Origin {
            address: client.ip().into(),
            port: client.port(),
            reserved: 0,
        };
        let maps = town.plane().maps();
        assert!(maps.put_origin(&key, &origin).unwrap());
        let other = Origin { port: 1, ..origin };
        assert!(!maps.put_origin(&key, &other).unwrap(), "the end is taken");
        town.inside(&town.b)
            .run(|| rustix::net::connect(&socket, &to))
            .unwrap();
        let said = reaches(hear(TcpStream::from(socket)));
        let seen: Vec<_> = said
            .seen
            .iter()
            .map(|one| one.ip().to_canonical())
            .collect();
        assert_eq!(seen, [client.ip(), client.ip()]);
        assert_eq!(said.seen[1].port(), client.port());
        assert!(maps.delete_origin(&key).unwrap());
        assert!(!maps.delete_origin(&key).unwrap());
    }
    let said = reaches(town.inside(&town.b).run(|| dial(at(&town.b))));
    assert_eq!(said.seen[0].port(), said.local.port());
}

/// A socket bound to one of the proxy's addresses that can dial `to`, and where it is bound.
fn bound(family: AddressFamily, to: SocketAddr) -> (OwnedFd, SocketAddr) {
    let from: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::new(127, 129, 2, 3).into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    let own = rustix::net::getsockname(&socket).unwrap();
    (socket, own.try_into().unwrap())
}

#[test]
fn a_capture_that_found_no_listener_leaves_the_socket_usable() {
    let Some(town) = Town::or_skip() else { return };
    town.put_remote(&town.c);
    let socket = town
        .inside(&town.a)
        .run(|| rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap());
    let connect = |to: SocketAddr| {
        town.inside(&town.a)
            .run(|| rustix::net::connect(&socket, &to))
            .map_err(|error| error.kind())
    };
    assert_eq!(connect(at(&town.c)), Err(ErrorKind::ConnectionRefused));
    let _server = Server::start(&town, &town.b, at(&town.b));
    assert_eq!(connect(at(&town.b)), Ok(()));
    let said = reaches(hear(TcpStream::from(socket)));
    assert_eq!(said.peer, at(&town.b), "not what was dialled before");
}
