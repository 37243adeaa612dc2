//! ICMP errors about flows, at both hooks and both ways.

use weft_abi::{Backend, Counter};

use crate::{
    bench::{
        Bench,
        Hook::{Egress, Ingress},
        errors, families, segment,
    },
    frame::{self, ACK, SYN, TCP, UDP, icmp, read, read_error},
};

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
