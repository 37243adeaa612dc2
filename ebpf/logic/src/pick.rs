//! A backend for a connection.

use weft_abi::{Affinity, Backend, Service, Slot};

use crate::hash;

/// Slots looked at before a pool counts as having no usable backend. Only ejected backends and
/// those at their connection limit are passed over, so the first slot nearly always decides.
pub const PROBES: u32 = 32;

/// What a pick looks up. The kernel implements it with maps and helpers, tests with vectors.
pub trait Tables {
    /// `SLOTS[index]`.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// `BACKENDS[index]`.
    fn backend(&self, index: u32) -> Option<Backend>;
    /// `BACKEND_STATE[index].active`; 0 when there is none.
    fn active(&self, index: u32) -> u32;
    /// `SERVICE_STATE[service].turn`, and one more from now on.
    fn turn(&self, service: u32) -> u64;
    /// 32 random bits.
    fn random(&self) -> u32;
    /// `CLOCK_MONOTONIC`, ns.
    fn now(&self) -> u64;
}

/// What came of a pick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    /// The backend and its index.
    Backend(u32, Backend),
    /// The pool is empty, or all that was looked at is ejected.
    NoBackend,
    /// All that was looked at is at its connection limit (or ejected).
    OverLimit,
    /// A slot or backend had another owner: an update was met. Look up the service again.
    Stale,
}

/// Picks a backend of the service. `client` is the client's hash (see [`hash::address`]).
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, client: u64) -> Pick {
    if service.slots == 0 {
        return Pick::NoBackend;
    }
    let mut position = first(tables, service, client);
    let mut limited = false;
    let mut probe = 0;
    while probe < PROBES && probe < service.slots {
        let Some((index, backend)) = resolve(tables, service, position) else {
            return Pick::Stale;
        };
        if is_ejected(tables, &backend) {
            // Passed over.
        } else if is_full(tables, service, index) {
            limited = true;
        } else {
            return Pick::Backend(index, backend);
        }
        probe += 1;
        position += 1;
        if position >= service.slots {
            position = 0;
        }
    }
    if limited {
        Pick::OverLimit
    } else {
        Pick::NoBackend
    }
}

/// Whether a remembered choice of session affinity still holds for this backend.
#[inline(always)]
pub fn affinity_holds(
    tables: &impl Tables,
    service: &Service,
    affinity: &Affinity,
    backend: &Backend,
) -> bool {
    let age = tables.now().saturating_sub(affinity.seen);
    age < service.affinity_seconds as u64 * 1_000_000_000
        && backend.generation == affinity.generation
        && backend.service == service.id
        && backend.flags & Backend::DRAINING == 0
        && !is_ejected(tables, backend)
        && !is_full(tables, service, affinity.backend)
}

/// Where to look first, by algorithm: a position in `0..service.slots`.
#[inline(always)]
fn first(tables: &impl Tables, service: &Service, client: u64) -> u32 {
    let slots = service.slots;
    if service.algorithm == Service::ROUND_ROBIN {
        (tables.turn(service.id) % slots as u64) as u32
    } else if service.algorithm == Service::HASH {
        (client % slots as u64) as u32
    } else if service.algorithm == Service::LEAST_CONNECTIONS && slots > 1 {
        less_loaded(tables, service)
    } else {
        hash::scale(tables.random(), slots)
    }
}

/// The less loaded of two distinct random positions (Mitzenmacher, "The Power of Two Choices").
#[inline(always)]
fn less_loaded(tables: &impl Tables, service: &Service) -> u32 {
    let one = hash::scale(tables.random(), service.slots);
    let mut other = hash::scale(tables.random(), service.slots - 1);
    if other >= one {
        other += 1;
    }
    let load = |position: u32| {
        tables
            .slot(service.first_slot.wrapping_add(position))
            .map_or(u32::MAX, |slot| tables.active(slot.backend))
    };
    if load(other) < load(one) { other } else { one }
}

/// The backend at a position, if slot and backend belong to this service.
#[inline(always)]
fn resolve(tables: &impl Tables, service: &Service, position: u32) -> Option<(u32, Backend)> {
    let slot = tables.slot(service.first_slot.wrapping_add(position))?;
    if slot.service != service.id {
        return None;
    }
    let backend = tables.backend(slot.backend)?;
    (backend.service == service.id).then_some((slot.backend, backend))
}

#[inline(always)]
fn is_ejected(tables: &impl Tables, backend: &Backend) -> bool {
    backend.ejected_until != 0 && tables.now() < backend.ejected_until
}

#[inline(always)]
fn is_full(tables: &impl Tables, service: &Service, index: u32) -> bool {
    service.max_connections != u32::MAX && tables.active(index) >= service.max_connections
}

#[cfg(test)]
mod tests;
