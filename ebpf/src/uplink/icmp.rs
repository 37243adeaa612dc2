//! ICMP errors about tracked flows: the packet they quote is one the other way.

use aya_ebpf::{
    bindings::BPF_F_PSEUDO_HDR, helpers::generated::bpf_l4_csum_replace, programs::TcContext,
};
use weft_abi::{Address, Counter, FlowValue};
use weft_logic::packet::{Bytes, Packet};

use super::rewrite::{Fields, Skb, store_address, store_port, update_v4_header, update_v6};
use crate::maps::{FLOWS, count};

/// Translates an ICMP error about a tracked flow: the quoted packet is one the other way.
#[inline(always)]
pub(super) fn translate_error(ctx: &TcContext, packet: &Packet, hook: u8) {
    let key = packet.reverse_key(hook);
    // SAFETY: as in `run`.
    let Some(flow) = (unsafe { FLOWS.get(&key) }) else {
        return;
    };
    count(Counter::ICMP_TRANSLATED);
    // What replaces the source of packets the other way is the quoted packet's destination.
    let quoted_destination = flow.flags & FlowValue::SOURCE != 0;
    let before = if quoted_destination {
        &packet.destination
    } else {
        &packet.source
    };
    let fields = Fields::of(packet.v6);
    let skb = ctx.skb.skb;
    let checksum = packet.transport + 2;
    let quoted_at = packet.quoted
        + if quoted_destination {
            fields.destination
        } else {
            fields.source
        };
    let port_at = packet.quoted_transport + if quoted_destination { 2 } else { 0 };
    let port_before = if quoted_destination {
        packet.destination_port
    } else {
        packet.source_port
    };
    let outer_at = packet.ip
        + if quoted_destination {
            fields.source
        } else {
            fields.destination
        };
    // Outer address: the error comes from the backend itself (else from a router on the way,
    // which stays), or goes to the address that is replaced.
    let outer = if packet.v6 {
        Skb(skb).load(outer_at).map(Address::v6)
    } else {
        Skb(skb).load(outer_at).map(Address::v4)
    };
    let outer_is_replaced = outer.is_some_and(|outer| outer.is(before));
    if packet.v6 {
        // ICMPv6 covers the quoted bytes and, as a pseudo header, the outer addresses.
        update_v6(skb, checksum, before, &flow.address, 0);
        if outer_is_replaced {
            update_v6(
                skb,
                checksum,
                before,
                &flow.address,
                u64::from(BPF_F_PSEUDO_HDR),
            );
        }
    } else {
        // The quoted header's own checksum offsets its address in ICMP's.
        update_v4_header(skb, packet.quoted + 10, before, &flow.address);
        if outer_is_replaced {
            update_v4_header(skb, packet.ip + 10, before, &flow.address);
        }
    }
    // SAFETY: helpers take the context and check offsets.
    unsafe {
        bpf_l4_csum_replace(
            skb,
            checksum,
            u64::from(port_before.to_be()),
            u64::from(flow.port.to_be()),
            2,
        );
    }
    store_address(skb, quoted_at, packet.v6, &flow.address);
    store_port(skb, port_at, flow.port);
    if outer_is_replaced {
        store_address(skb, outer_at, packet.v6, &flow.address);
    }
}
