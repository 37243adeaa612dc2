//! Who and what is refused, and how.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    sync::atomic::Ordering,
    time::Duration,
};

use weft_proxy::{Direction, Flag, Record};

use crate::support::{CLIENT, Mesh, SERVER, echo, eventually, id, serve, settings, workload};
use tokio::time::Instant;

/// Dials, and expects the connection to be reset without a byte.
fn refused(mesh: &Mesh) {
    let mut stream = mesh.dial();
    let result = stream.read(&mut [0]).map_err(|it| it.kind());
    assert_eq!(result, Err(ErrorKind::ConnectionReset));
}

fn of(records: &[Record], direction: Direction) -> &Record {
    records
        .iter()
        .find(|it| it.connection.direction == direction)
        .unwrap()
}

#[test]
fn policy_denies_with_401_and_names_what_decided() {
    let mesh = Mesh::new(settings(1)).to(serve(|_| panic!("nobody may come here")));
    *mesh.world.denied.lock().unwrap() = Some("policy default/strict rule 2".into());
    refused(&mesh);
    let records = mesh.records(2);
    let inbound = of(&records, Direction::Inbound);
    assert_eq!(inbound.flag, Flag::Denied);
    assert_eq!(
        inbound.error.as_deref(),
        Some("denied by policy default/strict rule 2")
    );
    assert_eq!(inbound.connection.source_identity, Some(id("client")));
    let outbound = of(&records, Direction::Outbound);
    assert_eq!(
        outbound.error.as_deref(),
        Some("the peer's proxy answered CONNECT with 401")
    );
    assert_eq!(outbound.flag, Flag::Denied);
    assert_eq!(
        (outbound.connection.service, outbound.connection.backend),
        (7, 9)
    );
}

#[test]
fn an_address_of_somebody_else_is_a_bad_request() {
    let address = echo();
    let mesh = Mesh::new(settings(1)).to(address);
    mesh.world.foreign.lock().unwrap().insert(address.ip());
    refused(&mesh);
    let records = mesh.records(2);
    assert_eq!(
        of(&records, Direction::Outbound).error.as_deref(),
        Some("the peer's proxy answered CONNECT with 400")
    );
}

#[test]
fn an_application_that_does_not_listen_is_503() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mesh = Mesh::new(settings(1)).to(free);
    refused(&mesh);
    let records = mesh.records(2);
    assert_eq!(
        of(&records, Direction::Outbound).error.as_deref(),
        Some("the peer's proxy answered CONNECT with 503")
    );
    assert_eq!(of(&records, Direction::Inbound).flag, Flag::Connect);
    assert!(mesh.world.shown.lock().unwrap().is_empty());
}

#[test]
fn a_peer_with_another_identity_gets_nothing() {
    let mesh = Mesh::new(settings(1)).to(serve(|_| panic!("nobody may come here")));
    mesh.reach(mesh.hbone(), &["somebody-else"]);
    refused(&mesh);
    let records = mesh.records(1);
    let outbound = of(&records, Direction::Outbound);
    assert_eq!(outbound.flag, Flag::Identity, "{:?}", outbound.error);
}

/// An address gets a new owner: the connection to the old one must not be used for the new one.
#[test]
fn a_pooled_connection_is_no_proof_of_another_identity() {
    let mesh = Mesh::new(settings(1)).to(echo());
    let mut stream = mesh.dial();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    mesh.reach(mesh.hbone(), &["the-new-owner"]);
    refused(&mesh);
    // What was open before goes on.
    stream.write_all(b"y").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn without_a_certificate_nothing_goes_out() {
    let mesh = Mesh::new(settings(1)).to(echo());
    mesh.ca.lose(id("client"));
    refused(&mesh);
    let records = mesh.records(1);
    assert_eq!(records[0].flag, Flag::Identity);
    assert!(
        records[0]
            .error
            .as_deref()
            .unwrap()
            .contains("no certificate for spiffe://cluster.local")
    );
}

#[test]
fn a_first_certificate_that_is_on_its_way_is_waited_for_on_either_side() {
    for name in ["client", "server"] {
        let mesh = Mesh::new(settings(1)).to(echo());
        mesh.ca.lose(id(name));
        mesh.ca.pending.store(true, Ordering::Relaxed);
        let mut stream = mesh.dial();
        stream.write_all(b"x").unwrap();
        let short = Duration::from_millis(200);
        stream.set_read_timeout(Some(short)).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{name}");
        mesh.ca.find();
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn a_connection_the_kernel_knows_nothing_of_is_reset() {
    let mesh = Mesh::new(settings(1));
    refused(&mesh);
    assert_eq!(mesh.records(1)[0].flag, Flag::Connect);
}

#[test]
fn an_endpoint_without_a_way_is_reset() {
    let mesh = Mesh::new(settings(1)).to(echo());
    *mesh.world.upstream.lock().unwrap() = None;
    refused(&mesh);
    assert!(
        mesh.records(1)[0]
            .error
            .as_deref()
            .unwrap()
            .starts_with("no way to 127.0.0.1")
    );
}

#[test]
fn many_connections_to_a_dead_peer_fail_together() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    let mut settings = settings(1);
    settings.handshake_timeout = Duration::from_secs(1);
    let mesh = Mesh::new(settings).to(echo());
    mesh.reach(dead, &["server"]);
    let begun = Instant::now();
    let streams: Vec<_> = (0..50).map(|_| mesh.dial()).collect();
    for mut stream in streams {
        assert!(stream.read(&mut [0]).is_err());
    }
    // One attempt while they waited, and at most one by somebody who came after it began.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_change_of_policy_cuts_what_it_now_denies() {
    let mesh = Mesh::new(settings(2)).to(echo());
    let mut stream = mesh.dial();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    mesh.proxy.policy_changed();
    stream.write_all(b"y").unwrap();
    stream.read_exact(&mut [0]).unwrap();

    *mesh.world.denied.lock().unwrap() = Some("policy default/new rule 1".into());
    let begun = Instant::now();
    mesh.proxy.policy_changed();
    let result = stream.read(&mut [0]).map_err(|it| it.kind());
    assert_eq!(result, Err(ErrorKind::ConnectionReset));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let records = mesh.records(2);
    let inbound = of(&records, Direction::Inbound);
    assert_eq!(inbound.flag, Flag::Denied);
    assert_eq!((inbound.sent, inbound.received), (2, 2));
}

#[test]
fn a_workload_that_leaves_takes_its_connections_along() {
    for key in [CLIENT, SERVER] {
        let mesh = Mesh::new(settings(2)).to(echo());
        let mut stream = mesh.dial();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        mesh.proxy.remove(key);
        let result = stream.read(&mut [0]).map_err(|it| it.kind());
        assert_eq!(result, Err(ErrorKind::ConnectionReset), "{key}");
        eventually("everything closed", || mesh.proxy.count() == 0);
        let port = if key == CLIENT {
            mesh.client.outbound_port
        } else {
            mesh.server.inbound_port
        };
        eventually("nobody listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        mesh.proxy.add(workload(key, "again")).unwrap();
    }
}

#[test]
fn draining_lets_tunnels_finish_and_takes_no_more() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mesh = Mesh::new(settings(2)).to(echo());
    let mut stream = mesh.dial();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let live = runtime.block_on(mesh.proxy.connections());
    assert_eq!(live.len(), 2);
    assert!(live.iter().all(|it| it.sent == 1 && it.received == 1));
    let finishing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        stream.write_all(b"y").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    });
    let begun = Instant::now();
    runtime.block_on(mesh.proxy.drain());
    assert!(
        (400..5000).contains(&begun.elapsed().as_millis()),
        "{:?}",
        begun.elapsed()
    );
    finishing.join().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", mesh.client.outbound_port)).is_err());
    assert!(mesh.records(2).iter().all(|it| it.error.is_none()));
}

#[test]
fn draining_ends_what_does_not_finish() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut settings = settings(1);
    settings.drain_timeout = Duration::from_millis(200);
    let mesh = Mesh::new(settings).to(echo());
    let mut stream = mesh.dial();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    runtime.block_on(mesh.proxy.drain());
    assert!(stream.read(&mut [0]).is_err());
}

#[test]
fn there_are_no_more_connections_than_may_be() {
    let mut settings = settings(1);
    settings.max_connections = 3;
    let mesh = Mesh::new(settings).to(echo());
    let mut stream = mesh.dial();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    // One outbound place is left, and none inbound behind it.
    refused(&mesh);
    stream.write_all(b"y").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

/// Of either side: the other ends what is open, and takes nothing new.
#[test]
fn a_certificate_that_is_taken_back_ends_connections_within_a_second() {
    for (taken, teller) in [
        ("server", Direction::Outbound),
        ("client", Direction::Inbound),
    ] {
        let mesh = Mesh::new(settings(1)).to(echo());
        let mut stream = mesh.dial();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        mesh.ca.revoke(&id(taken));
        mesh.proxy.trust_changed();
        let began = Instant::now();
        let end = stream.read(&mut [0]).map_err(|it| it.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{taken}");
        assert!(began.elapsed() < Duration::from_secs(1));
        let records = mesh.records(2);
        let record = of(&records, teller);
        assert_eq!(record.flag, Flag::Revoked, "{taken}: {records:?}");
        let why = format!("the certificate of {} is revoked", id(taken));
        assert_eq!(record.error.as_deref(), Some(&*why));
        let told = mesh.world.records.lock().unwrap().len();
        refused(&mesh);
        let records = mesh.records(told + 1);
        assert!(
            records[told..].iter().any(|it| it.flag == Flag::Revoked),
            "{taken}: {records:?}"
        );
    }
}
