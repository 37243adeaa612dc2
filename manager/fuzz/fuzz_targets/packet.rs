//! No frame makes the reader of headers panic, and what it tells lies inside the frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_abi::{FlowKey, FlowValue};
use weft_logic::{
    flow,
    packet::{self, FRAGMENT},
};

fuzz_target!(|input: (bool, u16, u64, &[u8])| {
    let (v6, flags, now, frame) = input;
    let ethertype = if v6 { 0x86dd } else { 0x0800 };
    let Some(packet) = packet::parse(frame, ethertype) else {
        return;
    };
    let length = frame.len();
    assert!(packet.transport as usize <= length);
    assert!(packet.quoted_transport as usize <= length);
    assert!(packet.payload_bytes(length as u32) as usize <= length);
    assert_eq!(packet.v6, v6);
    assert!(packet.protocol != FRAGMENT || packet.fragmented && !packet.begins());
    let (key, reverse) = (
        packet.key(FlowKey::INGRESS),
        packet.reverse_key(FlowKey::INGRESS),
    );
    assert_eq!(
        (key.source, key.source_port),
        (reverse.destination, reverse.destination_port)
    );

    let entry = FlowValue {
        flags,
        seen: now,
        ..FlowValue::default()
    };
    let after = flow::flags_after(flags, &packet);
    assert_eq!(after & flags, flags, "a packet takes no flag away");
    assert_eq!(
        flow::flags_after(after, &packet),
        after,
        "and the same again adds none"
    );
    assert!(!flow::is_over(
        &entry,
        packet.protocol,
        flow::TCP_ENDED_SHORT,
        now
    ));
    flow::is_spent(&entry, &packet, None, now);
});
