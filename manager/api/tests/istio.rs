//! Claims about Istio's kinds: for each rule what is taken, what is refused, and in which words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "istio/core.rs"]
mod core;
#[path = "istio/destination_rule.rs"]
mod destination_rule;
#[path = "istio/gateway.rs"]
mod gateway;
#[path = "istio/others.rs"]
mod others;
#[path = "istio/request_rules.rs"]
mod request_rules;
#[path = "istio/verdicts.rs"]
mod verdicts;
#[path = "istio/virtual_service.rs"]
mod virtual_service;

use weft_api::{Problem, Resource, Severity, Store};

/// What is said of an object.
fn problems(api_version: &str, kind: &str, spec: &str) -> Vec<Problem> {
    let text = format!(
        "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: a, namespace: n}}, spec: {{{spec}}}}}"
    );
    let mut store = Store::default();
    store.put_file("a.yaml", &text);
    store.problems().cloned().collect()
}

/// The object, which must be taken.
fn taken(api_version: &str, kind: &str, spec: &str) -> Resource {
    let text = format!(
        "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: a, namespace: n}}, spec: {{{spec}}}}}"
    );
    let mut store = Store::default();
    store.put_file("a.yaml", &text);
    let key = store.keys().next();
    let problems: Vec<_> = store.problems().collect();
    let object = store
        .object(key.unwrap_or_else(|| panic!("{problems:?}")))
        .unwrap();
    object.resource.clone()
}

/// Checks each (spec, part of the error): an empty part means that the object is taken.
fn table(api_version: &str, kind: &str, rows: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (spec, expected) in rows {
        let found = problems(api_version, kind, spec);
        let errors: Vec<_> = found
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect();
        let fits = match *expected {
            "" => errors.is_empty(),
            part => errors.iter().any(|error| error.contains(part)),
        };
        if !fits {
            wrong.push(format!(
                "{spec}\n  expected {expected:?}\n  found {errors:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As [`table`], for warnings of objects that are taken.
fn warnings(api_version: &str, kind: &str, rows: &[(&str, &str)]) {
    for (spec, expected) in rows {
        let found = problems(api_version, kind, spec);
        assert!(
            found
                .iter()
                .all(|problem| problem.severity != Severity::Error),
            "{spec}: {found:?}"
        );
        assert!(
            found
                .iter()
                .any(|problem| problem.to_string().contains(expected)),
            "{spec}: {found:?}"
        );
    }
}
