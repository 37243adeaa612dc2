//! The life of flows: counted, moved, kept apart, and their ports used again.

use std::net::SocketAddr;

use weft_abi::{Backend, Counter, FlowKey};
use weft_lower::MapOp;

use crate::{
    bench::{
        Bench, DROP,
        Hook::{Egress, Ingress},
        families, key, segment,
    },
    frame::{ACK, FIN, RST, SYN, TCP, UDP, read, tcp, udp},
};

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
