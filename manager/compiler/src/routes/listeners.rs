//! Tables behind the listeners of a gateway.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{
    Kind, Object, ObjectKey, Resource, gateway_api,
    istio_gateway::{IstioGateway, Server, ServerProtocol, ServerTlsMode},
};
use weft_model::route::{
    Dialect, Gateway, GatewayName, HostPattern, HostTable, HttpRoute, Listener, ListenerProtocol,
    PathMatch, Source, Visibility,
};

use super::{
    Sources,
    gateway_api::table as route_table,
    virtual_service::{self, Named, View},
};
use crate::{
    gateways::{
        Attachment, Parent, Route,
        rivals::{self, Claim},
    },
    problems,
};

/// A gateway with its tables, if there is one of this name that is Weft's.
pub(super) fn gateway(
    sources: &Sources<'_>,
    name: &GatewayName,
    routes: &BTreeSet<ObjectKey>,
) -> Option<Gateway> {
    let key = ObjectKey {
        kind: match name.is_gateway_api {
            true => Kind::Gateway,
            false => Kind::IstioGateway,
        },
        namespace: Arc::clone(&name.namespace),
        name: Arc::clone(&name.name),
    };
    let object = sources.store.object(&key)?;
    let listeners = match &object.resource {
        Resource::IstioGateway(gateway) => istio(sources, name, gateway, routes),
        _ => {
            let gateway = sources.gateways().owned(object)?;
            attached(sources, object, gateway, routes)
        }
    };
    Some(Gateway {
        origin: problems::origin(object),
        listeners,
    })
}

fn attached(
    sources: &Sources<'_>,
    object: &Arc<Object>,
    gateway: &gateway_api::Gateway,
    routes: &BTreeSet<ObjectKey>,
) -> Vec<Listener> {
    let gateways = sources.gateways();
    // For each listener, the routes at each host.
    let mut at: Vec<BTreeMap<HostPattern, Vec<Route<'_>>>> =
        vec![BTreeMap::new(); gateway.listeners.len()];
    let mut taken: Vec<(Route<'_>, usize, Vec<Attachment>)> = Vec::new();
    for key in routes {
        let route = sources
            .store
            .object(key)
            .and_then(|object| Route::of(object));
        let Some(route) = route else { continue };
        for (position, parent) in route.parents.iter().enumerate() {
            let Some(Ok(Parent::Gateway {
                gateway,
                attachments,
            })) = gateways.parent(&route, parent)
            else {
                continue;
            };
            if gateway.key == object.key {
                taken.push((route, position, attachments));
            }
        }
    }
    let claims = taken.iter().map(|(route, parent, attachments)| Claim {
        route: route.object,
        parent: *parent,
        attachments,
    });
    let lost = rivals::losers(claims.collect());
    for (route, parent, attachments) in taken {
        if lost.contains_key(&(route.object.key.clone(), parent)) {
            continue;
        }
        for attachment in attachments {
            for host in attachment.hosts {
                let bound = at[attachment.listener].entry(host).or_default();
                let is_new = |other: &Route<'_>| other.object.key != route.object.key;
                if bound.iter().all(is_new) {
                    bound.push(route);
                }
            }
        }
    }
    let serving = gateways.serving(object, gateway).into_iter();
    serving
        .filter_map(|(position, verdict)| {
            let listener = &gateway.listeners[position];
            let tables = std::mem::take(&mut at[position]).into_iter();
            let table = |(host, routes)| (host, Arc::new(route_table(sources, routes)));
            Some(Listener {
                name: Arc::clone(&listener.name),
                port: listener.port,
                protocol: verdict.protocol?,
                hostname: verdict.hostname,
                https_redirect: false,
                tables: tables.map(table).collect(),
            })
        })
        .collect()
}

fn istio(
    sources: &Sources<'_>,
    name: &GatewayName,
    gateway: &IstioGateway,
    routes: &BTreeSet<ObjectKey>,
) -> Vec<Listener> {
    let view = View::Gateway(name);
    let objects = routes.iter().filter_map(|key| sources.store.object(key));
    let mut bound: Vec<Named<'_>> = objects
        .filter_map(|object| match &object.resource {
            Resource::VirtualService(service) => Some(Named { object, service }),
            _ => None,
        })
        .filter(|named| view.has(&named.object.key, named.service))
        .filter(|named| {
            let own = &named.object.key.namespace;
            virtual_service::visibility(own, &named.service.export_to).includes(&name.namespace)
        })
        .collect();
    bound.sort_by_cached_key(Named::age);
    let rules: Vec<Rules<'_>> = bound
        .into_iter()
        .map(|named| Rules::new(sources, named, view))
        .collect();
    let mut listeners = Vec::new();
    for server in &gateway.servers {
        for host in &server.hosts {
            listeners.extend(listener(sources, name, server, host, &rules));
        }
    }
    listeners
}

/// A VirtualService as a gateway sees it.
struct Rules<'s> {
    named: Named<'s>,
    table: HostTable,
    hosts: Vec<HostPattern>,
}

impl<'s> Rules<'s> {
    fn new(sources: &Sources<'s>, named: Named<'s>, view: View<'_>) -> Self {
        let (tls, tcp) = virtual_service::streams(sources, named, view);
        let namespace = &named.object.key.namespace;
        let hosts = named.service.hosts.iter();
        Self {
            table: HostTable {
                origins: vec![problems::origin(named.object)],
                dialect: Dialect::Istio,
                visibility: Visibility::All,
                port: None,
                http: virtual_service::http(sources, named, view),
                tls,
                tcp,
                udp: Vec::new(),
            },
            hosts: hosts
                .map(|host| virtual_service::pattern(sources.settings, namespace, host))
                .collect(),
            named,
        }
    }
}

fn listener(
    sources: &Sources<'_>,
    gateway: &GatewayName,
    server: &Server,
    host: &str,
    rules: &[Rules<'_>],
) -> Option<Listener> {
    let (namespace, host) = host.split_once('/').unwrap_or(("*", host));
    let namespace = match namespace {
        "." => &*gateway.namespace,
        namespace => namespace,
    };
    let hostname = virtual_service::pattern(sources.settings, &gateway.namespace, host);
    let (protocol, https_redirect) = protocol(server)?;
    let is_blind = matches!(protocol, ListenerProtocol::Tcp | ListenerProtocol::Udp);
    let mut at: BTreeMap<HostPattern, Vec<&HostTable>> = BTreeMap::new();
    for rules in rules {
        if namespace != "*" && *namespace != *rules.named.object.key.namespace {
            continue;
        }
        let met: BTreeSet<_> = rules
            .hosts
            .iter()
            .filter_map(|own| own.meet(&hostname))
            .collect();
        for host in met {
            // A connection without a name shows no host to tell tables apart.
            let host = if is_blind { HostPattern::Any } else { host };
            at.entry(host).or_default().push(&rules.table);
        }
    }
    let tables = at
        .into_iter()
        .map(|(host, tables)| (host, Arc::new(merge(&tables))));
    Some(Listener {
        name: match &*server.name {
            "" => Arc::clone(&server.port.name),
            _ => Arc::clone(&server.name),
        },
        port: u16::try_from(server.port.number).ok()?,
        protocol,
        hostname: if is_blind { HostPattern::Any } else { hostname },
        https_redirect,
        tables: tables.collect(),
    })
}

fn protocol(server: &Server) -> Option<(ListenerProtocol, bool)> {
    let protocol = server.port.protocol()?;
    let tls = server.tls.as_ref();
    let redirects = tls.is_some_and(|tls| tls.https_redirect);
    if protocol.is_http() {
        // With a certificate, HTTP/2 and gRPC servers are HTTPS servers.
        let is_secure = tls.is_some_and(|tls| !tls.https_redirect && is_opened(tls.mode));
        let is_secure = is_secure && protocol != ServerProtocol::Http;
        return Some(match is_secure {
            true => (ListenerProtocol::Https, false),
            false => (ListenerProtocol::Http, redirects),
        });
    }
    let is_opened = tls.is_some_and(|tls| is_opened(tls.mode));
    let found = match (protocol, is_opened) {
        (ServerProtocol::Https, true) => ListenerProtocol::Https,
        (ServerProtocol::Tls, true) => ListenerProtocol::TlsTerminate,
        (ServerProtocol::Https | ServerProtocol::Tls, false) => ListenerProtocol::TlsPassthrough,
        _ => ListenerProtocol::Tcp,
    };
    Some((found, false))
}

fn is_opened(mode: ServerTlsMode) -> bool {
    !matches!(
        mode,
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough
    )
}

/// Several VirtualServices of one host at a gateway, oldest first; rules that take every request go
/// behind all others, as istiod does.
fn merge(tables: &[&HostTable]) -> HostTable {
    if let [only] = tables {
        return (*only).clone();
    }
    let each = || tables.iter();
    let http: Vec<&HttpRoute> = each().flat_map(|table| &table.http).collect();
    let (catch_all, narrow): (Vec<_>, Vec<_>) = http.into_iter().partition(|r| takes_all(r));
    HostTable {
        origins: each().flat_map(|table| table.origins.clone()).collect(),
        dialect: Dialect::Istio,
        visibility: Visibility::All,
        port: None,
        http: narrow.into_iter().chain(catch_all).cloned().collect(),
        tls: each().flat_map(|table| table.tls.clone()).collect(),
        tcp: each().flat_map(|table| table.tcp.clone()).collect(),
        udp: Vec::new(),
    }
}

fn takes_all(route: &HttpRoute) -> bool {
    let matching = &route.matching;
    let any_path = match &matching.path {
        None => true,
        Some(PathMatch::Prefix { path, .. }) => **path == *"/",
        Some(PathMatch::Regex(pattern)) => **pattern == *".*",
        Some(_) => false,
    };
    any_path
        && matching.scheme.is_none()
        && matching.method.is_none()
        && matching.authority.is_none()
        && matching.headers.is_empty()
        && matching.without_headers.is_empty()
        && matching.claims.is_empty()
        && matching.without_claims.is_empty()
        && matching.query.is_empty()
        && matching.port.is_none()
        && matching.source == Source::default()
}
