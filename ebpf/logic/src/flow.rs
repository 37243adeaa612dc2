//! Packets of one connection at the uplink: which entries a new flow needs, when an old one is
//! spent, how an ICMP error about it is translated.
//!
//! A client's packet to a service is given a backend at ingress (`FORWARD`). The reply leaves
//! through egress, where its source becomes the service again. When the backend is on another
//! node, the packet leaves again through egress as this node's (`MASQUERADED`), so that the reply
//! comes back here, where ingress gives it the client's address:
//!
//! ```text
//! ingress  client -> service        destination := backend        FORWARD
//! egress   client -> backend        source := node:port           only masqueraded
//! ingress  backend -> node:port     destination := client         only masqueraded
//! egress   backend -> client        source := service
//! ```

use weft_abi::{Backend, FlowValue, Protocol};

use crate::packet::{FIN, Packet, RST, SYN};

/// A UDP flow unused for this long is given a backend anew, ns.
pub const UDP_IDLE: u64 = 120_000_000_000;

/// First port used to masquerade: above Linux's ephemeral ports, so no socket of this host has it.
pub const MASQUERADE_FIRST: u16 = 61_000;
/// Number of ports used to masquerade.
pub const MASQUERADE_PORTS: u32 = 65_536 - MASQUERADE_FIRST as u32;
/// Ports tried before a new flow is given up.
pub const MASQUERADE_TRIES: u32 = 8;

/// Bytes of a flow are counted into its edge when this many have gathered, or it ends.
pub const REPORT_BYTES: u64 = 65_536;

/// Whether a client's packet that finds its forward entry needs a new backend all the same.
#[inline(always)]
pub fn is_spent(flow: &FlowValue, packet: &Packet, backend: Option<&Backend>, now: u64) -> bool {
    let owned =
        backend.is_some_and(|b| b.generation == flow.generation && b.service == flow.service);
    if packet.protocol == Protocol::UDP {
        return !owned || now.saturating_sub(flow.seen) >= UDP_IDLE;
    }
    packet.flags & SYN != 0 && (!owned || flow.flags & (FlowValue::FIN | FlowValue::RESET) != 0)
}

/// The flow's flags after a packet.
#[inline(always)]
pub fn flags_after(flow: &FlowValue, packet: &Packet) -> u16 {
    let mut flags = flow.flags;
    if packet.protocol == Protocol::TCP {
        if packet.flags & FIN != 0 {
            flags |= FlowValue::FIN;
        }
        if packet.flags & RST != 0 {
            flags |= FlowValue::RESET;
        }
    }
    flags
}

/// A port to masquerade with, from a random word.
#[inline(always)]
pub fn masquerade_port(random: u32) -> u16 {
    MASQUERADE_FIRST + crate::hash::scale(random, MASQUERADE_PORTS) as u16
}

#[cfg(test)]
mod tests {
    use weft_abi::Address;

    use super::*;

    fn packet(protocol: u8, flags: u8) -> Packet {
        Packet {
            source: Address::v4([10, 9, 0, 1]),
            destination: Address::v4([10, 96, 0, 1]),
            source_port: 4000,
            destination_port: 80,
            protocol,
            flags,
            v6: false,
            ip: 14,
            transport: 34,
            payload: 54,
            quoted: 0,
            quoted_transport: 0,
        }
    }

    #[test]
    fn a_new_syn_on_an_ended_flow_gets_a_new_backend() {
        let backend = Backend {
            service: 3,
            generation: 9,
            ..Backend::default()
        };
        let flow = FlowValue {
            service: 3,
            generation: 9,
            ..FlowValue::default()
        };
        let (syn, data) = (packet(Protocol::TCP, SYN), packet(Protocol::TCP, 16));
        assert!(
            !is_spent(&flow, &syn, Some(&backend), 0),
            "a repeated SYN stays"
        );
        let ended = FlowValue {
            flags: flags_after(&flow, &packet(Protocol::TCP, FIN)),
            ..flow
        };
        assert!(is_spent(&ended, &syn, Some(&backend), 0));
        assert!(
            !is_spent(&ended, &data, Some(&backend), 0),
            "the last ACKs still belong to it"
        );
        let gone = Backend {
            generation: 10,
            ..backend
        };
        assert!(is_spent(&flow, &syn, Some(&gone), 0));
        assert!(
            !is_spent(&flow, &data, Some(&gone), 0),
            "what was begun is finished"
        );
        assert!(is_spent(&flow, &syn, None, 0));
    }

    #[test]
    fn a_datagram_flow_follows_its_backend_and_time() {
        let backend = Backend {
            service: 3,
            generation: 9,
            ..Backend::default()
        };
        let flow = FlowValue {
            service: 3,
            generation: 9,
            seen: 5,
            ..FlowValue::default()
        };
        let datagram = packet(Protocol::UDP, 0);
        assert!(!is_spent(&flow, &datagram, Some(&backend), 6));
        assert!(is_spent(&flow, &datagram, Some(&backend), 5 + UDP_IDLE));
        assert!(is_spent(&flow, &datagram, None, 6));
    }

    #[test]
    fn masquerade_ports_stay_above_ephemeral_ones() {
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            assert!(masquerade_port(random) >= MASQUERADE_FIRST);
        }
        assert_eq!(masquerade_port(u32::MAX), u16::MAX);
    }
}
