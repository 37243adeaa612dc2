//! `GRPCRoute`.

use std::sync::Arc;

use serde::Deserialize;

use super::{Backend, Filter, MatchType, NamedMatch, ParentRef, SessionPersistence};

/// A GRPCRoute.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRoute {
    /// What it attaches to.
    #[serde(default, rename = "parentRefs")]
    pub parents: Vec<ParentRef>,
    /// Hosts in lower case; those of the listener when empty.
    #[serde(default)]
    pub hostnames: Vec<Arc<str>>,
    /// Rules.
    #[serde(default)]
    pub rules: Vec<GrpcRouteRule>,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// Name, unique in the route.
    pub name: Option<Arc<str>>,
    /// One of them must hold; empty matches every request.
    #[serde(default)]
    pub matches: Vec<GrpcRouteMatch>,
    /// What happens besides: header changes, mirrors, extensions.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// Where requests go.
    #[serde(default, rename = "backendRefs")]
    pub backends: Vec<Backend>,
    /// How sessions stay with their backend.
    pub session_persistence: Option<SessionPersistence>,
}

/// What a request must be like: all of it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct GrpcRouteMatch {
    /// Service and method; all when absent.
    pub method: Option<GrpcMethodMatch>,
    /// Headers; of those whose names differ only in case, the first counts.
    #[serde(default)]
    pub headers: Vec<NamedMatch>,
}

/// Which service and method.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct GrpcMethodMatch {
    /// How the values are meant.
    #[serde(rename = "type")]
    pub match_type: MatchType,
    /// Service with its package, all when absent.
    pub service: Option<Arc<str>>,
    /// Method, all when absent.
    pub method: Option<Arc<str>>,
}
