//! The tc programs run on packets: what becomes of them, with every checksum computed anew.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's set-up may panic, and tells what it could not clean up"
)]

#[path = "run_uplink/frame.rs"]
mod frame;

#[path = "run_uplink/bench.rs"]
mod bench;

#[path = "run_uplink/errors.rs"]
mod errors;

#[path = "run_uplink/flows.rs"]
mod flows;

use std::net::SocketAddr;

use weft_abi::{Address, Backend, Counter, Service};
use weft_lower::MapOp;

use bench::{
    Bench, DROP,
    Hook::{Egress, Ingress},
    NEXT, Tap, errors, families, key, segment,
};
use frame::{ACK, RST, SYN, TCP, UDP, icmp, read, read_error, tcp, udp};

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
