//! Destinations of an unconnected UDP socket.
//!
//! A socket keeps the backend it was given for a service, as conntrack would for kube-proxy, so
//! protocols with more than one datagram work; it forgets after [`IDLE`].

use weft_abi::{Address, Backend, UdpFlow, UdpFlows};

/// A flow unused for this long is given a backend anew, ns (Linux's
/// `nf_conntrack_udp_timeout_stream`).
pub const IDLE: u64 = 120_000_000_000;

/// The entry for a destination, if there is one.
#[inline(always)]
pub fn position_of(flows: &UdpFlows, vip: &Address, port: u16) -> Option<usize> {
    let mut i = 0;
    while i < UdpFlows::FLOWS {
        let flow = &flows.flows[i];
        if flow.service != 0 && flow.vip_port == port && flow.vip.is(vip) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// The entry to overwrite for a new destination: a free one, else the one used longest ago.
#[inline(always)]
pub fn place_for(flows: &UdpFlows) -> usize {
    let mut place = 0;
    let mut oldest = u64::MAX;
    let mut i = 0;
    while i < UdpFlows::FLOWS {
        let flow = &flows.flows[i];
        let seen = if flow.service == 0 { 0 } else { flow.seen };
        if seen < oldest {
            oldest = seen;
            place = i;
        }
        i += 1;
    }
    place
}

/// Whether the flow's backend may be used again. A draining one may: it finishes what it began.
#[inline(always)]
pub fn holds(flow: &UdpFlow, backend: &Backend, now: u64) -> bool {
    backend.generation == flow.generation
        && backend.service == flow.service
        && now.saturating_sub(flow.seen) < IDLE
        && (backend.ejected_until == 0 || now >= backend.ejected_until)
}

/// The address and port a reply from `peer` seems to come from. When services share the backend
/// it answers the one that was asked last; a datagram does not say more.
#[inline(always)]
pub fn reply_from(flows: &UdpFlows, peer: &Address, port: u16) -> Option<(Address, u16)> {
    let mut found = UdpFlows::FLOWS;
    let mut latest = 0;
    let mut i = 0;
    while i < UdpFlows::FLOWS {
        let flow = &flows.flows[i];
        let matches = flow.service != 0 && flow.peer_port == port && flow.peer.is(peer);
        if matches && flow.seen >= latest {
            latest = flow.seen;
            found = i;
        }
        i += 1;
    }
    let flow = flows.flows.get(found)?;
    Some((flow.vip, flow.vip_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(service: u32, seen: u64) -> UdpFlow {
        UdpFlow {
            vip: Address::v4([10, 96, 0, service as u8]),
            peer: Address::v4([10, 0, 0, service as u8]),
            seen,
            service,
            backend: service,
            generation: 7,
            vip_port: 53,
            peer_port: 5353,
        }
    }

    #[test]
    fn finds_what_it_placed_and_replaces_the_oldest() {
        let mut flows = UdpFlows::default();
        for service in 1..=4 {
            let place = place_for(&flows);
            flows.flows[place] = flow(service, 100 + u64::from(service));
        }
        assert_eq!(
            position_of(&flows, &Address::v4([10, 96, 0, 3]), 53),
            Some(2)
        );
        assert_eq!(position_of(&flows, &Address::v4([10, 96, 0, 3]), 54), None);
        assert_eq!(place_for(&flows), 0, "service 1 was used longest ago");
        assert_eq!(
            reply_from(&flows, &Address::v4([10, 0, 0, 2]), 5353),
            Some((Address::v4([10, 96, 0, 2]), 53))
        );
        assert_eq!(reply_from(&flows, &Address::v4([10, 0, 0, 9]), 5353), None);
    }

    #[test]
    fn a_reply_of_a_shared_backend_answers_the_service_asked_last() {
        let mut flows = UdpFlows::default();
        let peer = Address::v4([10, 0, 0, 9]);
        for (place, seen) in [200, 300, 100].into_iter().enumerate() {
            flows.flows[place] = UdpFlow {
                peer,
                ..flow(place as u32 + 1, seen)
            };
        }
        let from = |flows: &UdpFlows| reply_from(flows, &peer, 5353);
        assert_eq!(from(&flows), Some((Address::v4([10, 96, 0, 2]), 53)));
        flows.flows[2].seen = 400;
        assert_eq!(from(&flows), Some((Address::v4([10, 96, 0, 3]), 53)));
    }

    #[test]
    fn holds_until_backend_changes_or_time_passes() {
        let backend = Backend {
            service: 1,
            generation: 7,
            ..Backend::default()
        };
        let flow = flow(1, 1_000);
        assert!(holds(&flow, &backend, 2_000));
        assert!(holds(
            &flow,
            &Backend {
                flags: Backend::DRAINING,
                ..backend
            },
            2_000
        ));
        assert!(!holds(
            &flow,
            &Backend {
                generation: 8,
                ..backend
            },
            2_000
        ));
        assert!(!holds(
            &flow,
            &Backend {
                service: 2,
                ..backend
            },
            2_000
        ));
        assert!(!holds(
            &flow,
            &Backend {
                ejected_until: 3_000,
                ..backend
            },
            2_000
        ));
        assert!(!holds(&flow, &backend, 1_000 + IDLE));
    }
}
