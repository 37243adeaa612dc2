use core::cell::{Cell, RefCell};

use proptest::prelude::*;
use weft_abi::{Address, BackendState};

use super::*;

extern crate std;
use std::{vec, vec::Vec};

/// Maps as vectors, chance as a counter.
struct Memory {
    slots: Vec<Slot>,
    backends: Vec<Backend>,
    states: RefCell<Vec<BackendState>>,
    turn: Cell<u64>,
    random: Cell<u64>,
    now: u64,
}

impl Tables for Memory {
    fn slot(&self, index: u32) -> Option<Slot> {
        self.slots.get(index as usize).copied()
    }
    fn backend(&self, index: u32) -> Option<&Backend> {
        self.backends.get(index as usize)
    }
    fn active(&self, index: u32) -> Option<u32> {
        self.states
            .borrow()
            .get(index as usize)
            .map(|state| state.active)
    }
    fn turn(&self, _service: u32) -> u64 {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }
    fn random(&self) -> u32 {
        self.random.set(hash::mix(self.random.get(), 1));
        self.random.get() as u32
    }
    fn now(&self) -> u64 {
        self.now
    }
}

const FIRST: u32 = 8;

fn pool(backends: u32, algorithm: u8) -> (Memory, Service) {
    let mut slots = vec![Slot::default(); FIRST as usize];
    let mut all = vec![Backend::default()];
    for index in 1..=backends {
        slots.push(Slot {
            backend: index,
            service: 5,
        });
        all.push(Backend {
            address: Address::v4([10, 0, (index >> 8) as u8, index as u8]),
            port: 80,
            service: 5,
            generation: 1,
            ..Backend::default()
        });
    }
    let states = RefCell::new(vec![BackendState::default(); all.len()]);
    let memory = Memory {
        slots,
        backends: all,
        states,
        turn: Cell::new(0),
        random: Cell::new(3),
        now: 1_000,
    };
    let service = Service {
        id: 5,
        first_slot: FIRST,
        slots: backends,
        max_connections: u32::MAX,
        algorithm,
        ..Service::default()
    };
    (memory, service)
}

fn counts(memory: &Memory, service: &Service, picks: u32) -> Vec<u32> {
    let mut counts = vec![0; memory.backends.len()];
    for _ in 0..picks {
        match pick(memory, service, 0) {
            Pick::Backend(index, _) => counts[index as usize] += 1,
            other => panic!("{other:?}"),
        }
    }
    counts
}

#[test]
fn round_robin_takes_turns_exactly() {
    let (memory, service) = pool(3, Service::ROUND_ROBIN);
    assert_eq!(counts(&memory, &service, 600), [0, 200, 200, 200]);
}

#[test]
fn random_is_near_uniform() {
    let (memory, service) = pool(4, Service::RANDOM);
    for count in &counts(&memory, &service, 40_000)[1..] {
        assert!((9_500..10_500).contains(count), "{count}");
    }
}

#[test]
fn least_connections_levels_held_connections() {
    let (memory, service) = pool(5, Service::LEAST_CONNECTIONS);
    for _ in 0..1_000 {
        let Pick::Backend(index, _) = pick(&memory, &service, 0) else {
            panic!()
        };
        memory.states.borrow_mut()[index as usize].active += 1;
    }
    for state in &memory.states.borrow()[1..] {
        assert!((190..=210).contains(&state.active), "{}", state.active);
    }
}

#[test]
fn hash_keeps_a_client_on_its_backend() {
    let (memory, service) = pool(7, Service::HASH);
    let client = hash::address(&Address::v4([10, 1, 2, 3]));
    let first = pick(&memory, &service, client);
    assert!((0..100).all(|_| pick(&memory, &service, client) == first));
}

#[test]
fn empty_pool_has_no_backend() {
    let (memory, service) = pool(0, Service::ROUND_ROBIN);
    assert_eq!(pick(&memory, &service, 0), Pick::NoBackend);
}

#[test]
fn ejected_backend_gets_nothing_until_its_time() {
    let (mut memory, service) = pool(3, Service::ROUND_ROBIN);
    memory.backends[2].ejected_until = 2_000;
    assert_eq!(counts(&memory, &service, 300)[2], 0);
    memory.now = 2_000;
    assert_eq!(counts(&memory, &service, 300)[2], 100);
}

#[test]
fn the_share_of_an_ejected_backend_goes_to_all_others_alike() {
    let (mut memory, service) = pool(4, Service::ROUND_ROBIN);
    memory.backends[2].ejected_until = 2_000;
    assert_eq!(counts(&memory, &service, 1_200), [0, 400, 0, 400, 400]);
    let (mut memory, service) = pool(4, Service::RANDOM);
    memory.backends[2].ejected_until = 2_000;
    for index in [1, 3, 4] {
        let count = counts(&memory, &service, 30_000)[index];
        assert!((9_500..10_500).contains(&count), "{count}");
    }
}

#[test]
fn all_ejected_is_no_backend() {
    let (mut memory, service) = pool(2, Service::RANDOM);
    for backend in &mut memory.backends {
        backend.ejected_until = 1 << 62;
    }
    assert_eq!(pick(&memory, &service, 0), Pick::NoBackend);
}

#[test]
fn limit_passes_over_the_full_and_refuses_when_all_are() {
    let (memory, mut service) = pool(3, Service::ROUND_ROBIN);
    service.max_connections = 2;
    memory.states.borrow_mut()[1].active = 2;
    assert_eq!(counts(&memory, &service, 90)[1], 0);
    for state in memory.states.borrow_mut().iter_mut() {
        state.active = 2;
    }
    assert_eq!(pick(&memory, &service, 0), Pick::OverLimit);
}

#[test]
fn another_pools_slot_or_backend_is_stale() {
    let (mut memory, service) = pool(1, Service::ROUND_ROBIN);
    memory.backends[1].service = 6;
    assert_eq!(pick(&memory, &service, 0), Pick::Stale);
    memory.slots[FIRST as usize].service = 6;
    assert_eq!(pick(&memory, &service, 0), Pick::Stale);
}

#[test]
fn affinity_ends_with_time_backend_or_drain() {
    let (mut memory, mut service) = pool(1, Service::RANDOM);
    service.affinity_seconds = 10;
    memory.now = 20_000_000_000;
    let affinity = Affinity {
        seen: 15_000_000_000,
        backend: 1,
        generation: 1,
    };
    let backend = memory.backends[1];
    assert!(affinity_holds(&memory, &service, &affinity, &backend));
    let old = Affinity {
        seen: 9_000_000_000,
        ..affinity
    };
    assert!(!affinity_holds(&memory, &service, &old, &backend));
    let other = Backend {
        generation: 2,
        ..backend
    };
    assert!(!affinity_holds(&memory, &service, &affinity, &other));
    let draining = Backend {
        flags: Backend::DRAINING,
        ..backend
    };
    assert!(!affinity_holds(&memory, &service, &affinity, &draining));
}

proptest! {
    /// Whatever the tables hold, a pick is of this service, not ejected, not over its limit.
    #[test]
    fn never_picks_what_it_must_not(
        algorithm in 0u8..6,
        owners in prop::collection::vec((0u32..3, 0u32..3, 0u64..2_000, 0u32..4), 1..40),
        slots in 0u32..50,
        max in prop_oneof![Just(u32::MAX), 0u32..4],
        client: u64,
        seed: u64,
    ) {
        let (mut memory, mut service) = pool(owners.len() as u32, algorithm);
        service.slots = slots;
        service.max_connections = max;
        memory.random.set(seed);
        for (i, (slot, backend, until, active)) in owners.iter().enumerate() {
            if *slot == 0 { memory.slots[FIRST as usize + i].service = 9; }
            if *backend == 0 { memory.backends[i + 1].service = 9; }
            memory.backends[i + 1].ejected_until = *until;
            memory.states.borrow_mut()[i + 1].active = *active;
        }
        if let Pick::Backend(index, backend) = pick(&memory, &service, client) {
            prop_assert_eq!(backend.service, 5);
            prop_assert!(backend.ejected_until <= memory.now);
            prop_assert!(memory.active(index).unwrap() < max || max == u32::MAX);
        }
    }
}
