//! Layer 4 authorization: rule sets, matched dimension by dimension.
//!
//! A rule set is all policy that holds for one workload, as at most [`RuleBits::RULES`] clauses. A
//! clause is a product of three independent questions (who, from which address, to which port),
//! so a lookup per question yields the bits of all clauses it fits, and their intersection is
//! what fits: the cost does not grow with the number of rules. A set is never changed: another
//! one is written beside it and the workload's entry in `PEERS` pointed at it.

use crate::Address;

/// One bit per clause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct RuleBits {
    /// Bit `i % 64` of word `i / 64` is clause `i`.
    pub words: [u64; 8],
}
layout!(RuleBits, 64, [[u64; 8]]);

impl RuleBits {
    /// Clauses in a set.
    pub const RULES: usize = 512;
}

/// Value of `AUTHZ_SETS`, by set id (never 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct RuleSet {
    /// Clauses of DENY policies in force.
    pub deny: RuleBits,
    /// Clauses of ALLOW policies in force.
    pub allow: RuleBits,
    /// Clauses of AUDIT policies.
    pub audit: RuleBits,
    /// Clauses of dry-run DENY policies.
    pub dry_deny: RuleBits,
    /// Clauses of dry-run ALLOW policies.
    pub dry_allow: RuleBits,
    /// See [`Self::HAS_ALLOW`] and its siblings.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}
layout!(
    RuleSet,
    328,
    [RuleBits, RuleBits, RuleBits, RuleBits, RuleBits, u32, u32]
);

impl RuleSet {
    /// `flags`: there are ALLOW policies, so what none of them allows is refused.
    pub const HAS_ALLOW: u32 = 1;
    /// `flags`: there are dry-run ALLOW policies.
    pub const HAS_DRY_ALLOW: u32 = 2;
    /// `flags`: policy that cannot be held here (too many clauses): all is refused.
    pub const REFUSE_ALL: u32 = 4;
}

/// Key of `AUTHZ_IDENTITY`: clauses that fit a client's identity, as [`RuleBits`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct SetIdentityKey {
    /// Set id.
    pub set: u32,
    /// Identity number; 0 is a client without identity. Every set has an entry for
    /// [`Self::OTHERS`], used for identities without an entry of their own.
    pub identity: u32,
}
layout!(SetIdentityKey, 8, [u32, u32]);

impl SetIdentityKey {
    /// `identity`: all that have no entry of their own, but not 0, which always has one.
    pub const OTHERS: u32 = u32::MAX;
}

/// Key of `AUTHZ_SOURCE` (longest prefix): clauses that fit a client's address, as [`RuleBits`]. The
/// entry of a range includes the bits of all ranges around it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct SetSourceKey {
    /// Bits that count: 32 for the set, then of the address. Every set has an entry with 32.
    pub prefix_length: u32,
    /// Set id in network order, so that its bits come first.
    pub set: u32,
    /// The address.
    pub address: Address,
    /// Zero, and never compared: it aligns the value behind the key in the kernel.
    pub reserved: u32,
}
layout!(SetSourceKey, 28, [u32, u32, Address, u32]);

impl SetSourceKey {
    /// `prefix_length` of every address in a set.
    pub const SET_BITS: u32 = 32;
    /// `prefix_length` of one address.
    pub const ADDRESS_BITS: u32 = Self::SET_BITS + 128;
}

/// Key of `AUTHZ_PORT`: clauses that fit the server's port, as [`RuleBits`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct SetPortKey {
    /// Set id.
    pub set: u32,
    /// Port, host order; 0 is every port without an entry of its own, and every set has that.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}
layout!(SetPortKey, 8, [u32, u16, u16]);

/// Key of `AUTHZ_HITS`: how often a clause decided (`u64`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct HitKey {
    /// Set id.
    pub set: u32,
    /// Clause, or [`Self::NOTHING`].
    pub clause: u32,
}
layout!(HitKey, 8, [u32, u32]);

impl HitKey {
    /// `clause`: refused because no ALLOW clause fitted.
    pub const NOTHING: u32 = u32::MAX;
    /// `clause`: a dry-run ALLOW policy would have refused.
    pub const DRY_NOTHING: u32 = u32::MAX - 1;
}

/// What `EVENTS` carries of a connection that policy refused or wants written down. Told apart from
/// `Event` by `kind`, which stands at the same place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PolicyEvent {
    /// When (`CLOCK_MONOTONIC`, ns).
    pub time: u64,
    /// Network namespace cookie of the client, 0 when unknown.
    pub netns: u64,
    /// See `EventKind`, from `DENIED` on.
    pub kind: u32,
    /// Identity number of the client, 0 when unknown.
    pub identity: u32,
    /// Rule set, 0 when none decided.
    pub set: u32,
    /// Clause, or a constant of [`HitKey`].
    pub clause: u32,
    /// Client.
    pub source: Address,
    /// Server.
    pub destination: Address,
    /// Client's port, host order; 0 before it is known.
    pub source_port: u16,
    /// Server's port, host order.
    pub destination_port: u16,
    /// Pool id, 0 without a service.
    pub service: u32,
}
layout!(
    PolicyEvent,
    72,
    [
        u64, u64, u32, u32, u32, u32, Address, Address, u16, u16, u32
    ]
);
