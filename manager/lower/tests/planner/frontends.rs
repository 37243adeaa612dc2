//! Which frontends a service has, and which endpoints each leads to.

use std::collections::BTreeMap;

use weft_abi::{Address, Scope, Service as Entry, ServiceKey};
use weft_lower::{Capacity, Planner, Shortage};
use weft_model::{Frontend, FrontendKind, Protocol, Service, TrafficPolicy};

use crate::{
    kernel::Kernel,
    world::{endpoint, ip, name, node, port, put, remove, seconds, service},
};

fn plan(services: impl IntoIterator<Item = Service>) -> (Planner, Kernel, Vec<Shortage>) {
    let capacity = Capacity::for_backends(1024, 256);
    let (mut planner, mut kernel) = (Planner::new(capacity), Kernel::new(capacity));
    let mut problems = Vec::new();
    for service in services {
        let plan = planner.plan(&put(service), &node(), seconds(1));
        kernel.apply_watching(&plan.ops);
        problems = plan.problems;
    }
    (planner, kernel, problems)
}

/// `address:port scope` of every frontend with the last parts of the addresses it leads to.
fn routes(kernel: &Kernel) -> BTreeMap<String, String> {
    let route = |(key, service): (&ServiceKey, &Entry)| {
        let scope = ["socket", "uplink"][usize::from(key.scope)];
        let address = std::net::IpAddr::from(key.address);
        let mut targets: Vec<String> = (0..service.slots)
            .map(|pick| kernel.resolve(service, pick, "at rest"))
            .map(|backend| std::net::IpAddr::from(backend.address).to_string())
            .map(|text| text.rsplit(['.', ':']).next().unwrap().to_owned())
            .collect();
        targets.sort();
        let masquerade = if service.flags & Entry::MASQUERADE != 0 {
            " masquerade"
        } else {
            ""
        };
        let text = format!("{}{masquerade}", targets.join(","));
        (format!("{address} {} {scope}", key.port), text)
    };
    kernel.services.iter().map(route).collect()
}

fn expect(kernel: &Kernel, expected: &[(&str, &str)]) {
    let expected = expected
        .iter()
        .map(|(key, to)| (key.to_string(), to.to_string()));
    assert_eq!(routes(kernel), expected.collect());
}

/// Endpoints .1 on this node, .2 elsewhere, ::3 elsewhere; all kinds of frontends.
fn gateway() -> Service {
    let mut here = endpoint("10.0.0.1");
    here.node = Some("n1".into());
    let mut there = endpoint("10.0.0.2");
    there.node = Some("n2".into());
    let mut six = endpoint("fd00::3");
    six.node = Some("n2".into());
    let mut http = port(80, vec![here, there, six]);
    http.node_port = Some(30080);
    let mut gateway = service("gateway", &["10.96.0.1", "fd96::1"], vec![http]);
    let outside = |address: &str, kind| Frontend {
        address: ip(address),
        kind,
    };
    gateway
        .frontends
        .push(outside("198.51.100.1", FrontendKind::LoadBalancer));
    gateway
        .frontends
        .push(outside("198.51.100.2", FrontendKind::External));
    gateway
}

#[test]
fn only_outside_addresses_are_served_on_the_uplink_and_families_stay_apart() {
    let (planner, kernel, problems) = plan([gateway()]);
    expect(
        &kernel,
        &[
            ("10.96.0.1 80 socket", "1,2"),
            ("fd96::1 80 socket", "3"),
            ("192.0.2.1 30080 socket", "1,2"),
            ("192.0.2.1 30080 uplink", "1,2 masquerade"),
            ("198.51.100.1 80 socket", "1,2"),
            ("198.51.100.1 80 uplink", "1,2 masquerade"),
            ("198.51.100.2 80 socket", "1,2"),
            ("198.51.100.2 80 uplink", "1,2 masquerade"),
            ("2001:db8::1 30080 socket", "3"),
            ("2001:db8::1 30080 uplink", "3 masquerade"),
        ],
    );
    assert_eq!(problems, []);
    assert_eq!(
        planner.usage().backends,
        3,
        "all frontends of a family share a pool"
    );
}

#[test]
fn external_local_limits_the_uplink_only_and_keeps_the_client_address() {
    let mut local = gateway();
    local.external_policy = TrafficPolicy::Local;
    let (planner, kernel, _) = plan([local]);
    let routes = routes(&kernel);
    assert_eq!(routes["198.51.100.1 80 socket"], "1,2");
    assert_eq!(routes["198.51.100.1 80 uplink"], "1");
    assert_eq!(
        routes["2001:db8::1 30080 uplink"], "",
        "no endpoint here: refused"
    );
    assert_eq!(planner.usage().backends, 4);
}

#[test]
fn internal_local_limits_cluster_addresses_only() {
    let mut local = gateway();
    local.internal_policy = TrafficPolicy::Local;
    let (_, kernel, _) = plan([local]);
    let routes = routes(&kernel);
    assert_eq!(routes["10.96.0.1 80 socket"], "1");
    assert_eq!(routes["192.0.2.1 30080 socket"], "1,2");
    assert_eq!(routes["192.0.2.1 30080 uplink"], "1,2 masquerade");
}

#[test]
fn node_ports_follow_the_addresses_of_the_node() {
    let (mut planner, mut kernel, _) = plan([gateway()]);
    let mut moved = node();
    moved.addresses = vec![ip("192.0.2.7")];
    let change = weft_model::Change::default();
    let plan = planner.plan(&change, &moved, seconds(2));
    kernel.apply_watching(&plan.ops);
    let routes = routes(&kernel);
    assert!(routes.contains_key("192.0.2.7 30080 uplink"));
    assert!(!routes.contains_key("192.0.2.1 30080 uplink"));
    assert_eq!(routes.len(), 8);
}

#[test]
fn tcp_and_udp_of_one_port_are_two_pools() {
    let tcp = port(53, vec![endpoint("10.0.0.1")]);
    let mut udp = port(53, vec![endpoint("10.0.0.2")]);
    udp.protocol = Protocol::Udp;
    let (planner, kernel, _) = plan([service("dns", &["10.96.0.10"], vec![tcp, udp])]);
    let targets: Vec<_> = kernel
        .services
        .iter()
        .map(|(key, entry)| (key.protocol, kernel.resolve(entry, 0, "").address))
        .collect();
    let first = Address::from(ip("10.0.0.1"));
    let second = Address::from(ip("10.0.0.2"));
    assert_eq!(targets, [(6, first), (17, second)]);
    let names: Vec<String> = planner
        .pools_of(&name("dns"))
        .map(|pool| pool.name().unwrap().to_string())
        .collect();
    let expected =
        ["TCP", "UDP"].map(|p| format!("shop/dns.shop.svc.cluster.local:53/{p}/IPv4/Cluster"));
    assert_eq!(names, expected);
}

#[test]
fn a_frontend_two_services_claim_goes_to_the_first_by_name_whoever_came_first() {
    let claim =
        |short: &str, at: &str| service(short, &["10.96.0.1"], vec![port(80, vec![endpoint(at)])]);
    let (a, b) = (claim("a", "10.0.0.1"), claim("b", "10.0.0.2"));
    for order in [[a.clone(), b.clone()], [b, a]] {
        let (mut planner, mut kernel, problems) = plan(order);
        expect(&kernel, &[("10.96.0.1 80 socket", "1")]);
        let taken = Shortage::Frontend {
            service: name("b"),
            address: ip("10.96.0.1"),
            port: 80,
            protocol: 6,
            owner: Some(name("a")),
        };
        assert_eq!(problems, [taken]);
        let plan = planner.plan(&remove("a"), &node(), seconds(2));
        kernel.apply_watching(&plan.ops);
        expect(&kernel, &[("10.96.0.1 80 socket", "2")]);
        assert_eq!(plan.problems, []);
        assert_eq!(planner.frontends_of(&name("b")).count(), 1);
    }
}

#[test]
fn the_canary_address_is_not_for_services() {
    let thief = service(
        "thief",
        &["127.255.255.1"],
        vec![port(15099, vec![endpoint("10.0.0.1")])],
    );
    let (_, kernel, problems) = plan([thief]);
    assert!(kernel.services.is_empty());
    let text = problems[0].to_string();
    assert!(
        text.contains("127.255.255.1 port 15099: the canary has it"),
        "{text}"
    );
}

#[test]
fn the_canary_leads_to_its_listener_beside_everything_else() {
    let ops = weft_lower::canary_ops("127.0.0.1:40000".parse().unwrap());
    let [
        weft_lower::MapOp::PutBackendState(1, state),
        weft_lower::MapOp::PutBackend(1, backend),
        weft_lower::MapOp::PutSlots(0, slots),
        weft_lower::MapOp::PutService(key, service),
    ] = &ops[..]
    else {
        panic!("{ops:?}")
    };
    assert_eq!(key.scope, Scope::SOCKET);
    assert_eq!((service.id, service.first_slot, service.slots), (1, 0, 1));
    assert_eq!((slots[0].backend, slots[0].service), (1, service.id));
    assert_eq!((backend.service, backend.port), (service.id, 40000));
    assert_eq!(state.generation, backend.generation);
}
