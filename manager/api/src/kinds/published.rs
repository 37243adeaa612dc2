//! The readers of Istio's kinds against the published CustomResourceDefinitions: every field is
//! known, every value of an enum is taken, and what is not published is reported. The definitions
//! are no part of the project: the test runs where a folder beside the checkout has them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{Problem, Store, yaml};

fn definitions() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let beside = fs::read_dir(checkout).ok()?.filter_map(Result::ok);
    beside
        .map(|entry| entry.path().join("crds/istio.yaml"))
        .find(|file| file.exists())
}

/// One version of a kind.
struct Published {
    kind: String,
    api_version: String,
    spec: Value,
}

fn published(file: &Path) -> Vec<Published> {
    let text = fs::read_to_string(file).unwrap();
    let mut versions = Vec::new();
    for definition in text.split("\napiVersion:").skip(1) {
        let definition = format!("apiVersion:{definition}");
        let document = yaml::documents(&definition).next().unwrap();
        let definition = document.parse().unwrap();
        let group = definition["spec"]["group"].as_str().unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let name = version["name"].as_str().unwrap();
            versions.push(Published {
                kind: kind.to_owned(),
                api_version: format!("{group}/{name}"),
                spec: version["schema"]["openAPIV3Schema"]["properties"]["spec"].clone(),
            });
        }
    }
    versions
}

/// Puts a value where a field is, given the value of the field.
type Wrap<'a> = &'a dyn Fn(Value) -> Value;

/// Visits every field: its path, its schema, and what makes a spec of a value for it.
fn walk(schema: &Value, path: &str, wrap: Wrap<'_>, visit: &mut dyn FnMut(&str, &Value, Wrap<'_>)) {
    visit(path, schema, wrap);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let inner = |value: Value| wrap(json!({ name: value }));
        walk(field, &format!("{path}.{name}"), &inner, visit);
    }
    if schema["items"].is_object() {
        let inner = |value: Value| wrap(json!([value]));
        walk(&schema["items"], &format!("{path}[0]"), &inner, visit);
    }
    if schema["additionalProperties"].is_object() {
        let key = "8080";
        let inner = |value: Value| wrap(json!({ key: value }));
        walk(
            &schema["additionalProperties"],
            &format!("{path}.{key}"),
            &inner,
            visit,
        );
    }
}

/// A value that has the right type.
fn sample(schema: &Value) -> Value {
    let rules = schema["x-kubernetes-validations"].to_string();
    match schema["type"].as_str() {
        Some("object") => json!({}),
        Some("array") => json!([]),
        Some("boolean") => json!(true),
        Some("integer") => schema["minimum"]
            .as_i64()
            .filter(|least| *least > 1)
            .map_or(json!(1), |least| json!(least)),
        Some("number") => json!(1.5),
        _ if schema["enum"].is_array() => schema["enum"][0].clone(),
        _ if rules.contains("duration(") => json!("5s"),
        _ if schema["format"] == "byte" => json!("aGk="),
        _ => json!("1s"),
    }
}

fn problems(version: &Published, spec: &Value) -> Vec<Problem> {
    let object = json!({
        "apiVersion": version.api_version, "kind": version.kind,
        "metadata": {"name": "a"}, "spec": spec,
    });
    let mut store = Store::default();
    store.put_file("a.json", &object.to_string());
    store.problems().cloned().collect()
}

/// Kinds that are recognised, but not read.
const NOT_READ: [&str; 3] = ["Sidecar", "EnvoyFilter", "ProxyConfig"];

#[test]
fn every_published_field_and_value_is_known() {
    let Some(file) = definitions() else {
        eprintln!("skipped: no folder beside the checkout has crds/istio.yaml");
        return;
    };
    let (mut fields, mut wrong) = (0, Vec::new());
    for version in published(&file) {
        let read = !NOT_READ.contains(&version.kind.as_str());
        let mut visit = |path: &str, schema: &Value, wrap: Wrap<'_>| {
            fields += 1;
            let values = match schema["enum"].as_array() {
                Some(values) => values.clone(),
                None => vec![sample(schema)],
            };
            for value in values {
                for problem in problems(&version, &wrap(value.clone())) {
                    let is_type = problem.message.contains("invalid type")
                        || problem.message.contains("unknown variant")
                        || problem.message.contains("is not known");
                    if problem.code.starts_with("unknown") || is_type {
                        wrong.push(format!("{} {path} {value}: {problem}", version.kind));
                    }
                }
            }
            if !read {
                return;
            }
            if schema["enum"].is_array() {
                let found = problems(&version, &wrap(json!("NOT_PUBLISHED")));
                if !found
                    .iter()
                    .any(|problem| problem.severity == crate::Severity::Error)
                {
                    wrong.push(format!("{} {path}: takes any value", version.kind));
                }
            }
            if schema["properties"].is_object() {
                let found = problems(&version, &wrap(json!({"notPublished": 1})));
                let is_said = found
                    .iter()
                    .any(|problem| problem.path.ends_with("notPublished"));
                if !is_said {
                    wrong.push(format!(
                        "{} {path}: takes any field: {found:?}",
                        version.kind
                    ));
                }
            }
        };
        walk(&version.spec, "spec", &|value| value, &mut visit);
    }
    assert!(fields > 2000, "only {fields} fields were found");
    assert!(
        wrong.is_empty(),
        "{} of {fields}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
