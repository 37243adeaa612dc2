//! Which connections of enrolled workloads go to the proxy, and how.
//!
//! The connection is rewritten to the proxy's listener on the workload's own loopback. Where it was
//! going stays in the socket's storage, and is written to `CAPTURED` by sockops, once the
//! client's port is known.

use aya_ebpf::{btf_maps::lpm_trie::Key, programs::SockAddrContext};
use weft_abi::{
    Address, Backend, Counter, Enrolment, EventKind, ExcludedKey, MtlsMode, Peer, PolicyEvent,
    PortModeKey, ServiceKey,
};
use weft_logic::pick::Tables;

use crate::{
    address::{self, Family},
    balance::Kernel,
    maps::{ENROLLED, EXCLUDED, PEERS, PORT_MODES, Place, WORKLOADS, count, tell},
};

/// Where the proxy takes HBONE.
pub(crate) const HBONE_PORT: u16 = 15008;

/// What is enrolled in a network namespace.
#[inline(always)]
pub(crate) fn enrolment(netns: u64) -> Option<&'static Enrolment> {
    // SAFETY: words, each read once or only compared.
    unsafe { ENROLLED.get(&netns) }
}

/// The workload of the mesh behind an address.
#[inline(always)]
pub(crate) fn peer(address: &Address) -> Option<&'static Peer> {
    // SAFETY: as in `enrolment`.
    unsafe { PEERS.get(address) }
}

/// Index of the workload behind an address, 0 when none is known.
#[inline(always)]
pub(crate) fn workload(address: &Address) -> u32 {
    // SAFETY: a word, read once.
    unsafe { WORKLOADS.get(address) }.copied().unwrap_or(0)
}

/// Which connections a port of a workload takes.
#[inline(always)]
pub(crate) fn mode(peer: &Peer, address: &Address, port: u16) -> u8 {
    if peer.flags & Peer::PORT_MODES != 0 {
        let key = PortModeKey {
            address: *address,
            port,
            reserved: 0,
        };
        // SAFETY: a word, read once.
        if let Some(mode) = unsafe { PORT_MODES.get(&key) } {
            return *mode as u8;
        }
    }
    peer.mode
}

/// Whether a connection to a backend goes to the proxy.
#[inline(always)]
pub(crate) fn captures_backend(backend: &Backend, enrolment: &Enrolment, netns: u64) -> bool {
    if enrolment.flags & Enrolment::BYPASS_OUTBOUND != 0 {
        return false;
    }
    if backend.flags & Backend::HBONE != 0 {
        return true;
    }
    backend.flags & Backend::ENROLLED != 0
        && captures_address(&backend.address, backend.port, enrolment, netns)
}

/// Whether a connection to an address that is no service goes to the proxy: those to workloads of
/// the mesh on other nodes, and to those of this node that want it. Never to the client itself;
/// loopback, link-local and multicast addresses are no workload's.
#[inline(always)]
pub(crate) fn captures_address(
    address: &Address,
    port: u16,
    enrolment: &Enrolment,
    netns: u64,
) -> bool {
    if enrolment.flags & Enrolment::BYPASS_OUTBOUND != 0 {
        return false;
    }
    let Some(peer) = peer(address) else {
        return false;
    };
    if peer.netns == netns || peer.flags & Peer::HBONE == 0 {
        return false;
    }
    let wanted = peer.flags & Peer::HERE == 0
        || (peer.flags & Peer::ENCRYPT_LOCAL) != 0
        || (enrolment.flags & Enrolment::ENCRYPT_LOCAL) != 0;
    wanted
        && !matches!(
            mode(peer, address, port),
            MtlsMode::DISABLE | MtlsMode::EXCLUDED
        )
}

/// Whether a workload excludes what it dialled from capture, by its port or its address.
#[inline(always)]
pub(crate) fn excludes(
    enrolment: &Enrolment,
    netns: u64,
    dialled: &Address,
    dialled_port: u16,
) -> bool {
    if enrolment.flags & Enrolment::EXCLUDES == 0 {
        return false;
    }
    let mut place = Place {
        port: dialled_port,
        reserved: 0,
        netns: [netns as u32, (netns >> 32) as u32],
        address: Address::v4_word(0),
    };
    address::copy(&raw mut place.address, dialled);
    if is_excluded(place) {
        return true;
    }
    place.port = 0;
    is_excluded(place)
}

#[inline(always)]
fn is_excluded(place: Place) -> bool {
    EXCLUDED
        .get(&Key::new(ExcludedKey::ADDRESS_BITS, place))
        .is_some_and(|value| *value != 0)
}

/// Rewrites the call under way to the proxy's listener, by the family of where it was going.
#[inline(always)]
pub(crate) fn to_proxy(
    ctx: &SockAddrContext,
    family: Family,
    destination: &Address,
    enrolment: &Enrolment,
) {
    count(Counter::CAPTURED);
    let loopback = if destination.is_v4() {
        LOOPBACK_V4
    } else {
        LOOPBACK_V6
    };
    address::rewrite(ctx, family, &loopback, enrolment.proxy_port);
}

/// 127.0.0.1.
pub(crate) const LOOPBACK_V4: Address = Address::v4([127, 0, 0, 1]);

/// ::1.
pub(crate) const LOOPBACK_V6: Address = Address::from_words([0, 0, 0, 1_u32.to_be()]);

/// Tells that a workload without policy tried to connect.
#[inline(always)]
pub(crate) fn refuse_unready(key: &ServiceKey, netns: u64, enrolment: &Enrolment) {
    tell(PolicyEvent {
        time: Kernel.now(),
        netns,
        kind: EventKind::NOT_READY,
        identity: enrolment.identity,
        set: 0,
        clause: 0,
        source: Address::v4_word(0),
        destination: key.address,
        source_port: 0,
        destination_port: key.port,
        service: 0,
    });
}
