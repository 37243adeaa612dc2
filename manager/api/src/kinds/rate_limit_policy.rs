//! Weft's `RateLimitPolicy`: what each client identity may open to a service, held in the kernel.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::{Resource, decode::Reading, object::Metadata, path::At};

/// A RateLimitPolicy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLimitPolicy {
    /// Names of the Services in its namespace that it holds for.
    pub services: Vec<Arc<str>>,
    /// `connections`.
    pub connections: ConnectionLimit,
}

/// Limits on the connections of each client identity. At least one of rate and `concurrent` is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimit {
    /// `perSecond`: new connections per second, at least 1.
    pub per_second: Option<u32>,
    /// `burst`: connections that may be opened at once above the rate, at least 1.
    pub burst: u32,
    /// `concurrent`: open connections, at least 1.
    pub concurrent: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    target_refs: Vec<WrittenTarget>,
    connections: Option<WrittenLimit>,
}

#[derive(Deserialize)]
struct WrittenTarget {
    #[serde(default)]
    group: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLimit {
    per_second: Option<i64>,
    burst: Option<i64>,
    concurrent: Option<i64>,
}

const MOST_TARGETS: usize = 16;
/// More would not be told apart by the kernel, which counts in nanoseconds.
const MOST: i64 = 1_000_000;

pub(crate) fn read(object: &Value, _: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let spec: Written = cx.own_field(object, "spec")?;
    let at = At::top("spec");
    let services = targets(&spec.target_refs, at.key("targetRefs"), cx);
    let connections = at.key("connections");
    let Some(written) = spec.connections else {
        cx.reject(connections, "connections is required");
        return None;
    };
    let connections = limit(&written, connections, cx);
    Some(Resource::RateLimitPolicy(Box::new(RateLimitPolicy {
        services,
        connections,
    })))
}

fn targets(written: &[WrittenTarget], at: At<'_>, cx: &mut Reading<'_>) -> Vec<Arc<str>> {
    let fits = (1..=MOST_TARGETS).contains(&written.len());
    let message = format_args!("name 1 to {MOST_TARGETS} Services");
    cx.require(fits, at, message);
    let mut services: Vec<Arc<str>> = Vec::new();
    for (index, target) in written.iter().enumerate() {
        let at = at.index(index);
        let is_service = matches!(target.group.as_str(), "" | "core") && target.kind == "Service";
        let WrittenTarget { group, kind, name } = target;
        let message = format_args!("only a Service can be a target, not {group}/{kind}");
        cx.require(is_service, at, message);
        cx.require(!name.is_empty(), at.key("name"), "a name is required");
        if services.iter().any(|known| **known == **name) {
            cx.reject(at.key("name"), format_args!("{name:?} is named twice"));
        }
        services.push(cx.interner.name(name));
    }
    services
}

fn limit(written: &WrittenLimit, at: At<'_>, cx: &mut Reading<'_>) -> ConnectionLimit {
    let mut number = |key: &'static str, value: Option<i64>| {
        let value = value?;
        let message = format_args!("must be between 1 and {MOST}, not {value}");
        cx.require((1..=MOST).contains(&value), at.key(key), message);
        u32::try_from(value).ok()
    };
    let per_second = number("perSecond", written.per_second);
    let burst = number("burst", written.burst);
    let concurrent = number("concurrent", written.concurrent);
    if written.per_second.is_none() && written.concurrent.is_none() {
        cx.reject(at, "set perSecond, concurrent, or both");
    }
    if written.burst.is_some() && written.per_second.is_none() {
        cx.reject(at.key("burst"), "burst needs perSecond");
    }
    ConnectionLimit {
        per_second,
        burst: burst.or(per_second).unwrap_or(1).max(1),
        concurrent,
    }
}
