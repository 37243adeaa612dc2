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
//!
//! A packet to a service without a backend goes to the node's own address and a port nobody can
//! listen on ([`REFUSING_PORT`]), so that the node's stack refuses it as it would any other; only
//! the entry of the last line is made, which lets the refusal come from the service.

use weft_abi::{Backend, FlowValue, Protocol};

use crate::packet::{ACK, FIN, Packet, RST, SYN};

/// A UDP flow unused for this long is given a backend anew, ns.
pub const UDP_IDLE: u64 = 120_000_000_000;

/// The entry of a connection without a sign of life for this long may be taken over, ns: longer
/// than TCP's keepalive time.
pub const TCP_IDLE: u64 = 3 * 3_600_000_000_000;
/// The same for a connection that was never established.
pub const TCP_OPENING: u64 = 120_000_000_000;
/// How long a connection that ended keeps its entries from other flows, ns: the peer may remember
/// it as long (`TIME_WAIT` of Linux).
pub const TCP_ENDED: u64 = 60_000_000_000;
/// The same when there is no choice.
pub const TCP_ENDED_SHORT: u64 = 1_000_000_000;

/// Where refused packets go: no socket can have this port.
pub const REFUSING_PORT: u16 = 0;

/// Flags of an entry whose connection ends.
pub const ENDED: u16 = FlowValue::FIN | FlowValue::RESET;

/// First port used to masquerade: above Linux's ephemeral ports, so no socket of this host has it.
pub const MASQUERADE_FIRST: u16 = 61_000;
/// Number of ports used to masquerade.
pub const MASQUERADE_PORTS: u32 = 65_536 - MASQUERADE_FIRST as u32;
/// Ports tried before a new flow is given up.
pub const MASQUERADE_TRIES: u32 = 8;

/// Bytes of a flow are counted into its edge when this many have gathered, a second has begun
/// since the last packet, or the flow's state changes.
pub const REPORT_BYTES: u64 = 65_536;
/// About a second: 2 to this power, ns.
const REPORT_SHIFT: u32 = 30;

/// Whether a client's packet that finds its forward entry needs a new backend all the same.
#[inline(always)]
pub fn is_spent(flow: &FlowValue, packet: &Packet, backend: Option<&Backend>, now: u64) -> bool {
    let owned =
        backend.is_some_and(|b| b.generation == flow.generation && b.service == flow.service);
    if packet.protocol == Protocol::UDP {
        return !owned || now.saturating_sub(flow.seen) >= UDP_IDLE;
    }
    let draining = backend.is_some_and(|b| b.flags & Backend::DRAINING != 0);
    packet.begins()
        && (!owned
            || flow.flags & ENDED != 0
            || (draining && flow.flags & FlowValue::ESTABLISHED == 0))
}

/// Whether an entry may be taken over by another flow that needs its key. A connection that ended
/// must have been quiet for `quiet`, ns ([`TCP_ENDED`] or [`TCP_ENDED_SHORT`]).
#[inline(always)]
pub fn is_over(flow: &FlowValue, protocol: u8, quiet: u64, now: u64) -> bool {
    let patience = if protocol == Protocol::UDP {
        UDP_IDLE
    } else if flow.flags & ENDED != 0 {
        quiet
    } else if flow.flags & FlowValue::ESTABLISHED != 0 {
        TCP_IDLE
    } else {
        TCP_OPENING
    };
    now.saturating_sub(flow.seen) >= patience
}

/// The flow's flags after a packet.
#[inline(always)]
pub fn flags_after(flow: u16, packet: &Packet) -> u16 {
    let mut flags = flow;
    if packet.protocol == Protocol::TCP {
        if packet.flags & FIN != 0 {
            flags |= FlowValue::FIN;
        }
        if packet.flags & RST != 0 {
            flags |= FlowValue::RESET;
        }
        if packet.flags & (ACK | SYN | RST) == ACK {
            flags |= FlowValue::ESTABLISHED;
        }
    }
    flags
}

/// Whether a connection was established by what changed an entry's flags.
#[inline(always)]
pub fn establishes(before: u16, after: u16) -> bool {
    after & !before & FlowValue::ESTABLISHED != 0
}

/// Whether an established connection ended by what changed an entry's flags.
#[inline(always)]
pub fn ends(before: u16, after: u16) -> bool {
    after & FlowValue::ESTABLISHED != 0 && before & ENDED == 0 && after & ENDED != 0
}

/// Whether gathered bytes are to be counted now; `seen` is when the last packet was.
#[inline(always)]
pub fn reports(bytes: u64, seen: u64, now: u64) -> bool {
    bytes >= REPORT_BYTES || seen >> REPORT_SHIFT != now >> REPORT_SHIFT
}

/// How long an ended connection must have been quiet before its port is used to masquerade again,
/// ns: the later attempts are content with less.
#[inline(always)]
pub fn quiet_before_reuse(attempt: u32) -> u64 {
    if attempt < MASQUERADE_TRIES / 2 {
        TCP_ENDED
    } else {
        TCP_ENDED_SHORT
    }
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
            end: 54,
            fragmented: false,
            identification: 0,
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
            flags: flags_after(flow.flags, &packet(Protocol::TCP, FIN)),
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
    fn a_draining_backend_keeps_only_what_is_established() {
        let backend = Backend {
            service: 3,
            generation: 9,
            flags: Backend::DRAINING,
            ..Backend::default()
        };
        let mut flow = FlowValue {
            service: 3,
            generation: 9,
            ..FlowValue::default()
        };
        let syn = packet(Protocol::TCP, SYN);
        assert!(is_spent(&flow, &syn, Some(&backend), 0));
        flow.flags |= FlowValue::ESTABLISHED;
        assert!(!is_spent(&flow, &syn, Some(&backend), 0));
    }

    #[test]
    fn a_connection_is_established_once_and_ends_once() {
        let step = |before, flags| {
            let after = flags_after(before, &packet(Protocol::TCP, flags));
            (after, establishes(before, after), ends(before, after))
        };
        let (flags, established, ended) = step(0, SYN);
        assert_eq!((flags, established, ended), (0, false, false));
        let (flags, established, ended) = step(flags, ACK);
        assert!(established && !ended);
        let (flags, established, ended) = step(flags, ACK | FIN);
        assert!(!established && ended);
        let (_, established, ended) = step(flags, RST);
        assert!(!established && !ended);
        assert_eq!(step(0, RST), (FlowValue::RESET, false, false), "refused");
    }

    #[test]
    fn keys_of_flows_are_free_again_only_when_nobody_can_miss_them() {
        let mut flow = FlowValue {
            seen: 7,
            ..FlowValue::default()
        };
        let over = |flow: &FlowValue, after: u64| {
            is_over(flow, Protocol::TCP, TCP_ENDED, 7 + after - 1)
                || !is_over(flow, Protocol::TCP, TCP_ENDED, 7 + after)
        };
        assert!(!over(&flow, TCP_OPENING));
        flow.flags = FlowValue::ESTABLISHED;
        assert!(!over(&flow, TCP_IDLE));
        flow.flags |= FlowValue::FIN;
        assert!(!over(&flow, TCP_ENDED));
        assert!(!is_over(&flow, Protocol::UDP, 0, 7 + UDP_IDLE - 1));
        assert!(is_over(&flow, Protocol::UDP, 0, 7 + UDP_IDLE));
        assert!(quiet_before_reuse(0) > quiet_before_reuse(MASQUERADE_TRIES - 1));
    }

    #[test]
    fn slow_flows_are_counted_each_second_and_fast_ones_more_often() {
        let second = 1 << REPORT_SHIFT;
        assert!(reports(REPORT_BYTES, second, second + 1));
        assert!(!reports(REPORT_BYTES - 1, second, second + 1));
        assert!(reports(1, second - 1, second));
    }

    #[test]
    fn masquerade_ports_stay_above_ephemeral_ones() {
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            assert!(masquerade_port(random) >= MASQUERADE_FIRST);
        }
        assert_eq!(masquerade_port(u32::MAX), u16::MAX);
    }
}
