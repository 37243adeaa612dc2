//! Compiling edits one by one gives what compiling the result from nothing gives.

#[path = "incremental/extensions.rs"]
mod extensions;
#[path = "incremental/policies.rs"]
mod policies;

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};
use weft_api::Store;
use weft_compiler::{Compiler, Settings, gateway_status};
use weft_model::{Mesh, status::ObjectStatus};

const FILES: [&str; 4] = ["a.yaml", "b.yaml", "c.yaml", "d.yaml"];
/// Kinds whose refused objects stand aside. Those of security fail closed instead.
const REFUSED: [(&str, &str); 18] = [
    ("v1", "Service"),
    ("networking.istio.io/v1", "ServiceEntry"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("networking.istio.io/v1", "VirtualService"),
    ("networking.istio.io/v1", "Gateway"),
    ("networking.istio.io/v1", "WorkloadEntry"),
    ("networking.istio.io/v1", "WorkloadGroup"),
    ("telemetry.istio.io/v1", "Telemetry"),
    ("extensions.istio.io/v1alpha1", "WasmPlugin"),
    ("extensions.istio.io/v1alpha1", "TrafficExtension"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
    ("gateway.networking.k8s.io/v1", "TLSRoute"),
    ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
    ("gateway.networking.k8s.io/v1alpha2", "UDPRoute"),
    ("gateway.networking.k8s.io/v1", "BackendTLSPolicy"),
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"),
];
const NAMESPACES: [&str; 2] = ["default", "istio-system"];

/// A document out of a small world, so that objects meet.
fn document() -> impl Strategy<Value = String> {
    let names = (0..NAMESPACES.len(), 0..3_u8, 0..4_u8, 0..4_u8);
    (0..37_u8, names).prop_map(|(kind, (namespace, name, a, b))| {
        let namespace = NAMESPACES[namespace];
        match kind {
            0 => service(namespace, name, a, b),
            1 => slice(namespace, name, a, b),
            2 | 3 => pod(namespace, name, a, b),
            4 => node(name, a),
            5 => entry(namespace, name, a, b),
            6 | 7 => rule(namespace, name, a, b),
            9 | 10 => virtual_service(namespace, name, a, b),
            11 | 12 => http_route(namespace, name, a, b),
            13 => gateway(namespace, a, b),
            14 => grant(namespace, a, b),
            15..27 => policies::document(kind - 15, namespace, name, a, b),
            27 | 28 => workload_entry(namespace, name, a, b),
            29 => rate_limit(namespace, name, a, b),
            30 => mesh_config(a, b),
            31..36 => extensions::document(kind - 31, namespace, name, a, b),
            _ if a == 0 => "kind: [torn\n".into(),
            _ => of_namespace(namespace, b),
        }
    })
}

fn service(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let port = if a == 3 { "0" } else { "80" };
    let target = ["8080", "web", "admin", "8081"][usize::from(b)];
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{name}, namespace: {namespace}}}\nspec:\n  clusterIP: 10.0.0.{a}\n  selector: {{app: a{b}}}\n  ports: [{{name: http, port: {port}, targetPort: {target}}}]\n"
    )
    .replace("10.0.0.0", "None")
}

fn slice(namespace: &str, name: u8, a: u8, b: u8) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: e{name}\n  namespace: {namespace}\n  labels: {{kubernetes.io/service-name: s{b}}}\naddressType: IPv4\nports: [{{name: http, port: 80{a}}}]\nendpoints:\n- addresses: [10.1.0.{a}]\n  targetRef: {{kind: Pod, name: p{name}}}\n- addresses: [10.1.0.{b}]\n"
    )
}

fn pod(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let phase = if a == 3 { "Succeeded" } else { "Running" };
    let mode = ["ambient", "none", "x", "ambient"][usize::from(b)];
    let redirection = ["enabled", "disabled"][usize::from(a % 2)];
    let mode = if name == 0 {
        format!("istio.io/dataplane-mode: {mode}")
    } else {
        "x: y".into()
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p{name}\n  namespace: {namespace}\n  labels: {{app: a{b}, version: v{a}, {mode}}}\n  annotations: {{ambient.istio.io/redirection: {redirection}}}\nspec:\n  nodeName: n{a}\n  containers: [{{name: c, image: i, ports: [{{name: web, containerPort: 808{a}}}]}}]\nstatus:\n  phase: {phase}\n  podIPs: [{{ip: 10.1.0.{b}}}]\n  conditions: [{{type: Ready, status: \"True\"}}]\n"
    )
}

fn node(name: u8, a: u8) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: n{name}\n  labels: {{topology.kubernetes.io/zone: z{a}}}\n"
    )
}

fn of_namespace(namespace: &str, b: u8) -> String {
    let distribution = ["Any", "PreferClose", "PreferSameNode", "nonsense"][usize::from(b)];
    let mode = ["ambient", "none", "ambient", "x"][usize::from(b)];
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n  labels: {{istio.io/dataplane-mode: {mode}}}\n  annotations: {{networking.istio.io/traffic-distribution: {distribution}}}\n"
    )
}

fn entry(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let host = [
        "x.example.com",
        "y.example.com",
        "s1.default.svc.cluster.local",
        "x.example.com",
    ];
    let (first, second) = (host[usize::from(a)], host[usize::from(b)]);
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: x{name}, namespace: {namespace}}}\nspec:\n  hosts: [{first}, w{second}]\n  addresses: [240.0.0.{a}]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: TCP}}]\n  endpoints: [{{address: 10.1.0.{b}}}]\n"
    )
}

fn rule(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let host = [
        "s1",
        "s1.default.svc.cluster.local",
        "\"*.default.svc.cluster.local\"",
        "x.example.com",
    ];
    let policy = [
        "simple: RANDOM",
        "simple: LEAST_REQUEST",
        "consistentHash: {useSourceIp: true}",
        "simple: WRONG",
    ];
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d{name}, namespace: {namespace}}}\nspec:\n  host: {}\n  exportTo: [\"{}\"]\n  trafficPolicy: {{loadBalancer: {{{}}}}}\n  subsets: [{{name: v1, labels: {{version: v1}}}}]\n",
        host[usize::from(a)],
        if b == 0 { "." } else { "*" },
        policy[usize::from(b)],
    )
}

fn virtual_service(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let hosts = [
        "[s1]",
        "[x.example.com]",
        "['*.example.com']",
        "[s1, s2.default.svc.cluster.local]",
    ];
    let gateways = ["[]", "[gw, mesh]", "[default/gw]", "[]"];
    let rule = [
        "route: [{destination: {host: s1, subset: v1}}]",
        "route: [{destination: {host: x.example.com}}]",
        "delegate: {name: v0, namespace: default}",
        "match: [{uri: {prefix: /a}, gateways: [mesh]}], route: [{destination: {host: s2}}]",
    ];
    let hosts = if name == 0 && a == 0 {
        "[]"
    } else {
        hosts[usize::from(a)]
    };
    let gateways = if name == 0 && a == 0 {
        "[]"
    } else {
        gateways[usize::from(b)]
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v{name}, namespace: {namespace}}}\nspec:\n  hosts: {hosts}\n  gateways: {gateways}\n  exportTo: [\"{}\"]\n  http: [{{{}}}]\n",
        if b == 0 { "." } else { "*" },
        rule[usize::from(a ^ b)],
    )
}

fn http_route(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let parent = match a {
        0 => "{name: gw}",
        1 => "{name: gw, namespace: default}",
        2 => "{group: '', kind: Service, name: s1}",
        _ => "{group: '', kind: Service, name: s1, namespace: default, port: 80}",
    };
    let host = ["", "x.example.com", "'*.example.com'", "y.example.com"][usize::from(b)];
    let backend = match b {
        0 => "{name: s1, port: 80}",
        1 => "{name: s2, port: 81}",
        _ => "{name: s1, namespace: default, port: 80}",
    };
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: h{name}, namespace: {namespace}, creationTimestamp: 2026-01-0{}T00:00:00Z}}\nspec:\n  parentRefs: [{parent}]\n  hostnames: [{host}]\n  rules: [{{backendRefs: [{backend}]}}]\n",
        1 + (a ^ b)
    )
}

fn gateway(namespace: &str, a: u8, b: u8) -> String {
    if a < 2 {
        let from = [
            "Same",
            "All",
            "Selector, selector: {matchLabels: {a: b}}",
            "All",
        ][usize::from(b)];
        return format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: {namespace}}}\nspec:\n  gatewayClassName: weft\n  listeners: [{{name: l, port: 80, protocol: HTTP, allowedRoutes: {{namespaces: {{from: {from}}}}}}}]\n"
        );
    }
    let host = ["'*'", "x.example.com", "./*", "'*.example.com'"][usize::from(b)];
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: {namespace}}}\nspec:\n  servers: [{{port: {{number: 80, name: h, protocol: HTTP}}, hosts: [{host}]}}]\n"
    )
}

fn grant(namespace: &str, a: u8, b: u8) -> String {
    let from = NAMESPACES[usize::from(a % 2)];
    let (referrer, to) = [
        ("HTTPRoute", "Service"),
        ("Gateway", "Secret"),
        ("TCPRoute", "Service"),
        ("HTTPRoute", "Service"),
    ][usize::from(b)];
    format!(
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: g{a}, namespace: {namespace}}}\nspec:\n  from: [{{group: gateway.networking.k8s.io, kind: {referrer}, namespace: {from}}}]\n  to: [{{group: '', kind: {to}}}]\n"
    )
}

fn workload_entry(namespace: &str, name: u8, a: u8, b: u8) -> String {
    let address = if a == 3 {
        "vm.example.com".into()
    } else {
        format!("10.1.0.{b}")
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: p{name}, namespace: {namespace}}}\nspec:\n  address: {address}\n  serviceAccount: sa{a}\n  labels: {{app: a{b}}}\n"
    )
}

fn rate_limit(namespace: &str, name: u8, a: u8, b: u8) -> String {
    format!(
        "apiVersion: weft.dev/v1alpha1\nkind: RateLimitPolicy\nmetadata: {{name: r{name}, namespace: {namespace}}}\nspec:\n  targetRefs: [{{kind: Service, name: s{a}}}]\n  connections: {{perSecond: {b}, concurrent: 5}}\n"
    )
}

fn mesh_config(a: u8, b: u8) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    trustDomain: td{a}\n    trustDomainAliases: [old{b}]\n"
    )
}

/// Puts a file's text, or removes the file.
type Edit = (usize, Option<Vec<String>>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let text = prop_oneof![8 => vec(document(), 0..8).prop_map(Some), 1 => Just(None)];
    vec((0..FILES.len(), text), 1..12)
}

fn settings() -> Settings {
    Settings::default()
}

/// What tells the object of a document from others.
fn identity(document: &str) -> (String, String, String) {
    let field = |name: &str| {
        let value = document.split_once(name).map_or("", |(_, rest)| rest);
        let end = value.find([',', '}', '\n']).unwrap_or(value.len());
        value[..end].to_owned()
    };
    let head: String = document.lines().take(2).collect();
    (head, field("namespace: "), field("name: "))
}

/// A debug text without the lines where objects stand.
fn lineless(text: &str) -> String {
    let mut parts = text.split("line: ");
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |text, part| {
        text + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

/// Statuses in an order of their own.
fn by_name<'s>(statuses: impl IntoIterator<Item = &'s ObjectStatus>) -> Vec<&'s ObjectStatus> {
    let mut statuses: Vec<_> = statuses.into_iter().collect();
    statuses.sort_by_key(|status| (status.kind, status.metadata.clone()));
    statuses
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn edits_one_by_one_mean_what_their_result_means(edits in edits()) {
        let mut store = Store::default();
        let mut compiler = Compiler::new(settings());
        let mut follower = Mesh::default();
        let mut statuses = BTreeMap::new();
        for (file, text) in edits {
            let outcome = match text {
                Some(documents) => store.put_file(FILES[file], &documents.join("---\n")),
                None => store.remove_file(FILES[file]),
            };
            let change = compiler.update(&store, &outcome.changed);
            follower.apply(&change);
            let mut whole = Compiler::new(settings());
            let keys: Vec<_> = store.keys().cloned().collect();
            whole.update(&store, &keys);
            prop_assert_eq!(compiler.mesh(), whole.mesh());
            prop_assert_eq!(compiler.problems(&store), whole.problems(&store));
            prop_assert_eq!(&follower, compiler.mesh(), "the change leaves something out");
            for (name, status) in change.statuses {
                match status {
                    Some(status) => drop(statuses.insert(name, status)),
                    None => drop(statuses.remove(&name)),
                }
            }
            let found: Vec<ObjectStatus> = compiler.gateway_status().cloned().collect();
            prop_assert_eq!(&found, &gateway_status(&store), "statuses");
            prop_assert_eq!(by_name(&found), by_name(statuses.values().map(|it: &Arc<_>| &**it)));
        }
    }

    #[test]
    fn the_order_of_files_never_matters(edits in edits()) {
        let mut texts = BTreeMap::new();
        for (file, documents) in edits {
            texts.insert(FILES[file], documents.unwrap_or_default().join("---\n"));
        }
        let compile = |order: &mut dyn Iterator<Item = (&&str, &String)>| {
            let mut store = Store::default();
            for (file, text) in order {
                store.put_file(file, text);
            }
            let keys: Vec<_> = store.keys().cloned().collect();
            let mut compiler = Compiler::new(settings());
            compiler.update(&store, &keys);
            let statuses: Vec<_> = compiler.gateway_status().cloned().collect();
            (compiler.mesh().clone(), compiler.problems(&store), statuses)
        };
        let forth = compile(&mut texts.iter());
        let back = compile(&mut texts.iter().rev());
        prop_assert_eq!(forth, back);
    }

    #[test]
    fn the_order_of_documents_changes_only_their_lines(documents in vec(document(), 0..16)) {
        // Of two documents for one object the first holds, so each object stands once.
        let mut once = BTreeMap::new();
        for document in documents.iter().filter(|document| !document.contains("torn")) {
            once.entry(identity(document)).or_insert(document.clone());
        }
        let compile = |documents: &mut dyn Iterator<Item = &String>| {
            let mut store = Store::default();
            let texts: Vec<&str> = documents.map(String::as_str).collect();
            store.put_file(FILES[0], &texts.join("---\n"));
            let keys: Vec<_> = store.keys().cloned().collect();
            let mut compiler = Compiler::new(settings());
            compiler.update(&store, &keys);
            let mesh = format!("{:?}", compiler.mesh());
            let mut problems: Vec<String> = compiler
                .problems(&store)
                .iter()
                .map(|it| format!("{:?} {} {} {} {}", it.severity, it.origin.kind, it.origin.name, it.path, it.message))
                .collect();
            problems.sort();
            let statuses: Vec<_> = compiler.gateway_status().cloned().collect();
            (lineless(&mesh), problems, statuses)
        };
        let forth = compile(&mut once.values());
        let back = compile(&mut once.values().rev());
        prop_assert_eq!(forth, back);
    }

    #[test]
    fn an_update_without_changes_changes_nothing(documents in vec(document(), 0..12)) {
        let mut store = Store::default();
        let text = documents.join("---\n");
        store.put_file(FILES[0], &text);
        let keys: Vec<_> = store.keys().cloned().collect();
        let mut compiler = Compiler::new(settings());
        compiler.update(&store, &keys);
        prop_assert!(store.put_file(FILES[0], &text).changed.is_empty());
        prop_assert!(compiler.update(&store, &keys).is_empty());
    }

    #[test]
    fn an_object_that_is_refused_hurts_no_other(
        documents in vec(document(), 0..12),
        refused in prop::sample::select(&REFUSED[..]),
        namespace in prop::sample::select(&NAMESPACES[..]),
    ) {
        let (version, kind) = refused;
        let bad = format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: bad, namespace: {namespace}}}\nspec: 7\n"
        );
        let compile = |bad: Option<&String>| {
            let mut store = Store::default();
            let texts: Vec<&str> = documents.iter().chain(bad).map(String::as_str).collect();
            store.put_file(FILES[0], &texts.join("---\n"));
            let keys: Vec<_> = store.keys().cloned().collect();
            let mut compiler = Compiler::new(settings());
            compiler.update(&store, &keys);
            let (of_bad, others): (Vec<_>, Vec<_>) = compiler
                .problems(&store)
                .into_iter()
                .partition(|it| &*it.origin.name == "bad");
            let statuses: Vec<_> = compiler.gateway_status().cloned().collect();
            (of_bad.len(), (compiler.mesh().clone(), others, statuses))
        };
        let (reported, with) = compile(Some(&bad));
        prop_assert!(reported > 0, "{} is refused in silence", kind);
        prop_assert_eq!(with, compile(None).1);
    }

    #[test]
    fn mutilated_resources_never_panic(
        documents in vec(document(), 1..6),
        wounds in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), ".{0,4}"), 0..6),
    ) {
        let mut text: Vec<char> = documents.join("---\n").chars().collect();
        for (from, length, graft) in wounds {
            let from = from.index(text.len() + 1);
            let to = (from + length.index(12)).min(text.len());
            text.splice(from..to, graft.chars());
        }
        let text: String = text.into_iter().collect();
        let mut store = Store::default();
        let outcome = store.put_file(FILES[0], &text);
        let mut compiler = Compiler::new(settings());
        compiler.update(&store, &outcome.changed);
        compiler.problems(&store);
    }
}
