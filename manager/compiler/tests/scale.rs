//! A million endpoints: `cargo test --release -p weft-compiler --test scale -- --ignored --nocapture`.

#![expect(
    clippy::disallowed_types,
    reason = "a measurement needs a clock; nothing here is part of the product"
)]

use std::{fmt::Write, time::Instant};

use weft_api::Store;
use weft_compiler::{Compiler, Settings};

const SERVICES: usize = 10_000;
const ENDPOINTS: usize = 100;

fn service(number: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: s{number}\n  namespace: scale\nspec:\n  clusterIP: 10.{}.{}.1\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n---\n",
        100 + number / 250,
        number % 250
    )
}

fn slice(number: usize, endpoints: usize) -> String {
    let mut text = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: s{number}-x\n  namespace: scale\n  labels:\n    kubernetes.io/service-name: s{number}\naddressType: IPv4\nports:\n- name: http\n  port: 8080\n  protocol: TCP\nendpoints:\n"
    );
    for endpoint in 0..endpoints {
        let address = number * ENDPOINTS + endpoint;
        let (a, b, c) = (address >> 16, (address >> 8) & 255, address & 255);
        write!(
            text,
            "- addresses:\n  - 10.{a}.{b}.{c}\n  conditions:\n    ready: true\n  nodeName: node-{}\n  zone: zone-{}\n",
            endpoint % 50,
            endpoint % 3
        )
        .expect("a string takes all");
    }
    text
}

#[test]
#[ignore = "measures; needs --release and a quiet machine"]
fn a_million_endpoints_compile_in_seconds_and_one_change_in_less_than_a_millisecond() {
    let files: Vec<(String, String)> = (0..SERVICES)
        .map(|n| (format!("{n}.yaml"), service(n) + &slice(n, ENDPOINTS)))
        .collect();
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    let start = Instant::now();
    let mut store = Store::default();
    for (file, text) in &files {
        store.put_file(file, text);
    }
    println!("parse {} MB: {:?}", bytes / 1_000_000, start.elapsed());
    assert_eq!(store.problems().next().map(ToString::to_string), None);

    let keys: Vec<_> = store.keys().cloned().collect();
    let mut compiler = Compiler::new(Settings::default());
    let start = Instant::now();
    let change = compiler.update(&store, &keys);
    let full = start.elapsed();
    println!("compile everything: {full:?}");
    assert_eq!(change.services.len(), SERVICES);

    let start = Instant::now();
    let problems = compiler.problems(&store).len();
    println!("list {problems} problems: {:?}", start.elapsed());

    let edited = service(5_000) + &slice(5_000, ENDPOINTS - 1);
    let start = Instant::now();
    let outcome = store.put_file("5000.yaml", &edited);
    let parsed = start.elapsed();
    let start = Instant::now();
    let change = compiler.update(&store, &outcome.changed);
    let one = start.elapsed();
    println!("one edit: parse {parsed:?}, compile {one:?}");
    assert_eq!(change.services.len(), 1);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"))
    {
        println!("{line}");
    }
    assert!(
        full.as_secs_f64() < 2.0,
        "compiling everything took {full:?}"
    );
    assert!(
        one.as_secs_f64() < 0.001,
        "compiling one change took {one:?}"
    );
}
