//! What must be known of this node.

use std::{net::IpAddr, sync::Arc};

use weft_model::Endpoint;

/// The node that the maps are for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeFacts {
    /// Its name, as endpoints name it; without one no endpoint is local.
    pub name: Option<Arc<str>>,
    /// Its zone; without one no endpoint is in the same zone.
    pub zone: Option<Arc<str>>,
    /// Its addresses, where node ports listen.
    pub addresses: Vec<IpAddr>,
}

impl NodeFacts {
    /// Whether the endpoint names this node.
    pub fn runs(&self, endpoint: &Endpoint) -> bool {
        self.name.is_some() && endpoint.node == self.name
    }

    /// Whether the endpoint names this node's zone.
    pub(crate) fn shares_zone(&self, endpoint: &Endpoint) -> bool {
        self.zone.is_some() && endpoint.zone == self.zone
    }
}
