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
    fn backend(&self, index: u32) -> Option<&Backend>;
    /// `BACKEND_STATE[index].active`.
    fn active(&self, index: u32) -> Option<u32>;
    /// `SERVICE_STATE[service].turn`, and one more from now on.
    fn turn(&self, service: u32) -> u64;
    /// 32 random bits.
    fn random(&self) -> u32;
    /// `CLOCK_MONOTONIC`, ns.
    fn now(&self) -> u64;
    /// [`next_usable`]. The kernel makes a function of it that its verifier reads once.
    #[inline(always)]
    fn next_usable(&self, service: &Service, start: u32) -> Pick<'_>
    where
        Self: Sized,
    {
        next_usable(self, service, start)
    }
}

/// What came of a pick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick<'a> {
    /// The backend and its index.
    Backend(u32, &'a Backend),
    /// The pool is empty, or all that was looked at is ejected.
    NoBackend,
    /// All that was looked at is at its connection limit (or ejected).
    OverLimit,
    /// A slot or backend had another owner: an update was met. Look up the service again.
    Stale,
}

/// Picks a backend of the service. `client` is the client's hash (see [`hash::address`]).
#[inline(always)]
pub fn pick<'a>(tables: &'a impl Tables, service: &Service, client: u64) -> Pick<'a> {
    if service.slots == 0 {
        return Pick::NoBackend;
    }
    let draw = draw(tables, service, client);
    let position = remainder(draw, service.slots);
    match resolve(tables, service, position) {
        None => Pick::Stale,
        Some((index, backend)) if is_usable(tables, service, index, backend) => {
            Pick::Backend(index, backend)
        }
        Some(_) => tables.next_usable(service, elsewhere(service, draw, position)),
    }
}

/// The next usable backend from a position on. Sign bits stand for conditions, since the
/// verifier walks both sides of every branch in every turn of the loop.
#[inline(always)]
pub fn next_usable<'a>(tables: &'a impl Tables, service: &Service, start: u32) -> Pick<'a> {
    let now = tables.now();
    let last = service.max_connections as u64;
    let mut position = start;
    let mut limited = 0;
    let mut probe = 0;
    while probe < PROBES {
        let Some((index, backend)) = resolve(tables, service, position) else {
            return Pick::Stale;
        };
        let Some(active) = tables.active(index) else {
            return Pick::Stale;
        };
        let ejected = now.wrapping_sub(backend.ejected_until);
        let full = last.wrapping_sub(active as u64 + 1);
        if (ejected | full) >> 63 == 0 {
            return Pick::Backend(index, backend);
        }
        limited |= full;
        position = remainder(position as u64 + 1, service.slots);
        probe += 1;
    }
    if limited >> 63 != 0 {
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
        && is_usable(tables, service, affinity.backend, backend)
}

/// A number whose remainder by the slots is where to look first, and whose quotient spreads the
/// second looks.
#[inline(always)]
fn draw(tables: &impl Tables, service: &Service, client: u64) -> u64 {
    if service.algorithm == Service::ROUND_ROBIN {
        tables.turn(service.id)
    } else if service.algorithm == Service::HASH {
        client
    } else if service.algorithm == Service::LEAST_CONNECTIONS && service.slots > 1 {
        less_loaded(tables, service) as u64 + tables.random() as u64 * service.slots as u64
    } else {
        (tables.random() as u64) << 32 | tables.random() as u64
    }
}

/// Where to look when the first position is of no use: every other position alike, so that no
/// neighbour inherits the whole share of an ejected backend.
#[inline(always)]
fn elsewhere(service: &Service, draw: u64, position: u32) -> u32 {
    if service.slots < 2 {
        return position;
    }
    let quotient = draw.checked_div(service.slots as u64).unwrap_or(0);
    let step = 1 + remainder(quotient, service.slots - 1);
    remainder(position as u64 + step as u64, service.slots)
}

/// The remainder; 0 by zero, where a panic would be a call the verifier refuses.
#[inline(always)]
fn remainder(number: u64, by: u32) -> u32 {
    number.checked_rem(by as u64).unwrap_or(0) as u32
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
            .and_then(|slot| tables.active(slot.backend))
            .unwrap_or(u32::MAX)
    };
    if load(other) < load(one) { other } else { one }
}

/// The backend at a position, if slot and backend belong to this service.
#[inline(always)]
fn resolve<'a>(
    tables: &'a impl Tables,
    service: &Service,
    position: u32,
) -> Option<(u32, &'a Backend)> {
    let slot = tables.slot(service.first_slot.wrapping_add(position))?;
    if slot.service != service.id {
        return None;
    }
    let backend = tables.backend(slot.backend)?;
    (backend.service == service.id).then_some((slot.backend, backend))
}

/// Neither ejected nor at its connection limit.
#[inline(always)]
fn is_usable(tables: &impl Tables, service: &Service, index: u32, backend: &Backend) -> bool {
    (backend.ejected_until == 0 || tables.now() >= backend.ejected_until)
        && (service.max_connections == u32::MAX
            || tables
                .active(index)
                .is_some_and(|active| active < service.max_connections))
}

#[cfg(test)]
mod tests;
