//! Enrolled workloads of one node, decided on by the kernel alone: who is let in, by identity,
//! address and port; and that it holds without a manager.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's set-up may panic, and tells what it could not clean up"
)]

#[path = "path_enrolled/capture.rs"]
mod capture;
#[path = "path_enrolled/clauses.rs"]
mod clauses;
#[path = "path_enrolled/hold.rs"]
mod hold;
#[path = "path_enrolled/town.rs"]
mod town;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use bpf_tests::wait_for;
use town::{
    A, B, Clause, PORT, SET, Server, Town, at, connection, cookie, dial, enrolment, reaches,
    refused, rule_set,
};
use weft_abi::{
    Attested, ClientKey, ClientLimit, Enrolment, EventKind, HitKey, MtlsMode, Peer, PortModeKey,
    RuleBits, RuleSet,
};
use weft_loader::SocketDestroyer;
use weft_lower::MapOp;
use weft_testkit::{Place, client::mapped};

/// Only what `clause` allows comes in at `b`.
fn guard(town: &Town, clause: &Clause<'_>) {
    town.apply(rule_set(SET, clause, |_| {}));
    town.put_peer(&town.b, |peer| peer.set = SET);
}

#[test]
fn the_identity_of_the_namespace_decides_and_an_unknown_client_matches_no_principal() {
    let Some(town) = Town::or_skip() else { return };
    let any = SocketAddr::from(([0u16; 8], PORT));
    let server = Server::start(&town, &town.b, any);
    guard(
        &town,
        &Clause {
            identities: Some(&[A]),
            ..Clause::default()
        },
    );
    let v6 = SocketAddr::from((town.b.v6(), PORT));
    for to in [at(&town.b), v6, mapped(at(&town.b))] {
        let said = reaches(town.dial(&town.a, to));
        assert_eq!(said.peer, to);
        assert_eq!(said.seen[0].port(), said.local.port(), "the true client");
    }
    let accepted = server.accepted();
    let events = town.events(|| {
        refused(town.dial(&town.c, at(&town.b)));
        refused(Place::outside(&town.c).run(|| dial(at(&town.b))));
        refused(town.dial(&town.c, v6));
    });
    assert_eq!(server.accepted(), accepted);
    assert_eq!(events.len(), 3, "{events:?}");
    for event in &events {
        assert_eq!(
            (event.kind, event.identity, event.set, event.clause),
            (EventKind::DENIED, 0, SET, HitKey::NOTHING)
        );
        assert_eq!(event.destination_port, PORT);
    }
    assert_eq!(IpAddr::from(events[0].source), IpAddr::from(town.c.v4()));
    let hits = town.plane().maps().authz_hits().unwrap();
    let count = |clause| {
        let key = HitKey { set: SET, clause };
        hits.iter().find(|(one, _)| *one == key).map(|(_, n)| *n)
    };
    assert_eq!((count(0), count(HitKey::NOTHING)), (Some(3), Some(3)));

    // The same client under a set that names another.
    guard(
        &town,
        &Clause {
            identities: Some(&[B]),
            ..Clause::default()
        },
    );
    let own = rule_set(
        SET + 1,
        &Clause {
            identities: Some(&[B]),
            ..Clause::default()
        },
        |_| {},
    );
    town.apply(own);
    town.put_peer(&town.b, |peer| peer.set = SET + 1);
    let events = town.events(|| refused(town.dial(&town.a, at(&town.b))));
    assert_eq!((events[0].identity, events[0].netns), (A, cookie(&town.a)));
}

#[test]
fn source_addresses_and_ports_decide_too() {
    let Some(town) = Town::or_skip() else { return };
    let other = SocketAddr::from((town.b.v4(), PORT + 1));
    let _servers = [
        Server::start(&town, &town.b, at(&town.b)),
        Server::start(&town, &town.b, other),
    ];
    let from_c = [(IpAddr::from(town.c.v4()), 128)];
    let clause = Clause {
        sources: Some(&from_c),
        ports: Some(&[PORT]),
        ..Clause::default()
    };
    guard(&town, &clause);
    reaches(town.dial(&town.c, at(&town.b)));
    refused(town.dial(&town.c, other));
    refused(town.dial(&town.a, at(&town.b)));
    // The whole switch is 10.77.0.0/16.
    let everyone = [(IpAddr::from([10, 77, 0, 0]), 96 + 16)];
    let clause = Clause {
        sources: Some(&everyone),
        ..Clause::default()
    };
    town.apply(rule_set(SET + 1, &clause, |_| {}));
    town.put_peer(&town.b, |peer| peer.set = SET + 1);
    reaches(town.dial(&town.a, other));
}

#[test]
fn a_deny_clause_wins_and_dry_run_and_audit_only_tell() {
    let Some(town) = Town::or_skip() else { return };
    let _server = Server::start(&town, &town.b, at(&town.b));
    let mut one = RuleBits::default();
    one.words[0] = 1;
    town.apply(rule_set(SET, &Clause::default(), |rules| rules.deny = one));
    town.put_peer(&town.b, |peer| peer.set = SET);
    refused(town.dial(&town.a, at(&town.b)));
    let tells = |rules: &mut RuleSet| {
        rules.dry_deny = one;
        rules.audit = one;
    };
    town.apply(rule_set(SET + 1, &Clause::default(), tells));
    town.put_peer(&town.b, |peer| peer.set = SET + 1);
    let events = town.events(|| drop(reaches(town.dial(&town.a, at(&town.b)))));
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::AUDIT, EventKind::DRY_RUN]);
    // A set that is not there lets nobody in.
    town.put_peer(&town.b, |peer| peer.set = SET + 7);
    refused(town.dial(&town.a, at(&town.b)));
}

#[test]
fn strict_refuses_plain_clients_before_a_byte_and_ports_may_differ() {
    let Some(town) = Town::or_skip() else { return };
    let server = Server::start(&town, &town.b, at(&town.b));
    let open = SocketAddr::from((town.b.v4(), PORT + 1));
    let _open = Server::start(&town, &town.b, open);
    town.put_peer(&town.b, |peer| {
        peer.mode = MtlsMode::STRICT;
        peer.flags |= Peer::PORT_MODES;
    });
    let port = PortModeKey {
        address: open.ip().into(),
        port: open.port(),
        reserved: 0,
    };
    town.apply(vec![MapOp::PutPortMode(
        port,
        u32::from(MtlsMode::PERMISSIVE),
    )]);
    let events = town.events(|| refused(town.dial(&town.c, at(&town.b))));
    assert_eq!(events[0].kind, EventKind::PLAINTEXT);
    assert_eq!(server.accepted(), 0);
    reaches(town.dial(&town.a, at(&town.b)));
    reaches(town.dial(&town.c, open));
    town.put_peer(&town.b, |peer| {
        peer.mode = MtlsMode::STRICT;
        peer.flags |= Peer::BYPASS_INBOUND;
    });
    reaches(town.dial(&town.c, at(&town.b)));
}

#[test]
fn policy_holds_without_a_manager_and_through_an_upgrade_and_ends_with_enrolment() {
    let Some(mut town) = Town::or_skip() else {
        return;
    };
    let _server = Server::start(&town, &town.b, at(&town.b));
    guard(
        &town,
        &Clause {
            identities: Some(&[A]),
            ..Clause::default()
        },
    );
    town.close();
    refused(town.dial(&town.c, at(&town.b)));
    reaches(town.dial(&town.a, at(&town.b)));
    town.open();
    let enrolled = town.plane().enrolled().unwrap();
    let mut cookies: Vec<_> = enrolled.iter().map(|one| one.cookie).collect();
    cookies.sort_unstable();
    let mut expected = vec![cookie(&town.a), cookie(&town.b)];
    expected.sort_unstable();
    assert_eq!(cookies, expected);
    assert!(enrolled.iter().all(|one| one.alive));
    refused(town.dial(&town.c, at(&town.b)));
    reaches(town.dial(&town.a, at(&town.b)));
    // Again is no error, and no second program.
    town.enrol(&town.b);
    assert!(town.plane().unenrol(cookie(&town.b)).unwrap());
    assert!(!town.plane().unenrol(cookie(&town.b)).unwrap());
    // The kernel detaches from a work queue.
    wait_for("b to be open to all", || {
        town.dial(&town.c, at(&town.b)).is_ok()
    });
}

#[test]
fn the_link_of_a_namespace_that_went_is_removed_by_the_next_manager() {
    let Some(mut town) = Town::or_skip() else {
        return;
    };
    let gone = town.rig.namespace("gone").unwrap();
    let netns = cookie(&gone);
    town.enrol(&gone);
    drop(gone);
    let alive = |town: &Town| {
        let enrolled = town.plane().enrolled().unwrap();
        enrolled
            .iter()
            .find(|one| one.cookie == netns)
            .map(|one| one.alive)
    };
    wait_for("the namespace to go", || alive(&town) == Some(false));
    town.close();
    town.open();
    assert_eq!(alive(&town), None);
}

#[test]
fn what_is_not_ready_neither_connects_nor_is_connected_to() {
    let Some(town) = Town::or_skip() else { return };
    let _server = Server::start(&town, &town.b, at(&town.b));
    town.put_peer(&town.b, |peer| peer.flags &= !Peer::READY);
    let events = town.events(|| refused(town.dial(&town.a, at(&town.b))));
    assert_eq!((events.len(), events[0].kind), (1, EventKind::NOT_READY));
    town.put_peer(&town.b, |_| {});
    town.apply(vec![MapOp::PutEnrolment(cookie(&town.a), enrolment(A, 0))]);
    let events = town.events(|| refused(town.dial(&town.a, at(&town.b))));
    assert_eq!((events.len(), events[0].kind), (1, EventKind::NOT_READY));
    assert_eq!(events[0].netns, cookie(&town.a));
}

#[test]
fn the_node_and_the_workload_itself_pass_what_nobody_else_does() {
    let Some(town) = Town::or_skip() else { return };
    let _server = Server::start(&town, &town.b, at(&town.b));
    town.apply(rule_set(SET, &Clause::default(), |rules| {
        rules.flags |= RuleSet::REFUSE_ALL;
    }));
    town.put_peer(&town.b, |peer| {
        peer.set = SET;
        peer.mode = MtlsMode::STRICT;
    });
    refused(town.dial(&town.a, at(&town.b)));
    reaches(town.dial(&town.node, at(&town.b)));
    reaches(town.dial(&town.b, at(&town.b)));
    // By a service that leads back to it.
    let vip = SocketAddr::from(([10, 96, 0, 1], 80));
    town.put_service(vip, at(&town.b), weft_abi::Backend::ENROLLED);
    assert_eq!(reaches(town.dial(&town.b, vip)).peer, vip);
    refused(town.dial(&town.a, vip));
}

#[test]
fn clients_are_written_down_while_connected_and_an_old_identity_never_passes_on() {
    let Some(town) = Town::or_skip() else { return };
    let clause = Clause {
        identities: Some(&[A]),
        ..Clause::default()
    };
    guard(&town, &clause);
    let listener = town
        .inside(&town.b)
        .run(|| TcpListener::bind(at(&town.b)).unwrap());
    let stream = town
        .inside(&town.a)
        .run(|| TcpStream::connect(at(&town.b)).unwrap());
    let from = stream.local_addr().unwrap();
    let key = connection(from, at(&town.b));
    let maps = town.plane().maps();
    let client = maps.attested(&key).unwrap().unwrap();
    assert_eq!((client.netns, client.identity), (cookie(&town.a), A));
    drop(listener.accept().unwrap());
    drop(stream);
    wait_for("the client to be forgotten", || {
        maps.attested(&key).unwrap().is_none()
    });

    // An entry that outlived its namespace: another one has its address and port now.
    let left = Attested {
        netns: cookie(&town.a),
        identity: A,
        service: 0,
    };
    maps.attested.put(&key, &left).unwrap();
    town.apply(vec![MapOp::DeleteEnrolment(cookie(&town.a))]);
    town.a
        .ip(&["addr", "del", &format!("{}/16", from.ip()), "dev", "eth0"])
        .unwrap();
    town.c
        .address("eth0", &format!("{}/16", from.ip()))
        .unwrap();
    let answer = town.inside(&town.c).run(|| {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )?;
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &from)?;
        rustix::net::connect(&socket, &at(&town.b))
    });
    assert_eq!(answer, Err(rustix::io::Errno::CONNREFUSED));
    // The manager's part, should the namespace be known again.
    town.plane().unenrol(cookie(&town.a)).unwrap();
    assert_eq!(maps.attested(&key).unwrap(), None);
}

#[test]
fn one_identity_may_open_so_many_connections_to_a_service_and_no_more() {
    let Some(town) = Town::or_skip() else { return };
    let vip = SocketAddr::from(([10, 96, 0, 1], 80));
    town.put_service(vip, at(&town.b), weft_abi::Backend::ENROLLED);
    let _listener = town
        .inside(&town.b)
        .run(|| TcpListener::bind(at(&town.b)).unwrap());
    let connect = || town.inside(&town.a).run(|| TcpStream::connect(vip));
    let limit = ClientLimit {
        concurrent: 2,
        ..ClientLimit::default()
    };
    town.apply(vec![MapOp::PutClientLimit(1, limit)]);
    let first = connect().unwrap();
    let second = connect().unwrap();
    let events = town.events(|| drop(connect().expect_err("a third")));
    assert_eq!(events[0].kind, EventKind::CLIENT_LIMIT);
    assert_eq!((events[0].identity, events[0].service), (A, 1));
    // Clients that are nobody's are not held to it.
    town.inside(&town.c)
        .run(|| TcpStream::connect(vip))
        .unwrap();
    let key = ClientKey {
        identity: A,
        service: 1,
    };
    let active = || {
        let state = town.plane().maps().client_state.value(&key).unwrap();
        state.unwrap().active
    };
    assert_eq!(active(), 2);
    drop(first);
    drop(second);
    // Their ends are closed by nobody else: reset them.
    let mut sockets = SocketDestroyer::new();
    let open = sockets.connections(cookie(&town.a)).unwrap();
    let open: Vec<_> = open.iter().map(|one| one.socket).collect();
    sockets.destroy(&open).unwrap();
    wait_for("both to be counted out", || active() == 0);
    let rate = ClientLimit {
        per_second: 1,
        burst: 2,
        ..ClientLimit::default()
    };
    town.apply(vec![MapOp::PutClientLimit(1, rate)]);
    let opened = (0..5).filter(|_| connect().is_ok()).count();
    assert_eq!(opened, 2);
}

#[test]
fn connections_that_policy_no_longer_allows_can_be_found_and_ended() {
    let Some(town) = Town::or_skip() else { return };
    let any = SocketAddr::from(([0u16; 8], PORT));
    let listener = town.inside(&town.b).run(|| TcpListener::bind(any).unwrap());
    let stream = town
        .inside(&town.a)
        .run(|| TcpStream::connect(at(&town.b)).unwrap());
    let _served = listener.accept().unwrap();
    let mut sockets = SocketDestroyer::new();
    let found = sockets.connections(cookie(&town.b)).unwrap();
    let from = stream.local_addr().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].local, found[0].remote), (at(&town.b), from));
    let destroyed = sockets.destroy(&[found[0].socket]).unwrap();
    assert_eq!(destroyed.destroyed, 1);
    let mut stream = stream;
    let error = std::io::Read::read(&mut stream, &mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn an_enrolment_that_bypasses_the_mesh_still_has_its_identity() {
    let Some(town) = Town::or_skip() else { return };
    let _server = Server::start(&town, &town.b, at(&town.b));
    let clause = Clause {
        identities: Some(&[A]),
        ..Clause::default()
    };
    guard(&town, &clause);
    let bypass = enrolment(A, Enrolment::READY | Enrolment::BYPASS_OUTBOUND);
    town.apply(vec![MapOp::PutEnrolment(cookie(&town.a), bypass)]);
    reaches(town.dial(&town.a, at(&town.b)));
}
