//! Nodes.

use std::sync::Arc;

use weft_api::{Object, Resource};
use weft_model::Node;

pub(crate) fn node(object: &Arc<Object>) -> Option<Node> {
    let Resource::Node(node) = &object.resource else {
        return None;
    };
    let mut addresses = node.addresses.clone();
    addresses.sort_unstable();
    addresses.dedup();
    Some(Node {
        addresses,
        region: node.region.clone(),
        zone: node.zone.clone(),
    })
}
