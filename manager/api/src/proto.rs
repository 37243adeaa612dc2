//! Values as Istio's messages write them in JSON, checked while they are read.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use crate::{Labels, syntax};

/// How a text must be (`StringMatch` of istio/api).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(try_from = "WrittenMatch")]
pub enum StringMatch {
    /// `{}`: it is there, whatever it is.
    #[default]
    Present,
    /// Equal.
    Exact(Arc<str>),
    /// Begins so.
    Prefix(Arc<str>),
    /// The whole text matches a regular expression in RE2's syntax.
    Regex(Arc<str>),
}

#[derive(Deserialize)]
struct WrittenMatch {
    exact: Option<Arc<str>>,
    prefix: Option<Arc<str>>,
    regex: Option<Arc<str>>,
}

impl TryFrom<WrittenMatch> for StringMatch {
    type Error = &'static str;

    fn try_from(written: WrittenMatch) -> Result<Self, Self::Error> {
        match (written.exact, written.prefix, written.regex) {
            (None, None, None) => Ok(Self::Present),
            (Some(text), None, None) => Ok(Self::Exact(text)),
            (None, Some(text), None) => Ok(Self::Prefix(text)),
            (None, None, Some(text)) => Ok(Self::Regex(text)),
            _ => Err("only one of exact, prefix and regex may be set"),
        }
    }
}

/// A share of requests or connections (`Percent` of istio/api), to four digits after the point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Percent {
    millionths: i64,
}

impl Percent {
    /// All of them.
    pub const ALL: Self = Self {
        millionths: 1_000_000,
    };

    /// From a whole number of percent.
    pub fn whole(percent: u32) -> Self {
        Self {
            millionths: i64::from(percent) * 10_000,
        }
    }

    fn of(percent: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is too large saturates"
        )]
        let millionths = (percent * 10_000.0).round() as i64;
        Self { millionths }
    }

    /// How many of a million, 0 to 1,000,000.
    pub fn millionths(self) -> u32 {
        u32::try_from(self.millionths.clamp(0, 1_000_000)).unwrap_or(0)
    }

    /// Whether it is at least 0 and at most 100 percent, and otherwise on which side it is not.
    pub(crate) fn excess(self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        (!(0..=1_000_000).contains(&self.millionths)).then(|| self.millionths as f64 / 10_000.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            #[serde(default)]
            value: f64,
        }
        Ok(Self::of(Written::deserialize(deserializer)?.value))
    }
}

/// A port of a service (`PortSelector` of istio/api).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PortSelector {
    /// `number`, 1 to 65535.
    pub number: u32,
}

/// A duration of at least a millisecond.
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let duration = duration_or_zero(from)?;
    match duration {
        Some(duration) if duration < Duration::from_millis(1) => Err(D::Error::custom(
            "must be a valid duration greater than 1ms",
        )),
        duration => Ok(duration),
    }
}

/// A duration that may be 0.
pub(crate) fn duration_or_zero<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    match syntax::duration(&text) {
        Some(duration) => Ok(Some(duration)),
        None => Err(D::Error::custom(format_args!(
            "{text:?} is not a duration; write 1h, 1m, 1s or 1ms"
        ))),
    }
}

/// A share as a plain number, 0 to 100.
pub(crate) fn percent_number<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Percent>, D::Error> {
    let Some(value) = Option::<f64>::deserialize(from)? else {
        return Ok(None);
    };
    if (0.0..=100.0).contains(&value) {
        Ok(Some(Percent::of(value)))
    } else {
        let message = format_args!("percentage {value} is not in range [0.0, 100.0]");
        Err(D::Error::custom(message))
    }
}

/// A share's weight.
pub(crate) fn weight<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let weight = i32::deserialize(from)?;
    match u32::try_from(weight) {
        Ok(weight) => Ok(weight),
        Err(_) => Err(D::Error::custom(format_args!("weight {weight} < 0"))),
    }
}

/// Labels, as a selector or of a workload; their syntax is checked later.
pub(crate) fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
    let labels = std::collections::BTreeMap::<Arc<str>, Arc<str>>::deserialize(from)?;
    Ok(Labels::new(labels.into_iter()))
}

/// `value` without the fields that are null, which count as unset. Keys of a user's own, such as
/// names of headers, are kept: there null is an error.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), field_without_nulls(key, value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

fn field_without_nulls(key: &str, value: &Value) -> Value {
    match (key, value) {
        ("headers" | "withoutHeaders" | "queryParams", Value::Object(fields)) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        _ => without_nulls(value),
    }
}
