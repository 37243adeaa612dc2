//! Holds a value against a schema.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Field, Pattern, Schema, Shape, Unique};
use crate::{Severity, decode::Reading, fields, path::At};

impl Reading<'_> {
    /// Reads the field `at` of `object`, an absent one as `{}`: checks it and fills in defaults.
    pub(crate) fn conform<T: DeserializeOwned>(
        &mut self,
        object: &Value,
        at: &'static str,
        schema: &Schema,
    ) -> Option<T> {
        if let Some(walked) = &mut self.walked {
            fields::of_schema(schema, at, walked);
            return None;
        }
        let mut value = match object.get(at) {
            Some(value) if !value.is_null() => value.clone(),
            _ => Value::Object(Map::new()),
        };
        let at = At::top(at);
        if !schema.check(&mut value, at, self) {
            return None;
        }
        serde_path_to_error::deserialize(value)
            .map_err(|error| self.reject(at, error))
            .ok()
    }
}

impl Schema {
    /// Whether the value fits; what does not is reported.
    fn check(&self, value: &mut Value, at: At<'_>, cx: &mut Reading<'_>) -> bool {
        let has_structure = match self.shape {
            Shape::Object(fields) => match value.as_object_mut() {
                Some(object) => fields_fit(fields, object, at, cx),
                None => wrong_type("object", value, at, cx),
            },
            Shape::Map { max, value: schema } => match value.as_object_mut() {
                Some(object) => map_fits(max, schema, object, at, cx),
                None => wrong_type("object", value, at, cx),
            },
            Shape::List {
                min,
                max,
                unique,
                item,
            } => match value.as_array_mut() {
                Some(items) => {
                    count_fits(items.len(), min, max, at, cx)
                        & items_fit(item, items, at, cx)
                        & none_is_twice(unique, items, at, cx)
                }
                None => wrong_type("array", value, at, cx),
            },
            Shape::Text {
                min,
                max,
                pattern,
                one_of,
            } => match value.as_str() {
                Some(text) => {
                    length_fits(text, min, max, at, cx)
                        && pattern_fits(text, pattern, at, cx)
                        && is_one_of(text, one_of, at, cx)
                }
                None => wrong_type("string", value, at, cx),
            },
            Shape::Integer { min, max, one_of } => match whole_number(value) {
                Some(number) => {
                    *value = number.into();
                    number_fits(number, min, max, one_of, at, cx)
                }
                None => wrong_type("integer", value, at, cx),
            },
            Shape::Boolean => value.is_boolean() || wrong_type("boolean", value, at, cx),
        };
        has_structure && self.rules_hold(value, at, cx)
    }

    fn rules_hold(&self, value: &Value, at: At<'_>, cx: &mut Reading<'_>) -> bool {
        let mut hold = true;
        for rule in self.rules {
            if !(rule.holds)(value) {
                hold = refuse(at, rule.message, cx);
            }
        }
        hold
    }
}

fn refuse(at: At<'_>, message: impl std::fmt::Display, cx: &mut Reading<'_>) -> bool {
    cx.reject(at, message);
    false
}

fn wrong_type(expected: &str, value: &Value, at: At<'_>, cx: &mut Reading<'_>) -> bool {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    refuse(
        at,
        format_args!("must be of type {expected}, is {found}"),
        cx,
    )
}

/// Like the API server, which takes 1.0 for 1.
fn whole_number(value: &Value) -> Option<i64> {
    let of_float = || {
        let float = value.as_f64().filter(|float| float.fract() == 0.0)?;
        format!("{float:.0}").parse().ok()
    };
    value.as_i64().or_else(of_float)
}

fn fields_fit(
    fields: &[Field],
    object: &mut Map<String, Value>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> bool {
    object.retain(|key, value| {
        let is_known = fields.iter().any(|field| field.name == key);
        if !is_known {
            let path = at.key(key).into();
            cx.find(Severity::Warning, "unknown-field", path, "no such field");
        }
        is_known && !value.is_null()
    });
    let mut fit = true;
    for field in fields {
        if let Some(default) = field.schema.default
            && !object.contains_key(field.name)
        {
            let default = serde_json::from_str(default).expect("a test reads every default");
            object.insert(field.name.to_owned(), default);
        }
        let at = at.key(field.name);
        match object.get_mut(field.name) {
            Some(value) => fit &= field.schema.check(value, at, cx),
            None if field.is_required => fit &= refuse(at, "Required value", cx),
            None => {}
        }
    }
    fit
}

fn map_fits(
    max: Option<usize>,
    schema: &Schema,
    object: &mut Map<String, Value>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> bool {
    let mut fit = max.is_none_or(|max| object.len() <= max);
    if !fit {
        let max = max.unwrap_or_default();
        let count = object.len();
        refuse(
            at,
            format_args!("Too many: {count}: must have at most {max} items"),
            cx,
        );
    }
    for (key, value) in object.iter_mut() {
        fit &= schema.check(value, at.key(key), cx);
    }
    fit
}

fn count_fits(
    count: usize,
    min: usize,
    max: Option<usize>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> bool {
    if count < min {
        return refuse(
            at,
            format_args!("should have at least {min} items, has {count}"),
            cx,
        );
    }
    match max {
        Some(max) if count > max => refuse(
            at,
            format_args!("Too many: {count}: must have at most {max} items"),
            cx,
        ),
        _ => true,
    }
}

fn items_fit(schema: &Schema, items: &mut [Value], at: At<'_>, cx: &mut Reading<'_>) -> bool {
    let mut fit = true;
    for (index, item) in items.iter_mut().enumerate() {
        fit &= schema.check(item, at.index(index), cx);
    }
    fit
}

fn none_is_twice(unique: Unique, items: &[Value], at: At<'_>, cx: &mut Reading<'_>) -> bool {
    let key = |item| match unique {
        Unique::Nothing => None,
        Unique::Items => Some(item),
        Unique::By(key) => Value::get(item, key),
    };
    let mut fit = true;
    for (index, item) in items.iter().enumerate() {
        let Some(value) = key(item) else { continue };
        if items[..index].iter().any(|other| key(other) == Some(value)) {
            fit = refuse(
                at.index(index),
                format_args!("Duplicate value: {value}"),
                cx,
            );
        }
    }
    fit
}

fn length_fits(
    text: &str,
    min: usize,
    max: Option<usize>,
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> bool {
    let length = text.chars().count();
    if length < min {
        return refuse(
            at,
            format_args!("should be at least {min} chars long, has {length}"),
            cx,
        );
    }
    match max {
        Some(max) if length > max => refuse(
            at,
            format_args!("Too long: may not be more than {max} characters, has {length}"),
            cx,
        ),
        _ => true,
    }
}

fn pattern_fits(text: &str, pattern: Option<Pattern>, at: At<'_>, cx: &mut Reading<'_>) -> bool {
    match pattern {
        Some(pattern) if !(pattern.fits)(text) => refuse(
            at,
            format_args!("{text:?} should match '{}'", pattern.text),
            cx,
        ),
        _ => true,
    }
}

fn is_one_of(text: &str, known: &[&str], at: At<'_>, cx: &mut Reading<'_>) -> bool {
    if known.is_empty() || known.contains(&text) {
        return true;
    }
    let known: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
    let known = known.join(", ");
    refuse(
        at,
        format_args!("Unsupported value: {text:?}: supported values: {known}"),
        cx,
    )
}

fn number_fits(
    number: i64,
    min: Option<i64>,
    max: Option<i64>,
    one_of: &[i64],
    at: At<'_>,
    cx: &mut Reading<'_>,
) -> bool {
    match (min, max) {
        (Some(min), _) if number < min => refuse(
            at,
            format_args!("{number} should be greater than or equal to {min}"),
            cx,
        ),
        (_, Some(max)) if number > max => refuse(
            at,
            format_args!("{number} should be less than or equal to {max}"),
            cx,
        ),
        _ if !one_of.is_empty() && !one_of.contains(&number) => {
            let known: Vec<String> = one_of.iter().map(i64::to_string).collect();
            let known = known.join(", ");
            refuse(
                at,
                format_args!("Unsupported value: {number}: supported values: {known}"),
                cx,
            )
        }
        _ => true,
    }
}
