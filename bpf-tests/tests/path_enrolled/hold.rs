//! Workloads that are not ready, where connections wait instead of being refused.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bpf_tests::wait_for;
use weft_abi::{Counter, EventKind, MtlsMode, Peer};
use weft_lower::MapOp;
use weft_testkit::Namespace;

use super::town::{PORT, Server, Town, at, both, cookie, dial_within, reaches, refused};

/// Longest wait of a client that is held.
const PATIENCE: Duration = Duration::from_secs(10);

fn held(town: &Town) -> u64 {
    town.plane().maps().counters().unwrap()[Counter::HELD as usize]
}

fn at6(namespace: &Namespace) -> SocketAddr {
    let v6 = both(namespace).into_iter().find(IpAddr::is_ipv6);
    (v6.unwrap(), PORT).into()
}

#[test]
fn a_namespace_whose_workload_is_unknown_lets_nothing_in() {
    let Some(town) = Town::or_skip() else { return };
    let _server = Server::start(&town, &town.c, at(&town.c));
    reaches(town.dial(&town.a, at(&town.c)));
    town.enrol_as(&town.c, false);
    for from in [&town.a, &town.node] {
        let events = town.events(|| refused(town.dial(from, at(&town.c))));
        assert_eq!((events.len(), events[0].kind), (1, EventKind::NOT_READY));
    }
    // Itself is not asked about.
    reaches(town.dial(&town.c, at(&town.c)));
    town.enrol_as(&town.c, true);
    reaches(town.dial(&town.a, at(&town.c)));
}

#[test]
fn connections_to_a_workload_that_is_not_ready_wait_and_meet_its_policy_then() {
    let Some(town) = Town::or_skip() else { return };
    let any = (Ipv6Addr::UNSPECIFIED, PORT).into();
    let server = Server::start(&town, &town.c, any);
    town.enrol_as(&town.c, false);
    let hold = town.plane().hold().unwrap();
    let targets = [at(&town.c), at6(&town.c)];
    let dialled = targets.map(|to| {
        town.inside(&town.a)
            .spawn(move || dial_within(to, PATIENCE))
    });
    wait_for("the clients to try again", || held(&town) >= 4);
    assert_eq!(server.accepted(), 0);
    assert!(dialled.iter().all(|thread| !thread.is_finished()));
    town.enrol_as(&town.c, true);
    for thread in dialled {
        reaches(thread.join().unwrap());
    }

    // Policy that came meanwhile holds for what waited.
    town.put_peer(&town.b, |peer| peer.flags &= !Peer::READY);
    let _other = Server::start(&town, &town.b, at(&town.b));
    let to = at(&town.b);
    let before = held(&town);
    let waiting = town
        .inside(&town.a)
        .spawn(move || dial_within(to, PATIENCE));
    wait_for("the SYN to be dropped", || held(&town) > before);
    town.put_peer(&town.b, |peer| peer.mode = MtlsMode::STRICT);
    town.apply(vec![MapOp::DeleteEnrolment(cookie(&town.a))]);
    refused(waiting.join().unwrap());

    // And with whoever asked for it gone, they are refused as before.
    drop(hold);
    town.put_peer(&town.b, |peer| peer.flags &= !Peer::READY);
    refused(town.dial(&town.a, at(&town.b)));
}

#[test]
fn an_upgrade_leaves_what_is_not_ready_closed() {
    let Some(mut town) = Town::or_skip() else {
        return;
    };
    let c = town.c.clone();
    let _server = Server::start(&town, &c, at(&c));
    town.enrol_as(&c, false);
    town.close();
    refused(town.dial(&town.a, at(&c)));
    town.open();
    refused(town.dial(&town.a, at(&c)));
    // And what is ready open.
    let _other = Server::start(&town, &town.b, at(&town.b));
    reaches(town.dial(&town.a, at(&town.b)));
}
