//! Atomic arithmetic on map values.
//!
//! Trap: a relaxed fetch whose result is used is compiled to a non-fetching `lock add`, and the
//! "old value" is the addend. So what returns a value is `AcqRel`, and what is relaxed returns
//! nothing. `core::sync::atomic` cannot be used: the target has no compare-and-swap.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};

/// Adds to a counter.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, value: u64) {
    // SAFETY: callers pass a pointer to an aligned word of a map value they have just looked up.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, value) };
}

/// Adds to a counter (modulo 2^32, so adding `u32::MAX` takes one away).
#[inline(always)]
pub(crate) fn add32(counter: *mut u32, value: u32) {
    // SAFETY: as in `add`.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(counter, value) };
}

/// Adds to a counter and yields what it was.
#[inline(always)]
pub(crate) fn fetch_add(counter: *mut u64, value: u64) -> u64 {
    // SAFETY: as in `add`.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::AcqRel }>(counter, value) }
}

/// Adds to a counter and yields what it was.
#[inline(always)]
pub(crate) fn fetch_add32(counter: *mut u32, value: u32) -> u32 {
    // SAFETY: as in `add`.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::AcqRel }>(counter, value) }
}

/// Replaces a value and yields what it was.
#[inline(always)]
pub(crate) fn swap(word: *mut u64, value: u64) -> u64 {
    // SAFETY: as in `add`.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::AcqRel }>(word, value) }
}

/// Replaces a value if it is still `old`; whether it was.
#[inline(always)]
pub(crate) fn replace(word: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: as in `add`.
    let (before, _) = unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::AcqRel }, { AtomicOrdering::Acquire }>(word, old, new)
    };
    before == old
}
