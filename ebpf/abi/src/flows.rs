//! Connection tracking for packets that no socket hook sees (tc).

use crate::Address;

/// Key of `FLOWS`: a packet's addresses as it appears at one of the two tc hooks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct FlowKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port, host order.
    pub source_port: u16,
    /// Destination port, host order.
    pub destination_port: u16,
    /// See [`crate::Protocol`].
    pub protocol: u8,
    /// See [`Self::INGRESS`] and [`Self::EGRESS`].
    pub hook: u8,
    /// Zero.
    pub reserved: u16,
}
layout!(FlowKey, 40, [Address, Address, u16, u16, u8, u8, u16]);

impl FlowKey {
    /// `hook`: seen at tc ingress of an uplink.
    pub const INGRESS: u8 = 0;
    /// `hook`: seen at tc egress of an uplink.
    pub const EGRESS: u8 = 1;
}

/// Value of `FLOWS`: what the packet becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct FlowValue {
    /// New source or destination address, by `flags`.
    pub address: Address,
    /// Last packet (`CLOCK_MONOTONIC`, ns).
    pub seen: u64,
    /// Payload and header bytes seen in this direction.
    pub bytes: u64,
    /// Pool id.
    pub service: u32,
    /// Index into `BACKENDS`.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
    /// New source or destination port, host order.
    pub port: u16,
    /// See [`Self::SOURCE`] and its siblings.
    pub flags: u16,
}
layout!(FlowValue, 48, [Address, u64, u64, u32, u32, u32, u16, u16]);

impl FlowValue {
    /// `flags`: `address` and `port` replace the source (else the destination).
    pub const SOURCE: u16 = 1;
    /// `flags`: a FIN was seen in this direction.
    pub const FIN: u16 = 2;
    /// `flags`: a RST was seen.
    pub const RESET: u16 = 4;
    /// `flags`: this is the entry made by the client's first packet.
    pub const FORWARD: u16 = 8;
    /// `flags`: the flow is masqueraded as this node.
    pub const MASQUERADED: u16 = 16;
    /// `flags`: TCP: this side has acknowledged something after its SYN.
    pub const ESTABLISHED: u16 = 32;
}
