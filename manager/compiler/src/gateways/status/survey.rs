//! What came of every route, in one pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{Object, ObjectKey, gateway_api::ParentRef};

use crate::gateways::{
    Gateways, Parent, Refusal, Route,
    rivals::{self, Claim},
};

/// What came of every route.
#[derive(Default)]
pub(in crate::gateways) struct Survey<'s> {
    /// In ascending kind, namespace and name.
    pub(in crate::gateways) routes: Vec<RouteVerdict<'s>>,
    /// By Gateway and position of the listener: how many accepted routes are attached.
    pub(in crate::gateways) attached: BTreeMap<ObjectKey, BTreeMap<usize, u32>>,
    /// Gateways from which traffic may go to a Service.
    pub(in crate::gateways) leading_to: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
}

/// What came of a route.
pub(in crate::gateways) struct RouteVerdict<'s> {
    pub(in crate::gateways) route: Route<'s>,
    /// Of the parents that are Weft's business, in order.
    pub(in crate::gateways) parents: Vec<(&'s ParentRef, Result<Parent<'s>, Refusal>)>,
    /// Why no rule can be done.
    pub(in crate::gateways) refusal: Option<Refusal>,
    /// Why some rules cannot be done.
    pub(in crate::gateways) partly_invalid: Option<Refusal>,
    /// Backends that cannot be used, with their field paths.
    pub(in crate::gateways) broken_backends: Vec<(String, Refusal)>,
    /// Services it leads to.
    services: Vec<&'s Arc<Object>>,
}

impl RouteVerdict<'_> {
    /// The first reference that does not hold.
    pub(in crate::gateways) fn unresolved(&self) -> Option<&Refusal> {
        self.broken_backends.first().map(|(_, refusal)| refusal)
    }
}

impl<'s> Gateways<'s> {
    pub(super) fn route_verdict(&self, object: &'s Object) -> Option<RouteVerdict<'s>> {
        let route = Route::of(object)?;
        let verdict = |parent| Some((parent, self.parent(&route, parent)?));
        let parents = route.parents.iter().filter_map(verdict).collect();
        let mut services = Vec::new();
        let mut broken_backends = Vec::new();
        for backend in route.backends() {
            match self.backend(object, backend.reference) {
                Ok(service) => services.push(service),
                Err(refusal) => broken_backends.push((backend.path, refusal)),
            }
        }
        let (refusal, partly_invalid) = rules(&route);
        Some(RouteVerdict {
            route,
            parents,
            refusal,
            partly_invalid,
            broken_backends,
            services,
        })
    }
}

/// Refuses what loses to a route of the other kind for the same host.
pub(super) fn settle(verdicts: &mut [RouteVerdict<'_>]) {
    let mut claims: BTreeMap<ObjectKey, Vec<Claim<'_>>> = BTreeMap::new();
    for verdict in verdicts.iter() {
        for (position, (_, parent)) in verdict.parents.iter().enumerate() {
            if let Ok(Parent::Gateway {
                gateway,
                attachments,
            }) = parent
            {
                let of_gateway = claims.entry(gateway.key.clone()).or_default();
                of_gateway.push(Claim {
                    route: verdict.route.object,
                    parent: position,
                    attachments,
                });
            }
        }
    }
    let lost: BTreeMap<_, _> = claims.into_values().flat_map(rivals::losers).collect();
    if lost.is_empty() {
        return;
    }
    for verdict in verdicts {
        let key = &verdict.route.object.key;
        for (position, (_, parent)) in verdict.parents.iter_mut().enumerate() {
            if let Some(refusal) = lost.get(&(key.clone(), position)) {
                *parent = Err(refusal.clone());
            }
        }
    }
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

impl<'s> Survey<'s> {
    pub(super) fn extend(&mut self, verdict: RouteVerdict<'s>) {
        let mut places: BTreeSet<(&ObjectKey, usize)> = BTreeSet::new();
        let accepted = verdict.parents.iter().filter(|_| verdict.refusal.is_none());
        for (_, parent) in accepted {
            if let Ok(Parent::Gateway {
                gateway,
                attachments,
            }) = parent
            {
                places.extend(
                    attachments
                        .iter()
                        .map(|attachment| (&gateway.key, attachment.listener)),
                );
            }
        }
        for (gateway, listener) in places {
            let listeners = self.attached.entry(gateway.clone()).or_default();
            *listeners.entry(listener).or_default() += 1;
            for service in &verdict.services {
                let gateways = self.leading_to.entry(service.key.clone()).or_default();
                gateways.insert(gateway.clone());
            }
        }
        self.routes.push(verdict);
    }
}
