//! What is written to maps, and what is read back.

use super::*;

#[test]
fn steps_are_applied_in_order_and_read_back() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    let key = service_key(80);
    let service = Service {
        id: 1,
        first_slot: 4,
        slots: 100,
        ..Service::default()
    };
    let backends = (1..=100).map(backend).collect::<Vec<_>>();
    let mut ops: Vec<_> = (1..=100)
        .map(|index| {
            MapOp::PutBackendState(
                index,
                BackendState {
                    generation: 3,
                    ..Default::default()
                },
            )
        })
        .collect();
    ops.extend(
        backends
            .iter()
            .map(|(index, backend)| MapOp::PutBackend(*index, *backend)),
    );
    let slots: Vec<_> = (1..=100)
        .map(|backend| Slot {
            backend,
            service: 1,
        })
        .collect();
    ops.push(MapOp::PutSlots(4, slots.clone()));
    ops.push(MapOp::PutService(key, service));
    ops.push(MapOp::PutService(service_key(81), service));
    ops.push(MapOp::DeleteService(service_key(81)));
    ops.push(MapOp::DeleteService(service_key(82)));
    let applied = plane.apply(&ops).unwrap();
    assert_eq!(applied.writes[maps::BACKENDS], 100);
    assert_eq!(applied.writes[maps::SLOTS], 100);
    assert_eq!(applied.writes[maps::SERVICES], 4);

    let dump = plane.maps().dump().unwrap();
    assert_eq!(dump.services, [(key, service)]);
    assert_eq!(dump.backends, backends);
    assert_eq!(dump.slots.len(), 512);
    assert_eq!(dump.slots[4..104], slots);
    assert!(
        dump.slots[..4]
            .iter()
            .chain(&dump.slots[104..])
            .all(|slot| *slot == Slot::default())
    );
    let states = plane.maps().backend_states(100..9999).unwrap();
    assert_eq!(states.len(), 28);
    assert_eq!((states[0].generation, states[1].generation), (3, 0));
    assert_eq!(plane.maps().backend_states(0..2).unwrap()[1].generation, 3);
    assert_eq!(plane.maps().service_states(0..9999).unwrap().len(), 65);
    assert_eq!(
        plane.maps().counters().unwrap(),
        [0; weft_abi::Counter::COUNT as usize]
    );
    assert_eq!(plane.maps().edges().unwrap(), []);
    let usage = plane.maps().usage().unwrap();
    let used = |map| {
        usage
            .iter()
            .find(|usage| usage.map == map)
            .map(|usage| usage.used)
    };
    assert_eq!(used(maps::SERVICES), Some(1));
    assert_eq!(used(maps::SLOTS), Some(100));
}

fn service_key(port: u16) -> ServiceKey {
    ServiceKey {
        address: Address::v4([10, 96, 0, 1]),
        port,
        protocol: Protocol::TCP,
        scope: Scope::SOCKET,
    }
}

fn backend(index: u32) -> (u32, Backend) {
    let [.., last] = index.to_be_bytes();
    let address = Address::v4([10, 0, 0, last]);
    (
        index,
        Backend {
            address,
            port: 80,
            service: 1,
            generation: 3,
            ..Backend::default()
        },
    )
}

#[test]
fn a_full_map_names_the_step_that_did_not_fit() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    let mut ops = vec![MapOp::PutBackend(1, backend(1).1)];
    ops.extend((0..100).map(|port| MapOp::PutService(service_key(port), Service::default())));
    let error = plane.apply(&ops).unwrap_err();
    assert_eq!((error.op, error.map), (65, maps::SERVICES));
    assert!(
        matches!(error.fault, ApplyFault::Full { capacity: 64 }),
        "{error}"
    );
    assert_eq!(plane.maps().dump().unwrap().services.len(), 64);

    let slots = vec![
        Slot {
            backend: 1,
            service: 1
        };
        4
    ];
    let ops = [
        MapOp::PutSlots(0, slots.clone()),
        MapOp::PutSlots(510, slots),
    ];
    let error = plane.apply(&ops).unwrap_err();
    assert_eq!((error.op, error.map), (1, maps::SLOTS));
    assert!(
        matches!(error.fault, ApplyFault::Full { capacity: 512 }),
        "{error}"
    );
}

#[test]
fn a_million_slots_are_written_and_read_back() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let capacity = Capacity::for_backends(262_144, 65_536);
    let (plane, _) = open(Options {
        capacity,
        ..options(&rig, "state")
    });
    let slots: Vec<_> = (1..=1_000_000)
        .map(|backend| Slot {
            backend,
            service: 9,
        })
        .collect();
    let mut ops = vec![MapOp::PutSlots(5, slots.clone())];
    ops.extend((0..60_000).map(|port| MapOp::PutService(service_key(port), Service::default())));
    let applied = plane.apply(&ops).unwrap();
    assert_eq!(applied.writes[maps::SLOTS], 1_000_000);
    let dump = plane.maps().dump().unwrap();
    assert!(dump.slots[5..1_000_005] == slots);
    assert_eq!(dump.services.len(), 60_000);
    let usage = plane.maps().usage().unwrap();
    let used = |map| {
        usage
            .iter()
            .find(|usage| usage.map == map)
            .map(|usage| usage.used)
    };
    assert_eq!(
        (used(maps::SLOTS), used(maps::SERVICES)),
        (Some(1_000_000), Some(60_000))
    );
}

#[test]
fn maps_keep_their_size_and_the_difference_is_reported() {
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    drop(open(options(&rig, "state")));
    let capacity = Capacity {
        services: 1000,
        ..SMALL
    };
    let (plane, report) = open(Options {
        capacity,
        ..options(&rig, "state")
    });
    let sizes: Vec<_> = report
        .sizes
        .iter()
        .map(|one| (one.map, one.actual, one.wanted))
        .collect();
    assert_eq!(
        sizes,
        [(maps::SERVICES, 64, 1000), (maps::SERVICE_STATE, 65, 1001)]
    );
    assert_eq!(plane.maps().services.capacity(), 64);
}

#[test]
fn every_map_of_the_mesh_is_written_read_back_and_emptied() {
    use weft_abi::{
        ClientLimit, Enrolment, ExcludedKey, Peer, PortModeKey, RuleBits, RuleSet, SetIdentityKey,
        SetPortKey, SetSourceKey,
    };
    let Some(rig) = Rig::or_skip() else { return };
    let state = rig.directory().join("state");
    let _installed = Installed(&state);
    let (plane, _) = open(options(&rig, "state"));
    let address = Address::v4([10, 0, 0, 1]);
    let bits = RuleBits {
        words: [1, 2, 3, 4, 5, 6, 7, 8],
    };
    let (enrolment, peer) = (Enrolment::default(), Peer::default());
    let (rules, limit) = (RuleSet::default(), ClientLimit::default());
    let mode = PortModeKey {
        address,
        port: 80,
        reserved: 0,
    };
    let excluded = ExcludedKey {
        prefix_length: ExcludedKey::ADDRESS_BITS,
        port: 80,
        reserved: 0,
        netns: 7,
        address,
    };
    let identity = SetIdentityKey {
        set: 1,
        identity: 2,
    };
    let port = SetPortKey {
        set: 1,
        port: 80,
        reserved: 0,
    };
    let source = |set: u32, length| SetSourceKey {
        prefix_length: SetSourceKey::SET_BITS + length,
        set: set.to_be(),
        address: if length == 0 {
            Address::default()
        } else {
            address
        },
        reserved: 0,
    };
    // More than one of a kind, so that they go in batches; the trie has none for reading.
    let sources: Vec<_> = (1..200)
        .flat_map(|set| [source(set, 0), source(set, 128)])
        .collect();
    let mut ops = vec![
        MapOp::PutEnrolment(7, enrolment),
        MapOp::PutEnrolment(8, enrolment),
        MapOp::PutPeer(address, peer),
        MapOp::PutPortMode(mode, 2),
        MapOp::PutExcluded(excluded, 1),
        MapOp::PutSetIdentity(identity, bits),
        MapOp::PutSetPort(port, bits),
        MapOp::PutSet(1, Box::new(rules)),
        MapOp::PutClientLimit(3, limit),
    ];
    ops.extend(sources.iter().map(|key| MapOp::PutSetSource(*key, bits)));
    plane.apply(&ops).unwrap();
    let mut mesh = plane.maps().mesh().unwrap();
    mesh.enrolled.sort_by_key(|(cookie, _)| *cookie);
    assert_eq!(mesh.enrolled, [(7, enrolment), (8, enrolment)]);
    assert_eq!(mesh.peers, [(address, peer)]);
    assert_eq!(mesh.port_modes, [(mode, 2)]);
    assert_eq!(mesh.excluded, [(excluded, 1)]);
    assert_eq!(mesh.sets, [(1, rules)]);
    assert_eq!(mesh.set_identities, [(identity, bits)]);
    assert_eq!(mesh.set_ports, [(port, bits)]);
    assert_eq!(mesh.client_limits, [(3, limit)]);
    mesh.set_sources
        .sort_by_key(|(key, _)| (u32::from_be(key.set), key.prefix_length));
    let expected: Vec<_> = sources.iter().map(|key| (*key, bits)).collect();
    assert_eq!(mesh.set_sources, expected);
    let usage = plane.maps().usage().unwrap();
    let used = |map| usage.iter().find(|one| one.map == map).unwrap().used;
    assert_eq!(used(maps::AUTHZ_SOURCE), 398);
    assert_eq!(used(maps::ENROLLED), 2);

    let mut ops = vec![
        MapOp::DeleteEnrolment(7),
        MapOp::DeleteEnrolment(8),
        MapOp::DeleteEnrolment(9),
        MapOp::DeletePeer(address),
        MapOp::DeletePortMode(mode),
        MapOp::DeleteExcluded(excluded),
        MapOp::DeleteSet(1),
        MapOp::DeleteSetIdentity(identity),
        MapOp::DeleteSetPort(port),
        MapOp::DeleteClientLimit(3),
    ];
    ops.extend(sources.iter().map(|key| MapOp::DeleteSetSource(*key)));
    plane.apply(&ops).unwrap();
    assert_eq!(
        plane.maps().mesh().unwrap(),
        weft_lower::MeshDump::default()
    );
}
