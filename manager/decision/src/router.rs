//! Route tables made ready, and the decision.

use std::{collections::BTreeMap, sync::Arc};

use weft_model::{
    Protocol,
    route::{
        Destination, Dialect, DirectResponse, Gateway, GatewayName, HostPattern, HostTable,
        HostTables, HttpAction, HttpRoute, Listener, ListenerProtocol, RouteChange, RouteTables,
        StreamRoute,
    },
};

use crate::{
    index::Matchers,
    matching::{ConnectionMatcher, RequestMatcher},
    request::{Client, Connection, Request},
    rewriting::{self, Location},
};

/// What happens to a request.
#[derive(Debug)]
pub struct HttpDecision<'t> {
    /// The table that was asked, if there is one.
    pub table: Option<&'t HostTable>,
    /// The route that fitted, with its position in the table.
    pub route: Option<(usize, &'t HttpRoute)>,
    /// Where the request goes.
    pub answer: HttpAnswer<'t>,
}

/// Where a request goes.
#[derive(Debug)]
pub enum HttpAnswer<'t> {
    /// No rules: to the service that was addressed. Only inside the mesh.
    PassThrough,
    /// No rule fits, or a gateway does not know the host: 404.
    NotFound,
    /// Nobody listens at this port of the gateway.
    NoListener,
    /// Back, with a Location.
    Redirect(Location),
    /// Back, with this answer.
    Respond(&'t DirectResponse),
    /// To one of these, by weight.
    Forward {
        /// Where to; empty or without weight when nothing may be used.
        destinations: &'t [Destination],
        /// The path with query that the destination sees, when it is another.
        path: Option<String>,
        /// The host that the destination sees, when it is another.
        authority: Option<&'t str>,
    },
}

/// What happens to a connection.
#[derive(Debug)]
pub struct StreamDecision<'t> {
    /// The table that was asked, if there is one.
    pub table: Option<&'t HostTable>,
    /// The route that fitted.
    pub route: Option<&'t StreamRoute>,
    /// Where the connection goes.
    pub answer: StreamAnswer<'t>,
}

/// Where a connection goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamAnswer<'t> {
    /// No rules: to the service that was addressed. Only inside the mesh.
    PassThrough,
    /// A gateway has no rule for it: closed.
    Closed,
    /// To one of these, by weight.
    Forward(&'t [Destination]),
}

/// Route tables made ready for decisions.
#[derive(Debug, Default)]
pub struct Router {
    mesh: Hosts<Vec<ReadyTable>>,
    gateways: BTreeMap<GatewayName, ReadyGateway>,
}

/// Values by host, found most specific first.
#[derive(Debug)]
struct Hosts<T> {
    exact: BTreeMap<Arc<str>, T>,
    suffix: BTreeMap<Arc<str>, T>,
    any: Option<T>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self {
            exact: BTreeMap::new(),
            suffix: BTreeMap::new(),
            any: None,
        }
    }
}

impl<T> Hosts<T> {
    fn set(&mut self, host: &HostPattern, value: Option<T>) {
        let (map, key) = match host {
            HostPattern::Any => {
                self.any = value;
                return;
            }
            HostPattern::Exact(host) => (&mut self.exact, host),
            HostPattern::Suffix(suffix) => (&mut self.suffix, suffix),
        };
        match value {
            Some(value) => drop(map.insert(Arc::clone(key), value)),
            None => drop(map.remove(key)),
        }
    }

    /// The first value that is wanted, the most specific host first.
    fn search<'s, R>(&'s self, host: &str, wanted: impl FnMut(&'s T) -> Option<R>) -> Option<R> {
        let dots = host.match_indices('.').filter(|(at, _)| *at > 0);
        let suffixes = dots.filter_map(|(at, _)| self.suffix.get(&host[at..]));
        let exact = self.exact.get(host).into_iter();
        exact.chain(suffixes).chain(&self.any).find_map(wanted)
    }
}

#[derive(Debug)]
struct ReadyTable {
    table: Arc<HostTable>,
    http: Matchers,
    tls: Vec<ConnectionMatcher>,
    tcp: Vec<ConnectionMatcher>,
    udp: Vec<ConnectionMatcher>,
}

#[derive(Debug)]
struct ReadyGateway {
    gateway: Arc<Gateway>,
    /// Like the gateway's listeners.
    listeners: Vec<Hosts<ReadyTable>>,
}

impl ReadyTable {
    fn new(table: &Arc<HostTable>) -> Self {
        let http = table
            .http
            .iter()
            .map(|route| RequestMatcher::new(&route.matching));
        let streams = |routes: &[StreamRoute]| {
            let matchers = routes
                .iter()
                .map(|route| ConnectionMatcher::new(&route.matching));
            matchers.collect()
        };
        Self {
            http: Matchers::new(http.collect()),
            tls: streams(&table.tls),
            tcp: streams(&table.tcp),
            udp: streams(&table.udp),
            table: Arc::clone(table),
        }
    }

    fn http(&self, client: &Client<'_>, request: &Request<'_>) -> HttpDecision<'_> {
        let table = &*self.table;
        let position = self.http.first(client, request);
        let route = position.map(|position| (position, &table.http[position]));
        let answer = match route {
            None => HttpAnswer::NotFound,
            Some((_, route)) => answer(table.dialect, route, request),
        };
        HttpDecision {
            table: Some(table),
            route,
            answer,
        }
    }

    /// TLS rules for connections with a server name, then the others; those for datagrams apart.
    fn stream(&self, client: &Client<'_>, connection: &Connection<'_>) -> Option<&StreamRoute> {
        let first = |matchers: &[ConnectionMatcher]| {
            let mut fits = matchers
                .iter()
                .map(|matcher| matcher.fits(client, connection));
            fits.position(|fits| fits)
        };
        if connection.protocol == Protocol::Udp {
            return first(&self.udp).map(|at| &self.table.udp[at]);
        }
        let tls = connection.sni.and_then(|_| first(&self.tls));
        let tls = tls.map(|at| &self.table.tls[at]);
        tls.or_else(|| first(&self.tcp).map(|at| &self.table.tcp[at]))
    }
}

fn answer<'t>(dialect: Dialect, route: &'t HttpRoute, request: &Request<'_>) -> HttpAnswer<'t> {
    let matched = route.matching.path.as_ref();
    match &route.rule.action {
        HttpAction::Redirect(redirect) => {
            HttpAnswer::Redirect(rewriting::location(request, matched, dialect, redirect))
        }
        HttpAction::Respond(response) => HttpAnswer::Respond(response),
        HttpAction::Forward(destinations) => {
            let rewrite = route.rule.rewrite.as_ref();
            let path = rewrite.and_then(|rewrite| rewrite.path.as_ref());
            HttpAnswer::Forward {
                destinations,
                path: path.map(|path| rewriting::rewrite(request, matched, path)),
                authority: rewrite.and_then(|rewrite| rewrite.authority.as_deref()),
            }
        }
    }
}

impl Router {
    /// Makes tables ready.
    pub fn new(tables: &RouteTables) -> Self {
        let mut router = Self::default();
        for (host, tables) in &tables.mesh {
            router.set_host(host, Some(tables));
        }
        for (name, gateway) in &tables.gateways {
            router.set_gateway(name, Some(gateway));
        }
        router
    }

    /// Makes what changed ready, and nothing else.
    pub fn apply(&mut self, change: &RouteChange) {
        for (host, tables) in &change.mesh {
            self.set_host(host, tables.as_ref());
        }
        for (name, gateway) in &change.gateways {
            self.set_gateway(name, gateway.as_ref());
        }
    }

    fn set_host(&mut self, host: &HostPattern, tables: Option<&HostTables>) {
        let ready = tables.map(|tables| tables.iter().map(ReadyTable::new).collect());
        self.mesh.set(host, ready);
    }

    fn set_gateway(&mut self, name: &GatewayName, gateway: Option<&Arc<Gateway>>) {
        let Some(gateway) = gateway else {
            self.gateways.remove(name);
            return;
        };
        let listeners = gateway.listeners.iter().map(|listener| {
            let mut hosts = Hosts::default();
            for (host, table) in &listener.tables {
                hosts.set(host, Some(ReadyTable::new(table)));
            }
            hosts
        });
        let ready = ReadyGateway {
            gateway: Arc::clone(gateway),
            listeners: listeners.collect(),
        };
        self.gateways.insert(name.clone(), ready);
    }

    /// What happens to a request of a workload to a host inside or outside the mesh.
    pub fn mesh_http(&self, client: &Client<'_>, request: &Request<'_>) -> HttpDecision<'_> {
        let has_rules = |table: &HostTable| !table.http.is_empty();
        match self.mesh_table(client, request.host, request.port, has_rules) {
            Some(ready) => ready.http(client, request),
            None => HttpDecision {
                table: None,
                route: None,
                answer: HttpAnswer::PassThrough,
            },
        }
    }

    /// What happens to a connection of a workload that is not HTTP. A TLS server name may say
    /// which host is meant where the dialled address does not.
    pub fn mesh_stream(
        &self,
        client: &Client<'_>,
        connection: &Connection<'_>,
    ) -> StreamDecision<'_> {
        let has_rules = |table: &HostTable| match connection.protocol {
            Protocol::Udp => !table.udp.is_empty(),
            Protocol::Tcp => !table.tls.is_empty() || !table.tcp.is_empty(),
        };
        let names = [Some(connection.host), connection.sni];
        let names = names.into_iter().flatten().filter(|name| !name.is_empty());
        let mut table = None;
        for name in names {
            let Some(ready) = self.mesh_table(client, name, connection.port, has_rules) else {
                continue;
            };
            table = table.or(Some(&*ready.table));
            if let Some(route) = ready.stream(client, connection) {
                return StreamDecision {
                    table: Some(&ready.table),
                    route: Some(route),
                    answer: StreamAnswer::Forward(&route.destinations),
                };
            }
        }
        StreamDecision {
            table,
            route: None,
            answer: StreamAnswer::PassThrough,
        }
    }

    fn mesh_table(
        &self,
        client: &Client<'_>,
        host: &str,
        port: u16,
        has_rules: impl Fn(&HostTable) -> bool,
    ) -> Option<&ReadyTable> {
        self.mesh.search(host, |tables| {
            tables.iter().find(|ready| {
                let table = &ready.table;
                table.visibility.includes(client.namespace)
                    && table.port.is_none_or(|only| only == port)
                    && has_rules(table)
            })
        })
    }

    /// What happens to a request that arrives at a gateway's listener.
    pub fn gateway_http(
        &self,
        name: &GatewayName,
        client: &Client<'_>,
        request: &Request<'_>,
    ) -> HttpDecision<'_> {
        let bare = |answer| HttpDecision {
            table: None,
            route: None,
            answer,
        };
        let Some(ready) = self.gateways.get(name) else {
            return bare(HttpAnswer::NoListener);
        };
        let at_port =
            |listener: &Listener| listener.port == request.port && listener.protocol.is_http();
        if !ready.gateway.listeners.iter().any(at_port) {
            return bare(HttpAnswer::NoListener);
        }
        let Some((listener, hosts)) = ready.listener(request.host, at_port) else {
            return bare(HttpAnswer::NotFound);
        };
        if listener.https_redirect {
            return bare(HttpAnswer::Redirect(Location {
                scheme: Some("https".into()),
                host: None,
                port: None,
                path: None,
                status: 301,
            }));
        }
        match hosts.search(request.host, Some) {
            Some(table) if !table.table.http.is_empty() => table.http(client, request),
            _ => bare(HttpAnswer::NotFound),
        }
    }

    /// What happens to a connection that arrives at a gateway's listener.
    pub fn gateway_stream(
        &self,
        name: &GatewayName,
        client: &Client<'_>,
        connection: &Connection<'_>,
    ) -> StreamDecision<'_> {
        let closed = StreamDecision {
            table: None,
            route: None,
            answer: StreamAnswer::Closed,
        };
        let Some(ready) = self.gateways.get(name) else {
            return closed;
        };
        let host = connection.sni.unwrap_or("");
        let is_udp = connection.protocol == Protocol::Udp;
        let at_port = |listener: &Listener| {
            listener.port == connection.port
                && !listener.protocol.is_http()
                && (listener.protocol == ListenerProtocol::Udp) == is_udp
        };
        let Some((_, hosts)) = ready.listener(host, at_port) else {
            return closed;
        };
        let Some(table) = hosts.search(host, Some) else {
            return closed;
        };
        let route = table.stream(client, connection);
        StreamDecision {
            table: Some(&table.table),
            route,
            answer: route.map_or(StreamAnswer::Closed, |route| {
                StreamAnswer::Forward(&route.destinations)
            }),
        }
    }

    /// All tables that hosts of the mesh have under a name, the most specific first, whoever sees
    /// them: for those who explain.
    pub fn mesh_tables<'t>(&'t self, host: &str) -> Vec<&'t HostTable> {
        let mut found = Vec::new();
        self.mesh.search(host, |tables| {
            found.extend(tables.iter().map(|ready| &*ready.table));
            None::<()>
        });
        found
    }
}

impl ReadyGateway {
    /// The listener with the most specific host name that fits, and knows the host: an Istio server
    /// with several hosts is several listeners.
    fn listener(
        &self,
        host: &str,
        at_port: impl Fn(&Listener) -> bool,
    ) -> Option<(&Listener, &Hosts<ReadyTable>)> {
        let pairs = self.gateway.listeners.iter().zip(&self.listeners);
        let fitting =
            pairs.filter(|(listener, _)| at_port(listener) && listener.hostname.fits(host));
        // Of equals the first: `max_by_key` would take the last.
        fitting
            .rev()
            .max_by_key(|(listener, _)| listener.hostname.specificity())
    }
}
