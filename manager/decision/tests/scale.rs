//! A large mesh, as `cargo xtask bench compile` measures it:
//! `cargo test --release -p weft-decision --test scale -- --ignored --nocapture`.
//! Lines that begin with `row` are read by the benchmark: name, unit, values, apart by tabs.

#![expect(
    clippy::disallowed_types,
    reason = "a measurement needs a clock; nothing here is part of the product"
)]
#![expect(clippy::print_stdout, reason = "rows are for the benchmark")]

use std::{fmt::Write, hint::black_box, time::Instant};

use weft_api::{FileOutcome, Store};
use weft_compiler::{Compiler, Settings};
use weft_decision::{Client, Request, Router};
use weft_model::Mesh;

const SERVICES: usize = 5_000;
const ENDPOINTS: usize = 20;
/// Services with subsets, so with pods whose labels count.
const RULES: usize = 2_000;
const VIRTUAL_SERVICES: usize = 4_000;
const HTTP_ROUTES: usize = 1_000;
const GATEWAYS: usize = 100;
const POLICIES: usize = 3_000;
/// Rules of one host.
const ROUTES_ON_HOST: usize = 1_000;

fn address(number: usize, endpoint: usize) -> String {
    let address = number * ENDPOINTS + endpoint;
    format!(
        "10.{}.{}.{}",
        1 + (address >> 16),
        (address >> 8) & 255,
        address & 255
    )
}

fn service(number: usize, endpoints: usize) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: s{number}\n  namespace: n{}\nspec:\n  clusterIP: 11.{}.{}.1\n  ports:\n  - name: http\n    port: 80\n    targetPort: 8080\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: s{number}-x\n  namespace: n{}\n  labels:\n    kubernetes.io/service-name: s{number}\naddressType: IPv4\nports:\n- name: http\n  port: 8080\n  protocol: TCP\nendpoints:\n",
        number % 50,
        number / 250,
        number % 250,
        number % 50,
    );
    for endpoint in 0..endpoints {
        let address = address(number, endpoint);
        write!(
            text,
            "- addresses:\n  - {address}\n  conditions:\n    ready: true\n"
        )
        .expect("a string takes all");
    }
    text
}

fn pods(number: usize) -> String {
    let pod = |endpoint| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: s{number}-{endpoint}\n  namespace: n{}\n  labels:\n    app: s{number}\n    version: v{}\nspec:\n  containers:\n  - name: c\n    image: i\nstatus:\n  phase: Running\n  podIPs:\n  - ip: {}\n",
            number % 50,
            1 + endpoint % 2,
            address(number, endpoint),
        )
    };
    (0..ENDPOINTS).map(pod).collect()
}

fn destination_rule(number: usize) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: s{number}\n  namespace: n{}\nspec:\n  host: s{number}\n  subsets:\n  - name: v1\n    labels:\n      version: v1\n  - name: v2\n    labels:\n      version: v2\n",
        number % 50
    )
}

fn virtual_service(number: usize, weight: usize) -> String {
    let subsets = match number < RULES {
        true => format!(
            "    - destination:\n        host: s{number}\n        subset: v1\n      weight: {weight}\n    - destination:\n        host: s{number}\n        subset: v2\n      weight: {}\n",
            100 - weight
        ),
        false => format!("    - destination:\n        host: s{number}\n"),
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: s{number}\n  namespace: n{}\nspec:\n  hosts:\n  - s{number}\n  http:\n  - match:\n    - headers:\n        end-user:\n          exact: jason\n    route:\n    - destination:\n        host: s{}\n  - route:\n{subsets}",
        number % 50,
        (number + 50) % SERVICES
    )
}

/// A host with a thousand rules.
fn busy() -> String {
    let mut text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: busy\n  namespace: n0\nspec:\n  hosts:\n  - busy.example.com\n  http:\n".to_owned();
    for rule in 0..ROUTES_ON_HOST {
        let kind = if rule % 2 == 0 { "exact" } else { "prefix" };
        write!(
            text,
            "  - match:\n    - uri:\n        {kind}: /api/v{}/resource-{rule}\n      method:\n        exact: GET\n    route:\n    - destination:\n        host: s0\n",
            rule % 7
        )
        .expect("a string takes all");
    }
    text
}

fn gateway(number: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata:\n  name: gw{number}\n  namespace: n{}\nspec:\n  gatewayClassName: weft\n  listeners:\n  - name: http\n    port: 80\n    protocol: HTTP\n",
        number % 50
    )
}

fn http_route(number: usize) -> String {
    let gateway = number % GATEWAYS;
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: r{number}\n  namespace: n{}\nspec:\n  parentRefs:\n  - name: gw{gateway}\n  hostnames:\n  - h{number}.example.com\n  rules:\n  - matches:\n    - path:\n        type: PathPrefix\n        value: /a\n    backendRefs:\n    - name: s{gateway}\n      port: 80\n",
        gateway % 50
    )
}

fn policy(number: usize) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: p{number}\n  namespace: n{}\nspec:\n  selector:\n    matchLabels:\n      app: s{number}\n  rules:\n  - from:\n    - source:\n        principals:\n        - cluster.local/ns/n1/sa/a\n    to:\n    - operation:\n        methods:\n        - GET\n",
        number % 50
    )
}

fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut put = |kind: &str, number: usize, text: String| {
        files.push((format!("{kind}-{number}.yaml"), text));
    };
    for number in 0..SERVICES {
        let pods = if number < RULES {
            pods(number)
        } else {
            String::new()
        };
        put("service", number, service(number, ENDPOINTS) + &pods);
    }
    (0..RULES).for_each(|n| put("rule", n, destination_rule(n)));
    (0..VIRTUAL_SERVICES).for_each(|n| put("virtual", n, virtual_service(n, 90)));
    (0..GATEWAYS).for_each(|n| put("gateway", n, gateway(n)));
    (0..HTTP_ROUTES).for_each(|n| put("route", n, http_route(n)));
    (0..POLICIES).for_each(|n| put("policy", n, policy(n)));
    put("busy", 0, busy());
    files
}

fn row(name: &str, unit: &str, values: &[f64]) {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    println!("row\t{name}\t{unit}\t{}", values.join(","));
}

/// Resident memory at most, megabytes.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

struct World {
    store: Store,
    compiler: Compiler,
    router: Router,
}

impl World {
    /// Milliseconds from the edit's objects to tables that are ready.
    fn take(&mut self, outcome: &FileOutcome) -> f64 {
        let start = Instant::now();
        let change = self.compiler.update(&self.store, &outcome.changed);
        self.router.apply(&change.routes);
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        assert!(!change.is_empty(), "nothing changed");
        elapsed
    }
}

#[test]
#[ignore = "measures; needs --release and a quiet machine"]
fn a_large_mesh_compiles_in_seconds_and_decides_in_less_than_a_microsecond() {
    let texts = files();
    let start = Instant::now();
    let mut store = Store::default();
    for (file, text) in &texts {
        store.put_file(file, text);
    }
    row(
        "compile-read",
        "seconds to read all files",
        &[start.elapsed().as_secs_f64()],
    );
    drop(texts);
    let wrong = store
        .problems()
        .find(|p| p.severity == weft_api::Severity::Error);
    assert_eq!(wrong.map(ToString::to_string), None);

    let keys: Vec<_> = store.keys().cloned().collect();
    let mut compiler = Compiler::new(Settings::default());
    let start = Instant::now();
    let change = compiler.update(&store, &keys);
    let full = start.elapsed().as_secs_f64();
    drop(change);
    let start = Instant::now();
    let router = Router::new(&compiler.mesh().routes);
    let ready = start.elapsed().as_secs_f64();
    row("compile-full", "seconds to compile everything", &[full]);
    row(
        "compile-ready",
        "seconds to make all route tables ready",
        &[ready],
    );
    let memory = peak();
    row(
        "compile-memory-peak",
        "megabytes resident at most",
        &[memory],
    );

    let mut world = World {
        store,
        compiler,
        router,
    };
    let (mut endpoints, mut routes) = (Vec::new(), Vec::new());
    for edit in 0..21 {
        let text = service(77, ENDPOINTS - 1 - edit % 2) + &pods(77);
        let outcome = world.store.put_file("service-77.yaml", &text);
        endpoints.push(world.take(&outcome));
        let text = virtual_service(99, 10 + edit);
        let outcome = world.store.put_file("virtual-99.yaml", &text);
        routes.push(world.take(&outcome));
    }
    row(
        "compile-change-endpoint",
        "milliseconds for one changed endpoint",
        &endpoints,
    );
    row(
        "compile-change-route",
        "milliseconds for one changed route",
        &routes,
    );
    let mut decision = decide(&world.router, world.compiler.mesh());
    row(
        "decide-route",
        "microseconds for one decision with 1000 routes on the host",
        &decision,
    );

    assert!(
        full + ready < 2.0,
        "compiling everything took {full} s and {ready} s"
    );
    assert!(memory < 600.0, "{memory} MB");
    for (what, values, most) in [
        ("one endpoint, ms", &mut endpoints, 1.0),
        ("one route, ms", &mut routes, 1.0),
        ("one decision, us", &mut decision, 1.0),
    ] {
        values.sort_by(f64::total_cmp);
        let median = values[values.len() / 2];
        assert!(median < most, "{what}: {median}");
    }
}

/// Microseconds for one decision, in several rounds over all rules of the busy host.
fn decide(router: &Router, mesh: &Mesh) -> Vec<f64> {
    assert!(!mesh.routes.mesh.is_empty());
    let paths: Vec<String> = (0..ROUTES_ON_HOST)
        .map(|rule| format!("/api/v{}/resource-{rule}", rule % 7))
        .collect();
    let client = Client {
        namespace: "n0",
        labels: &[("app", "a")],
    };
    let headers = [("user-agent", "x"), ("accept", "*/*")];
    let round = |_| {
        let start = Instant::now();
        for path in &paths {
            let request = Request {
                host: "busy.example.com",
                port: 80,
                scheme: "http",
                method: "GET",
                path,
                authority: "busy.example.com",
                headers: &headers,
                claims: None,
            };
            let decision = black_box(router.mesh_http(&client, black_box(&request)));
            assert!(decision.route.is_some());
        }
        start.elapsed().as_secs_f64() * 1e6 / ROUTES_ON_HOST as f64
    };
    (0..21).map(round).collect()
}
