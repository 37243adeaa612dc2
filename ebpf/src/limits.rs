//! Limits per source identity: `CLIENT_LIMITS` says how much, `CLIENT_STATE` what is used.

use aya_ebpf::bindings::BPF_NOEXIST;
use weft_abi::{
    Address, ClientKey, ClientState, Counter, Enrolment, EventKind, PolicyEvent, ServiceKey,
    SocketInfo,
};
use weft_logic::{
    limit::{self, Admission},
    pick::Tables,
};

use crate::{
    atomic,
    balance::Kernel,
    maps::{CLIENT_LIMITS, CLIENT_STATE, count, tell},
};

/// How often a bucket is tried that others take from at the same time.
const TRIES: u32 = 8;

static ZERO: ClientState = ClientState {
    full_at: 0,
    refused: 0,
    active: 0,
    reserved: 0,
};

/// Whether one more connection of the client's identity to the service is within the limit. Takes
/// from the rate; what is open is counted when the connection begins.
#[inline(always)]
pub(crate) fn admits(key: &ServiceKey, service: u32, netns: u64, enrolment: &Enrolment) -> bool {
    // SAFETY: words, each read once.
    let Some(limit) = (unsafe { CLIENT_LIMITS.get(&service) }) else {
        return true;
    };
    let Some(state) = state(enrolment.identity, service) else {
        // An LRU map makes room; without memory, nothing can be counted and so nothing be held to.
        return true;
    };
    let now = Kernel.now();
    let mut look = 0;
    while look < TRIES {
        // SAFETY: a valid map value, words.
        let (active, full_at) = unsafe { ((*state).active, (*state).full_at) };
        match limit::admit(limit, active, full_at, now) {
            Admission::Refused => break,
            Admission::Admitted(at) => {
                // SAFETY: a valid map value.
                if at == full_at
                    || atomic::replace(unsafe { &raw mut (*state).full_at }, full_at, at)
                {
                    return true;
                }
            }
        }
        look += 1;
    }
    if look == TRIES {
        count(Counter::INCONSISTENT);
    }
    // SAFETY: a valid map value.
    atomic::add(unsafe { &raw mut (*state).refused }, 1);
    tell(PolicyEvent {
        time: now,
        netns,
        kind: EventKind::CLIENT_LIMIT,
        identity: enrolment.identity,
        set: 0,
        clause: 0,
        source: Address::v4_word(0),
        destination: key.address,
        source_port: 0,
        destination_port: key.port,
        service,
    });
    false
}

/// Counts a connection that begins, where its service has a limit.
#[inline(always)]
pub(crate) fn begin(info: &mut SocketInfo, identity: u32) {
    // SAFETY: only whether it is there.
    if unsafe { CLIENT_LIMITS.get(&info.service) }.is_none() {
        return;
    }
    if let Some(state) = state(identity, info.service) {
        // SAFETY: a valid map value.
        atomic::add32(unsafe { &raw mut (*state).active }, 1);
        info.identity = identity;
        info.flags |= SocketInfo::LIMITED;
    }
}

/// Counts it out again.
#[inline(always)]
pub(crate) fn end(info: &SocketInfo) {
    let key = ClientKey {
        identity: info.identity,
        service: info.service,
    };
    if let Some(state) = CLIENT_STATE.get_ptr_mut(&key) {
        // SAFETY: a valid map value. One made anew after an eviction never counted this one in.
        unsafe {
            if (*state).active != 0 {
                atomic::add32(&raw mut (*state).active, u32::MAX);
            }
        }
    }
}

#[inline(always)]
fn state(identity: u32, service: u32) -> Option<*mut ClientState> {
    let key = ClientKey { identity, service };
    CLIENT_STATE.get_ptr_mut(&key).or_else(|| {
        // Somebody else may have made it meanwhile: what counts is that it is there.
        let _ = CLIENT_STATE.insert(&key, &ZERO, u64::from(BPF_NOEXIST));
        CLIENT_STATE.get_ptr_mut(&key)
    })
}
