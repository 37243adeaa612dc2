//! `ReferenceGrant`.

use std::sync::Arc;

use serde::Deserialize;

/// A ReferenceGrant: others may refer to objects of its namespace.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ReferenceGrant {
    /// Who may.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub struct GrantFrom {
    /// API group of the referrer.
    pub group: Arc<str>,
    /// Kind of the referrer.
    pub kind: Arc<str>,
    /// Namespace of the referrer.
    pub namespace: Arc<str>,
}

/// To what may be referred.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub struct GrantTo {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Name; all when absent or empty.
    pub name: Option<Arc<str>>,
}
