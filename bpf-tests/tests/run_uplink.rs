//! The tc programs run on packets: what becomes of them, with every checksum computed anew.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's set-up may panic, and tells what it could not clean up"
)]

#[path = "run_uplink/frame.rs"]
mod frame;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use aya::programs::{SchedClassifier, TestRun, TestRunOptions, loaded_programs};
use weft_abi::{
    Address, Backend, BackendState, Counter, EdgeValue, FlowKey, FlowValue, Protocol, Scope,
    Service, ServiceKey, Slot, names::programs,
};
use weft_loader::{Options, Plane, uninstall};
use weft_lower::{Capacity, MapOp};
use weft_testkit::Rig;

use frame::{ACK, FIN, RST, SYN, TCP, UDP, icmp, read, read_error, tcp, udp};

const NEXT: u32 = u32::MAX;
const DROP: u32 = 2;

/// One family's addresses: a client, a service, its two backends (here, elsewhere), this node, a
/// router on the way.
#[derive(Clone, Copy, Debug)]
struct Net {
    client: SocketAddr,
    vip: SocketAddr,
    near: SocketAddr,
    far: SocketAddr,
    node: IpAddr,
    router: IpAddr,
}

fn families() -> [Net; 2] {
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
struct Bench {
    plane: Option<Plane>,
    /// Ingress and egress.
    programs: Option<[SchedClassifier; 2]>,
    state: PathBuf,
    _rig: Rig,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Ingress,
    Egress,
}

use Hook::{Egress, Ingress};

impl Bench {
    fn or_skip() -> Option<Self> {
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

    fn plane(&self) -> &Plane {
        self.plane.as_ref().expect("there until the drop")
    }

    /// A service of one backend, on TCP and UDP, with pool ids and indices from `id` on.
    fn serve(&self, id: u32, vip: SocketAddr, backend: SocketAddr, flags: u16) {
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

    fn run(&self, hook: Hook, bytes: &[u8]) -> (u32, Vec<u8>) {
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
    fn pass(&self, hook: Hook, bytes: &[u8]) -> Vec<u8> {
        let (verdict, out) = self.run(hook, bytes);
        assert_eq!(verdict, NEXT);
        out
    }

    #[track_caller]
    fn untouched(&self, hook: Hook, bytes: &[u8]) {
        assert_eq!(self.pass(hook, bytes), bytes);
    }

    fn counter(&self, counter: u32) -> u64 {
        self.plane().maps().counters().unwrap()[counter as usize]
    }

    fn flow(&self, frame: &[u8], hook: u8) -> FlowValue {
        let key = flow_key(frame, hook);
        let entries = self.plane().maps().flows.entries().unwrap();
        entries
            .into_iter()
            .find(|(found, _)| *found == key)
            .unwrap()
            .1
    }

    fn edge(&self) -> EdgeValue {
        let edges = self.plane().maps().edges().unwrap();
        assert_eq!(edges.len(), 1, "{edges:?}");
        edges[0].1
    }

    fn set_nodes(&self) {
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

fn key(vip: SocketAddr, protocol: u8) -> ServiceKey {
    ServiceKey {
        address: vip.ip().into(),
        port: vip.port(),
        protocol,
        scope: Scope::UPLINK,
    }
}

fn flow_key(frame: &[u8], hook: u8) -> FlowKey {
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
fn segment(protocol: u8, from: SocketAddr, to: SocketAddr, flags: u8, payload: &[u8]) -> Vec<u8> {
    if protocol == TCP {
        tcp(from, to, flags, payload)
    } else {
        udp(from, to, payload)
    }
}

#[test]
fn a_request_goes_to_the_backend_and_its_answer_comes_from_the_service() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        for protocol in [TCP, UDP] {
            let request = segment(protocol, net.client, net.vip, SYN, b"odd");
            let out = read(&bench.pass(Ingress, &request));
            assert_eq!((out.source, out.destination), (net.client, net.near));
            let answer = segment(protocol, net.near, net.client, SYN | ACK, b"answer");
            let out = read(&bench.pass(Egress, &answer));
            assert_eq!((out.source, out.destination), (net.vip, net.client));
        }
    }
    assert_eq!(bench.counter(Counter::FLOWS), 4);
    assert_eq!(bench.counter(Counter::FLOWS_FULL), 0);
}

#[test]
fn a_backend_elsewhere_sees_this_node_and_answers_through_it() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.far, 0);
        for protocol in [TCP, UDP] {
            let request = segment(protocol, net.client, net.vip, SYN, b"request");
            let routed = bench.pass(Ingress, &request);
            assert_eq!(read(&routed).destination, net.far);
            let sent = read(&bench.pass(Egress, &routed));
            assert_eq!((sent.source.ip(), sent.destination), (net.node, net.far));
            assert!(sent.source.port() >= 61_000);

            let answer = segment(protocol, net.far, sent.source, SYN | ACK, b"answer");
            let routed = bench.pass(Ingress, &answer);
            let seen = read(&routed);
            assert_eq!((seen.source, seen.destination), (net.far, net.client));
            let sent = read(&bench.pass(Egress, &routed));
            assert_eq!((sent.source, sent.destination), (net.vip, net.client));
        }
    }
}

#[test]
fn without_an_address_of_its_own_the_node_masquerades_nothing() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    let [net, _] = families();
    bench.serve(1, net.vip, net.far, 0);
    let (verdict, _) = bench.run(Ingress, &tcp(net.client, net.vip, SYN, b""));
    assert_eq!(verdict, DROP);
    assert_eq!(bench.counter(Counter::FLOWS_FULL), 1);
}

#[test]
fn a_datagram_without_checksum_stays_without() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    let [net, _] = families();
    bench.serve(1, net.vip, net.near, Backend::LOCAL);
    let out = bench.pass(
        Ingress,
        &frame::udp_without_checksum(net.client, net.vip, b"x"),
    );
    assert_eq!(read(&out).destination, net.near);
    assert_eq!(out[14 + 26..14 + 28], [0, 0]);
}

#[test]
fn a_checksum_that_becomes_zero_is_sent_as_all_ones() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        // The payload that makes the backend's checksum zero, found by looking at one that is not.
        let plain = udp(net.client, net.near, &[0, 0]);
        let at = plain.len() - 4;
        let payload = [plain[at], plain[at + 1]];
        let out = bench.pass(Ingress, &udp(net.client, net.vip, &payload));
        read(&out);
        assert_eq!(out[at..at + 2], [0xff, 0xff]);
    }
}

#[test]
fn fragments_go_where_the_first_goes() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.far, 0);
        let whole = udp(net.client, net.vip, &[5; 100]);
        let routed = frame::fragments(&whole, 64).map(|part| bench.pass(Ingress, &part));
        let out = read(&frame::joined(&routed));
        assert_eq!((out.source, out.destination), (net.client, net.far));
        let sent = routed.map(|part| bench.pass(Egress, &part));
        let out = read(&frame::joined(&sent));
        assert_eq!((out.source.ip(), out.destination), (net.node, net.far));
        let [_, later] = frame::fragments(&udp(net.client, net.far, &[5; 100]), 64);
        bench.untouched(Ingress, &later);
    }
}

#[test]
fn ports_are_found_behind_extension_headers() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    let [_, net] = families();
    bench.serve(1, net.vip, net.near, Backend::LOCAL);
    let plain = tcp(net.client, net.vip, SYN, b"");
    let options = frame::extend(&plain, 60, vec![0; 16].tap(|bytes| bytes[1] = 1));
    let hop = frame::extend(&options, 0, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let atomic = frame::extend(&plain, 44, vec![0; 8]);
    for bytes in [options, hop, atomic] {
        assert_eq!(read(&bench.pass(Ingress, &bytes)).destination, net.near);
    }
    let mut many = plain;
    for _ in 0..5 {
        many = frame::extend(&many, 60, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    }
    bench.untouched(Ingress, &many);
}

trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Vec<u8> {}

#[test]
fn packets_of_no_service_are_untouched() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        let other = SocketAddr::new(net.vip.ip(), 81);
        for hook in [Ingress, Egress] {
            for protocol in [TCP, UDP] {
                bench.untouched(hook, &segment(protocol, net.client, other, SYN, b"x"));
                bench.untouched(hook, &segment(protocol, net.near, net.client, ACK, b"x"));
            }
            bench.untouched(hook, &tcp(net.client, net.vip, ACK, b"never begun"));
            bench.untouched(hook, &tcp(net.client, net.vip, RST, b""));
            bench.untouched(hook, &tcp(net.client, net.vip, SYN | ACK, b""));
            let quoted = udp(net.client, net.vip, b"x");
            bench.untouched(
                hook,
                &icmp(net.router, net.client.ip(), [3, 4], frame::packet(&quoted)),
            );
            let echo = if net.vip.is_ipv4() { [8, 0] } else { [128, 0] };
            bench.untouched(hook, &icmp(net.client.ip(), net.vip.ip(), echo, b"ping"));
        }
        bench.untouched(Egress, &tcp(net.client, net.vip, SYN, b""));
    }
    let mut arp = vec![0xff; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    bench.untouched(Ingress, &arp);
    assert_eq!(bench.plane().maps().flows.count(|_| true).unwrap(), 0);
}

#[test]
fn malformed_packets_are_untouched() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        let header = if net.vip.is_ipv4() { 20 } else { 40 };
        for (protocol, needed) in [(TCP, 14), (UDP, 8)] {
            let whole = segment(protocol, net.client, net.vip, SYN, b"");
            // The kernel takes no frame for a test whose IP header is not whole.
            for length in 14 + header..14 + header + needed {
                let (verdict, out) = bench.run(Ingress, &whole[..length]);
                assert_eq!(
                    (verdict, &out[..]),
                    (NEXT, &whole[..length]),
                    "{length} bytes"
                );
            }
        }
        let syn = tcp(net.client, net.vip, SYN, b"");
        // Another version in the header, a header length below the least, a data offset below.
        for (at, value) in [(14, 0x35), (14 + header + 12, 0x40)] {
            bench.untouched(Ingress, &syn.clone().tap(|bytes| bytes[at] = value));
        }
        if net.vip.is_ipv4() {
            bench.untouched(Ingress, &syn.tap(|bytes| bytes[14] = 0x44));
        }
        for hook in [Ingress, Egress] {
            let quoted = udp(net.vip, net.client, b"x");
            let error = icmp(net.router, net.vip.ip(), [3, 1], frame::packet(&quoted));
            for length in 14 + header..14 + header + 8 + header + 4 {
                bench.untouched(hook, &error[..length]);
            }
        }
    }
    assert_eq!(bench.plane().maps().flows.count(|_| true).unwrap(), 0);
}

/// Kinds of ICMP errors a family has: unreachable, too big, time exceeded.
fn errors(net: &Net) -> [[u8; 2]; 3] {
    if net.vip.is_ipv4() {
        [[3, 3], [3, 4], [11, 0]]
    } else {
        [[1, 4], [2, 0], [3, 0]]
    }
}

#[test]
fn errors_about_requests_come_from_the_service_or_the_router() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        for protocol in [TCP, UDP] {
            bench.pass(Ingress, &segment(protocol, net.client, net.vip, SYN, b"x"));
            let request = segment(protocol, net.client, net.near, SYN, b"x");
            for kind in errors(&net) {
                for (from, seen) in [(net.near.ip(), net.vip.ip()), (net.router, net.router)] {
                    let quoted = frame::packet(&request);
                    let error = icmp(from, net.client.ip(), kind, &quoted[..quoted.len().min(48)]);
                    let (source, destination, about) = read_error(&bench.pass(Egress, &error));
                    assert_eq!((source, destination), (seen, net.client.ip()));
                    assert_eq!((about.source, about.destination), (net.client, net.vip));
                }
            }
        }
    }
    assert_eq!(bench.counter(Counter::ICMP_TRANSLATED), 24);
}

#[test]
fn errors_about_answers_reach_the_backend_about_its_own_packets() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        for protocol in [TCP, UDP] {
            bench.pass(Ingress, &segment(protocol, net.client, net.vip, SYN, b"x"));
            let answer = segment(protocol, net.vip, net.client, ACK, b"too big");
            for kind in errors(&net) {
                let error = icmp(net.router, net.vip.ip(), kind, frame::packet(&answer));
                let (source, destination, about) = read_error(&bench.pass(Ingress, &error));
                assert_eq!((source, destination), (net.router, net.near.ip()));
                assert_eq!((about.source, about.destination), (net.near, net.client));
            }
        }
    }
}

#[test]
fn errors_cross_a_masqueraded_flow_both_ways() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.far, 0);
        for protocol in [TCP, UDP] {
            let routed = bench.pass(Ingress, &segment(protocol, net.client, net.vip, SYN, b"x"));
            let sent = bench.pass(Egress, &routed);
            let port = read(&sent).source;
            // From the backend's side, about the request.
            let far = net.far.ip();
            for (from, seen) in [(far, net.vip.ip()), (net.router, net.router)] {
                let error = icmp(from, net.node, errors(&net)[0], frame::packet(&sent));
                let routed = bench.pass(Ingress, &error);
                let (source, destination, about) = read_error(&routed);
                assert_eq!((source, destination), (from, net.client.ip()));
                assert_eq!((about.source, about.destination), (net.client, net.far));
                let (source, destination, about) = read_error(&bench.pass(Egress, &routed));
                assert_eq!((source, destination), (seen, net.client.ip()));
                assert_eq!((about.source, about.destination), (net.client, net.vip));
            }
            // From the client's side, about the answer.
            let answer = segment(protocol, net.vip, net.client, ACK, b"too big");
            let error = icmp(
                net.router,
                net.vip.ip(),
                errors(&net)[1],
                frame::packet(&answer),
            );
            let routed = bench.pass(Ingress, &error);
            let (_, destination, about) = read_error(&routed);
            assert_eq!((destination, about.source), (far, net.far));
            assert_eq!(about.destination, net.client);
            let (source, destination, about) = read_error(&bench.pass(Egress, &routed));
            assert_eq!((source, destination), (net.router, far));
            assert_eq!((about.source, about.destination), (net.far, port));
            // By the client itself: its address is nobody's business there.
            let error = icmp(
                net.client.ip(),
                net.vip.ip(),
                errors(&net)[0],
                frame::packet(&answer),
            );
            let sent = bench.pass(Egress, &bench.pass(Ingress, &error));
            assert_eq!(read_error(&sent).0, net.node);
        }
    }
}

#[test]
fn a_service_without_backends_refuses_through_the_stack_as_itself() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    for (id, net) in (1..).zip(families()) {
        let service = Service {
            id,
            max_connections: u32::MAX,
            ..Service::default()
        };
        let put = |protocol| MapOp::PutService(key(net.vip, protocol), service);
        bench.plane().apply(&[put(TCP), put(UDP)]).unwrap();
        for protocol in [TCP, UDP] {
            let request = segment(protocol, net.client, net.vip, SYN, b"");
            let routed = bench.pass(Ingress, &request);
            let nobody = SocketAddr::new(net.node, 0);
            assert_eq!(read(&routed).destination, nobody);
            if protocol == TCP {
                let reset = tcp(nobody, net.client, RST | ACK, b"");
                assert_eq!(read(&bench.pass(Egress, &reset)).source, net.vip);
            } else {
                let error = icmp(
                    net.node,
                    net.client.ip(),
                    errors(&net)[0],
                    frame::packet(&routed),
                );
                let (source, _, about) = read_error(&bench.pass(Egress, &error));
                assert_eq!(source, net.vip.ip());
                assert_eq!((about.source, about.destination), (net.client, net.vip));
            }
        }
        // As soon as there is one, it is used.
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        for protocol in [TCP, UDP] {
            let request = segment(protocol, net.client, net.vip, SYN, b"");
            assert_eq!(read(&bench.pass(Ingress, &request)).destination, net.near);
        }
    }
    assert!(bench.plane().maps().edges().unwrap().is_empty());
}

#[test]
fn a_connection_is_counted_from_its_handshake_to_its_end() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.near, Backend::LOCAL);
        let from_client = |flags, payload: &[u8]| {
            bench.pass(Ingress, &tcp(net.client, net.vip, flags, payload));
        };
        let from_backend = |flags, payload: &[u8]| {
            bench.pass(Egress, &tcp(net.near, net.client, flags, payload));
        };
        from_client(SYN, b"");
        from_backend(SYN | ACK, b"");
        assert!(
            bench
                .plane()
                .maps()
                .edges()
                .unwrap()
                .iter()
                .all(|(_, edge)| edge.opened == 0)
        );
        from_client(ACK, b"");
        from_client(ACK, &[1; 1000]);
        from_backend(ACK, &[1; 500]);
        assert_eq!((bench.edge().opened, bench.edge().closed), (1, 0));
        from_backend(ACK | FIN, b"");
        from_client(ACK | FIN, &[1; 7]);
        from_client(ACK, b"");
        let edge = bench.edge();
        assert_eq!(
            (edge.opened, edge.closed, edge.failed, edge.reset),
            (1, 1, 0, 0)
        );
        assert_eq!((edge.sent, edge.received), (1007, 500));
        // The same port again, and the backend resets it.
        from_client(SYN, b"");
        from_backend(SYN | ACK, b"");
        from_client(ACK, b"");
        from_backend(RST, b"");
        let edge = bench.edge();
        assert_eq!(
            (edge.opened, edge.closed, edge.failed, edge.reset),
            (2, 2, 0, 1)
        );
        // And refuses it.
        from_client(SYN, b"");
        from_backend(RST | ACK, b"");
        let edge = bench.edge();
        assert_eq!(
            (edge.opened, edge.closed, edge.failed, edge.reset),
            (2, 2, 1, 1)
        );
        assert_eq!(bench.counter(Counter::FLOWS), 3 * u64::from(id));
        let (key, _) = bench.plane().maps().edges().unwrap()[0];
        bench.plane().maps().delete_edge(&key).unwrap();
    }
}

#[test]
fn a_flow_follows_its_backend_only_while_the_backend_is_the_service_s() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    let [net, _] = families();
    bench.serve(1, net.vip, net.near, Backend::LOCAL);
    let ask = |protocol, flags| {
        let out = bench.pass(
            Ingress,
            &segment(protocol, net.client, net.vip, flags, b"x"),
        );
        read(&out).destination
    };
    assert_eq!((ask(TCP, SYN), ask(UDP, 0)), (net.near, net.near));
    assert_eq!(
        bench
            .flow(&udp(net.client, net.vip, b""), FlowKey::INGRESS)
            .generation,
        7
    );
    bench.serve(2, net.vip, net.far, Backend::LOCAL);
    assert_eq!(
        (ask(TCP, ACK), ask(UDP, 0)),
        (net.near, net.near),
        "it is still there"
    );
    bench
        .plane()
        .apply(&[MapOp::PutBackend(1, Backend::default())])
        .unwrap();
    assert_eq!((ask(TCP, ACK), ask(UDP, 0)), (net.near, net.far));
    assert_eq!(ask(TCP, SYN), net.far);
    bench
        .plane()
        .apply(&[
            MapOp::DeleteService(key(net.vip, TCP)),
            MapOp::DeleteService(key(net.vip, UDP)),
            MapOp::PutBackend(2, Backend::default()),
        ])
        .unwrap();
    bench.untouched(Ingress, &udp(net.client, net.vip, b"nobody's"));
    bench.untouched(Ingress, &tcp(net.client, net.vip, SYN, b""));
    bench.untouched(
        Ingress,
        &tcp(net.client, net.vip, ACK, b"to whoever has the port now"),
    );
}

#[test]
fn datagrams_one_way_keep_both_ways_alive() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    let [net, _] = families();
    bench.serve(1, net.vip, net.far, 0);
    let request = udp(net.client, net.vip, b"x");
    let routed = bench.pass(Ingress, &request);
    let sent = read(&bench.pass(Egress, &routed));
    let answer = udp(net.far, sent.source, b"x");
    let answered = udp(net.far, net.client, b"x");
    let seen = |frame: &[u8]| bench.flow(frame, FlowKey::INGRESS).seen;
    let (forward, back) = (seen(&request), seen(&answer));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    bench.pass(Egress, &answered);
    assert!(seen(&request) > forward, "only the backend sends");
    bench.pass(Egress, &routed);
    assert!(seen(&answer) > back, "only the client sends");
}

#[test]
fn two_services_of_one_backend_do_not_mix_the_answers_to_one_client_port() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    let [net, _] = families();
    let second: SocketAddr = "203.0.113.2:80".parse().unwrap();
    bench.serve(1, net.vip, net.near, Backend::LOCAL);
    bench.serve(2, second, net.near, Backend::LOCAL);
    bench.pass(Ingress, &tcp(net.client, net.vip, SYN, b""));
    let (verdict, _) = bench.run(Ingress, &tcp(net.client, second, SYN, b""));
    assert_eq!(verdict, DROP, "the client tries again");
    let answer = tcp(net.near, net.client, ACK, b"");
    assert_eq!(read(&bench.pass(Egress, &answer)).source, net.vip);
    bench.pass(Egress, &tcp(net.near, net.client, FIN | ACK, b""));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    bench.pass(Ingress, &tcp(net.client, second, SYN, b""));
    assert_eq!(read(&bench.pass(Egress, &answer)).source, second);
}

#[test]
fn a_backend_dialled_directly_is_not_answered_for_by_the_service() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    let [net, _] = families();
    bench.serve(1, net.vip, net.near, Backend::LOCAL);
    bench.pass(Ingress, &tcp(net.client, net.vip, SYN, b""));
    bench.pass(Egress, &tcp(net.near, net.client, FIN | ACK, b""));
    bench.untouched(Ingress, &tcp(net.client, net.near, SYN, b""));
    bench.untouched(Egress, &tcp(net.near, net.client, SYN | ACK, b""));
}

#[test]
fn ports_of_ended_flows_are_used_to_masquerade_again() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    let [net, _] = families();
    bench.serve(1, net.vip, net.far, 0);
    // More connections than there are ports, each ended but those of the last second.
    let mut given_up = 0;
    for index in 0..6_000_u16 {
        let client = SocketAddr::new(net.client.ip(), 1_000 + index);
        let (verdict, routed) = bench.run(Ingress, &tcp(client, net.vip, SYN, b""));
        if verdict == DROP {
            given_up += 1;
            std::thread::sleep(std::time::Duration::from_millis(100));
            continue;
        }
        let sent = read(&bench.pass(Egress, &routed));
        bench.pass(Ingress, &tcp(net.far, sent.source, RST | ACK, b""));
    }
    assert!(given_up < 100, "{given_up} of 6000 flows found no port");
}

#[test]
fn whatever_arrives_leaves_whole() {
    let Some(bench) = Bench::or_skip() else {
        return;
    };
    bench.set_nodes();
    for (id, net) in (1..).zip(families()) {
        bench.serve(id, net.vip, net.far, 0);
        let request = udp(net.client, net.vip, &[3; 40]);
        let answer = tcp(net.vip, net.client, SYN, b"");
        let seeds = [
            tcp(net.client, net.vip, SYN, &[3; 40]),
            icmp(
                net.router,
                net.vip.ip(),
                errors(&net)[1],
                frame::packet(&answer),
            ),
            frame::fragments(&request, 16)[0].clone(),
            request,
        ];
        // Each byte of the headers, one after the other, all bits flipped or one.
        for seed in seeds {
            for at in 14..seed.len().min(110) {
                for mask in [0xff, 0x01, 0x10] {
                    let bytes = seed.clone().tap(|bytes| bytes[at] ^= mask);
                    for hook in [Ingress, Egress] {
                        let (verdict, out) = bench.run(hook, &bytes);
                        assert!(verdict == NEXT || verdict == DROP, "{verdict}");
                        assert_eq!(out.len(), bytes.len());
                    }
                }
            }
        }
    }
}

#[test]
fn addresses_read_as_they_were_written() {
    // The reader of frames is no judge when it cannot tell a wrong checksum.
    let [net, _] = families();
    let mut wrong = tcp(net.client, net.vip, SYN, b"");
    read(&wrong);
    wrong[40] ^= 1;
    assert!(std::panic::catch_unwind(|| read(&wrong)).is_err());
    assert_eq!(Address::from(net.client.ip()), Address::v4([192, 0, 2, 9]));
}
