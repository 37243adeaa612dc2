//! Ethernet frames as a test writes and reads them; checksums by RFC 1071, computed here anew.

use std::net::{IpAddr, SocketAddr};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

const ETHERNET: usize = 14;

/// A TCP segment with two bytes of options.
pub(crate) fn tcp(
    source: SocketAddr,
    destination: SocketAddr,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = ports(source, destination);
    segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x60, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend([1, 1, 1, 0]);
    segment.extend(payload);
    frame(source.ip(), destination.ip(), TCP, segment)
}

/// A UDP datagram.
pub(crate) fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut datagram = ports(source, destination);
    datagram.extend(u16::try_from(payload.len() + 8).unwrap().to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    frame(source.ip(), destination.ip(), UDP, datagram)
}

/// The same without a checksum, as IPv4 allows.
pub(crate) fn udp_without_checksum(
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = udp(source, destination, payload);
    bytes[ETHERNET + 26..ETHERNET + 28].fill(0);
    bytes
}

/// An ICMP error of the family of `quoted`, an IP packet.
pub(crate) fn icmp(source: IpAddr, destination: IpAddr, kind: [u8; 2], quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind[0], kind[1], 0, 0, 0, 0, 5, 0];
    message.extend(quoted);
    let protocol = if source.is_ipv6() { 58 } else { 1 };
    frame(source, destination, protocol, message)
}

/// Puts an IPv6 extension header (its type, its bytes) before the transport header.
pub(crate) fn extend(bytes: &[u8], kind: u8, mut extension: Vec<u8>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    extension[0] = bytes[ETHERNET + 6];
    bytes[ETHERNET + 6] = kind;
    let length = u16::from_be_bytes([bytes[ETHERNET + 4], bytes[ETHERNET + 5]]);
    let length = length + u16::try_from(extension.len()).unwrap();
    bytes[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length.to_be_bytes());
    let rest = bytes.split_off(ETHERNET + 40);
    bytes.extend(extension);
    bytes.extend(rest);
    bytes
}

/// Cuts a frame into two fragments, the first with `at` bytes of payload (a multiple of 8).
pub(crate) fn fragments(bytes: &[u8], at: usize) -> [Vec<u8>; 2] {
    let v6 = bytes[ETHERNET] >> 4 == 6;
    let header = ETHERNET + if v6 { 40 } else { 20 };
    let part = |offset: usize, more: bool, payload: &[u8]| {
        let mut part = bytes[..header].to_vec();
        let field = u16::try_from(offset).unwrap();
        if v6 {
            part[ETHERNET + 6] = 44;
            part.extend([bytes[ETHERNET + 6], 0]);
            part.extend((field | u16::from(more)).to_be_bytes());
            part.extend([9, 8, 7, 6]);
        } else {
            let field = (field / 8) | (u16::from(more) << 13);
            part[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&field.to_be_bytes());
        }
        part.extend(payload);
        finish_header(&mut part);
        part
    };
    let payload = &bytes[header..];
    [
        part(0, true, &payload[..at]),
        part(at, false, &payload[at..]),
    ]
}

/// Puts two fragments together again.
pub(crate) fn joined(parts: &[Vec<u8>; 2]) -> Vec<u8> {
    let v6 = parts[0][ETHERNET] >> 4 == 6;
    let header = ETHERNET + if v6 { 48 } else { 20 };
    let mut whole = parts[0].clone();
    whole.extend(&parts[1][header..]);
    if v6 {
        whole[ETHERNET + 6] = whole[ETHERNET + 40];
        whole.drain(ETHERNET + 40..ETHERNET + 48);
    } else {
        whole[ETHERNET + 6..ETHERNET + 8].fill(0);
    }
    finish_header(&mut whole);
    whole
}

/// The IP packet in a frame.
pub(crate) fn packet(frame: &[u8]) -> &[u8] {
    &frame[ETHERNET..]
}

/// What was read from a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Read {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: u8,
    pub(crate) flags: u8,
}

/// Reads a TCP or UDP frame, whose checksums must be right.
pub(crate) fn read(frame: &[u8]) -> Read {
    let (source, destination, protocol, at) = checked_header(&frame[ETHERNET..]);
    let transport = &frame[ETHERNET + at..];
    let none = protocol == UDP && transport[6..8] == [0, 0];
    assert!(
        none || valid(source, destination, protocol, transport),
        "checksum"
    );
    read_ports(source, destination, protocol, transport)
}

/// Reads an ICMP error, whose checksums must be right: its addresses, and what it quotes.
pub(crate) fn read_error(frame: &[u8]) -> (IpAddr, IpAddr, Read) {
    let (source, destination, protocol, at) = checked_header(&frame[ETHERNET..]);
    let message = &frame[ETHERNET + at..];
    if protocol == 1 {
        assert_eq!(fold(sum(message)), 0xffff, "ICMP checksum");
    } else {
        assert_eq!(protocol, 58);
        assert!(valid(source, destination, 58, message), "ICMPv6 checksum");
    }
    let quoted = &message[8..];
    let (from, to, protocol, at) = checked_header(quoted);
    (
        source,
        destination,
        read_ports(from, to, protocol, &quoted[at..]),
    )
}

fn read_ports(source: IpAddr, destination: IpAddr, protocol: u8, transport: &[u8]) -> Read {
    let port = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
    Read {
        source: (source, port(0)).into(),
        destination: (destination, port(2)).into(),
        protocol,
        flags: if protocol == TCP {
            transport.get(13).copied().unwrap_or(0)
        } else {
            0
        },
    }
}

/// Addresses, protocol and length of an IP header and its extensions, its checksum checked.
fn checked_header(packet: &[u8]) -> (IpAddr, IpAddr, u8, usize) {
    if packet[0] >> 4 == 4 {
        let length = usize::from(packet[0] & 15) * 4;
        assert_eq!(fold(sum(&packet[..length])), 0xffff, "IPv4 header checksum");
        let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
        return (address(12), address(16), packet[9], length);
    }
    let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let (mut protocol, mut at) = (packet[6], 40);
    while matches!(protocol, 0 | 43 | 44 | 60) {
        let length = if protocol == 44 {
            8
        } else {
            (usize::from(packet[at + 1]) + 1) * 8
        };
        (protocol, at) = (packet[at], at + length);
    }
    (address(8), address(24), protocol, at)
}

fn ports(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    [
        source.port().to_be_bytes(),
        destination.port().to_be_bytes(),
    ]
    .concat()
}

fn frame(source: IpAddr, destination: IpAddr, protocol: u8, mut transport: Vec<u8>) -> Vec<u8> {
    let checksum = match protocol {
        TCP => 16,
        UDP => 6,
        _ => 2,
    };
    let seed = if protocol == 1 {
        0
    } else {
        pseudo(source, destination, protocol, &transport)
    };
    let value = match !fold(seed + sum(&transport)) {
        0 if protocol == UDP => 0xffff,
        value => value,
    };
    transport[checksum..checksum + 2].copy_from_slice(&value.to_be_bytes());
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend([8, 0, 0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, 64]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
        }
        _ => panic!("two families in one packet"),
    }
    bytes.extend(transport);
    finish_header(&mut bytes);
    bytes
}

/// Length and checksum of the IP header.
fn finish_header(bytes: &mut [u8]) {
    let length = u16::try_from(bytes.len() - ETHERNET).unwrap();
    let header = &mut bytes[ETHERNET..];
    if header[0] >> 4 == 6 {
        header[4..6].copy_from_slice(&(length - 40).to_be_bytes());
        return;
    }
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[10..12].fill(0);
    let checksum = !fold(sum(&header[..20]));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn valid(source: IpAddr, destination: IpAddr, protocol: u8, transport: &[u8]) -> bool {
    fold(pseudo(source, destination, protocol, transport) + sum(transport)) == 0xffff
}

fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, transport: &[u8]) -> u32 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    let length = u32::try_from(transport.len()).unwrap();
    address(source) + address(destination) + u32::from(protocol) + length
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    words.sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
