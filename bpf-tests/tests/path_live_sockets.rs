//! Live sockets seen through the loader: listed, counted, reported, destroyed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's set-up may panic, and tells what it could not clean up"
)]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::PathBuf,
    time::Duration,
};

use weft_abi::{
    Address, Backend, BackendState, EventKind, Protocol, Scope, Service, ServiceKey, Slot,
};
use weft_loader::{Options, Pinned, Plane, SocketDestroyer, SocketId, Told, TraceLog, uninstall};
use weft_lower::{Capacity, MapOp};
use weft_testkit::{Namespace, Place, Rig};

const VIP: &str = "10.96.0.1:80";

/// A plane that sends `VIP` to one backend; removed on drop.
struct Mesh {
    plane: Option<Plane>,
    state: PathBuf,
}

impl Mesh {
    fn plane(&self) -> &Plane {
        self.plane.as_ref().expect("there until the drop")
    }

    fn install(rig: &Rig, backend: SocketAddr) -> Self {
        Self::install_with(rig, backend, false).0
    }

    fn install_with(rig: &Rig, backend: SocketAddr, trace: bool) -> (Self, Option<TraceLog>) {
        let state = rig.directory().join("state");
        let options = Options {
            state: state.clone(),
            cgroup: rig.cgroup().path().to_owned(),
            interfaces: Vec::new(),
            capacity: Capacity {
                services: 16,
                backends: 16,
                slots: 16,
                workloads: 16,
            },
            trace,
        };
        let (plane, _, log) = Plane::open(options).unwrap_or_else(|error| panic!("{error}"));
        plane.apply(&one_backend(backend)).unwrap();
        plane.attach().unwrap();
        let mesh = Self {
            plane: Some(plane),
            state,
        };
        (mesh, log)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        // `uninstall` would wait for what an open plane holds.
        self.plane = None;
        if let Err(error) = uninstall(&self.state) {
            eprintln!("uninstall after the test: {error}");
        }
    }
}

fn one_backend(backend: SocketAddr) -> Vec<MapOp> {
    let vip: SocketAddr = VIP.parse().unwrap();
    let key = |protocol| ServiceKey {
        address: Address::from(vip.ip()),
        port: vip.port(),
        protocol,
        scope: Scope::SOCKET,
    };
    let service = Service {
        id: 1,
        slots: 1,
        max_connections: u32::MAX,
        algorithm: Service::RANDOM,
        ..Service::default()
    };
    let backend = Backend {
        address: Address::from(backend.ip()),
        port: backend.port(),
        service: 1,
        generation: 5,
        ..Backend::default()
    };
    vec![
        MapOp::PutBackendState(
            1,
            BackendState {
                generation: 5,
                ..BackendState::default()
            },
        ),
        MapOp::PutBackend(1, backend),
        MapOp::PutSlots(
            0,
            vec![Slot {
                backend: 1,
                service: 1,
            }],
        ),
        MapOp::PutService(key(Protocol::TCP), service),
        MapOp::PutService(key(Protocol::UDP), service),
    ]
}

/// A TCP connection through the VIP: the client's end and the server's.
fn connect(client: &Place, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = client.run(|| TcpStream::connect(VIP)).unwrap();
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
    }
    (near, far)
}

fn listen(server: &Namespace) -> TcpListener {
    server
        .enter(|| TcpListener::bind((server.v4(), 0)).unwrap())
        .unwrap()
}

#[test]
fn a_live_connection_is_listed_and_its_bytes_are_counted() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let [client, server] = ["client", "server"].map(|name| rig.host(name).unwrap());
    let listener = listen(&server);
    let mesh = Mesh::install(&rig, listener.local_addr().unwrap());
    let (mut near, mut far) = connect(&rig.inside(&client), &listener);
    near.write_all(&[7; 1000]).unwrap();
    far.read_exact(&mut [0; 1000]).unwrap();
    far.write_all(&[7; 300]).unwrap();
    near.read_exact(&mut [0; 300]).unwrap();

    let sockets = mesh.plane().sockets().unwrap();
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    assert_eq!(sockets[0].cookie, cookie(&near));
    assert_eq!(
        (
            sockets[0].service,
            sockets[0].backend,
            sockets[0].generation
        ),
        (1, 1, 5)
    );
    assert_eq!(sockets[0].protocol, Protocol::TCP);
    let edges = mesh.plane().maps().edges().unwrap();
    assert_eq!(edges.len(), 1, "{edges:?}");
    assert_eq!((edges[0].1.opened, edges[0].1.closed), (1, 0));
    assert_eq!((edges[0].1.sent, edges[0].1.received), (1000, 300));
    assert_eq!(
        mesh.plane().maps().backend_states(1..2).unwrap()[0].active,
        1
    );
    assert!(mesh.plane().maps().delete_edge(&edges[0].0).unwrap());
    assert!(!mesh.plane().maps().delete_edge(&edges[0].0).unwrap());
}

#[test]
fn a_refused_connect_is_reported_as_it_happens() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let [client, server] = ["client", "server"].map(|name| rig.host(name).unwrap());
    let closed = listen(&server).local_addr().unwrap();
    let mesh = Mesh::install(&rig, closed);
    let mut events = mesh.plane().events().unwrap();
    assert_eq!(events.next(), None);
    let error = rig
        .inside(&client)
        .run(|| TcpStream::connect(VIP))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(readable(&events), "the ring buffer wakes its reader");
    let Some(Told::Kernel(event)) = events.next() else {
        panic!("an event");
    };
    assert_eq!(
        (event.kind, event.service, event.backend),
        (EventKind::CONNECT_FAILED, 1, 1)
    );
    assert_eq!((event.error, event.generation), (libc::ECONNREFUSED, 5));
    assert_eq!(events.next(), None);
}

fn readable(fd: impl AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec {
        tv_sec: 2,
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

#[test]
fn destroyed_sockets_end_at_once_in_whatever_namespace_and_others_do_not() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let [client, server] = ["client", "server"].map(|name| rig.host(name).unwrap());
    let listener = listen(&server);
    let mesh = Mesh::install(&rig, listener.local_addr().unwrap());
    let place = rig.inside(&client);
    let (mut doomed, mut far) = connect(&place, &listener);
    let (mut spared, mut other) = connect(&place, &listener);
    let udp = place.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(VIP).unwrap();
        socket
    });
    // As Java and Go dial: an IPv6 socket, an IPv4 address.
    let mut mapped = place
        .run(|| TcpStream::connect("[::ffff:10.96.0.1]:80"))
        .unwrap();
    let sockets = mesh.plane().sockets().unwrap();
    assert_eq!(sockets.len(), 4, "{sockets:?}");
    let mut ids: Vec<SocketId> = sockets.iter().map(SocketId::from).collect();
    ids.retain(|id| id.cookie != cookie(&spared));
    ids.push(SocketId {
        netns: u64::MAX,
        ..ids[0]
    });
    ids.push(SocketId {
        cookie: u64::MAX,
        ..ids[0]
    });

    let mut destroyer = SocketDestroyer::new();
    let result = destroyer.destroy(&ids).unwrap();
    assert_eq!((result.destroyed, result.gone), (3, 1));
    assert_eq!(
        result.missing_namespaces.into_iter().collect::<Vec<_>>(),
        [u64::MAX]
    );
    assert_eq!(
        doomed.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
    assert_eq!(
        far.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(
        mapped.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
    assert_eq!(
        udp.recv(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
    spared.write_all(&[1]).unwrap();
    other.read_exact(&mut [0]).unwrap();

    // The second time from what is remembered of namespaces.
    let id = SocketId {
        cookie: cookie(&spared),
        protocol: Protocol::TCP,
        ..ids[0]
    };
    assert_eq!(destroyer.destroy(&[id]).unwrap().destroyed, 1);
    assert_eq!(
        spared.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
}

fn cookie(socket: &impl AsFd) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap()
}

#[test]
fn balancing_goes_on_without_a_process_that_holds_the_plane() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let [client, server] = ["client", "server"].map(|name| rig.host(name).unwrap());
    let listener = listen(&server);
    let mut mesh = Mesh::install(&rig, listener.local_addr().unwrap());
    mesh.plane = None;
    let (near, _far) = connect(&rig.inside(&client), &listener);
    assert_eq!(near.peer_addr().unwrap(), VIP.parse().unwrap());
    let pinned = Pinned::open(&mesh.state).unwrap();
    assert_eq!(pinned.maps().backend_states(1..2).unwrap()[0].active, 1);
}

#[test]
fn the_trace_object_logs_what_its_programs_do() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let [client, server] = ["client", "server"].map(|name| rig.host(name).unwrap());
    let listener = listen(&server);
    let backend = listener.local_addr().unwrap();
    let (mesh, log) = Mesh::install_with(&rig, backend, true);
    let mut log = log.unwrap();
    assert_eq!(log.drain(), []);
    drop(connect(&rig.inside(&client), &listener));
    assert!(readable(&log), "the log wakes its reader");
    let lines = log.drain();
    assert!(!lines.is_empty());
    assert!(
        lines.iter().all(|line| !line.message.is_empty()),
        "{lines:?}"
    );
    println!("{}", lines[0]);
    drop(log);
    drop(mesh);
}
