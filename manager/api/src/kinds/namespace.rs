//! Kubernetes `Namespace`.

use serde_json::Value;

use crate::{Distribution, Resource, decode::Reading, object::Metadata};

/// A namespace. Its labels are those of its object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Namespace {
    /// Annotation `networking.istio.io/traffic-distribution`: the default of its services.
    pub distribution: Option<Distribution>,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every kind is read through one signature"
)]
pub(crate) fn read(_: &Value, metadata: &Metadata, _: &mut Reading<'_>) -> Option<Resource> {
    Some(Resource::Namespace(Namespace {
        distribution: metadata.distribution,
    }))
}
