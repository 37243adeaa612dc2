//! What this node is: its name, zone and addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use weft_lower::NodeFacts;
use weft_model::Mesh;

/// Addresses of this network namespace's interfaces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Addresses {
    /// Of the named interfaces.
    uplinks: Vec<IpAddr>,
    /// Of all but loopback.
    all: Vec<IpAddr>,
}

impl Addresses {
    /// Reads them; link-local ones are no place for a node port.
    pub(crate) fn read(uplinks: &[String]) -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            tracing::warn!("cannot list interface addresses, node ports have none: {error}");
            Vec::new()
        });
        let mut addresses = Self::default();
        for interface in interfaces {
            let address = interface.ip();
            if interface.is_loopback() || interface.is_link_local() {
                continue;
            }
            addresses.all.push(address);
            if uplinks.contains(&interface.name) {
                addresses.uplinks.push(address);
            }
        }
        addresses
    }

    /// What this node masquerades as: the first address of a family on a named interface.
    pub(crate) fn masquerade(&self) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let v4 = self.uplinks.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        let v6 = self.uplinks.iter().find_map(|address| match address {
            IpAddr::V6(v6) => Some(*v6),
            IpAddr::V4(_) => None,
        });
        (v4, v6)
    }

    /// The facts for this node: its Node object says zone and addresses, the named interfaces add
    /// theirs; with neither, every address of the host is the node's.
    pub(crate) fn facts(&self, name: &Arc<str>, mesh: &Mesh) -> NodeFacts {
        let node = mesh.nodes.get(name);
        let mut addresses: Vec<IpAddr> =
            node.map(|node| node.addresses.clone()).unwrap_or_default();
        addresses.extend(&self.uplinks);
        if addresses.is_empty() {
            addresses.extend(&self.all);
        }
        addresses.sort_unstable();
        addresses.dedup();
        NodeFacts {
            name: Some(Arc::clone(name)),
            zone: node.and_then(|node| node.zone.clone()),
            addresses,
        }
    }
}
