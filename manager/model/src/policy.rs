//! Who may talk to whom, and how it is proved: authorization, mTLS and JWT policies as checked data.
//!
//! A policy says what it holds for ([`Scope`]), not which workloads that is: workloads come and go.
//! How policies are asked is `weft-decision`'s.
//!
//! Reading order: [`Scope`], [`authorization`] (rules), [`peer`] (mTLS), [`jwt`] (tokens).

pub mod authorization;

pub mod jwt;

pub mod peer;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;

pub use authorization::{
    Action, AddressRange, AuthorizationPolicy, Condition, OneOf, Operation, PathMatch, PathPiece,
    RequestPrincipal, Rule, ServiceAccount, Source, TextMatch,
};
pub use jwt::{ClaimHeader, JwtRule, KeySource, RequestAuthentication, TokenHeader};
pub use peer::{MtlsMode, PeerAuthentication};

use crate::{Origin, ServiceName};

/// Identity of a policy within its kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct PolicyName {
    /// Namespace of the resource.
    pub namespace: Arc<str>,
    /// Name of the resource.
    pub name: Arc<str>,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who wrote a policy, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Author {
    /// Identity.
    pub name: PolicyName,
    /// Where it was written.
    pub origin: Origin,
    /// `metadata.creationTimestamp` in seconds since 1970. One that has none counts as oldest.
    pub created: Option<i64>,
}

impl Author {
    /// The oldest is first; of equals the first by name.
    pub fn age(&self) -> (Option<i64>, &PolicyName) {
        (self.created, &self.name)
    }
}

/// What a policy holds for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Scope {
    /// Every workload: a policy of the root namespace without selector.
    Mesh,
    /// Every workload of a namespace.
    Namespace(Arc<str>),
    /// Workloads with all these labels, at least one; in one namespace, or in all (`None`).
    Workloads {
        /// Where.
        namespace: Option<Arc<str>>,
        /// Labels, in ascending key.
        labels: Vec<(Arc<str>, Arc<str>)>,
    },
    /// What `targetRefs` name, as far as it exists. Empty when nothing does.
    Targets(Vec<Target>),
}

/// What one of `targetRefs` names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub enum Target {
    /// A Service or the hosts of a ServiceEntry.
    Service(ServiceName),
    /// A Gateway of the Gateway API.
    Gateway {
        /// Namespace.
        namespace: Arc<str>,
        /// Name.
        name: Arc<str>,
    },
    /// All Gateways of a class.
    GatewayClass(Arc<str>),
}

/// How a path is made regular before policies look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub enum Normalization {
    /// `NONE`: not at all.
    None,
    /// `BASE`: as RFC 3986 says: `.` and `..` resolved, needless escapes undone; backslashes become
    /// slashes.
    #[default]
    Base,
    /// `MERGE_SLASHES`: as `BASE`, and several slashes become one.
    MergeSlashes,
    /// `DECODE_AND_MERGE_SLASHES`: as `MERGE_SLASHES`, after escaped slashes and backslashes.
    DecodeAndMergeSlashes,
}

impl Normalization {
    /// As the mesh configuration writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "NONE" => Self::None,
            "DEFAULT" | "BASE" => Self::Base,
            "MERGE_SLASHES" => Self::MergeSlashes,
            "DECODE_AND_MERGE_SLASHES" => Self::DecodeAndMergeSlashes,
            _ => return None,
        })
    }
}

/// What holds for the whole mesh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct MeshPolicy {
    /// How paths are made regular before policies look at them.
    pub normalization: Normalization,
    /// `enableAutoMtls`: whether clients open mTLS by themselves wherever it is taken.
    pub is_mtls_automatic: bool,
}

impl Default for MeshPolicy {
    fn default() -> Self {
        Self {
            normalization: Normalization::default(),
            is_mtls_automatic: true,
        }
    }
}

/// All policies.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Policies {
    /// What holds for all.
    pub mesh: MeshPolicy,
    /// `AuthorizationPolicy`.
    pub authorization: BTreeMap<PolicyName, Arc<AuthorizationPolicy>>,
    /// `PeerAuthentication`.
    pub peer: BTreeMap<PolicyName, Arc<PeerAuthentication>>,
    /// `RequestAuthentication`.
    pub request: BTreeMap<PolicyName, Arc<RequestAuthentication>>,
}

/// What changed in [`Policies`]: only what is named here differs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicyChange {
    /// What holds for all, when it is different.
    pub mesh: Option<MeshPolicy>,
    /// Policies new or different (`Some`), or gone (`None`), each at most once.
    pub authorization: Vec<(PolicyName, Option<Arc<AuthorizationPolicy>>)>,
    /// Policies new or different (`Some`), or gone (`None`), each at most once.
    pub peer: Vec<(PolicyName, Option<Arc<PeerAuthentication>>)>,
    /// Policies new or different (`Some`), or gone (`None`), each at most once.
    pub request: Vec<(PolicyName, Option<Arc<RequestAuthentication>>)>,
}

impl PolicyChange {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.mesh.is_none()
            && self.authorization.is_empty()
            && self.peer.is_empty()
            && self.request.is_empty()
    }
}

impl Policies {
    /// Applies a change.
    pub fn apply(&mut self, change: &PolicyChange) {
        self.mesh = change.mesh.unwrap_or(self.mesh);
        put(&mut self.authorization, &change.authorization);
        put(&mut self.peer, &change.peer);
        put(&mut self.request, &change.request);
    }
}

fn put<T>(policies: &mut BTreeMap<PolicyName, Arc<T>>, changes: &[(PolicyName, Option<Arc<T>>)]) {
    for (name, policy) in changes {
        match policy {
            Some(policy) => drop(policies.insert(name.clone(), Arc::clone(policy))),
            None => drop(policies.remove(name)),
        }
    }
}
