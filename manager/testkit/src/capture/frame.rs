//! One Ethernet frame of the uplink, as far as tests look at it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IP packet that passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Where it came from; port 0 when it has none.
    pub source: SocketAddr,
    /// Where it went; port 0 when it has none.
    pub destination: SocketAddr,
    /// What it carried.
    pub transport: Transport,
    /// Bytes behind the transport's header.
    pub payload: Vec<u8>,
}

/// What an IP packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A TCP segment (RFC 9293).
    Tcp {
        /// Sequence number of the first byte of the payload, or of SYN.
        sequence: u32,
        /// Whether SYN is set.
        is_syn: bool,
    },
    /// A datagram.
    Udp,
    /// Another protocol, by its number.
    Other(u8),
}

/// First five bytes of the hardware addresses of the uplink's ends.
const UPLINK: [u8; 5] = [0x02, 0x77, 0x65, 0x66, 0x74];

const HEADER: usize = 14;

/// Reads a frame that an end of the uplink sent and that is an IP packet.
pub(super) fn of_uplink(frame: &[u8]) -> Option<Frame> {
    let header = frame.get(..HEADER)?;
    if header[6..11] != UPLINK {
        return None;
    }
    let packet = &frame[HEADER..];
    match u16::from_be_bytes([header[12], header[13]]) {
        0x0800 => v4(packet),
        0x86dd => v6(packet),
        _ => None,
    }
}

fn v4(packet: &[u8]) -> Option<Frame> {
    let header = packet.get(..20)?;
    let start = usize::from(header[0] & 15) * 4;
    let end = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let address = |at: usize| -> IpAddr {
        Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into()
    };
    // Offload leaves the length 0 where 16 bits do not hold it.
    let end = if end == 0 { packet.len() } else { end };
    transport(address(12), address(16), header[9], packet.get(start..end)?)
}

fn v6(packet: &[u8]) -> Option<Frame> {
    let header = packet.get(..40)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = header[at..at + 16].try_into().ok()?;
        Some(Ipv6Addr::from(bytes).into())
    };
    let end = if length == 0 {
        packet.len()
    } else {
        40 + length
    };
    transport(address(8)?, address(24)?, header[6], packet.get(40..end)?)
}

fn transport(source: IpAddr, destination: IpAddr, protocol: u8, packet: &[u8]) -> Option<Frame> {
    let port = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let (transport, ports, start) = match protocol {
        6 => {
            let sequence = packet.get(4..8)?.try_into().ok()?;
            let transport = Transport::Tcp {
                sequence: u32::from_be_bytes(sequence),
                is_syn: packet.get(13)? & 2 != 0,
            };
            let start = usize::from(packet[12] >> 4) * 4;
            (transport, (port(0)?, port(2)?), start)
        }
        17 => (Transport::Udp, (port(0)?, port(2)?), 8),
        other => (Transport::Other(other), (0, 0), 0),
    };
    Some(Frame {
        source: SocketAddr::new(source, ports.0),
        destination: SocketAddr::new(destination, ports.1),
        transport,
        payload: packet.get(start..)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(source: [u8; 6]) -> Vec<u8> {
        let mut frame = vec![0x02, 0, 0, 0, 0, 1];
        frame.extend(source);
        frame.extend([0x08, 0x00]);
        frame.extend([
            0x45, 0, 0, 43, 0, 0, 0, 0, 64, 6, 0, 0, 10, 81, 1, 10, 10, 81, 2, 10,
        ]);
        frame.extend([
            0x1f, 0x90, 0x3a, 0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0x50, 0x18, 0, 0,
        ]);
        frame.extend([0, 0, 0, 0]);
        frame.extend(b"abc and padding");
        frame
    }

    #[test]
    fn a_segment_of_the_uplink_is_read_without_its_padding() {
        let frame = of_uplink(&segment([0x02, 0x77, 0x65, 0x66, 0x74, 1])).unwrap();
        assert_eq!(frame.source, "10.81.1.10:8080".parse().unwrap());
        assert_eq!(frame.destination, "10.81.2.10:15008".parse().unwrap());
        assert_eq!(frame.payload, b"abc");
        let transport = Transport::Tcp {
            sequence: 256,
            is_syn: false,
        };
        assert_eq!(frame.transport, transport);
    }

    #[test]
    fn frames_of_other_interfaces_and_short_ones_are_not_read() {
        assert_eq!(of_uplink(&segment([2, 0, 0, 0, 0, 2])), None);
        let whole = segment([0x02, 0x77, 0x65, 0x66, 0x74, 1]);
        for length in 0..whole.len() - 12 {
            assert_eq!(of_uplink(&whole[..length]), None, "{length}");
        }
    }
}
