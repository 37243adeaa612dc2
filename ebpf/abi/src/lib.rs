//! Everything that crosses the line between kernel and user space: map names, key and value
//! types, events, and [`ABI_VERSION`]. No logic, no dependency.
//!
//! Every type is `repr(C)` without implicit padding and without `bool`, `enum`, `Option`, `usize`
//! or pointer; `layout!` proves size and absence of padding at compile time. All integers are in
//! host byte order unless a field says otherwise; addresses are 16 bytes in network order, IPv4
//! as `::ffff:a.b.c.d` (RFC 4291 2.5.5.2), so one table serves both families.
//!
//! Reading order: [`services`] (what is balanced), [`sockets`] (what is known of one socket),
//! [`flows`] (packets no socket hook sees), [`mesh`] (who is enrolled), [`authz`] (who may), [`evidence`] (counters and events), [`names`].

#![no_std]

/// Changes whenever a type, constant or map below changes meaning or layout. Part of the pin
/// path, so that two layouts never meet.
pub const ABI_VERSION: u32 = 3;

/// Asserts a type's size and that its fields fill it, and lets user space read it as plain bytes.
macro_rules! layout {
    ($type:ty, $size:literal, [$($field:ty),+ $(,)?]) => {
        const _: () = {
            assert!(core::mem::size_of::<$type>() == $size);
            assert!($size == 0 $(+ core::mem::size_of::<$field>())+);
        };
        // SAFETY: `repr(C)`, integers only, and the assertions above show there is no padding.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    };
}

pub mod services;

pub mod sockets;

pub mod flows;

pub mod mesh;

pub mod authz;

pub mod evidence;

pub mod names;

pub use authz::{HitKey, PolicyEvent, RuleBits, RuleSet, SetIdentityKey, SetPortKey, SetSourceKey};
pub use evidence::{
    ConnectionEvent, Counter, EdgeKey, EdgeValue, Event, EventKind, HISTOGRAM_BUCKETS,
};
pub use flows::{FlowKey, FlowValue};
pub use mesh::{
    Attested, Captured, ClientKey, ClientLimit, ClientState, ConnectionKey, EndKey, Enrolment,
    ExcludedKey, MtlsMode, Origin, Peer, PortModeKey,
};
pub use services::{
    Address, Affinity, AffinityKey, Backend, BackendState, Protocol, Scope, Service, ServiceKey,
    ServiceState, Slot,
};
pub use sockets::{SocketInfo, SocketRecord, UdpFlow, UdpFlows};
