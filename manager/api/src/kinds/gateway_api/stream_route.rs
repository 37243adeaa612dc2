//! `TCPRoute`, `UDPRoute` and `TLSRoute`.

use std::sync::Arc;

use serde::Deserialize;

use super::{BackendRef, ParentRef};

/// A TCPRoute or UDPRoute.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct StreamRoute {
    /// What it attaches to.
    #[serde(default, rename = "parentRefs")]
    pub parents: Vec<ParentRef>,
    /// Rules: one, but up to 16 in v1alpha2, of which the first is in force.
    pub rules: Vec<StreamRouteRule>,
}

/// A TLSRoute.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct TlsRoute {
    /// What it attaches to.
    #[serde(default, rename = "parentRefs")]
    pub parents: Vec<ParentRef>,
    /// Server names; only in v1alpha2 there may be none, which means those of the listener.
    #[serde(default)]
    pub hostnames: Vec<Arc<str>>,
    /// Rules: one, but up to 16 in v1alpha2, of which the first is in force.
    pub rules: Vec<StreamRouteRule>,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct StreamRouteRule {
    /// Name, unique in the route.
    pub name: Option<Arc<str>>,
    /// Where connections go, by weight; at least one.
    #[serde(rename = "backendRefs")]
    pub backends: Vec<BackendRef>,
}
