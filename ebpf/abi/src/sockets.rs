//! What is known of one socket: socket-local storage, and what the iterator tells of it.

use crate::Address;

/// Value of `SOCKETS` (socket-local storage of a connected TCP or UDP client socket).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct SocketInfo {
    /// What the application dialled.
    pub vip: Address,
    /// Where it went.
    pub peer: Address,
    /// Namespace cookie of the socket.
    pub netns: u64,
    /// When the connect began (`CLOCK_MONOTONIC`, ns); 0 outside of a connection.
    pub began: u64,
    /// How long the connect took (ns, at least 1); 0 before, and once it is counted in `EDGES`.
    pub latency: u64,
    /// Payload bytes the peer acknowledged, as far as they are counted in `EDGES`.
    pub acked: u64,
    /// Payload bytes received, as far as they are counted in `EDGES`.
    pub received: u64,
    /// Pool id, 0 when the client dialled an endpoint directly.
    pub service: u32,
    /// Index into `BACKENDS`, 0 when the client dialled an endpoint directly.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
    /// Workload of the client, 0 when unknown.
    pub source: u32,
    /// Workload of the backend, 0 when unknown.
    pub destination: u32,
    /// Retransmitted segments, as far as they are counted in `EDGES`.
    pub retransmits: u32,
    /// Identity the client is counted under in `CLIENT_STATE`, with [`Self::LIMITED`].
    pub identity: u32,
    /// Port dialled, host order.
    pub vip_port: u16,
    /// Port it went to, host order.
    pub peer_port: u16,
    /// See [`crate::Protocol`].
    pub protocol: u8,
    /// See [`Self::REWRITTEN`] and its siblings.
    pub flags: u8,
    /// The `EventKind` by which the connection's end is to be told of (`ConnectionEvent`), 0 when it
    /// is not.
    pub logged: u16,
    /// Zero.
    pub reserved: [u16; 2],
}
layout!(
    SocketInfo,
    112,
    [
        Address, Address, u64, u64, u64, u64, u64, u32, u32, u32, u32, u32, u32, u32, u16, u16, u8,
        u8, u16, [u16; 2]
    ]
);

impl SocketInfo {
    /// `flags`: the destination was rewritten from `vip` to `peer`.
    pub const REWRITTEN: u8 = 1;
    /// `flags`: counted in the backend's live connections.
    pub const COUNTED: u8 = 2;
    /// `flags`: the handshake completed.
    pub const ESTABLISHED: u8 = 4;
    /// `flags`: the connection went to the proxy (`CAPTURED`).
    pub const CAPTURED: u8 = 8;
    /// `flags`: the client is written down in `ATTESTED`.
    pub const ATTESTED: u8 = 16;
    /// `flags`: counted in `CLIENT_STATE`.
    pub const LIMITED: u8 = 32;
    /// `flags`: a socket of the proxy itself, set by it: never captured.
    pub const PROXY: u8 = 64;
    /// `flags`: client and server are enrolled on this node, and the client was written down for the
    /// server.
    pub const PROVED: u8 = 128;
}

/// One destination of an unconnected UDP socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct UdpFlow {
    /// What the application addresses.
    pub vip: Address,
    /// Where its datagrams go.
    pub peer: Address,
    /// Last use (`CLOCK_MONOTONIC`, ns).
    pub seen: u64,
    /// Pool id; 0 marks a free entry.
    pub service: u32,
    /// Index into `BACKENDS`.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
    /// Port addressed, host order.
    pub vip_port: u16,
    /// Port it goes to, host order.
    pub peer_port: u16,
}
layout!(
    UdpFlow,
    56,
    [Address, Address, u64, u32, u32, u32, u16, u16]
);

/// Value of `UDP_FLOWS` (socket-local storage of an unconnected UDP socket): its most recent
/// destinations. A fifth service takes the place of the one used longest ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct UdpFlows {
    /// In no order.
    pub flows: [UdpFlow; Self::FLOWS],
}
layout!(UdpFlows, 224, [[UdpFlow; UdpFlows::FLOWS]]);

impl UdpFlows {
    /// Destinations remembered per socket.
    pub const FLOWS: usize = 4;
}

/// What the `sockets` iterator writes for each socket of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct SocketRecord {
    /// Socket cookie (what inet_diag calls `idiag_cookie`).
    pub cookie: u64,
    /// Namespace cookie of the socket.
    pub netns: u64,
    /// Pool id.
    pub service: u32,
    /// Index into `BACKENDS`.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
    /// See [`crate::Protocol`].
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
}
layout!(SocketRecord, 32, [u64, u64, u32, u32, u32, u8, [u8; 3]]);
