//! Who is enrolled, who is behind an address, what is known of a connection's client, and where
//! captured connections were going.
//!
//! Identity is attested: a client is who its network namespace says (`ENROLLED`), written down in
//! `ATTESTED` under the connection's addresses before its SYN leaves, and read there by the
//! server's namespace.

use crate::Address;

/// Value of `ENROLLED`, by network namespace cookie: a workload of this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Enrolment {
    /// Identity number, 0 while none is known.
    pub identity: u32,
    /// Workload index, as in `WORKLOADS`.
    pub workload: u32,
    /// See [`Self::READY`] and its siblings.
    pub flags: u32,
    /// Port of the proxy's outbound listener on the namespace's loopback, host order.
    pub proxy_port: u16,
    /// Zero.
    pub reserved: u16,
}
layout!(Enrolment, 16, [u32, u32, u32, u16, u16]);

impl Enrolment {
    /// `flags`: its policy is in the maps; without it every connect is refused, or waits (see
    /// [`Self::HOLD`]).
    pub const READY: u32 = 1;
    /// `flags`: connections to workloads of this node are encrypted as well.
    pub const ENCRYPT_LOCAL: u32 = 2;
    /// `flags`: nothing it opens is captured.
    pub const BYPASS_OUTBOUND: u32 = 4;
    /// `flags`: `EXCLUDED` has entries for it: what it opens to them is not captured.
    pub const EXCLUDES: u32 = 8;
    /// `flags`: a `ConnectionEvent` tells of each connection it opened, when that ends.
    pub const LOGGED: u32 = 16;
    /// `flags`: without [`Self::READY`], what it opens waits at the proxy's port.
    pub const HOLD: u32 = 32;
}

/// Value of `PEERS`, by address: a workload of the mesh, on any node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Peer {
    /// Network namespace cookie when enrolled on this node, else 0.
    pub netns: u64,
    /// Identity number, 0 when unknown.
    pub identity: u32,
    /// See [`Self::HERE`] and its siblings.
    pub flags: u32,
    /// Rule set of connections to it (`AUTHZ_SETS`); 0 lets all through.
    pub set: u32,
    /// See [`MtlsMode`]; of ports that `PORT_MODES` does not name.
    pub mode: u8,
    /// Zero.
    pub reserved: [u8; 3],
}
layout!(Peer, 24, [u64, u32, u32, u32, u8, [u8; 3]]);

impl Peer {
    /// `flags`: enrolled on this node.
    pub const HERE: u32 = 1;
    /// `flags`: takes HBONE; clients on other nodes reach it so.
    pub const HBONE: u32 = 2;
    /// `flags`: its policy is in the maps; without it connections to it are refused, or wait
    /// where `HOLD` has a socket (with [`Self::HERE`]).
    pub const READY: u32 = 4;
    /// `flags`: `PORT_MODES` has entries for it.
    pub const PORT_MODES: u32 = 8;
    /// `flags`: connections from this node are encrypted as well; plain ones are refused as STRICT
    /// refuses them.
    pub const ENCRYPT_LOCAL: u32 = 16;
    /// `flags`: incoming connections are not looked at.
    pub const BYPASS_INBOUND: u32 = 32;
}

/// Which connections a port takes (`PeerAuthentication`).
#[expect(
    non_snake_case,
    reason = "a namespace of constants, since enums stay out of maps"
)]
pub mod MtlsMode {
    /// Plain ones only: clients dial it without TLS.
    pub const DISABLE: u8 = 0;
    /// Both.
    pub const PERMISSIVE: u8 = 1;
    /// Only those whose client is proved, by mutual TLS or by the kernel.
    pub const STRICT: u8 = 2;
    /// Of single ports only: connections to it are not captured, and let in without a look.
    pub const EXCLUDED: u8 = 3;
}

/// Key of `PORT_MODES`; the value is an [`MtlsMode`] as `u32`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct PortModeKey {
    /// Address of the workload.
    pub address: Address,
    /// Port it listens on, host order.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}
layout!(PortModeKey, 20, [Address, u16, u16]);

/// Key of `EXCLUDED` (longest prefix): what of the connections that a namespace opens is not
/// captured, by what was dialled. Either a port with every address, or every port with a range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct ExcludedKey {
    /// Bits that count: [`Self::PLACE_BITS`], then of the address.
    pub prefix_length: u32,
    /// Port, host order; 0 is every port.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
    /// Network namespace cookie.
    pub netns: u64,
    /// The address.
    pub address: Address,
}
layout!(ExcludedKey, 32, [u32, u16, u16, u64, Address]);

impl ExcludedKey {
    /// Bits of port and namespace.
    pub const PLACE_BITS: u32 = 96;
    /// `prefix_length` of one address.
    pub const ADDRESS_BITS: u32 = Self::PLACE_BITS + 128;
}

/// Key of `CAPTURED`: one end of a connection, within a namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct EndKey {
    /// Network namespace cookie.
    pub netns: u64,
    /// Local address of that end.
    pub address: Address,
    /// Local port of that end, host order.
    pub port: u16,
    /// Zero.
    pub reserved: [u16; 3],
}
layout!(EndKey, 32, [u64, Address, u16, [u16; 3]]);

/// Value of `CAPTURED`: where a connection that went to the proxy was going.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Captured {
    /// What the application dialled.
    pub vip: Address,
    /// The endpoint chosen for it; what was dialled when that is no service.
    pub peer: Address,
    /// Port dialled, host order.
    pub vip_port: u16,
    /// Port of the endpoint, host order.
    pub peer_port: u16,
    /// Identity of the client.
    pub identity: u32,
    /// Pool id, 0 without a service.
    pub service: u32,
    /// Index into `BACKENDS`, 0 without a service.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(
    Captured,
    56,
    [Address, Address, u16, u16, u32, u32, u32, u32, u32]
);

/// Value of `ORIGINS`, by the proxy's end ([`EndKey`]) of a connection to an application: the
/// client that the application shall see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Origin {
    /// The client's address.
    pub address: Address,
    /// The client's port, host order.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}
layout!(Origin, 20, [Address, u16, u16]);

/// Key of `ATTESTED`: a connection as its server sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct ConnectionKey {
    /// Client.
    pub source: Address,
    /// Server.
    pub destination: Address,
    /// Client's port, host order.
    pub source_port: u16,
    /// Server's port, host order.
    pub destination_port: u16,
}
layout!(ConnectionKey, 36, [Address, Address, u16, u16]);

/// Value of `ATTESTED`: who the client is. Written before the SYN, removed when the client's
/// socket closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Attested {
    /// Network namespace cookie of the client.
    pub netns: u64,
    /// Identity number of the client.
    pub identity: u32,
    /// Pool id, 0 without a service; [`Self::HOST`] for a client in the node's own namespace.
    pub service: u32,
}
layout!(Attested, 16, [u64, u32, u32]);

impl Attested {
    /// `service`: the client is a process of the node itself (a kubelet's probe, say), and no
    /// workload.
    pub const HOST: u32 = u32::MAX;
}

/// Key of `CLIENT_LIMITS`, and with it of `CLIENT_STATE`: a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ClientLimit {
    /// New connections per second of one source identity; 0 is no limit.
    pub per_second: u32,
    /// Connections it may open at once above the rate, at least 1 with a rate.
    pub burst: u32,
    /// Open connections of one source identity; 0 is no limit.
    pub concurrent: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(ClientLimit, 16, [u32, u32, u32, u32]);

/// Key of `CLIENT_STATE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct ClientKey {
    /// Identity number of the client.
    pub identity: u32,
    /// Pool id.
    pub service: u32,
}
layout!(ClientKey, 8, [u32, u32]);

/// Value of `CLIENT_STATE`: written by the kernel only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ClientState {
    /// When the bucket is full again (`CLOCK_MONOTONIC`, ns): GCRA's theoretical arrival time.
    pub full_at: u64,
    /// Refused.
    pub refused: u64,
    /// Connections now open or opening.
    pub active: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(ClientState, 24, [u64, u64, u32, u32]);
