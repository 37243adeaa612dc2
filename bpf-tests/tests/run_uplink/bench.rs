//! The programs, loaded and attached to nothing, and what they run on.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use aya::programs::{SchedClassifier, TestRun, TestRunOptions, loaded_programs};
use weft_abi::{
    Backend, BackendState, EdgeValue, FlowKey, FlowValue, Protocol, Scope, Service, ServiceKey,
    Slot, names::programs,
};
use weft_loader::{Options, Plane, uninstall};
use weft_lower::{Capacity, MapOp};
use weft_testkit::Rig;

use crate::frame::{TCP, read, tcp, udp};

pub(crate) const NEXT: u32 = u32::MAX;
pub(crate) const DROP: u32 = 2;

/// One family's addresses: a client, a service, its two backends (here, elsewhere), this node, a
/// router on the way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Net {
    pub(crate) client: SocketAddr,
    pub(crate) vip: SocketAddr,
    pub(crate) near: SocketAddr,
    pub(crate) far: SocketAddr,
    pub(crate) node: IpAddr,
    pub(crate) router: IpAddr,
}

pub(crate) fn families() -> [Net; 2] {
    let net = |client: &str, vip: &str, near: &str, far: &str, node: &str, router: &str| Net {
        client: client.parse().unwrap(),
        vip: vip.parse().unwrap(),
        near: near.parse().unwrap(),
        far: far.parse().unwrap(),
        node: node.parse().unwrap(),
        router: router.parse().unwrap(),
    };
    [
        net(
            "192.0.2.9:40001",
            "203.0.113.1:80",
            "10.1.0.2:8080",
            "10.2.0.2:8081",
            "198.51.100.1",
            "192.0.2.254",
        ),
        net(
            "[2001:db8:9::9]:40001",
            "[2001:db8:aaaa::1]:80",
            "[fd01:1::2]:8080",
            "[fd01:2:ffff:1::2]:8081",
            "2001:db8:1::1",
            "2001:db8:9::fe",
        ),
    ]
}

/// A loaded plane with nothing attached.
pub(crate) struct Bench {
    plane: Option<Plane>,
    /// Ingress and egress.
    programs: Option<[SchedClassifier; 2]>,
    state: PathBuf,
    _rig: Rig,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Ingress,
    Egress,
}

use Hook::Ingress;

impl Bench {
    pub(crate) fn or_skip() -> Option<Self> {
        let rig = Rig::or_skip()?;
        let state = rig.directory().join("state");
        let options = Options {
            state: state.clone(),
            cgroup: rig.cgroup().path().to_owned(),
            interfaces: Vec::new(),
            capacity: Capacity {
                services: 64,
                backends: 64,
                slots: 64,
                workloads: 64,
            },
            trace: false,
        };
        let (plane, _, _) = Plane::open(options).unwrap_or_else(|error| panic!("{error}"));
        let program = |name: &'static str| {
            let stats = plane.program_stats().unwrap();
            let id = stats.iter().find(|stats| stats.program == name).unwrap().id;
            let info = loaded_programs()
                .map(Result::unwrap)
                .find(|info| info.id() == id);
            SchedClassifier::from_program_info(info.unwrap(), name.into()).unwrap()
        };
        Some(Self {
            programs: Some([programs::TC_INGRESS, programs::TC_EGRESS].map(program)),
            plane: Some(plane),
            state,
            _rig: rig,
        })
    }

    pub(crate) fn plane(&self) -> &Plane {
        self.plane.as_ref().expect("there until the drop")
    }

    /// A service of one backend, on TCP and UDP, with pool ids and indices from `id` on.
    pub(crate) fn serve(&self, id: u32, vip: SocketAddr, backend: SocketAddr, flags: u16) {
        let service = Service {
            id,
            first_slot: id,
            slots: 1,
            max_connections: u32::MAX,
            algorithm: Service::RANDOM,
            flags: Service::MASQUERADE,
            ..Service::default()
        };
        let value = Backend {
            address: backend.ip().into(),
            port: backend.port(),
            flags,
            service: id,
            generation: 7,
            ..Backend::default()
        };
        let state = BackendState {
            generation: 7,
            ..BackendState::default()
        };
        let mut ops = vec![
            MapOp::PutBackendState(id, state),
            MapOp::PutBackend(id, value),
            MapOp::PutSlots(
                id,
                vec![Slot {
                    backend: id,
                    service: id,
                }],
            ),
        ];
        for protocol in [Protocol::TCP, Protocol::UDP] {
            ops.push(MapOp::PutService(key(vip, protocol), service));
        }
        self.plane().apply(&ops).unwrap();
    }

    pub(crate) fn run(&self, hook: Hook, bytes: &[u8]) -> (u32, Vec<u8>) {
        let [ingress, egress] = self.programs.as_ref().expect("there until the drop");
        let program = if hook == Ingress { ingress } else { egress };
        let mut out = vec![0; bytes.len() + 256];
        let options = TestRunOptions {
            data_in: Some(bytes),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = program.test_run(options).unwrap();
        let length = usize::try_from(result.data_size_out).unwrap();
        out.truncate(length);
        (result.return_value, out)
    }

    /// What goes on, changed or not.
    pub(crate) fn pass(&self, hook: Hook, bytes: &[u8]) -> Vec<u8> {
        let (verdict, out) = self.run(hook, bytes);
        assert_eq!(verdict, NEXT);
        out
    }

    #[track_caller]
    pub(crate) fn untouched(&self, hook: Hook, bytes: &[u8]) {
        assert_eq!(self.pass(hook, bytes), bytes);
    }

    pub(crate) fn counter(&self, counter: u32) -> u64 {
        self.plane().maps().counters().unwrap()[counter as usize]
    }

    pub(crate) fn flow(&self, frame: &[u8], hook: u8) -> FlowValue {
        let key = flow_key(frame, hook);
        let entries = self.plane().maps().flows.entries().unwrap();
        entries
            .into_iter()
            .find(|(found, _)| *found == key)
            .unwrap()
            .1
    }

    pub(crate) fn edge(&self) -> EdgeValue {
        let edges = self.plane().maps().edges().unwrap();
        assert_eq!(edges.len(), 1, "{edges:?}");
        edges[0].1
    }

    pub(crate) fn set_nodes(&self) {
        let [IpAddr::V4(v4), IpAddr::V6(v6)] = families().map(|net| net.node) else {
            panic!("one of each family")
        };
        self.plane().set_node_addresses(Some(v4), Some(v6)).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // `uninstall` would wait for what is held open.
        self.plane = None;
        self.programs = None;
        if let Err(error) = uninstall(&self.state) {
            eprintln!("uninstall after the test: {error}");
        }
    }
}

pub(crate) fn key(vip: SocketAddr, protocol: u8) -> ServiceKey {
    ServiceKey {
        address: vip.ip().into(),
        port: vip.port(),
        protocol,
        scope: Scope::UPLINK,
    }
}

pub(crate) fn flow_key(frame: &[u8], hook: u8) -> FlowKey {
    let packet = read(frame);
    FlowKey {
        source: packet.source.ip().into(),
        destination: packet.destination.ip().into(),
        source_port: packet.source.port(),
        destination_port: packet.destination.port(),
        protocol: packet.protocol,
        hook,
        reserved: 0,
    }
}

/// A frame of either protocol.
pub(crate) fn segment(
    protocol: u8,
    from: SocketAddr,
    to: SocketAddr,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    if protocol == TCP {
        tcp(from, to, flags, payload)
    } else {
        udp(from, to, payload)
    }
}

/// Kinds of ICMP errors a family has: unreachable, too big, time exceeded.
pub(crate) fn errors(net: &Net) -> [[u8; 2]; 3] {
    if net.vip.is_ipv4() {
        [[3, 3], [3, 4], [11, 0]]
    } else {
        [[1, 4], [2, 0], [3, 0]]
    }
}

pub(crate) trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Vec<u8> {}
