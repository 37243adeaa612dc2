//! References to other objects.

use std::sync::Arc;

use serde::Deserialize;

use super::Filter;

/// What a route attaches to (`ParentReference`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Namespace; the route's own when absent.
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
    /// A listener of a Gateway, or a port name of a Service.
    pub section_name: Option<Arc<str>>,
    /// A port of the parent.
    pub port: Option<u16>,
}

/// Where traffic goes (`BackendRef`), with its share.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind, `Service` by default.
    pub kind: Arc<str>,
    /// Namespace; the route's own when absent.
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
    /// Port; always there for a Service.
    pub port: Option<u16>,
    /// Share relative to its siblings, at most 1000000.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

/// A backend of an HTTPRoute or GRPCRoute, with filters of its own.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Backend {
    /// Where.
    #[serde(flatten)]
    pub reference: BackendRef,
    /// What happens to requests that go there only.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// An object in the same namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub struct LocalRef {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

/// An object that may be in another namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub struct ObjectRef {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Namespace; the referrer's own when absent.
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
}

/// What a policy is attached to, in its own namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTargetRef {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// A part of the target: a port name of a Service.
    pub section_name: Option<Arc<str>>,
}
