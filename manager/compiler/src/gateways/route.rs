//! One view of all kinds of routes.

use std::{cmp::Ordering, sync::Arc};

use weft_api::{
    Kind, Object, Resource,
    gateway_api::{Backend, BackendRef, Filter, ParentRef},
};

/// A route of any kind.
#[derive(Clone, Copy)]
pub(crate) struct Route<'s> {
    pub(crate) object: &'s Object,
    pub(crate) parents: &'s [ParentRef],
    pub(crate) hostnames: &'s [Arc<str>],
}

/// The kinds of routes.
pub(crate) const ROUTES: [Kind; 5] = [
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TcpRoute,
    Kind::TlsRoute,
    Kind::UdpRoute,
];

/// A backend that a rule names, with its field path.
pub(crate) struct NamedBackend<'s> {
    pub(crate) path: String,
    pub(crate) reference: &'s BackendRef,
}

impl<'s> Route<'s> {
    /// The route that an object is, if it is one.
    pub(crate) fn of(object: &'s Object) -> Option<Self> {
        let (parents, hostnames): (_, &[Arc<str>]) = match &object.resource {
            Resource::HttpRoute(route) => (&route.parents, &route.hostnames),
            Resource::GrpcRoute(route) => (&route.parents, &route.hostnames),
            Resource::TlsRoute(route) => (&route.parents, &route.hostnames),
            Resource::TcpRoute(route) | Resource::UdpRoute(route) => (&route.parents, &[]),
            _ => return None,
        };
        Some(Self {
            object,
            parents,
            hostnames,
        })
    }

    /// All backends, of filters too, in the order of the route.
    pub(crate) fn backends(&self) -> Vec<NamedBackend<'s>> {
        let mut found = Vec::new();
        match &self.object.resource {
            Resource::HttpRoute(route) => {
                for (index, rule) in route.rules.iter().enumerate() {
                    of_rule(index, &rule.filters, &rule.backends, &mut found);
                }
            }
            Resource::GrpcRoute(route) => {
                for (index, rule) in route.rules.iter().enumerate() {
                    of_rule(index, &rule.filters, &rule.backends, &mut found);
                }
            }
            Resource::TcpRoute(route) | Resource::UdpRoute(route) => {
                let rules = route.rules.iter().map(|rule| &rule.backends);
                of_stream(rules, &mut found);
            }
            Resource::TlsRoute(route) => {
                let rules = route.rules.iter().map(|rule| &rule.backends);
                of_stream(rules, &mut found);
            }
            _ => {}
        }
        found
    }

    /// Which of two routes goes first where all else is equal: the older, then the one whose
    /// namespace and name come first.
    pub(crate) fn precedence(a: &Object, b: &Object) -> Ordering {
        let of = |object: &Object| {
            let key = &object.key;
            let age = (object.created.is_none(), object.created);
            (age, Arc::clone(&key.namespace), Arc::clone(&key.name))
        };
        of(a).cmp(&of(b))
    }
}

fn of_rule<'s>(
    index: usize,
    filters: &'s [Filter],
    backends: &'s [Backend],
    found: &mut Vec<NamedBackend<'s>>,
) {
    let rule = format!("spec.rules[{index}]");
    of_filters(&rule, filters, found);
    for (index, backend) in backends.iter().enumerate() {
        let path = format!("{rule}.backendRefs[{index}]");
        of_filters(&path, &backend.filters, found);
        found.push(NamedBackend {
            path,
            reference: &backend.reference,
        });
    }
}

fn of_filters<'s>(parent: &str, filters: &'s [Filter], found: &mut Vec<NamedBackend<'s>>) {
    for (index, filter) in filters.iter().enumerate() {
        let (reference, field) = match filter {
            Filter::RequestMirror(mirror) => (&mirror.backend, "requestMirror"),
            Filter::ExternalAuth(auth) => (&auth.backend_ref, "externalAuth"),
            _ => continue,
        };
        found.push(NamedBackend {
            path: format!("{parent}.filters[{index}].{field}.backendRef"),
            reference,
        });
    }
}

fn of_stream<'s>(
    rules: impl Iterator<Item = &'s Vec<BackendRef>>,
    found: &mut Vec<NamedBackend<'s>>,
) {
    for (rule, backends) in rules.enumerate() {
        for (index, reference) in backends.iter().enumerate() {
            found.push(NamedBackend {
                path: format!("spec.rules[{rule}].backendRefs[{index}]"),
                reference,
            });
        }
    }
}
