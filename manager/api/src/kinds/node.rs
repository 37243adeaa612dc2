//! Kubernetes `Node`.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::NodeStatus;
use serde_json::Value;

use crate::{Resource, decode::Reading, object::Metadata, path::At};

/// A node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// `status.addresses` of type InternalIP and ExternalIP, as written.
    pub addresses: Vec<IpAddr>,
    /// Label `topology.kubernetes.io/region`.
    pub region: Option<Arc<str>>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
}

pub(crate) fn read(object: &Value, metadata: &Metadata, cx: &mut Reading<'_>) -> Option<Resource> {
    let status: NodeStatus = cx.field(object, "status")?;
    let at = At::top("status");
    let at = at.key("addresses");
    let mut addresses = Vec::new();
    for (index, written) in status.addresses.iter().flatten().enumerate() {
        if matches!(written.type_.as_str(), "InternalIP" | "ExternalIP") {
            let at = at.index(index);
            addresses.extend(cx.address(at.key("address"), &written.address));
        }
    }
    let label = |key| metadata.labels.value(key).cloned();
    Some(Resource::Node(Node {
        addresses,
        region: label("topology.kubernetes.io/region"),
        zone: label("topology.kubernetes.io/zone"),
    }))
}
