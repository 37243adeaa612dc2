//! The schemas here against the published CustomResourceDefinitions, field by field. The definitions
//! are no part of the project: the test runs where a folder beside the checkout has them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{backend_tls_policy, gateway, grpc_route, http_route, small, stream_route};
use crate::{
    schema::{Field, Schema, Shape, Unique},
    yaml,
};

fn definitions() -> Option<PathBuf> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let beside = fs::read_dir(checkout).ok()?.filter_map(Result::ok);
    beside
        .map(|entry| entry.path().join("crds/gateway-api-experimental.yaml"))
        .find(|file| file.exists())
}

/// `spec` of each served version, by kind and version.
fn published(file: &Path) -> Vec<(String, String, Value)> {
    let text = fs::read_to_string(file).unwrap();
    let mut specs = Vec::new();
    for definition in text.split("\napiVersion:").skip(1) {
        let definition = format!("apiVersion:{definition}");
        let document = yaml::documents(&definition).next().unwrap();
        let definition = document.parse().unwrap();
        if definition["kind"] != "CustomResourceDefinition" {
            continue;
        }
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let name = version["name"].as_str().unwrap();
            let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            specs.push((kind.to_owned(), name.to_owned(), spec.clone()));
        }
    }
    specs
}

fn ours(kind: &str, version: &str) -> Option<&'static Schema> {
    let is_alpha = version == "v1alpha2";
    Some(match kind {
        "GatewayClass" => &small::GATEWAY_CLASS,
        "Gateway" => &gateway::SPEC,
        "HTTPRoute" => &http_route::SPEC,
        "GRPCRoute" => &grpc_route::SPEC,
        "TCPRoute" | "UDPRoute" if is_alpha => &stream_route::ALPHA_SPEC,
        "TCPRoute" | "UDPRoute" => &stream_route::SPEC,
        "TLSRoute" if is_alpha => &stream_route::TLS_ALPHA_SPEC,
        "TLSRoute" => &stream_route::TLS_SPEC,
        "ReferenceGrant" => &small::REFERENCE_GRANT,
        "BackendTLSPolicy" => &backend_tls_policy::SPEC,
        _ => return None,
    })
}

#[test]
fn schemas_say_what_the_published_definitions_say() {
    let Some(file) = definitions() else {
        eprintln!("skipped: no folder beside the checkout has crds/gateway-api-experimental.yaml");
        return;
    };
    let mut compared = 0;
    let mut differences = Vec::new();
    for (kind, version, spec) in published(&file) {
        let Some(schema) = ours(&kind, &version) else {
            continue;
        };
        compared += 1;
        compare(
            schema,
            &spec,
            &format!("{kind} {version}"),
            &mut differences,
        );
    }
    assert!(compared >= 15, "only {compared} definitions were found");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn compare(schema: &Schema, spec: &Value, path: &str, out: &mut Vec<String>) {
    let mut differ = |what: &str, here: Value, there: &Value| {
        if here != *there {
            out.push(format!("{path}: {what}: here {here}, published {there}"));
        }
    };
    let default = schema
        .default
        .map(|json| serde_json::from_str(json).unwrap());
    differ("default", default.unwrap_or_default(), &spec["default"]);
    let limit = |limit: Option<usize>| limit.map_or(Value::Null, Value::from);
    // A limit of 0 from below says nothing; some are written, some are not.
    let least = |min: usize, there: &Value| {
        if min == 0 && *there == 0 {
            there.clone()
        } else {
            limit((min > 0).then_some(min))
        }
    };
    match schema.shape {
        Shape::Object(_) => differ("type", "object".into(), &spec["type"]),
        Shape::Map { max, .. } => {
            differ("type", "object".into(), &spec["type"]);
            differ("maxProperties", limit(max), &spec["maxProperties"]);
        }
        Shape::List {
            min, max, unique, ..
        } => {
            differ("type", "array".into(), &spec["type"]);
            differ("minItems", least(min, &spec["minItems"]), &spec["minItems"]);
            differ("maxItems", limit(max), &spec["maxItems"]);
            let (kind, keys) = match unique {
                Unique::Nothing => ("atomic", Value::Null),
                Unique::Items => ("set", Value::Null),
                Unique::By(key) => ("map", vec![key].into()),
            };
            differ("list type", kind.into(), &spec["x-kubernetes-list-type"]);
            differ("list keys", keys, &spec["x-kubernetes-list-map-keys"]);
        }
        Shape::Text {
            min,
            max,
            pattern,
            one_of,
        } => {
            differ("type", "string".into(), &spec["type"]);
            differ(
                "minLength",
                least(min, &spec["minLength"]),
                &spec["minLength"],
            );
            differ("maxLength", limit(max), &spec["maxLength"]);
            let pattern = pattern.map_or(Value::Null, |pattern| pattern.text.into());
            differ("pattern", pattern, &spec["pattern"]);
            let one_of = if one_of.is_empty() {
                Value::Null
            } else {
                one_of.into()
            };
            differ("enum", one_of, &spec["enum"]);
        }
        Shape::Integer { min, max, one_of } => {
            differ("type", "integer".into(), &spec["type"]);
            let number = |number: Option<i64>| number.map_or(Value::Null, Value::from);
            differ("minimum", number(min), &spec["minimum"]);
            differ("maximum", number(max), &spec["maximum"]);
            let one_of = if one_of.is_empty() {
                Value::Null
            } else {
                one_of.into()
            };
            differ("enum", one_of, &spec["enum"]);
        }
        Shape::Boolean => differ("type", "boolean".into(), &spec["type"]),
    }
    compare_rules(schema, spec, path, out);
    match schema.shape {
        Shape::Object(fields) => compare_fields(fields, spec, path, out),
        Shape::Map { value, .. } => {
            compare(
                value,
                &spec["additionalProperties"],
                &format!("{path}.*"),
                out,
            );
        }
        Shape::List { item, .. } => compare(item, &spec["items"], &format!("{path}[]"), out),
        _ => {}
    }
}

fn compare_rules(schema: &Schema, spec: &Value, path: &str, out: &mut Vec<String>) {
    let here: BTreeSet<&str> = schema.rules.iter().map(|rule| rule.message).collect();
    let rules = spec["x-kubernetes-validations"].as_array();
    let there: BTreeSet<&str> = rules
        .into_iter()
        .flatten()
        .map(|rule| rule["message"].as_str().unwrap())
        // It compares with the object before: only the API server has that.
        .filter(|message| *message != "field is immutable")
        .collect();
    if here != there {
        out.push(format!(
            "{path}: rules: here {here:#?}, published {there:#?}"
        ));
    }
}

fn compare_fields(fields: &[Field], spec: &Value, path: &str, out: &mut Vec<String>) {
    let empty = serde_json::Map::new();
    let properties = spec["properties"].as_object().unwrap_or(&empty);
    let here: BTreeSet<&str> = fields.iter().map(|field| field.name).collect();
    let there: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
    if here != there {
        out.push(format!(
            "{path}: fields: here {here:?}, published {there:?}"
        ));
    }
    let required = spec["required"].as_array();
    for field in fields {
        let path = format!("{path}.{}", field.name);
        let is_required = required.is_some_and(|required| required.contains(&field.name.into()));
        if is_required != field.is_required {
            out.push(format!("{path}: required: published {is_required}"));
        }
        if let Some(property) = properties.get(field.name) {
            compare(&field.schema, property, &path, out);
        }
    }
}
