//! The whole, and what changed in it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{
    ConnectionLimits, Instance, Instances, Service, ServiceName, Workload,
    policy::{Policies, PolicyChange},
    route::{RouteChange, RouteTables},
    status::{ObjectStatus, StatusName},
};

/// All that is known of the mesh.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Mesh {
    /// Services by identity.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
    /// Who owns an address (pods with their own network, workload entries).
    pub addresses: BTreeMap<IpAddr, Arc<Workload>>,
    /// Who stands at an address, one by one (pods with their own network, workload entries).
    pub instances: Instances,
    /// Nodes by name.
    pub nodes: BTreeMap<Arc<str>, Node>,
    /// Who may talk to whom.
    pub policies: Policies,
    /// Where requests and connections go.
    pub routes: RouteTables,
    /// What each client may open to a service.
    pub limits: BTreeMap<ServiceName, Arc<ConnectionLimits>>,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Node {
    /// `status.addresses` of type InternalIP and ExternalIP.
    pub addresses: Vec<IpAddr>,
    /// Label `topology.kubernetes.io/region`.
    pub region: Option<Arc<str>>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
}

/// What changed between two states of a [`Mesh`]: only what is named here differs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// Services new or different (`Some`), or gone (`None`), each at most once.
    pub services: Vec<(ServiceName, Option<Arc<Service>>)>,
    /// Addresses with a new owner (`Some`), or without one (`None`), each at most once.
    pub addresses: Vec<(IpAddr, Option<Arc<Workload>>)>,
    /// Addresses at which another instance stands (`Some`), or none (`None`), each at most once.
    pub instances: Vec<(IpAddr, Option<Arc<Instance>>)>,
    /// Nodes new or different (`Some`), or gone (`None`), each at most once.
    pub nodes: Vec<(Arc<str>, Option<Node>)>,
    /// Policies new, different or gone.
    pub policies: PolicyChange,
    /// Route tables new, different or gone.
    pub routes: RouteChange,
    /// Limits new or different (`Some`), or gone (`None`), each at most once.
    pub limits: Vec<(ServiceName, Option<Arc<ConnectionLimits>>)>,
    /// Statuses of Gateway API objects new or different (`Some`), or gone (`None`), each at most
    /// once. They are no part of the mesh, so [`Mesh::apply`] passes over them.
    pub statuses: Vec<(StatusName, Option<Arc<ObjectStatus>>)>,
}

impl Change {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.addresses.is_empty()
            && self.instances.is_empty()
            && self.limits.is_empty()
            && self.nodes.is_empty()
            && self.policies.is_empty()
            && self.routes.is_empty()
            && self.statuses.is_empty()
    }
}

impl Mesh {
    /// Applies a change.
    pub fn apply(&mut self, change: &Change) {
        for (name, service) in &change.services {
            match service {
                Some(service) => drop(self.services.insert(name.clone(), Arc::clone(service))),
                None => drop(self.services.remove(name)),
            }
        }
        for (address, workload) in &change.addresses {
            match workload {
                Some(workload) => drop(self.addresses.insert(*address, Arc::clone(workload))),
                None => drop(self.addresses.remove(address)),
            }
        }
        for (name, node) in &change.nodes {
            match node {
                Some(node) => drop(self.nodes.insert(Arc::clone(name), node.clone())),
                None => drop(self.nodes.remove(name)),
            }
        }
        for (address, instance) in &change.instances {
            match instance {
                Some(instance) => drop(self.instances.insert(*address, Arc::clone(instance))),
                None => drop(self.instances.remove(address)),
            }
        }
        self.policies.apply(&change.policies);
        self.routes.apply(&change.routes);
        for (service, limits) in &change.limits {
            match limits {
                Some(limits) => drop(self.limits.insert(service.clone(), Arc::clone(limits))),
                None => drop(self.limits.remove(service)),
            }
        }
    }
}
