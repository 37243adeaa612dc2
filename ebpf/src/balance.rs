//! The one way to a backend: service lookup, affinity, pick, and what is done when there is none.

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns, generated::bpf_set_retval},
};
use weft_abi::{
    Address, Affinity, AffinityKey, Backend, Counter, Event, EventKind, Service, ServiceKey, Slot,
};
use weft_logic::{
    hash,
    pick::{self, Pick, Tables},
};

use crate::{
    atomic,
    maps::{AFFINITY, BACKEND_STATE, BACKENDS, SERVICE_STATE, SERVICES, SLOTS, count, emit},
};

/// Looking again after meeting an update: the second look nearly always sees it whole.
const LOOKS: u32 = 3;

/// What became of a destination.
pub(crate) enum Choice {
    /// Not a service: let it be.
    NotService,
    /// A backend, its index and its service.
    Backend(Service, u32, &'static Backend),
    /// A service without a usable backend: refuse.
    Refused,
}

/// Chooses a backend for a destination.
#[inline(always)]
pub(crate) fn choose(key: &ServiceKey, client: impl Fn() -> Address, netns: u64) -> Choice {
    let mut look = 0;
    while look < LOOKS {
        // SAFETY: the value is copied at once; slot and backend prove it was whole.
        let Some(service) = (unsafe { SERVICES.get(key) }).copied() else {
            return Choice::NotService;
        };
        match choose_of(&service, &client) {
            Pick::Backend(index, backend) => return Choice::Backend(service, index, backend),
            Pick::NoBackend => {
                refuse(&service, EventKind::NO_BACKEND, netns);
                return Choice::Refused;
            }
            Pick::OverLimit => {
                refuse(&service, EventKind::OVER_LIMIT, netns);
                return Choice::Refused;
            }
            Pick::Stale => count(Counter::RETRIED),
        }
        look += 1;
    }
    count(Counter::INCONSISTENT);
    Choice::Refused
}

/// Makes the system call under way fail with ECONNREFUSED; the hook returns the result.
#[inline(always)]
pub(crate) fn refused() -> i32 {
    const ECONNREFUSED: i32 = 111;
    // SAFETY: a helper without pointers.
    unsafe { bpf_set_retval(-ECONNREFUSED) };
    0
}

#[inline(always)]
fn choose_of(service: &Service, client: &impl Fn() -> Address) -> Pick<'static> {
    if service.affinity_seconds != 0 {
        return with_affinity(service, client());
    }
    let hash = if service.algorithm == Service::HASH {
        hash::address(&client())
    } else {
        0
    };
    pick::pick(&Kernel, service, hash)
}

#[inline(always)]
fn with_affinity(service: &Service, client: Address) -> Pick<'static> {
    let key = AffinityKey {
        client,
        service: service.id,
    };
    // SAFETY: copied at once; the generation proves it is about this backend.
    if let Some(affinity) = (unsafe { AFFINITY.get(&key) }).copied()
        && let Some(backend) = BACKENDS.get(affinity.backend)
        && pick::affinity_holds(&Kernel, service, &affinity, backend)
    {
        remember(&key, affinity.backend, backend.generation);
        return Pick::Backend(affinity.backend, backend);
    }
    let picked = pick::pick(&Kernel, service, hash::address(&client));
    if let Pick::Backend(index, backend) = &picked {
        remember(&key, *index, backend.generation);
    }
    picked
}

#[inline(always)]
fn remember(key: &AffinityKey, backend: u32, generation: u32) {
    let affinity = Affinity {
        seen: Kernel.now(),
        backend,
        generation,
    };
    // An LRU map makes room; failing only costs stickiness.
    let _ = AFFINITY.insert(key, &affinity, u64::from(BPF_ANY));
}

#[inline(always)]
fn refuse(service: &Service, kind: u32, netns: u64) {
    if let Some(state) = SERVICE_STATE.get_ptr_mut(service.id) {
        // SAFETY: a valid map value.
        unsafe {
            if kind == EventKind::NO_BACKEND {
                atomic::add(&raw mut (*state).no_backend, 1);
            } else {
                atomic::add(&raw mut (*state).over_limit, 1);
            }
        }
    }
    emit(Event {
        time: Kernel.now(),
        netns,
        kind,
        error: 0,
        service: service.id,
        backend: 0,
        generation: 0,
        consecutive: 0,
    });
}

/// The maps and helpers behind `weft_logic::pick`.
pub(crate) struct Kernel;

impl Tables for Kernel {
    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        SLOTS.get(index).copied()
    }

    #[inline(always)]
    fn backend(&self, index: u32) -> Option<&Backend> {
        BACKENDS.get(index)
    }

    #[inline(always)]
    fn active(&self, index: u32) -> Option<u32> {
        BACKEND_STATE.get(index).map(|state| state.active)
    }

    #[inline(always)]
    fn turn(&self, service: u32) -> u64 {
        match SERVICE_STATE.get_ptr_mut(service) {
            // SAFETY: a valid map value.
            Some(state) => atomic::fetch_add(unsafe { &raw mut (*state).turn }, 1),
            None => 0,
        }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: a helper without pointers.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: a helper without pointers.
        unsafe { bpf_ktime_get_ns() }
    }

    #[inline(always)]
    fn next_usable(&self, service: &Service, start: u32) -> Pick<'_> {
        // SAFETY: a reference.
        match unsafe { weft_next_usable(service, start) } {
            NO_BACKEND => Pick::NoBackend,
            OVER_LIMIT => Pick::OverLimit,
            index => match u32::try_from(index)
                .ok()
                .and_then(|index| BACKENDS.get(index))
            {
                Some(backend) if backend.service == service.id => {
                    Pick::Backend(index as u32, backend)
                }
                _ => Pick::Stale,
            },
        }
    }
}

/// What [`weft_next_usable`] returns when it is no index.
const NO_BACKEND: u64 = 1 << 32;
const OVER_LIMIT: u64 = 2 << 32;
const STALE: u64 = 3 << 32;

/// Index of the backend that [`pick::next_usable`] picks.
///
/// A global function: the verifier reads its loop once, not from every place that picks and in
/// every turn of looking again.
///
/// # Safety
/// `service` is null or points to a whole value, which the verifier sees to.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn weft_next_usable(service: *const Service, start: u32) -> u64 {
    // SAFETY: as the caller promises. No caller passes null, but the verifier wants it looked at.
    let Some(service) = (unsafe { service.as_ref() }) else {
        return STALE;
    };
    match pick::next_usable(&Kernel, service, start) {
        Pick::Backend(index, _) => u64::from(index),
        Pick::NoBackend => NO_BACKEND,
        Pick::OverLimit => OVER_LIMIT,
        Pick::Stale => STALE,
    }
}
