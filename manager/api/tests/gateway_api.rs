//! Verdicts on Gateway API objects: each of the published rules refuses what it is for, with the
//! message users know from the API server.

#[path = "gateway_api/refused.rs"]
mod refused;

use refused::REFUSED;
use weft_api::{Kind, Resource, Severity, Store};

fn errors(text: &str) -> Vec<String> {
    let mut store = Store::default();
    store.put_file("f.yaml", text);
    let errors = store.problems().filter(|p| p.severity == Severity::Error);
    errors
        .map(|problem| format!("{}: {}", problem.path, problem.message))
        .collect()
}

fn object(kind: &str, version: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\n\
         metadata: {{name: x, namespace: shop}}\nspec: {spec}\n"
    )
}

#[test]
fn each_published_rule_refuses_what_it_is_for() {
    for (kind, spec, path, message) in REFUSED {
        let errors = errors(&object(kind, "v1", spec));
        let is_it = |error: &String| {
            let (at, text) = error.split_once(": ").unwrap();
            at == *path && text.contains(message)
        };
        assert!(
            errors.iter().any(is_it),
            "{kind} {spec}\n{path}: {message}\nfound {errors:#?}"
        );
    }
}

#[test]
fn too_many_matches_in_all_rules_are_refused() {
    let matches = vec!["{path: {value: /a}}"; 64].join(", ");
    let rule = format!("{{matches: [{matches}]}}");
    let route = |rules: &[&str]| {
        object(
            "HTTPRoute",
            "v1",
            &format!("{{rules: [{}]}}", rules.join(", ")),
        )
    };
    assert_eq!(errors(&route(&[&rule, &rule])), Vec::<String>::new());
    let found = errors(&route(&[&rule, &rule, "{}"]));
    assert!(
        found[0].contains(
            "the total number of matches across all rules in a route must be less than 128"
        ),
        "{found:?}"
    );
}

#[test]
fn defaults_are_those_of_the_api_server() {
    let mut store = Store::default();
    store.put_file("f.yaml", &object("HTTPRoute", "v1beta1", "{parentRefs: [{name: g}], rules: [{backendRefs: [{name: a, port: 80}]}, {matches: [{method: GET}]}]}"));
    let route = store.objects(Kind::HttpRoute).next().unwrap();
    let Resource::HttpRoute(route) = &route.resource else {
        panic!("{route:?}")
    };
    assert_eq!(&*route.parents[0].group, "gateway.networking.k8s.io");
    assert_eq!(&*route.parents[0].kind, "Gateway");
    for rule in &route.rules {
        assert_eq!(&*rule.matches[0].path.value, "/");
    }
    let backend = &route.rules[0].backends[0].reference;
    assert_eq!((&*backend.kind, backend.weight), ("Service", 1));
    store.put_file("f.yaml", &object("HTTPRoute", "v1", "{}"));
    let route = store.objects(Kind::HttpRoute).next().unwrap();
    let Resource::HttpRoute(route) = &route.resource else {
        panic!("{route:?}")
    };
    assert_eq!(route.rules.len(), 1);
}

#[test]
fn alpha_routes_may_have_more_rules_and_no_hostnames() {
    let rules = "rules: [{backendRefs: [{name: a, port: 1}]}, {backendRefs: [{name: a, port: 1}]}]";
    for kind in ["TCPRoute", "UDPRoute", "TLSRoute"] {
        let text = object(kind, "v1alpha2", &format!("{{{rules}}}"));
        assert_eq!(errors(&text), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn unknown_fields_are_dropped_and_reported() {
    let mut store = Store::default();
    let spec = "{rules: [{backendRefs: [{name: a, port: 80, wieght: 3}]}]}";
    store.put_file("f.yaml", &object("HTTPRoute", "v1", spec));
    let problems: Vec<String> = store.problems().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("spec.rules[0].backendRefs[0].wieght: no such field"));
    assert!(store.objects(Kind::HttpRoute).next().is_some());
}

#[test]
fn whole_floats_are_integers_and_nulls_are_absent() {
    let spec = "{parentRefs: null, rules: [{backendRefs: [{name: a, port: 80.0, weight: null}]}]}";
    assert_eq!(
        errors(&object("HTTPRoute", "v1", spec)),
        Vec::<String>::new()
    );
}
