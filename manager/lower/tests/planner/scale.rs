//! A large mesh. The full size runs with `cargo test --release -p weft-lower --test planner --
//! --ignored --nocapture`.

use std::{net::Ipv4Addr, sync::Arc};

use weft_lower::{Capacity, MapOp, Planner};
use weft_model::{Change, Endpoint, Mesh, Service};

use crate::world::{endpoint, node, port, put, seconds, service, workload};

const ENDPOINTS: u32 = 100;

fn large_service(n: u32, without_last: bool) -> Service {
    let workload = Some(workload(&format!("w{n}")));
    let count = if without_last {
        ENDPOINTS - 1
    } else {
        ENDPOINTS
    };
    let endpoints = (0..count).map(|at| Endpoint {
        address: Ipv4Addr::from_bits(0x0a00_0000 + n * ENDPOINTS + at).into(),
        workload: workload.clone(),
        ..endpoint("10.0.0.0")
    });
    let address = Ipv4Addr::from_bits(0x6440_0000 + n).to_string();
    service(
        &format!("s{n}"),
        &[&address],
        vec![port(80, endpoints.collect())],
    )
}

fn large_mesh(services: u32) -> Mesh {
    let services = (0..services)
        .map(|n| large_service(n, false))
        .map(|service| (service.name.clone(), Arc::new(service)));
    Mesh {
        services: services.collect(),
        ..Mesh::default()
    }
}

#[test]
fn work_and_writes_follow_the_change_not_the_mesh() {
    let services = 300;
    let mut planner = Planner::new(Capacity::for_backends(services * ENDPOINTS + 2, 1024));
    let plan = planner.plan_full(&large_mesh(services), &node(), seconds(1));
    let per_service = 2 * ENDPOINTS as usize + 2;
    assert_eq!(plan.ops.len(), services as usize * per_service);
    assert_eq!(plan.problems, []);
    let plan = planner.plan(&put(large_service(7, true)), &node(), seconds(2));
    assert!(
        matches!(plan.ops[..], [MapOp::PutService(..), MapOp::PutBackend(..)]),
        "{:?}",
        plan.ops
    );
}

#[test]
#[ignore = "a figure of the release build"]
#[expect(clippy::disallowed_types, reason = "a measurement needs a clock")]
fn a_million_endpoints_plan_within_two_seconds_and_one_change_within_a_millisecond() {
    use std::time::Instant;
    let mesh = large_mesh(10_000);
    let mut planner = Planner::new(Capacity::for_backends(1_100_000, 65_536));
    let start = Instant::now();
    let plan = planner.plan_full(&mesh, &node(), seconds(1));
    let full = start.elapsed();
    println!("{} writes in {full:?}", plan.ops.len());
    drop(plan);
    let changes: Vec<Change> = (0..100)
        .map(|n| put(large_service(n * 100, true)))
        .collect();
    let start = Instant::now();
    for change in &changes {
        assert!(planner.plan(change, &node(), seconds(2)).ops.len() < 5);
    }
    let one = start.elapsed() / 100;
    let start = Instant::now();
    let saved = planner.registry().to_json();
    println!(
        "one change in {one:?}, registry of {} bytes in {:?}",
        saved.len(),
        start.elapsed()
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    println!("{peak} (with the mesh itself)");
    assert!(full.as_secs_f64() < 2.0 && one.as_secs_f64() < 0.001);
}
