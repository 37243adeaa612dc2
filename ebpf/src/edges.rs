//! Counting into `EDGES`.

use core::{mem::MaybeUninit, ptr::write_volatile};

use aya_ebpf::bindings::BPF_NOEXIST;
use weft_abi::{Counter, EdgeKey, EdgeValue, HISTOGRAM_BUCKETS, SocketInfo};
use weft_logic::{outcome, pick::Tables};

use crate::{
    atomic,
    balance::Kernel,
    maps::{EDGES, count},
};

/// What a new edge starts from; too large for the stack.
static ZERO: EdgeValue = EdgeValue {
    seen: 0,
    opened: 0,
    closed: 0,
    failed: 0,
    reset: 0,
    sent: 0,
    received: 0,
    retransmits: 0,
    rtt_sum: 0,
    connect_sum: 0,
    rtt: [0; HISTOGRAM_BUCKETS],
    connect: [0; HISTOGRAM_BUCKETS],
};

/// The edge a socket's connection counts for, made when new; `None` when the map is full.
#[inline(always)]
pub(crate) fn edge_of(info: &SocketInfo, now: u64) -> Option<*mut EdgeValue> {
    let security = if info.flags & SocketInfo::CAPTURED != 0 {
        EdgeKey::HBONE
    } else if info.flags & SocketInfo::PROVED != 0 {
        EdgeKey::ATTESTED
    } else {
        0
    };
    edge_at(
        info.source,
        info.service,
        info.destination,
        [info.protocol, security],
        now,
    )
}

/// The edge between two workloads through a service.
#[inline(always)]
pub(crate) fn edge(
    source: u32,
    service: u32,
    destination: u32,
    protocol: u8,
) -> Option<*mut EdgeValue> {
    edge_at(source, service, destination, [protocol, 0], Kernel.now())
}

/// As [`edge`]; `now` is an argument because reading the
/// clock costs more than all else here.
#[inline(always)]
fn edge_at(
    source: u32,
    service: u32,
    destination: u32,
    [protocol, security]: [u8; 2],
    now: u64,
) -> Option<*mut EdgeValue> {
    let mut key = MaybeUninit::<EdgeKey>::uninit();
    let to = key.as_mut_ptr();
    // SAFETY: every byte of the key is written. The protocol and what is after it as one word:
    // zeroing some bytes is a call of memset, which libbpf loads as a global function and the
    // verifier refuses.
    let key = unsafe {
        (*to).source = source;
        (*to).service = service;
        (*to).destination = destination;
        write_volatile(
            (&raw mut (*to).protocol).cast::<u32>(),
            u32::from_ne_bytes([protocol, security, 0, 0]),
        );
        &*to
    };
    let found = EDGES.get_ptr_mut(key).or_else(|| {
        // Somebody else may have made it meanwhile: what counts is that it is there.
        let _ = EDGES.insert(key, &ZERO, u64::from(BPF_NOEXIST));
        EDGES.get_ptr_mut(key)
    });
    match found {
        Some(edge) => {
            // SAFETY: a valid map value; a torn or lost write of a time is harmless.
            unsafe { (*edge).seen = now };
            Some(edge)
        }
        None => {
            count(Counter::EDGES_FULL);
            None
        }
    }
}

/// Counts what a connection moved since it was last counted. `acked`, `received` and
/// `retransmits` are totals of the connection.
#[inline(always)]
pub(crate) fn count_bytes(
    edge: *mut EdgeValue,
    info: *mut SocketInfo,
    acked: u64,
    received: u64,
    retransmits: u32,
) {
    // SAFETY: valid map values. The swaps make two counters of one socket (its last callback and
    // the iterator) count every byte once; a total that is behind counts nothing.
    unsafe {
        let before = atomic::swap(&raw mut (*info).acked, acked);
        atomic::add(&raw mut (*edge).sent, acked.saturating_sub(before));
        let before = atomic::swap(&raw mut (*info).received, received);
        atomic::add(&raw mut (*edge).received, received.saturating_sub(before));
        let before = (*info).retransmits;
        if retransmits > before {
            (*info).retransmits = retransmits;
            atomic::add(
                &raw mut (*edge).retransmits,
                u64::from(retransmits - before),
            );
        }
    }
}

/// Samples a smoothed round-trip time in microseconds; 0 is none.
#[inline(always)]
pub(crate) fn sample_rtt(edge: *mut EdgeValue, microseconds: u32) {
    if microseconds == 0 {
        return;
    }
    let bucket = outcome::bucket(u64::from(microseconds));
    if bucket < HISTOGRAM_BUCKETS {
        // SAFETY: a valid map value, an index in bounds.
        unsafe {
            atomic::add((&raw mut (*edge).rtt).cast::<u64>().add(bucket), 1);
            atomic::add(&raw mut (*edge).rtt_sum, u64::from(microseconds));
        }
    }
}

/// Counts a connection as opened, once: at its end, or when the iterator meets it alive. So a
/// short connection touches its edge one time.
#[inline(always)]
pub(crate) fn count_opened(edge: *mut EdgeValue, info: *mut SocketInfo) {
    // SAFETY: valid map values, an index in bounds; the swap lets one of two count.
    unsafe {
        let nanoseconds = atomic::swap(&raw mut (*info).latency, 0);
        if nanoseconds == 0 {
            return;
        }
        let microseconds = nanoseconds / 1_000;
        let bucket = outcome::bucket(microseconds);
        atomic::add(&raw mut (*edge).opened, 1);
        if bucket < HISTOGRAM_BUCKETS {
            atomic::add((&raw mut (*edge).connect).cast::<u64>().add(bucket), 1);
            atomic::add(&raw mut (*edge).connect_sum, microseconds);
        }
    }
}
