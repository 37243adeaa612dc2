//! Attachment of routes to parents.

use std::sync::Arc;

use weft_api::{
    Kind, Object, Protocol, Resource,
    gateway_api::{GROUP, Gateway, Listener, NamespacesFrom, ParentRef, RouteKind},
};
use weft_model::route::HostPattern;

use super::{Gateways, ListenerVerdict, Refusal, Route};

/// A parent that took a route.
#[derive(Clone, Debug)]
pub(crate) enum Parent<'s> {
    /// A Gateway of one of Weft's classes.
    Gateway {
        gateway: &'s Arc<Object>,
        /// Where it attaches, at least one.
        attachments: Vec<Attachment>,
    },
    /// A Service: the route holds for traffic to it inside the mesh.
    Service {
        service: &'s Arc<Object>,
        /// Only at this port.
        port: Option<u16>,
        /// Whether it holds for all clients (a route of the Service's own namespace), or only for
        /// those of the route's namespace.
        is_producer: bool,
    },
}

/// A listener that took a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Attachment {
    /// Position in `spec.listeners`.
    pub(crate) listener: usize,
    /// Hosts for which the route holds there, at least one.
    pub(crate) hosts: Vec<HostPattern>,
}

impl<'s> Gateways<'s> {
    /// What came of one of a route's `parentRefs`; nothing when the parent is not Weft's business
    /// or not there.
    pub(crate) fn parent(
        &self,
        route: &Route<'_>,
        parent: &ParentRef,
    ) -> Option<Result<Parent<'s>, Refusal>> {
        let namespace = parent
            .namespace
            .as_ref()
            .unwrap_or(&route.object.key.namespace);
        match (&*parent.group, &*parent.kind) {
            (GROUP, "Gateway") => {
                let object = self.object(Kind::Gateway, namespace, &parent.name)?;
                let gateway = self.owned(object)?;
                let attachments = self.attachments(route, parent, object, gateway);
                Some(attachments.map(|attachments| Parent::Gateway {
                    gateway: object,
                    attachments,
                }))
            }
            ("", "Service") => Some(self.service(route, parent, namespace)),
            _ => None,
        }
    }

    fn attachments(
        &self,
        route: &Route<'_>,
        parent: &ParentRef,
        object: &'s Object,
        gateway: &Gateway,
    ) -> Result<Vec<Attachment>, Refusal> {
        let verdicts = self.listeners(object, gateway);
        let listeners = gateway.listeners.iter().zip(&verdicts).enumerate();
        let mut chosen = listeners
            .filter(|(_, (listener, _))| is_chosen(parent, listener))
            .peekable();
        if chosen.peek().is_none() {
            let message = "no listener has the sectionName and port of the parentRef";
            return Err(Refusal::new("NoMatchingParent", message));
        }
        let mut allowing = chosen
            .filter(|(_, (listener, verdict))| self.allows(route, object, listener, verdict))
            .peekable();
        if allowing.peek().is_none() {
            let message = format!(
                "no listener that the parentRef chooses allows routes of kind {} from namespace {}",
                route.object.key.kind, route.object.key.namespace
            );
            return Err(Refusal::new("NotAllowedByListeners", message));
        }
        let attachments: Vec<Attachment> = allowing
            .map(|(listener, (_, verdict))| Attachment {
                listener,
                hosts: hosts(route, verdict),
            })
            .filter(|attachment| !attachment.hosts.is_empty())
            .collect();
        if attachments.is_empty() {
            let message = "no hostname of the route fits the hostname of a listener";
            return Err(Refusal::new("NoMatchingListenerHostname", message));
        }
        Ok(attachments)
    }

    /// Whether a listener lets routes of this kind and namespace attach.
    fn allows(
        &self,
        route: &Route<'_>,
        gateway: &'s Object,
        listener: &Listener,
        verdict: &ListenerVerdict,
    ) -> bool {
        let key = &route.object.key;
        let kind = RouteKind {
            group: GROUP.into(),
            kind: key.kind.name().into(),
        };
        let namespaces = &listener.allowed_routes.namespaces;
        verdict.kinds.contains(&kind)
            && match namespaces.from {
                NamespacesFrom::All => true,
                NamespacesFrom::Same => key.namespace == gateway.key.namespace,
                NamespacesFrom::Selector => namespaces.selector.as_ref().is_some_and(|selector| {
                    selector.selects(|label| self.namespace_label(&key.namespace, label))
                }),
            }
    }

    fn service(
        &self,
        route: &Route<'_>,
        parent: &ParentRef,
        namespace: &Arc<str>,
    ) -> Result<Parent<'s>, Refusal> {
        let name = format!("Service {namespace}/{}", parent.name);
        let transport = match route.object.key.kind {
            Kind::UdpRoute => Protocol::Udp,
            _ => Protocol::Tcp,
        };
        let Some(object) = self.object(Kind::Service, namespace, &parent.name) else {
            let message = format!("{name} was not found");
            return Err(Refusal::new("NoMatchingParent", message));
        };
        let Resource::Service(service) = &object.resource else {
            let message = format!("{name} was not found");
            return Err(Refusal::new("NoMatchingParent", message));
        };
        let asks_for_port = parent.port.is_some() || parent.section_name.is_some();
        let port = service.ports.iter().find(|port| {
            port.protocol == transport
                && parent.port.is_none_or(|number| number == port.number)
                && parent
                    .section_name
                    .as_ref()
                    .is_none_or(|name| *name == port.name)
        });
        if asks_for_port && port.is_none() {
            let message = format!("{name} has no such port");
            return Err(Refusal::new("NoMatchingParent", message));
        }
        Ok(Parent::Service {
            service: object,
            port: port.filter(|_| asks_for_port).map(|port| port.number),
            is_producer: route.object.key.namespace == object.key.namespace,
        })
    }
}

fn is_chosen(parent: &ParentRef, listener: &Listener) -> bool {
    parent
        .section_name
        .as_ref()
        .is_none_or(|name| *name == listener.name)
        && parent.port.is_none_or(|port| port == listener.port)
}

/// Where the hosts of a route and of a listener meet.
fn hosts(route: &Route<'_>, listener: &ListenerVerdict) -> Vec<HostPattern> {
    if route.hostnames.is_empty() {
        return vec![listener.hostname.clone()];
    }
    // Without a server name or Host header there is nothing to compare.
    let is_blind = matches!(route.object.key.kind, Kind::TcpRoute | Kind::UdpRoute);
    if is_blind {
        return vec![HostPattern::Any];
    }
    let hosts = route.hostnames.iter().map(|host| HostPattern::new(host));
    let mut hosts: Vec<_> = hosts
        .filter_map(|host| host.meet(&listener.hostname))
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}
