//! Objects that set one field.

use serde_json::{Value, json};

use super::Found;
use crate::path::{FieldPath, Segment};

/// An object of an envelope that sets one field, and nothing that it need not.
pub(super) fn object(envelope: &Value, field: &Found) -> Value {
    let mut object = envelope.clone();
    put(&mut object, &field.path, value(&field.shape));
    object
}

/// A value that has a type.
fn value(shape: &str) -> Value {
    if let Some(variants) = shape.strip_prefix("one of ") {
        let last = variants.rsplit(", ").next().unwrap_or_default();
        return last
            .parse::<i64>()
            .map_or(json!(last), |number| json!(number));
    }
    match shape {
        "boolean" => json!(true),
        "integer" | "number" => json!(1),
        "list" => json!([]),
        "object" | "map" | "any" => json!({}),
        _ => json!("1s"),
    }
}

fn put(object: &mut Value, path: &str, value: Value) {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let (key, is_list) = match step.strip_suffix("[]") {
        Some(key) => (key, true),
        None => (step, false),
    };
    let key = if key == "*" { "8080" } else { key };
    if !object.is_object() {
        *object = json!({});
    }
    let place = &mut object[key];
    match (rest, is_list) {
        (None, false) => *place = value,
        (None, true) => *place = json!([value]),
        (Some(rest), false) => put(place, rest, value),
        (Some(rest), true) => {
            let mut item = json!({});
            put(&mut item, rest, value);
            *place = json!([item]);
        }
    }
}

/// The path of a finding as fields have it.
pub(super) fn pattern(path: &FieldPath) -> String {
    let mut text = String::new();
    for segment in &path.0 {
        match segment {
            Segment::Index(_) => text += "[]",
            Segment::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text += if &**key == "8080" { "*" } else { key };
            }
        }
    }
    text
}
