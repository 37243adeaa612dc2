use proptest::prelude::*;

use super::*;

extern crate std;
use std::vec::Vec;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

fn ipv4_header(protocol: u8, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut header = Vec::from([0u8; 20]);
    header[0] = 0x45;
    header[9] = protocol;
    header[12..16].copy_from_slice(&source);
    header[16..20].copy_from_slice(&destination);
    header
}

fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let mut frame = Vec::from([0u8; ETHERNET as usize]);
    parts.iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = Vec::from([0u8; 20]);
    header[..2].copy_from_slice(&source.to_be_bytes());
    header[2..4].copy_from_slice(&destination.to_be_bytes());
    header[12] = 0x50;
    header[13] = flags;
    header
}

#[test]
fn reads_tcp_over_ipv4_with_options() {
    let mut ip = ipv4_header(6, [10, 0, 0, 1], [10, 0, 0, 2]);
    ip[0] = 0x46;
    ip.extend([0; 4]);
    let bytes = frame(&[&ip, &tcp(4000, 80, SYN)]);
    let packet = parse(bytes.as_slice(), IPV4).unwrap();
    assert_eq!(packet.source, Address::v4([10, 0, 0, 1]));
    assert_eq!((packet.source_port, packet.destination_port), (4000, 80));
    assert_eq!((packet.transport, packet.payload), (38, 58));
    assert!(packet.begins());
}

#[test]
fn reads_udp_over_ipv6_behind_an_extension() {
    let mut ip = Vec::from([0u8; 40]);
    ip[0] = 0x60;
    ip[6] = 60;
    ip[23] = 1;
    ip[39] = 2;
    let extension = [17u8, 0, 0, 0, 0, 0, 0, 0];
    let udp = [0u8, 53, 1, 0, 0, 8, 0, 0];
    let bytes = frame(&[&ip, &extension, &udp]);
    let packet = parse(bytes.as_slice(), IPV6).unwrap();
    assert_eq!((packet.source_port, packet.destination_port), (53, 256));
    assert_eq!(packet.transport, 14 + 40 + 8);
    assert!(packet.v6 && packet.begins());
}

#[test]
fn later_fragments_are_told_by_their_identification() {
    let mut ip = ipv4_header(17, [10, 0, 0, 1], [10, 0, 0, 2]);
    ip[4..8].copy_from_slice(&[0xab, 0xcd, 0x20, 0]);
    let first = parse(frame(&[&ip, &[0, 53, 1, 0, 0, 8, 0, 0]]).as_slice(), IPV4).unwrap();
    assert_eq!((first.protocol, first.source_port), (17, 53));
    assert!(first.fragmented && first.begins());
    ip[7] = 1;
    let later = parse(frame(&[&ip]).as_slice(), IPV4).unwrap();
    assert_eq!((later.protocol, later.identification), (FRAGMENT, 0xabcd));
    assert!(!later.begins());
    assert_eq!(
        later.key(FlowKey::INGRESS),
        first.fragment_key(FlowKey::INGRESS)
    );

    let mut ip = Vec::from([0u8; 40]);
    ip[0] = 0x60;
    ip[6] = FRAGMENT;
    let mut fragment = [17u8, 0, 0, 1, 1, 2, 3, 4];
    let udp = [0u8, 53, 1, 0, 0, 8, 0, 0];
    let first = parse(frame(&[&ip, &fragment, &udp]).as_slice(), IPV6).unwrap();
    assert_eq!((first.protocol, first.source_port), (17, 53));
    fragment[3] = 8;
    let later = parse(frame(&[&ip, &fragment]).as_slice(), IPV6).unwrap();
    assert_eq!(
        (later.protocol, later.identification),
        (FRAGMENT, 0x0102_0304)
    );
    assert_eq!(
        later.key(FlowKey::EGRESS),
        first.fragment_key(FlowKey::EGRESS)
    );
    fragment[3] = 0;
    let atomic = parse(frame(&[&ip, &fragment, &udp]).as_slice(), IPV6).unwrap();
    assert!(!atomic.fragmented);
}

#[test]
fn a_protocol_number_alone_makes_no_fragment() {
    let ip = ipv4_header(FRAGMENT, [10, 0, 0, 1], [10, 0, 0, 2]);
    assert_eq!(parse(frame(&[&ip, &[0; 40]]).as_slice(), IPV4), None);
    let mut ip = ipv4_header(17, [10, 0, 0, 1], [10, 0, 0, 2]);
    // A later fragment whose header tells of more options than there are bytes.
    (ip[0], ip[7]) = (0x4f, 1);
    assert_eq!(parse(frame(&[&ip]).as_slice(), IPV4), None);
    let mut ip = Vec::from([0u8; 40]);
    (ip[0], ip[6]) = (0x60, 60);
    let extension = [60u8, 0, 0, 0, 0, 0, 0, 0];
    let last = [FRAGMENT, 0, 0, 0, 0, 0, 0, 0];
    let bytes = frame(&[&ip, &extension, &extension, &extension, &last, &[0; 40]]);
    assert_eq!(parse(bytes.as_slice(), IPV6), None);
}

#[test]
fn padding_is_no_payload() {
    let mut ip = ipv4_header(6, [10, 0, 0, 1], [10, 0, 0, 2]);
    ip[3] = 40;
    let bytes = frame(&[&ip, &tcp(1, 2, ACK), &[0; 6]]);
    let packet = parse(bytes.as_slice(), IPV4).unwrap();
    assert_eq!(packet.payload_bytes(60), 0);
    ip[3] = 43;
    let packet = parse(frame(&[&ip, &tcp(1, 2, ACK), &[0; 6]]).as_slice(), IPV4).unwrap();
    assert_eq!(packet.payload_bytes(60), 3);
    ip[3] = 0;
    let packet = parse(frame(&[&ip, &tcp(1, 2, ACK)]).as_slice(), IPV4).unwrap();
    assert_eq!(packet.payload_bytes(70_000), 70_000 - 54, "a jumbogram");
}

#[test]
fn short_packets_are_left_alone() {
    let ip = ipv4_header(6, [10, 0, 0, 1], [10, 0, 0, 2]);
    let bytes = frame(&[&ip, &tcp(1, 2, 0)[..13]]);
    assert_eq!(parse(bytes.as_slice(), IPV4), None);
    assert_eq!(parse(bytes.as_slice(), 0x0806), None);
}

#[test]
fn icmp_error_tells_the_quoted_connection() {
    let outer = ipv4_header(1, [10, 9, 9, 9], [10, 0, 0, 1]);
    let icmp = [3u8, 4, 0, 0, 0, 0, 5, 0x78];
    let inner = ipv4_header(6, [10, 0, 0, 1], [10, 0, 0, 2]);
    let bytes = frame(&[&outer, &icmp, &inner, &tcp(4000, 80, 0)[..8]]);
    let packet = parse(bytes.as_slice(), IPV4).unwrap();
    assert_eq!((packet.source_port, packet.destination_port), (4000, 80));
    assert_eq!((packet.quoted, packet.quoted_transport), (42, 62));
    let mut echo = bytes;
    echo[34] = 8;
    assert_eq!(parse(echo.as_slice(), IPV4), None);
}

proptest! {
    /// Foreign bytes: no panic, and every offset told is inside or just behind the packet.
    #[test]
    fn any_bytes_are_read_safely(bytes in prop::collection::vec(any::<u8>(), 0..200), v6: bool) {
        let mut bytes = bytes;
        if let Some(first) = bytes.get_mut(14) { *first = if v6 { 0x60 } else { 0x45 }; }
        let ethertype = if v6 { IPV6 } else { IPV4 };
        if let Some(packet) = parse(bytes.as_slice(), ethertype) {
            prop_assert!((packet.transport as usize) <= bytes.len());
            prop_assert!((packet.quoted_transport as usize) < bytes.len());
            prop_assert!(packet.payload_bytes(bytes.len() as u32) as usize <= bytes.len());
            prop_assert!(packet.protocol != FRAGMENT || packet.fragmented);
        }
    }
}
