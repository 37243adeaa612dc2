//! What came of a route.

use std::{collections::BTreeSet, sync::Arc};

use weft_api::{Object, ObjectKey, gateway_api::ParentRef};

use super::{Gateways, Parent, Refusal, Route};

/// What came of a route.
pub(super) struct RouteVerdict<'s> {
    pub(super) route: Route<'s>,
    /// Of the parents that are Weft's business, with their positions in `spec.parentRefs`, in order.
    pub(super) parents: Vec<(usize, &'s ParentRef, Result<Parent<'s>, Refusal>)>,
    /// Why no rule can be done.
    pub(super) refusal: Option<Refusal>,
    /// Why some rules cannot be done.
    pub(super) partly_invalid: Option<Refusal>,
    /// Backends that cannot be used, with their field paths.
    pub(super) broken_backends: Vec<(String, Refusal)>,
    /// Services it leads to.
    services: Vec<&'s Arc<Object>>,
}

impl RouteVerdict<'_> {
    /// The first reference that does not hold.
    pub(super) fn unresolved(&self) -> Option<&Refusal> {
        self.broken_backends.first().map(|(_, refusal)| refusal)
    }

    /// Gateways and positions of their listeners that it is attached to, if it is accepted.
    pub(super) fn attached(&self) -> BTreeSet<(ObjectKey, usize)> {
        let mut places = BTreeSet::new();
        let accepted = self.parents.iter().filter(|_| self.refusal.is_none());
        for (_, _, parent) in accepted {
            if let Ok(Parent::Gateway {
                gateway,
                attachments,
            }) = parent
            {
                let listeners = attachments.iter().map(|attachment| attachment.listener);
                places.extend(listeners.map(|listener| (gateway.key.clone(), listener)));
            }
        }
        places
    }

    /// Services to which traffic may go, in pairs with the Gateways that it comes from.
    pub(super) fn leads(&self, attached: &BTreeSet<(ObjectKey, usize)>) -> BTreeSet<Lead> {
        let pair = |gateway: &ObjectKey, service: &Arc<Object>| Lead {
            service: service.key.clone(),
            gateway: gateway.clone(),
        };
        let services = || self.services.iter();
        attached
            .iter()
            .flat_map(|(gateway, _)| services().map(move |service| pair(gateway, service)))
            .collect()
    }
}

impl<'s> Gateways<'s> {
    /// What came of a route, if it had no rivals.
    pub(super) fn route_verdict(&self, route: Route<'s>) -> RouteVerdict<'s> {
        let parents = route.parents.iter().enumerate();
        let verdict = |(position, parent)| Some((position, parent, self.parent(&route, parent)?));
        let parents = parents.filter_map(verdict).collect();
        let mut services = Vec::new();
        let mut broken_backends = Vec::new();
        for backend in route.backends() {
            match self.backend(route.object, backend.reference) {
                Ok(service) => services.push(service),
                Err(refusal) => broken_backends.push((backend.path, refusal)),
            }
        }
        let (refusal, partly_invalid) = rules(&route);
        RouteVerdict {
            route,
            parents,
            refusal,
            partly_invalid,
            broken_backends,
            services,
        }
    }
}

/// A way from a Gateway to a Service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Lead {
    pub(super) service: ObjectKey,
    pub(super) gateway: ObjectKey,
}

/// Why no rule can be done, or why some cannot.
fn rules(route: &Route<'_>) -> (Option<Refusal>, Option<Refusal>) {
    let (broken, count) = route.broken_rules();
    let Some(first) = broken.first() else {
        return (None, None);
    };
    if broken.len() == count {
        return (Some(first.refusal.clone()), None);
    }
    let each = broken
        .iter()
        .map(|rule| format!("{}: {}", rule.index, rule.refusal.message));
    let each: Vec<String> = each.collect();
    let message = format!("Dropped Rule {}", each.join("; "));
    (None, Some(Refusal::new("UnsupportedValue", message)))
}
