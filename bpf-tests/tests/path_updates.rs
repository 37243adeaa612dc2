//! Connections while the maps change all the time: each meets the old state or the new one.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_types,
    reason = "a test's set-up may panic and tells what it could not clean up; the planner is told \
              a time"
)]

use std::{
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use weft_loader::{Options, Plane, uninstall};
use weft_lower::{Capacity, NodeFacts, Planner};
use weft_model::{
    Balancing, Change, Distribution, Endpoint, Frontend, FrontendKind, Origin, Port, Protocol,
    Service, ServiceName, TrafficPolicy,
};
use weft_testkit::{Place, Rig, server::Echo};

const UPDATES: usize = 30_000;

/// Room for all numbers that are not used again yet.
const CAPACITY: Capacity = Capacity {
    services: 1_024,
    backends: 1 << 16,
    slots: 1 << 21,
    workloads: 1_024,
};

/// Services that always exist, and one more that comes and goes.
const SERVICES: usize = 4;

/// Servers of each service, and of no other.
const SERVERS: usize = 5;

const CLIENTS: usize = 3;

/// Servers of each service that may be reached, a bit each; 0 when it does not exist.
type State = [u8; SERVICES];

/// All states so far. One that is being written counts as possible from before its first write.
#[derive(Default)]
struct History {
    states: RwLock<Vec<State>>,
    written: AtomicUsize,
}

impl History {
    /// Which servers of a service were valid at some time since `written` was `first`.
    fn valid(&self, service: usize, first: usize) -> (u8, bool) {
        let states = self.states.read().unwrap();
        let since = &states[first..];
        let servers = since.iter().fold(0, |all, state| all | state[service]);
        (servers, since.iter().any(|state| state[service] == 0))
    }
}

/// A small generator (xorshift), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

struct Mesh {
    plane: Option<Plane>,
    state: PathBuf,
}

impl Mesh {
    fn install(rig: &Rig) -> Self {
        let state = rig.directory().join("state");
        let (plane, _, _) = Plane::open(Options {
            state: state.clone(),
            cgroup: rig.cgroup().path().to_owned(),
            interfaces: Vec::new(),
            capacity: CAPACITY,
            trace: false,
        })
        .unwrap();
        plane.attach().unwrap();
        Self {
            plane: Some(plane),
            state,
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.plane = None;
        if let Err(error) = uninstall(&self.state) {
            eprintln!("uninstall after the test: {error}");
        }
    }
}

fn vip(service: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 96, 0, 1 + service as u8), 80).into()
}

fn server(host: IpAddr, service: usize, number: usize) -> SocketAddr {
    (host, (9_000 + service * 100 + number) as u16).into()
}

fn name(service: usize) -> ServiceName {
    ServiceName {
        namespace: "shop".into(),
        hostname: format!("s{service}.shop.svc.cluster.local").into(),
    }
}

/// A service with those servers, balanced in whatever way.
fn written(service: usize, servers: u8, host: IpAddr, dice: &mut Dice) -> Service {
    let endpoint = |number: usize| {
        let at = server(host, service, number);
        Endpoint {
            address: at.ip(),
            port: at.port(),
            ready: true,
            serving: true,
            terminating: false,
            weight: 1 + dice.below(3) as u32,
            workload: None,
            node: None,
            zone: None,
            for_zones: None,
            for_nodes: None,
        }
    };
    let endpoints = (0..SERVERS)
        .filter(|number| servers & (1 << number) != 0)
        .map(endpoint)
        .collect();
    let balancing = [
        Balancing::RoundRobin,
        Balancing::Random,
        Balancing::LeastConnections,
        Balancing::SourceHash {
            table_size: Some(251),
        },
    ][dice.below(4)];
    Service {
        name: name(service),
        short_name: format!("s{service}").into(),
        origin: Origin {
            kind: "Service".into(),
            namespace: "shop".into(),
            name: format!("s{service}").into(),
            file: "".into(),
            line: 0,
        },
        ports: vec![Port {
            number: 80,
            name: "tcp".into(),
            protocol: Protocol::Tcp,
            node_port: None,
            balancing,
            max_connections: None,
            outlier: None,
            endpoints,
        }],
        frontends: vec![Frontend {
            address: vip(service).ip(),
            kind: FrontendKind::Cluster,
        }],
        session_affinity: (dice.below(8) == 0).then_some(Duration::from_secs(60)),
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        distribution: Distribution::Any,
    }
}

/// Changes one service after the other.
fn update(plane: &Plane, history: &History, host: IpAddr) -> usize {
    let (mut planner, mut dice) = (Planner::new(CAPACITY), Dice(0x5eed_cafe));
    let (mut state, began, mut writes) = ([0; SERVICES], Instant::now(), 0);
    for round in 0..UPDATES + SERVICES {
        let service = if round < SERVICES {
            round
        } else {
            dice.below(SERVICES)
        };
        let last = SERVICES - 1;
        let servers = if service == last && state[last] != 0 {
            0
        } else {
            1 + dice.below((1 << SERVERS) - 1) as u8
        };
        let object = (servers != 0).then(|| Arc::new(written(service, servers, host, &mut dice)));
        state[service] = servers;
        history.states.write().unwrap().push(state);
        let change = Change {
            services: vec![(name(service), object)],
            ..Change::default()
        };
        // Time runs ten times as fast, so that numbers are used again in the same run.
        let plan = planner.plan(&change, &NodeFacts::default(), began.elapsed() * 10);
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
        writes += plan.ops.len();
        plane.apply(&plan.ops).unwrap();
        history.written.store(round, Ordering::SeqCst);
    }
    writes
}

/// Dials all services in turn until told to stop; how often each was reached.
fn dial_all(history: &History, done: &AtomicBool, host: IpAddr) -> [u64; SERVICES] {
    let mut reached = [0; SERVICES];
    while !done.load(Ordering::SeqCst) {
        for (service, reached) in reached.iter_mut().enumerate() {
            let first = history.written.load(Ordering::SeqCst);
            let dialled = TcpStream::connect(vip(service));
            let (valid, may_fail) = history.valid(service, first);
            let stream = match dialled {
                Ok(stream) => stream,
                Err(_) if may_fail => continue,
                Err(error) => panic!("service {service} after update {first}: {error}"),
            };
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let number = (0..SERVERS)
                .find(|number| line.trim() == server(host, service, *number).to_string());
            assert!(
                number.is_some_and(|number| valid & (1 << number) != 0),
                "service {service} after update {first}: {line} is none of {valid:b}"
            );
            *reached += 1;
            weft_testkit::server::reset_on_close(&stream);
        }
    }
    reached
}

#[test]
fn no_connection_fails_or_goes_astray_during_thirty_thousand_updates() {
    let Some(mut rig) = Rig::or_skip() else {
        return;
    };
    let [client, host] = ["client", "server"].map(|name| rig.host(name).unwrap());
    let address = IpAddr::from(host.v4());
    let outside = Place::outside(&host);
    let _servers: Vec<Echo> = (0..SERVICES)
        .flat_map(|service| (0..SERVERS).map(move |number| server(address, service, number)))
        .map(|at| Echo::start(&outside, at, &at.to_string()).unwrap())
        .collect();
    let mesh = Mesh::install(&rig);
    let (history, done) = (
        Arc::new(History::default()),
        Arc::new(AtomicBool::new(false)),
    );
    let plane = mesh.plane.as_ref().unwrap();
    let clients = std::thread::scope(|scope| {
        let updater = scope.spawn(|| update(plane, &history, address));
        while history.written.load(Ordering::SeqCst) < SERVICES && !updater.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (history, done) = (Arc::clone(&history), Arc::clone(&done));
                rig.inside(&client)
                    .spawn(move || dial_all(&history, &done, address))
            })
            .collect();
        let writes = updater.join();
        done.store(true, Ordering::SeqCst);
        println!("counters {:?}", plane.maps().counters());
        let mut refusals = plane.events().unwrap();
        while let Some(refusal) = refusals.next() {
            println!("{refusal:?}");
        }
        assert!(writes.unwrap() > UPDATES);
        clients
    });
    let mut reached = [0; SERVICES];
    for client in clients {
        for (sum, count) in reached.iter_mut().zip(client.join().unwrap()) {
            *sum += count;
        }
    }
    println!("reached {reached:?}");
    assert!(reached.iter().all(|count| *count > 100), "{reached:?}");
}
