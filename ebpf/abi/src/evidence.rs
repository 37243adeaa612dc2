//! Counters and events.

use crate::Address;

/// Buckets of each histogram: bucket `i` counts values up to `32 us << i`, the last one all above.
pub const HISTOGRAM_BUCKETS: usize = 16;

/// Key of `EDGES`: who talks to whom through what.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct EdgeKey {
    /// Workload of the client (the manager's table), 0 when unknown.
    pub source: u32,
    /// Pool id, 0 when the client dialled an endpoint directly.
    pub service: u32,
    /// Workload of the backend, 0 when unknown.
    pub destination: u32,
    /// See [`crate::Protocol`].
    pub protocol: u8,
    /// What proves who talks: 0 is nothing, see [`Self::ATTESTED`] and [`Self::HBONE`].
    pub security: u8,
    /// Zero.
    pub reserved: [u8; 2],
}
layout!(EdgeKey, 16, [u32, u32, u32, u8, u8, [u8; 2]]);

impl EdgeKey {
    /// `security`: the kernel knows both workloads, which are enrolled on this node.
    pub const ATTESTED: u8 = 1;
    /// `security`: certificates, in the proxies' mutual TLS.
    pub const HBONE: u8 = 2;
}

/// Value of `EDGES`: totals since the entry was made. `sent` and `received` are the client's view
/// of TCP payload bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct EdgeValue {
    /// Last change (`CLOCK_MONOTONIC`, ns).
    pub seen: u64,
    /// Connections established.
    pub opened: u64,
    /// Established connections that ended.
    pub closed: u64,
    /// Connects that failed: refused, timed out, unreachable.
    pub failed: u64,
    /// Established connections ended by a reset from the peer.
    pub reset: u64,
    /// Bytes the client sent and the peer acknowledged.
    pub sent: u64,
    /// Bytes the client received.
    pub received: u64,
    /// Segments the client sent again.
    pub retransmits: u64,
    /// Sum of the smoothed round-trip times sampled (at close, and each report of a live
    /// connection), microseconds.
    pub rtt_sum: u64,
    /// Sum of connect latencies, microseconds.
    pub connect_sum: u64,
    /// Histogram of round-trip times.
    pub rtt: [u64; HISTOGRAM_BUCKETS],
    /// Histogram of connect latencies.
    pub connect: [u64; HISTOGRAM_BUCKETS],
}
layout!(
    EdgeValue,
    336,
    [
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        u64,
        [u64; HISTOGRAM_BUCKETS],
        [u64; HISTOGRAM_BUCKETS]
    ]
);

/// What `EVENTS` (ring buffer) carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Event {
    /// When (`CLOCK_MONOTONIC`, ns).
    pub time: u64,
    /// Namespace cookie of the client's socket, 0 for a packet.
    pub netns: u64,
    /// See [`EventKind`].
    pub kind: u32,
    /// Errno for [`EventKind::CONNECT_FAILED`] (positive), else 0.
    pub error: i32,
    /// Pool id.
    pub service: u32,
    /// Index into `BACKENDS`, 0 when none was chosen.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
    /// Failures in a row of that backend, this one included.
    pub consecutive: u32,
}
layout!(Event, 40, [u64, u64, u32, i32, u32, u32, u32, u32]);

/// `Event` by `kind`, which stands at the same place: a connection that the kernel carried itself has
/// ended. Numbers of bytes are the client's view of the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ConnectionEvent {
    /// When (`CLOCK_MONOTONIC`, ns).
    pub time: u64,
    /// Namespace cookie of the workload's socket.
    pub netns: u64,
    /// [`EventKind::ENDED`] or [`EventKind::SERVED`].
    pub kind: u32,
    /// Errno of a connect that failed (positive), `ECONNRESET` after a reset, else 0.
    pub error: i32,
    /// Identity number of the client, 0 when unknown.
    pub identity: u32,
    /// Pool id, 0 without a service.
    pub service: u32,
    /// Payload bytes from client to server.
    pub sent: u64,
    /// Payload bytes from server to client.
    pub received: u64,
    /// From the connect, or its last packet, to the end, ns.
    pub duration: u64,
    /// Client.
    pub source: Address,
    /// Server.
    pub destination: Address,
    /// Client's port, host order.
    pub source_port: u16,
    /// Server's port, host order.
    pub destination_port: u16,
    /// 1 when the client was written down for the server, which knows it by identity.
    pub proved: u32,
}
layout!(
    ConnectionEvent,
    96,
    [
        u64, u64, u32, i32, u32, u32, u64, u64, u64, Address, Address, u16, u16, u32
    ]
);

/// Kinds of [`Event`].
#[expect(
    non_snake_case,
    reason = "a namespace of constants, since enums stay out of maps"
)]
pub mod EventKind {
    /// A connect failed: refused, timed out, unreachable.
    pub const CONNECT_FAILED: u32 = 1;
    /// The peer reset an established connection.
    pub const RESET: u32 = 2;
    /// Refused here: the pool has no usable backend.
    pub const NO_BACKEND: u32 = 3;
    /// Refused here: every backend is at its connection limit.
    pub const OVER_LIMIT: u32 = 4;
    /// Refused by an authorization policy. From here on the event is a `PolicyEvent`.
    pub const DENIED: u32 = 5;
    /// A dry-run policy would have refused.
    pub const DRY_RUN: u32 = 6;
    /// An AUDIT policy wants it written down.
    pub const AUDIT: u32 = 7;
    /// Refused: plain, and the workload takes only mTLS there.
    pub const PLAINTEXT: u32 = 8;
    /// Refused: the policy of an enrolled workload is not in the maps yet.
    pub const NOT_READY: u32 = 9;
    /// Refused: the client's identity opens too many connections to the service.
    pub const CLIENT_LIMIT: u32 = 10;
    /// A connection that an enrolled workload opened has ended. The event is a `ConnectionEvent`.
    pub const ENDED: u32 = 11;
    /// The same of one that an enrolled workload accepted from a client that is not enrolled on this
    /// node: nothing is told of that client's end.
    pub const SERVED: u32 = 12;
}

/// Indices of `COUNTERS` (per CPU).
#[expect(
    non_snake_case,
    reason = "a namespace of constants, since enums stay out of maps"
)]
pub mod Counter {
    /// Events lost: the ring buffer was full.
    pub const EVENTS_DROPPED: u32 = 0;
    /// Updates of `EDGES` lost: the map was full.
    pub const EDGES_FULL: u32 = 1;
    /// Sockets without storage: out of memory.
    pub const STORAGE_FAILED: u32 = 2;
    /// Lookups that met an update and looked again.
    pub const RETRIED: u32 = 3;
    /// Lookups that gave up after meeting updates again and again (refused).
    pub const INCONSISTENT: u32 = 4;
    /// New flows on an uplink that found no free port to masquerade with, no room, or another flow
    /// of the same client port to the same backend.
    pub const FLOWS_FULL: u32 = 5;
    /// New flows balanced on an uplink.
    pub const FLOWS: u32 = 6;
    /// ICMP errors translated on an uplink.
    pub const ICMP_TRANSLATED: u32 = 7;
    /// Connections sent to the proxy.
    pub const CAPTURED: u32 = 8;
    /// Clients that could not be attested: `ATTESTED` was full. They count as unknown.
    pub const ATTESTED_FULL: u32 = 9;
    /// Captured connections refused: `CAPTURED` was full.
    pub const CAPTURED_FULL: u32 = 10;
    /// Connections, and first packets of connections, that wait until a workload's policy is in the
    /// maps.
    pub const HELD: u32 = 11;
    /// Number of counters.
    pub const COUNT: u32 = 12;
}
