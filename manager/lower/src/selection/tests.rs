use std::{net::IpAddr, sync::Arc};

use weft_model::{Distribution, Endpoint};

use super::choose;
use crate::{NodeFacts, PoolClass};

fn here() -> NodeFacts {
    NodeFacts {
        name: Some("n1".into()),
        zone: Some("z1".into()),
        addresses: vec![],
    }
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint {
        address: IpAddr::from([10, 0, 0, last]),
        port: 8080,
        ready: true,
        serving: true,
        terminating: false,
        weight: 1,
        workload: None,
        node: None,
        zone: None,
        for_zones: None,
        for_nodes: None,
    }
}

fn at(last: u8, node: &str, zone: &str) -> Endpoint {
    Endpoint {
        node: Some(node.into()),
        zone: Some(zone.into()),
        ..endpoint(last)
    }
}

fn hints(places: &[&str]) -> Option<Arc<[Arc<str>]>> {
    Some(places.iter().map(|place| Arc::from(*place)).collect())
}

fn leaving(endpoint: Endpoint) -> Endpoint {
    Endpoint {
        ready: false,
        terminating: true,
        ..endpoint
    }
}

/// Last parts of the addresses of the chosen.
fn chosen(endpoints: &[Endpoint], class: PoolClass, distribution: Distribution) -> Vec<u8> {
    let all: Vec<&Endpoint> = endpoints.iter().collect();
    let chosen = choose(&all, class, distribution, &here());
    assert_eq!(chosen.len(), endpoints.len());
    let last = |endpoint: &Endpoint| match endpoint.address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => unreachable!("only IPv4 above"),
    };
    let picked = endpoints.iter().zip(chosen).filter(|(_, chosen)| *chosen);
    picked.map(|(endpoint, _)| last(endpoint)).collect()
}

fn anywhere(endpoints: &[Endpoint]) -> Vec<u8> {
    chosen(endpoints, PoolClass::Cluster, Distribution::Any)
}

#[test]
fn only_ready_endpoints_that_stay_take_connections() {
    let unready = Endpoint {
        ready: false,
        ..endpoint(2)
    };
    // `publishNotReadyAddresses` makes a terminating endpoint ready; it leaves all the same.
    let published = Endpoint {
        terminating: true,
        ..endpoint(3)
    };
    assert_eq!(
        anywhere(&[endpoint(1), unready, published, leaving(endpoint(4))]),
        [1]
    );
}

#[test]
fn serving_endpoints_on_their_way_out_are_used_when_there_is_no_other() {
    let silent = Endpoint {
        serving: false,
        ..leaving(endpoint(3))
    };
    let unready = Endpoint {
        ready: false,
        ..endpoint(2)
    };
    assert_eq!(
        anywhere(&[leaving(endpoint(1)), unready.clone(), silent.clone()]),
        [1]
    );
    assert_eq!(anywhere(&[unready, silent]), [0; 0]);
}

#[test]
fn weight_zero_takes_nothing_unless_all_are_zero() {
    let zero = |last| Endpoint {
        weight: 0,
        ..endpoint(last)
    };
    assert_eq!(anywhere(&[endpoint(1), zero(2)]), [1]);
    assert_eq!(anywhere(&[zero(1), zero(2)]), [1, 2]);
    assert_eq!(anywhere(&[leaving(endpoint(1)), leaving(zero(2))]), [1]);
}

#[test]
fn local_has_no_way_out_but_what_terminates_here() {
    let local = |endpoints: &[Endpoint]| chosen(endpoints, PoolClass::Local, Distribution::Any);
    assert_eq!(
        local(&[at(1, "n1", "z1"), at(2, "n2", "z1"), endpoint(3)]),
        [1]
    );
    assert_eq!(local(&[leaving(at(1, "n1", "z1")), at(2, "n2", "z1")]), [1]);
    assert_eq!(local(&[at(2, "n2", "z1")]), [0; 0]);
}

#[test]
fn nothing_is_local_to_a_node_without_a_name() {
    let endpoint = endpoint(1);
    let nobody = NodeFacts::default();
    assert_eq!(
        choose(&[&endpoint], PoolClass::Local, Distribution::Any, &nobody),
        [false]
    );
}

#[test]
fn zone_hints_count_when_every_endpoint_has_them_and_one_is_for_here() {
    let hinted = |last, zone: &str| Endpoint {
        for_zones: hints(&[zone]),
        ..endpoint(last)
    };
    assert_eq!(anywhere(&[hinted(1, "z1"), hinted(2, "z2")]), [1]);
    assert_eq!(
        anywhere(&[hinted(1, "z1"), endpoint(2)]),
        [1, 2],
        "one has none"
    );
    assert_eq!(
        anywhere(&[hinted(1, "z2"), hinted(2, "z3")]),
        [1, 2],
        "none for here"
    );
    let unready = Endpoint {
        ready: false,
        ..endpoint(3)
    };
    assert_eq!(anywhere(&[hinted(1, "z1"), hinted(2, "z2"), unready]), [1]);
}

#[test]
fn node_hints_come_before_zone_hints() {
    let hinted = |last, node: &str, zone: &str| Endpoint {
        for_nodes: hints(&[node]),
        for_zones: hints(&[zone]),
        ..endpoint(last)
    };
    let list = [
        hinted(1, "n1", "z1"),
        hinted(2, "n2", "z1"),
        hinted(3, "n3", "z2"),
    ];
    assert_eq!(anywhere(&list), [1]);
    assert_eq!(
        anywhere(&list[1..]),
        [2],
        "none for this node, one for this zone"
    );
}

#[test]
fn hints_do_not_choose_among_what_terminates() {
    let hinted = |last, zone: &str| {
        leaving(Endpoint {
            for_zones: hints(&[zone]),
            ..endpoint(last)
        })
    };
    assert_eq!(anywhere(&[hinted(1, "z1"), hinted(2, "z2")]), [1, 2]);
}

#[test]
fn without_hints_the_distribution_prefers_near_endpoints_and_falls_back() {
    let prefer =
        |endpoints: &[Endpoint], distribution| chosen(endpoints, PoolClass::Cluster, distribution);
    let list = [at(1, "n1", "z1"), at(2, "n2", "z1"), at(3, "n3", "z2")];
    assert_eq!(prefer(&list, Distribution::Any), [1, 2, 3]);
    assert_eq!(prefer(&list, Distribution::PreferSameZone), [1, 2]);
    assert_eq!(prefer(&list, Distribution::PreferSameNode), [1]);
    assert_eq!(prefer(&list[1..], Distribution::PreferSameNode), [2]);
    assert_eq!(prefer(&list[2..], Distribution::PreferSameNode), [3]);
    assert_eq!(prefer(&list[2..], Distribution::PreferSameZone), [3]);
}
