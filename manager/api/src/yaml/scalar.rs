//! Scalars by the core schema (YAML 1.2.2, 10.3.2).

use std::borrow::Cow;

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// Local tags that name a choice.
const CHOICES: [&str; 3] = ["Exact", "Prefix", "Suffix"];

/// The value a scalar stands for.
pub(super) fn resolve(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<Value, String> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => Ok(Value::String(text.into_owned())),
            "null" | "bool" | "int" | "float" => plain(text),
            other => Err(format!("tag !!{other} is not supported")),
        },
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => {
            Ok(Value::String(text.into_owned()))
        }
        // How Rust's YAML writes a choice with one value, in files that ztunnel reads.
        Some(tag) if tag.handle == "!" && CHOICES.contains(&tag.suffix.as_str()) => {
            let choice = [(tag.suffix.clone(), Value::String(text.into_owned()))];
            Ok(Value::Object(choice.into_iter().collect()))
        }
        Some(tag) => Err(format!("tag {tag} is not supported")),
        None if style == ScalarStyle::Plain => plain(text),
        None => Ok(Value::String(text.into_owned())),
    }
}

/// The value of an unquoted scalar.
pub(super) fn plain(text: Cow<'_, str>) -> Result<Value, String> {
    let Some(first) = text.bytes().next() else {
        return Ok(Value::Null);
    };
    let value = match first {
        b'~' | b'n' | b'N' => match text.as_ref() {
            "~" | "null" | "Null" | "NULL" => Some(Value::Null),
            _ => None,
        },
        b't' | b'T' | b'f' | b'F' => match text.as_ref() {
            "true" | "True" | "TRUE" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" => Some(Value::Bool(false)),
            _ => None,
        },
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(&text)?,
        _ => None,
    };
    Ok(value.unwrap_or_else(|| Value::String(text.into_owned())))
}

fn number(text: &str) -> Result<Option<Value>, String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is not a number a resource can hold"));
    }
    let radix = text.strip_prefix("0x").map(|digits| (digits, 16));
    if let Some((digits, radix)) = radix.or(text.strip_prefix("0o").map(|digits| (digits, 8))) {
        let digits = digits.strip_prefix('+').map_or(digits, |_| "");
        return Ok(u64::from_str_radix(digits, radix).ok().map(Value::from));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let whole = text.parse::<u64>().map(Value::from);
        if let Ok(value) = whole.or_else(|_| text.parse::<i64>().map(Value::from)) {
            return Ok(Some(value));
        }
    }
    if !is_float(unsigned) {
        return Ok(None);
    }
    let float = text.parse().ok().and_then(Number::from_f64);
    float
        .map(|float| Some(Value::Number(float)))
        .ok_or_else(|| format!("{text} is out of range"))
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && is_digits(digits)
    });
    !(whole.is_empty() && fraction.is_empty())
        && is_digits(whole)
        && is_digits(fraction)
        && exponent_fits
}
