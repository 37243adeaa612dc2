//! What is balanced: frontends, slots, backends, and their live state.
//!
//! A lookup goes `SERVICES[ServiceKey] -> Service -> SLOTS[first_slot + pick] -> BACKENDS[index]`.
//! Slots and backends carry the id of the service they belong to, so a reader that raced with an
//! update notices a slot that has moved on and looks again.

/// An IPv6 address, or an IPv4 one as `::ffff:a.b.c.d`, in network order. Aligned so that the
/// kernel half reads words, not bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C, align(4))]
pub struct Address {
    /// The 16 bytes in network order.
    pub bytes: [u8; 16],
}
layout!(Address, 16, [[u8; 16]]);

impl Address {
    /// The v4-mapped form of an IPv4 address.
    #[inline(always)]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self::v4_word(u32::from_ne_bytes(octets))
    }

    /// An IPv6 address (a v4-mapped one stays what it is).
    #[inline(always)]
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self { bytes: octets }
    }

    /// From four words in network order, as the kernel's contexts hold them.
    #[inline(always)]
    pub const fn from_words(words: [u32; 4]) -> Self {
        // SAFETY: 16 bytes either way, and any bits are valid in both. Byte arithmetic would say
        // the same, but spills every byte to the 512-byte stack of a BPF program.
        let bytes = unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) };
        Self { bytes }
    }

    /// Four words in network order.
    #[inline(always)]
    pub const fn words(&self) -> [u32; 4] {
        // SAFETY: as in `from_words`.
        unsafe { core::mem::transmute::<[u8; 16], [u32; 4]>(self.bytes) }
    }

    /// The third word of every v4-mapped address, in network order.
    pub const V4_MARK: u32 = 0xffff_u32.to_be();

    /// An IPv4 address as one word in network order.
    #[inline(always)]
    pub const fn v4_word(word: u32) -> Self {
        Self::from_words([0, 0, Self::V4_MARK, word])
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        let [a, b, c, _] = self.words();
        (a | b) == 0 && c == Self::V4_MARK
    }

    /// Whether the two are the same address; words, where `==` would compare bytes.
    #[inline(always)]
    pub const fn is(&self, other: &Self) -> bool {
        let ([a, b, c, d], [e, f, g, h]) = (self.words(), other.words());
        ((a ^ e) | (b ^ f) | (c ^ g) | (d ^ h)) == 0
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => Self::v4(v4.octets()),
            core::net::IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}

impl From<Address> for core::net::IpAddr {
    fn from(address: Address) -> Self {
        core::net::Ipv6Addr::from(address.bytes).to_canonical()
    }
}

/// IANA protocol numbers that are balanced.
#[expect(missing_docs, reason = "the names say it")]
#[expect(
    non_snake_case,
    reason = "a namespace of constants, since enums stay out of maps"
)]
pub mod Protocol {
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
}

/// Which traffic a frontend serves.
#[expect(
    non_snake_case,
    reason = "a namespace of constants, since enums stay out of maps"
)]
pub mod Scope {
    /// Sockets on this host (connect and sendmsg hooks).
    pub const SOCKET: u8 = 0;
    /// Packets that arrive on a named interface (tc hooks).
    pub const UPLINK: u8 = 1;
}

/// Key of `SERVICES`: one frontend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct ServiceKey {
    /// The address a client dials.
    pub address: Address,
    /// The port a client dials, host order.
    pub port: u16,
    /// See [`Protocol`].
    pub protocol: u8,
    /// See [`Scope`].
    pub scope: u8,
}
layout!(ServiceKey, 20, [Address, u16, u8, u8]);

/// Value of `SERVICES`. Replaced as a whole; equal for all frontends that share a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Service {
    /// Pool id: index of `SERVICE_STATE`, and what slots and backends name. Never 0.
    pub id: u32,
    /// First slot of the pool in `SLOTS`.
    pub first_slot: u32,
    /// Number of slots; 0 refuses every connection with ECONNREFUSED.
    pub slots: u32,
    /// Connections per backend above which it is passed over; `u32::MAX` is no limit.
    pub max_connections: u32,
    /// Session affinity by client address, in seconds; 0 is none.
    pub affinity_seconds: u32,
    /// See [`Self::ROUND_ROBIN`] and its siblings.
    pub algorithm: u8,
    /// See [`Self::MASQUERADE`].
    pub flags: u8,
    /// Zero.
    pub reserved: u16,
}
layout!(Service, 24, [u32, u32, u32, u32, u32, u8, u8, u16]);

impl Service {
    /// Slots in turn, one counter for all CPUs.
    pub const ROUND_ROBIN: u8 = 0;
    /// A slot at random.
    pub const RANDOM: u8 = 1;
    /// The less loaded of two random slots (power of two choices on live connection counts).
    pub const LEAST_CONNECTIONS: u8 = 2;
    /// The slot at the hash of the client: a Maglev table when filled by the manager.
    pub const HASH: u8 = 3;

    /// `flags`: uplink traffic to a backend on another node is masqueraded as this node.
    pub const MASQUERADE: u8 = 1;
}

/// Value of `SLOTS`. An index no pool owns holds whatever was there last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Slot {
    /// Index into `BACKENDS`.
    pub backend: u32,
    /// The pool that owns the slot.
    pub service: u32,
}
layout!(Slot, 8, [u32, u32]);

/// Value of `BACKENDS`: one endpoint of one pool. Index 0 is never used; a free index is all zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Backend {
    /// Where connections go.
    pub address: Address,
    /// Port, host order.
    pub port: u16,
    /// See [`Self::LOCAL`] and [`Self::DRAINING`].
    pub flags: u16,
    /// The pool that owns the backend.
    pub service: u32,
    /// Told apart from earlier owners of the same index.
    pub generation: u32,
    /// Index of the workload behind it (the manager's table), 0 when unknown.
    pub workload: u32,
    /// Passed over until this time (`CLOCK_MONOTONIC`, ns, below 2^63); 0 when not ejected.
    pub ejected_until: u64,
}
layout!(Backend, 40, [Address, u16, u16, u32, u32, u32, u64]);

impl Backend {
    /// `flags`: runs on this node.
    pub const LOCAL: u16 = 1;
    /// `flags`: in no slot; kept for the connections it still has.
    pub const DRAINING: u16 = 2;
    /// `flags`: on another node and reached by HBONE: enrolled clients are captured.
    pub const HBONE: u16 = 4;
    /// `flags`: enrolled on this node.
    pub const ENROLLED: u16 = 8;
}

/// Value of `BACKEND_STATE`, beside `BACKENDS`: written by the kernel only, but for the reset
/// when an index is given to a new backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct BackendState {
    /// Connections now open or opening.
    pub active: u32,
    /// The backend generation these numbers are about.
    pub generation: u32,
    /// Connect failures since the last connection that was established.
    pub consecutive_failures: u32,
    /// Connections reset before they were answered, since the last that was.
    pub consecutive_resets: u32,
    /// Connect failures and unanswered resets in all.
    pub failures: u32,
    /// Zero.
    pub reserved: u32,
    /// Connections begun in all.
    pub connections: u64,
}
layout!(BackendState, 32, [u32, u32, u32, u32, u32, u32, u64]);

/// Value of `SERVICE_STATE`, indexed by pool id: written by the kernel only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct ServiceState {
    /// Round robin turn.
    pub turn: u64,
    /// Refused: no backend in the pool, or all ejected.
    pub no_backend: u64,
    /// Refused: every backend at its connection limit.
    pub over_limit: u64,
    /// Datagram flows given a backend (UDP has no connections to count).
    pub udp_flows: u64,
}
layout!(ServiceState, 32, [u64, u64, u64, u64]);

/// Key of `AFFINITY`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct AffinityKey {
    /// The client's address; for a socket that is not bound yet, its namespace cookie in the
    /// first eight bytes and zeroes.
    pub client: Address,
    /// Pool id.
    pub service: u32,
}
layout!(AffinityKey, 20, [Address, u32]);

/// Value of `AFFINITY`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Affinity {
    /// Last use (`CLOCK_MONOTONIC`, ns).
    pub seen: u64,
    /// Index into `BACKENDS`.
    pub backend: u32,
    /// That backend's generation.
    pub generation: u32,
}
layout!(Affinity, 16, [u64, u32, u32]);
