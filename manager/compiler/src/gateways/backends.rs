//! What backends name, and whether they may.

use std::sync::Arc;

use weft_api::{
    Kind, Object, Protocol, Resource,
    gateway_api::{self, BackendRef},
};

use super::{Gateways, Refusal};

/// One end of a reference: group, kind, namespace.
#[derive(Clone, Copy)]
pub(super) struct Referrer<'a> {
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
}

impl<'s> Gateways<'s> {
    /// The Service that a backend of a route names.
    ///
    /// # Errors
    /// `InvalidKind`, `RefNotPermitted`, `BackendNotFound` or `UnsupportedProtocol`: traffic for it
    /// is to be refused.
    pub(crate) fn backend(
        &self,
        route: &Object,
        backend: &BackendRef,
    ) -> Result<&'s Arc<Object>, Refusal> {
        let namespace = backend.namespace.as_ref().unwrap_or(&route.key.namespace);
        let name = format!("{} {namespace}/{}", backend.kind, backend.name);
        if !(backend.group.is_empty() && *backend.kind == *"Service") {
            let group = &backend.group;
            let message = format!(
                "{name}: kind {} of group {group:?} cannot be a backend; use a Service",
                backend.kind
            );
            return Err(Refusal::new("InvalidKind", message));
        }
        let referrer = Referrer {
            group: gateway_api::GROUP,
            kind: route.key.kind.name(),
            namespace: &route.key.namespace,
        };
        if !self.may_refer(referrer, "", "Service", namespace, &backend.name) {
            let message = format!(
                "{name}: no ReferenceGrant in namespace {namespace} lets a {} of namespace {} refer to it",
                referrer.kind, referrer.namespace
            );
            return Err(Refusal::new("RefNotPermitted", message));
        }
        let Some(object) = self.object(Kind::Service, namespace, &backend.name) else {
            return Err(Refusal::new(
                "BackendNotFound",
                format!("{name} was not found"),
            ));
        };
        port_fits(route, backend, object, &name)?;
        Ok(object)
    }

    /// Whether an object may refer to another one: in its own namespace always, else by a grant.
    pub(super) fn may_refer(
        &self,
        from: Referrer<'_>,
        group: &str,
        kind: &str,
        namespace: &Arc<str>,
        name: &str,
    ) -> bool {
        if from.namespace == &**namespace {
            return true;
        }
        let mut grants = self.objects_in(Kind::ReferenceGrant, namespace);
        grants.any(|object| {
            let Resource::ReferenceGrant(grant) = &object.resource else {
                return false;
            };
            let fits = |text: &Arc<str>, other: &str| **text == *other;
            grant.from.iter().any(|grant| {
                fits(&grant.group, from.group)
                    && fits(&grant.kind, from.kind)
                    && fits(&grant.namespace, from.namespace)
            }) && grant.to.iter().any(|to| {
                let named = to.name.as_ref().filter(|name| !name.is_empty());
                fits(&to.group, group)
                    && fits(&to.kind, kind)
                    && named.is_none_or(|named| fits(named, name))
            })
        })
    }
}

/// Whether the Service has the port, with the transport that the route needs.
fn port_fits(
    route: &Object,
    backend: &BackendRef,
    service: &Object,
    name: &str,
) -> Result<(), Refusal> {
    let Resource::Service(service) = &service.resource else {
        return Ok(());
    };
    let Some(number) = backend.port else {
        return Ok(());
    };
    let transport = match route.key.kind {
        Kind::UdpRoute => Protocol::Udp,
        _ => Protocol::Tcp,
    };
    let mut ports = service
        .ports
        .iter()
        .filter(|port| port.number == number)
        .peekable();
    if ports.peek().is_none() {
        let message = format!("{name} has no port {number}");
        return Err(Refusal::new("BackendNotFound", message));
    }
    if ports.any(|port| port.protocol == transport) {
        return Ok(());
    }
    let needed = match transport {
        Protocol::Udp => "UDP",
        Protocol::Tcp => "TCP",
    };
    let message = format!("port {number} of {name} is not {needed}");
    Err(Refusal::new("UnsupportedProtocol", message))
}
