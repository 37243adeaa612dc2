//! A node with two enrolled workloads, `a` and `b`, a stranger `c`, and a plane filled by hand.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use weft_abi::{
    Address, Backend, BackendState, ConnectionKey, EndKey, Enrolment, Peer, PolicyEvent, Protocol,
    RuleBits, RuleSet, Scope, Service, ServiceKey, SetIdentityKey, SetPortKey, SetSourceKey, Slot,
};
use weft_loader::{Options, Plane, Told, netns_cookie, uninstall};
use weft_lower::{Capacity, MapOp};
use weft_testkit::{Namespace, Place, Rig};

pub(crate) const PORT: u16 = 8080;
pub(crate) const PROXY: u16 = 15001;
pub(crate) const A: u32 = 11;
pub(crate) const B: u32 = 12;
/// A rule set.
pub(crate) const SET: u32 = 5;

/// The town. Dropping it removes everything.
pub(crate) struct Town {
    plane: Option<Plane>,
    state: PathBuf,
    pub(crate) node: Arc<Namespace>,
    pub(crate) a: Arc<Namespace>,
    pub(crate) b: Arc<Namespace>,
    pub(crate) c: Arc<Namespace>,
    pub(crate) rig: Rig,
}

impl Town {
    /// With `a` and `b` enrolled, ready, and no policy.
    pub(crate) fn or_skip() -> Option<Self> {
        let mut rig = Rig::or_skip()?;
        let mut host = |name| rig.host(name).unwrap();
        let (node, a, b, c) = (host("node"), host("a"), host("b"), host("c"));
        let state = rig.directory().join("state");
        let mut town = Self {
            plane: None,
            state,
            node,
            a,
            b,
            c,
            rig,
        };
        town.open();
        for (namespace, identity) in [(&town.a, A), (&town.b, B)] {
            let cookie = cookie(namespace);
            town.enrol(namespace);
            town.apply(vec![MapOp::PutEnrolment(
                cookie,
                enrolment(identity, Enrolment::READY),
            )]);
            town.put_peer(namespace, |_| {});
        }
        Some(town)
    }

    /// Opens and attaches the plane, in the node's namespace.
    pub(crate) fn open(&mut self) {
        let options = Options {
            state: self.state.clone(),
            cgroup: self.rig.cgroup().path().to_owned(),
            interfaces: Vec::new(),
            capacity: Capacity {
                services: 16,
                backends: 16,
                slots: 16,
                workloads: 16,
            },
            trace: false,
        };
        let open = || Plane::open(options).unwrap_or_else(|error| panic!("{error}"));
        let (plane, _, _) = Place::outside(&self.node).run(open);
        plane.attach().unwrap();
        self.plane = Some(plane);
    }

    /// Ends the manager; what is pinned stays.
    pub(crate) fn close(&mut self) {
        self.plane = None;
    }

    pub(crate) fn plane(&self) -> &Plane {
        self.plane.as_ref().expect("open")
    }

    pub(crate) fn enrol(&self, namespace: &Namespace) {
        self.enrol_as(namespace, true);
    }

    pub(crate) fn enrol_as(&self, namespace: &Namespace, is_ready: bool) {
        let file = File::open(namespace.path()).unwrap();
        self.plane()
            .enrol(file.as_fd(), cookie(namespace), is_ready)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    #[track_caller]
    pub(crate) fn apply(&self, ops: Vec<MapOp>) {
        self.plane().apply(&ops).unwrap();
    }

    /// Writes the entries of an enrolled workload in `PEERS`, changed by `with`.
    pub(crate) fn put_peer(&self, namespace: &Namespace, with: impl Fn(&mut Peer)) {
        let identity = if namespace.name() == self.a.name() {
            A
        } else {
            B
        };
        let mut peer = Peer {
            netns: cookie(namespace),
            identity,
            flags: Peer::HERE | Peer::HBONE | Peer::READY,
            set: 0,
            mode: weft_abi::MtlsMode::PERMISSIVE,
            reserved: [0; 3],
        };
        with(&mut peer);
        for address in both(namespace) {
            self.apply(vec![MapOp::PutPeer(address.into(), peer)]);
        }
    }

    /// Lets a workload of another node be known, reached by HBONE.
    pub(crate) fn put_remote(&self, namespace: &Namespace) {
        let peer = Peer {
            identity: 99,
            flags: Peer::HBONE,
            mode: weft_abi::MtlsMode::PERMISSIVE,
            ..Peer::default()
        };
        for address in both(namespace) {
            self.apply(vec![MapOp::PutPeer(address.into(), peer)]);
        }
    }

    /// A service with one backend.
    pub(crate) fn put_service(&self, vip: SocketAddr, backend: SocketAddr, flags: u16) {
        let id = 1;
        self.apply(vec![
            MapOp::PutBackendState(
                1,
                BackendState {
                    generation: 5,
                    ..BackendState::default()
                },
            ),
            MapOp::PutBackend(
                1,
                Backend {
                    address: backend.ip().into(),
                    port: backend.port(),
                    flags,
                    service: id,
                    generation: 5,
                    ..Backend::default()
                },
            ),
            MapOp::PutSlots(
                0,
                vec![Slot {
                    backend: 1,
                    service: id,
                }],
            ),
            MapOp::PutService(
                ServiceKey {
                    address: vip.ip().into(),
                    port: vip.port(),
                    protocol: Protocol::TCP,
                    scope: Scope::SOCKET,
                },
                Service {
                    id,
                    slots: 1,
                    max_connections: u32::MAX,
                    algorithm: Service::RANDOM,
                    ..Service::default()
                },
            ),
        ]);
    }

    pub(crate) fn inside(&self, namespace: &Arc<Namespace>) -> Place {
        self.rig.inside(namespace)
    }

    /// Dials from inside the mesh and reads all that is said.
    pub(crate) fn dial(&self, from: &Arc<Namespace>, to: SocketAddr) -> io::Result<Said> {
        self.inside(from).run(|| dial(to))
    }

    /// Policy events since this was called last.
    pub(crate) fn events(&self, during: impl FnOnce()) -> Vec<PolicyEvent> {
        let mut events = self.plane().events().unwrap();
        while events.next().is_some() {}
        during();
        std::iter::from_fn(|| events.next())
            .filter_map(|told| match told {
                Told::Policy(event) => Some(event),
                Told::Kernel(_) | Told::Ended(_) => None,
            })
            .collect()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.plane = None;
        if let Err(error) = uninstall(&self.state) {
            eprintln!("uninstall after the test: {error}");
        }
    }
}

/// What a client saw.
#[derive(Debug)]
pub(crate) struct Said {
    /// The client's own address.
    pub(crate) local: SocketAddr,
    /// Whom it thinks it talks to.
    pub(crate) peer: SocketAddr,
    /// The client's address as `accept` told the server, and as `getpeername` did.
    pub(crate) seen: Vec<SocketAddr>,
}

pub(crate) fn dial(to: SocketAddr) -> io::Result<Said> {
    dial_within(to, Duration::from_secs(2))
}

pub(crate) fn dial_within(to: SocketAddr, patience: Duration) -> io::Result<Said> {
    hear(TcpStream::connect_timeout(&to, patience)?)
}

/// Reads what a [`Server`] says.
pub(crate) fn hear(mut stream: TcpStream) -> io::Result<Said> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (local, peer) = (stream.local_addr()?, stream.peer_addr()?);
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let seen = text
        .split_whitespace()
        .map(|one| one.parse().unwrap())
        .collect();
    Ok(Said { local, peer, seen })
}

/// Tells each client how it sees it.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// In the mesh's cgroup.
    pub(crate) fn start(town: &Town, on: &Arc<Namespace>, at: SocketAddr) -> Self {
        let listener = town.inside(on).run(|| TcpListener::bind(at).unwrap());
        listener.set_nonblocking(true).unwrap();
        let (stop, accepted) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (stop.clone(), accepted.clone());
        let serve = move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok((mut stream, from)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(2));
                    continue;
                };
                count.fetch_add(1, Ordering::Relaxed);
                let peer = stream.peer_addr().unwrap();
                // The client may have gone.
                drop(stream.write_all(format!("{from} {peer}\n").as_bytes()));
            }
        };
        let thread = Some(thread::spawn(serve));
        Self {
            stop,
            accepted,
            thread,
        }
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

pub(crate) fn cookie(namespace: &Namespace) -> u64 {
    netns_cookie(File::open(namespace.path()).unwrap().as_fd()).unwrap()
}

pub(crate) fn both(namespace: &Namespace) -> [IpAddr; 2] {
    [namespace.v4().into(), namespace.v6().into()]
}

/// Where a workload serves, over IPv4.
pub(crate) fn at(namespace: &Namespace) -> SocketAddr {
    (namespace.v4(), PORT).into()
}

pub(crate) fn enrolment(identity: u32, flags: u32) -> Enrolment {
    Enrolment {
        identity,
        workload: 0,
        flags,
        proxy_port: PROXY,
        reserved: 0,
    }
}

pub(crate) fn end(netns: u64, at: SocketAddr) -> EndKey {
    EndKey {
        netns,
        address: at.ip().into(),
        port: at.port(),
        reserved: [0; 3],
    }
}

pub(crate) fn connection(from: SocketAddr, to: SocketAddr) -> ConnectionKey {
    ConnectionKey {
        source: from.ip().into(),
        destination: to.ip().into(),
        source_port: from.port(),
        destination_port: to.port(),
    }
}

/// Whom one clause fits.
#[derive(Default)]
pub(crate) struct Clause<'a> {
    /// None: anyone, known or not.
    pub(crate) identities: Option<&'a [u32]>,
    /// None: from anywhere. Addresses with the bits that count, of 128.
    pub(crate) sources: Option<&'a [(IpAddr, u32)]>,
    /// None: any port.
    pub(crate) ports: Option<&'a [u16]>,
}

/// A rule set with one ALLOW clause; `rules` may make another of it.
pub(crate) fn rule_set(set: u32, clause: &Clause<'_>, rules: impl Fn(&mut RuleSet)) -> Vec<MapOp> {
    let mut fits = RuleBits::default();
    fits.words[0] = 1;
    let none = RuleBits::default();
    let or = |anyone: bool| if anyone { fits } else { none };
    let identity = |identity| SetIdentityKey { set, identity };
    let port = |port| SetPortKey {
        set,
        port,
        reserved: 0,
    };
    let source = |address: Address, bits| SetSourceKey {
        prefix_length: SetSourceKey::SET_BITS + bits,
        set: set.to_be(),
        address,
        reserved: 0,
    };
    let mut ops = vec![
        MapOp::PutSetIdentity(identity(0), or(clause.identities.is_none())),
        MapOp::PutSetIdentity(
            identity(SetIdentityKey::OTHERS),
            or(clause.identities.is_none()),
        ),
        MapOp::PutSetSource(source(Address::default(), 0), or(clause.sources.is_none())),
        MapOp::PutSetPort(port(0), or(clause.ports.is_none())),
    ];
    let identities = clause.identities.unwrap_or_default();
    ops.extend(
        identities
            .iter()
            .map(|one| MapOp::PutSetIdentity(identity(*one), fits)),
    );
    let sources = clause.sources.unwrap_or_default();
    ops.extend(
        sources
            .iter()
            .map(|(address, bits)| MapOp::PutSetSource(source((*address).into(), *bits), fits)),
    );
    let ports = clause.ports.unwrap_or_default();
    ops.extend(ports.iter().map(|one| MapOp::PutSetPort(port(*one), fits)));
    let mut written = RuleSet {
        allow: fits,
        flags: RuleSet::HAS_ALLOW,
        ..RuleSet::default()
    };
    rules(&mut written);
    ops.push(MapOp::PutSet(set, Box::new(written)));
    ops
}

#[track_caller]
pub(crate) fn refused(answer: io::Result<Said>) {
    let error = answer.expect_err("a refusal");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
}

#[track_caller]
pub(crate) fn reaches(answer: io::Result<Said>) -> Said {
    let said = answer.expect("to be let in");
    assert_eq!(said.seen.len(), 2, "{said:?}");
    said
}
