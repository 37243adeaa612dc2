//! `HTTPRoute`.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;

use super::{Backend, Filter, ParentRef, SessionPersistence, persistence::duration};

/// An HTTPRoute.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// What it attaches to.
    #[serde(default, rename = "parentRefs")]
    pub parents: Vec<ParentRef>,
    /// Hosts in lower case; those of the listener when empty.
    #[serde(default)]
    pub hostnames: Vec<Arc<str>>,
    /// Rules, at least one.
    pub rules: Vec<HttpRouteRule>,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// Name, unique in the route.
    pub name: Option<Arc<str>>,
    /// One of them must hold. Empty only when it was written so: then the rule matches nothing but
    /// what `PathPrefix /` matches.
    pub matches: Vec<HttpRouteMatch>,
    /// What happens besides.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// Where requests go.
    #[serde(default, rename = "backendRefs")]
    pub backends: Vec<Backend>,
    /// Limits in time.
    pub timeouts: Option<Timeouts>,
    /// What is tried again.
    pub retry: Option<Retry>,
    /// How sessions stay with their backend.
    pub session_persistence: Option<SessionPersistence>,
}

/// What a request must be like: all of it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteMatch {
    /// Path without query; `PathPrefix /` by default.
    pub path: HttpPathMatch,
    /// Headers; of those whose names differ only in case, the first counts.
    #[serde(default)]
    pub headers: Vec<NamedMatch>,
    /// Query parameters; of those with one name, the first counts.
    #[serde(default)]
    pub query_params: Vec<NamedMatch>,
    /// Method.
    pub method: Option<Arc<str>>,
}

/// How a path must be.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct HttpPathMatch {
    /// How `value` is meant.
    #[serde(rename = "type")]
    pub match_type: PathMatchType,
    /// A path, or a regular expression.
    pub value: Arc<str>,
}

/// How the value of a path match is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum PathMatchType {
    /// The whole path.
    Exact,
    /// The first segments of the path.
    PathPrefix,
    /// A regular expression.
    RegularExpression,
}

/// How a header or query parameter must be.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct NamedMatch {
    /// How `value` is meant.
    #[serde(rename = "type")]
    pub match_type: MatchType,
    /// Name as written.
    pub name: Arc<str>,
    /// Value, or a regular expression.
    pub value: Arc<str>,
}

/// How a value is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum MatchType {
    /// Equal.
    Exact,
    /// A regular expression.
    RegularExpression,
}

/// Limits in time; zero is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Timeouts {
    /// For the whole request.
    #[serde(deserialize_with = "duration")]
    pub request: Option<Duration>,
    /// For one try.
    #[serde(deserialize_with = "duration")]
    pub backend_request: Option<Duration>,
}

/// What is tried again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Status codes, 400 to 599.
    pub codes: Vec<u16>,
    /// How often, at least 1.
    pub attempts: Option<u32>,
    /// Least wait between tries.
    #[serde(deserialize_with = "duration")]
    pub backoff: Option<Duration>,
}
