//! `status` of Gateway API objects: what came of them. Serialized, it is what stands in `status`.

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// An object's status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// API group and version, such as `gateway.networking.k8s.io/v1`.
    pub api_version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Which object.
    pub metadata: ObjectName,
    /// What came of it.
    pub status: Status,
}

/// Which object has a status.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StatusName {
    /// Kind.
    pub kind: &'static str,
    /// Which of this kind.
    pub metadata: ObjectName,
}

/// Which object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct ObjectName {
    /// Namespace, none for a GatewayClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
}

/// What came of an object, by kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Status {
    /// Of a GatewayClass.
    Class {
        /// `Accepted`, `SupportedVersion`.
        conditions: Vec<Condition>,
        /// Names of features, ascending.
        supported_features: Vec<Feature>,
    },
    /// Of a Gateway.
    Gateway {
        /// `Accepted`, `Programmed`.
        conditions: Vec<Condition>,
        /// In the order of `spec.listeners`.
        listeners: Vec<ListenerStatus>,
    },
    /// Of a route.
    Route {
        /// In the order of `spec.parentRefs`, without those that are others' business.
        parents: Vec<ParentStatus>,
    },
    /// Of a policy.
    Policy {
        /// Gateways it holds for, in ascending order.
        ancestors: Vec<AncestorStatus>,
    },
}

/// A feature of the Gateway API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
}

/// What came of a listener.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Kinds of routes that may attach.
    pub supported_kinds: Vec<RouteGroupKind>,
    /// How many routes are attached and accepted.
    pub attached_routes: u32,
    /// `Accepted`, `Conflicted`, `Programmed`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}

/// A kind of route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RouteGroupKind {
    /// API group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
}

/// What came of a route at one of its parents.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// The parent, as the route has it.
    pub parent_ref: ParentReference,
    /// Whose verdict it is.
    pub controller_name: Arc<str>,
    /// `Accepted`, `ResolvedRefs`, and `PartiallyInvalid` where it applies.
    pub conditions: Vec<Condition>,
}

/// What came of a policy at one Gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AncestorStatus {
    /// The Gateway.
    pub ancestor_ref: ParentReference,
    /// Whose verdict it is.
    pub controller_name: Arc<str>,
    /// `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}

/// A parent, as it is written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Namespace, if it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Name.
    pub name: Arc<str>,
    /// Part of it, if one is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<Arc<str>>,
    /// Port, if one is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A condition. When it last changed is not known here; whoever writes it to a cluster knows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Such as `Accepted`.
    #[serde(rename = "type")]
    pub condition_type: &'static str,
    /// Whether it holds.
    #[serde(serialize_with = "in_words")]
    pub status: bool,
    /// Why, in one word of the Gateway API.
    pub reason: &'static str,
    /// Why, for people; may be empty.
    pub message: String,
    /// `metadata.generation` of the object it was found for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn in_words<S: Serializer>(holds: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *holds { "True" } else { "False" })
}
