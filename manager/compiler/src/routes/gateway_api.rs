//! Routes of the Gateway API: where they stand, and the rules of several of them in the precedence
//! that the Gateway API demands.

mod filters;

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use weft_api::{
    Object, Resource,
    gateway_api::{
        Backend, BackendRef, Filter, GrpcRoute, GrpcRouteMatch, HttpRoute as WrittenRoute,
        HttpRouteMatch, HttpRouteRule, MatchType, NamedMatch, PathMatchType, Persistence,
        SessionPersistence, StreamRouteRule,
    },
};
use weft_model::{
    Origin,
    route::{
        Destination, Dialect, GatewayName, HeaderEdits, HeaderMatch, HostPattern, HostTable,
        HttpAction, HttpMatch, HttpRoute, HttpRule, PathMatch, Retries, Session, SessionCarrier,
        StreamMatch, StreamRoute, StringMatch, Target, Visibility,
    },
};

use super::{Place, Sources};
use crate::{Settings, gateways::Route, problems};
use filters::Filters;

/// Places that a route names.
pub(super) fn places(settings: &Settings, route: &Route<'_>) -> Vec<Place> {
    let own = &route.object.key.namespace;
    let places: BTreeSet<Place> = route
        .parents
        .iter()
        .map(|parent| {
            let namespace = parent.namespace.as_ref().unwrap_or(own);
            if &*parent.kind == "Gateway" {
                Place::Gateway(GatewayName {
                    is_gateway_api: true,
                    namespace: Arc::clone(namespace),
                    name: Arc::clone(&parent.name),
                })
            } else {
                let service = settings.service_name(namespace, &parent.name);
                Place::Mesh(HostPattern::Exact(service.hostname))
            }
        })
        .collect();
    places.into_iter().collect()
}

/// Hosts of the services that a route names, as parents or backends.
pub(super) fn asks(settings: &Settings, route: &Route<'_>) -> Vec<Arc<str>> {
    let own = &route.object.key.namespace;
    let named = |namespace: &Option<Arc<str>>, name: &Arc<str>| {
        settings
            .service_name(namespace.as_ref().unwrap_or(own), name)
            .hostname
    };
    let parents = route
        .parents
        .iter()
        .filter(|parent| &*parent.kind == "Service");
    let parents = parents.map(|parent| named(&parent.namespace, &parent.name));
    let backends = route.backends();
    let backends = backends
        .iter()
        .map(|backend| named(&backend.reference.namespace, &backend.reference.name));
    let hosts: BTreeSet<Arc<str>> = parents.chain(backends).collect();
    hosts.into_iter().collect()
}

/// Other namespaces that a route refers to.
pub(super) fn strangers(route: &Route<'_>) -> BTreeSet<Arc<str>> {
    let backends = route.backends();
    let namespaces = backends
        .iter()
        .filter_map(|b| b.reference.namespace.clone());
    namespaces
        .filter(|namespace| *namespace != route.object.key.namespace)
        .collect()
}

/// One way into a rule with what decides its precedence.
struct Ranked {
    rank: Rank,
    route: HttpRoute,
}

/// Less goes first: kind of path (exact, regular expression, prefix), longer paths, a method, more
/// headers, more query parameters; then the older route, then by name, then the first rule. Where
/// regular expressions stand is left to implementations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    path: u8,
    length: Reverse<(usize, usize)>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    route: usize,
    rule: usize,
    matching: usize,
}

/// The rules of routes, in their order of precedence, for all clients and ports.
pub(super) fn table(sources: &Sources<'_>, mut routes: Vec<Route<'_>>) -> HostTable {
    routes.sort_by(|a, b| Route::precedence(a.object, b.object));
    let mut ranked = Vec::new();
    let mut table = HostTable {
        origins: routes
            .iter()
            .map(|route| problems::origin(route.object))
            .collect(),
        dialect: Dialect::GatewayApi,
        visibility: Visibility::All,
        port: None,
        http: Vec::new(),
        tls: Vec::new(),
        tcp: Vec::new(),
        udp: Vec::new(),
    };
    for (position, route) in routes.iter().enumerate() {
        let compiling = Compiling {
            sources,
            object: route.object,
            origin: problems::origin(route.object),
        };
        match &route.object.resource {
            Resource::HttpRoute(written) => compiling.http(position, written, &mut ranked),
            Resource::GrpcRoute(written) => compiling.grpc(position, written, &mut ranked),
            Resource::TlsRoute(written) => {
                let sni = written.hostnames.iter().map(|host| HostPattern::new(host));
                let sni: Vec<_> = sni.collect();
                table.tls.extend(compiling.stream(&written.rules, sni));
            }
            Resource::TcpRoute(written) => {
                table
                    .tcp
                    .extend(compiling.stream(&written.rules, Vec::new()));
            }
            Resource::UdpRoute(written) => {
                table
                    .udp
                    .extend(compiling.stream(&written.rules, Vec::new()));
            }
            _ => {}
        }
    }
    ranked.sort_by(|a, b| a.rank.cmp(&b.rank));
    table.http = ranked.into_iter().map(|ranked| ranked.route).collect();
    table
}

/// One route on its way.
struct Compiling<'a, 's> {
    sources: &'a Sources<'s>,
    object: &'a Object,
    origin: Origin,
}

impl Compiling<'_, '_> {
    fn http(&self, position: usize, written: &WrittenRoute, ranked: &mut Vec<Ranked>) {
        for (index, rule) in written.rules.iter().enumerate() {
            let action = self.rule(index, rule.name.as_ref(), &rule.filters, &rule.backends);
            let action = with_session(action, rule.session_persistence.as_ref());
            let action = Arc::new(with_limits(action, rule));
            for (at, matching) in rule.matches.iter().enumerate() {
                let (kind, length, path) = http_path(matching);
                let matching = HttpMatch {
                    path: Some(path),
                    method: matching.method.clone().map(StringMatch::Exact),
                    headers: named(&matching.headers, true),
                    query: named(&matching.query_params, false),
                    ..HttpMatch::default()
                };
                ranked.push(rank(
                    kind,
                    (length, 0),
                    matching,
                    (position, index, at),
                    &action,
                ));
            }
        }
    }

    fn grpc(&self, position: usize, written: &GrpcRoute, ranked: &mut Vec<Ranked>) {
        for (index, rule) in written.rules.iter().enumerate() {
            let action = self.rule(index, rule.name.as_ref(), &rule.filters, &rule.backends);
            let action = with_session(action, rule.session_persistence.as_ref());
            let action = Arc::new(action);
            if rule.matches.is_empty() {
                let place = (position, index, 0);
                ranked.push(rank(2, (0, 0), HttpMatch::default(), place, &action));
            }
            for (at, matching) in rule.matches.iter().enumerate() {
                let (kind, length, path) = grpc_path(matching);
                let matching = HttpMatch {
                    path,
                    headers: named(&matching.headers, true),
                    ..HttpMatch::default()
                };
                ranked.push(rank(kind, length, matching, (position, index, at), &action));
            }
        }
    }

    fn rule(
        &self,
        index: usize,
        name: Option<&Arc<str>>,
        filters: &[Filter],
        backends: &[Backend],
    ) -> HttpRule {
        let filters = Filters::new(self, filters);
        let action = match filters.redirect {
            Some(redirect) => HttpAction::Redirect(redirect),
            // What a rule asks for and cannot be done must not be passed over.
            None if filters.is_broken => HttpAction::Forward(Vec::new()),
            None => HttpAction::Forward(backends.iter().map(|b| self.backend(b)).collect()),
        };
        HttpRule {
            origin: self.origin.clone(),
            index,
            name: name.cloned().unwrap_or_default(),
            action,
            request_headers: filters.request_headers,
            response_headers: filters.response_headers,
            rewrite: filters.rewrite,
            timeout: None,
            retries: None,
            fault: None,
            mirrors: filters.mirrors,
            cors: filters.cors,
            session: None,
        }
    }

    fn backend(&self, backend: &Backend) -> Destination {
        let filters = Filters::new(self, &backend.filters);
        let mut destination = self.destination(&backend.reference);
        if filters.is_broken || filters.is_more_than_headers() {
            destination.target = Target::Invalid {
                reason: "it has a filter that is not supported for a single backend".into(),
                status: 500,
            };
        }
        destination.request_headers = filters.request_headers;
        destination.response_headers = filters.response_headers;
        destination
    }

    fn destination(&self, reference: &BackendRef) -> Destination {
        let settings = self.sources.settings;
        let own = &self.object.key.namespace;
        let namespace = reference.namespace.as_ref().unwrap_or(own);
        let name = settings.service_name(namespace, &reference.name);
        let target = match self.sources.gateways().backend(self.object, reference) {
            Ok(_) => Target::Service(name.clone()),
            Err(refusal) => Target::Invalid {
                reason: refusal.message.into(),
                status: 500,
            },
        };
        Destination {
            host: name.hostname,
            target,
            subset: None,
            port: reference.port,
            weight: reference.weight,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
        }
    }

    fn stream(&self, rules: &[StreamRouteRule], sni: Vec<HostPattern>) -> Option<StreamRoute> {
        let rule = rules.first()?;
        let destinations = rule
            .backends
            .iter()
            .map(|backend| self.destination(backend));
        Some(StreamRoute {
            origin: self.origin.clone(),
            index: 0,
            matching: StreamMatch {
                sni,
                ..StreamMatch::default()
            },
            destinations: destinations.collect(),
        })
    }
}

fn rank(
    path: u8,
    length: (usize, usize),
    matching: HttpMatch,
    (route, rule, at): (usize, usize, usize),
    action: &Arc<HttpRule>,
) -> Ranked {
    Ranked {
        rank: Rank {
            path,
            length: Reverse(length),
            method: Reverse(matching.method.is_some()),
            headers: Reverse(matching.headers.len()),
            query: Reverse(matching.query.len()),
            route,
            rule,
            matching: at,
        },
        route: HttpRoute {
            matching,
            rule: Arc::clone(action),
        },
    }
}

fn http_path(matching: &HttpRouteMatch) -> (u8, usize, PathMatch) {
    let value = &matching.path.value;
    match matching.path.match_type {
        PathMatchType::Exact => {
            let path = Arc::clone(value);
            let ignore_case = false;
            (0, value.len(), PathMatch::Exact { path, ignore_case })
        }
        PathMatchType::RegularExpression => (1, value.len(), PathMatch::Regex(Arc::clone(value))),
        PathMatchType::PathPrefix => {
            let length = value.trim_end_matches('/').len();
            (2, length, PathMatch::Segments(Arc::clone(value)))
        }
    }
}

/// Service and method as a path. The longer service goes first, then the longer method, whatever
/// their kind; what asks for neither goes last.
fn grpc_path(matching: &GrpcRouteMatch) -> (u8, (usize, usize), Option<PathMatch>) {
    let Some(method) = &matching.method else {
        return (2, (0, 0), None);
    };
    let given = |text: &Option<Arc<str>>| text.clone().filter(|text| !text.is_empty());
    let (service, name) = (given(&method.service), given(&method.method));
    let of = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let length = (of(&service), of(&name));
    let is_regex = method.match_type == MatchType::RegularExpression;
    let any = || Arc::from("[^/]+");
    let path = match (service, name, is_regex) {
        (None, None, _) => return (2, (0, 0), None),
        (Some(service), Some(name), false) => PathMatch::Exact {
            path: format!("/{service}/{name}").into(),
            ignore_case: false,
        },
        (Some(service), None, false) => PathMatch::Segments(format!("/{service}").into()),
        (None, Some(name), false) => {
            // Names hold letters, digits, dots and underscores only.
            PathMatch::Regex(format!("/[^/]+/{}", name.replace('.', r"\.")).into())
        }
        (service, name, true) => {
            let (service, name) = (service.unwrap_or_else(any), name.unwrap_or_else(any));
            PathMatch::Regex(format!("/(?:{service})/(?:{name})").into())
        }
    };
    (0, length, Some(path))
}

/// Of names that differ only in case, where case does not count, the first is in force.
fn named(written: &[NamedMatch], ignore_case: bool) -> Vec<(Arc<str>, HeaderMatch)> {
    let mut found: Vec<(Arc<str>, HeaderMatch)> = Vec::new();
    for matching in written {
        let name: Arc<str> = match ignore_case {
            true => matching.name.to_ascii_lowercase().into(),
            false => Arc::clone(&matching.name),
        };
        if found.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let value = Arc::clone(&matching.value);
        let value = match matching.match_type {
            MatchType::Exact => StringMatch::Exact(value),
            MatchType::RegularExpression => StringMatch::Regex(value),
        };
        found.push((name, HeaderMatch::Value(value)));
    }
    found
}

/// A rule with what keeps its sessions together.
fn with_session(rule: HttpRule, written: Option<&SessionPersistence>) -> HttpRule {
    let session = written.map(|written| Session {
        carrier: match &written.by {
            Persistence::Header(name) => SessionCarrier::Header(Arc::clone(name)),
            Persistence::Cookie {
                name,
                path,
                is_permanent,
            } => SessionCarrier::Cookie {
                name: name.clone(),
                path: Arc::clone(path),
                is_permanent: *is_permanent,
            },
        },
        absolute_timeout: written.absolute_timeout,
    });
    HttpRule { session, ..rule }
}

/// A rule with its timeouts and retries.
fn with_limits(rule: HttpRule, written: &HttpRouteRule) -> HttpRule {
    let given = |duration: Option<std::time::Duration>| duration.filter(|d| !d.is_zero());
    let timeouts = written.timeouts.unwrap_or_default();
    let request = given(timeouts.request);
    let per_try = given(timeouts.backend_request);
    let retries = match (&written.retry, per_try, request) {
        (Some(retry), _, _) => Some(Retries {
            attempts: retry.attempts.unwrap_or(1),
            per_try_timeout: per_try,
            retry_on: ["connect-failure", "reset", "retriable-status-codes"]
                .into_iter()
                .filter(|on| *on != "retriable-status-codes" || !retry.codes.is_empty())
                .map(Arc::from)
                .collect(),
            codes: retry.codes.clone(),
            backoff: retry.backoff,
            remote_localities: true,
            ignore_previous_hosts: true,
        }),
        // One try only, and that has a limit of its own within the whole.
        (None, Some(_), Some(_)) => Some(Retries {
            attempts: 0,
            per_try_timeout: per_try,
            retry_on: Vec::new(),
            codes: Vec::new(),
            backoff: None,
            remote_localities: true,
            ignore_previous_hosts: true,
        }),
        (None, _, _) => None,
    };
    HttpRule {
        timeout: request.or(per_try.filter(|_| written.retry.is_none())),
        retries,
        ..rule
    }
}
