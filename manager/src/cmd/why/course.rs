//! Where it goes.

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;
use weft_api::{Kind, ObjectKey, Resource, TargetPort};
use weft_decision::{
    Client as DecisionClient, Connection, HttpAnswer, HttpDecision, Request, StreamAnswer,
    destinations::{self, DestinationFault, Resolved},
};
use weft_model::{
    Endpoint, Protocol, Service, ServiceName,
    route::{self, Dialect, HostTable},
};

use super::{
    World,
    answer::{self, Considered, Reference, Route, percentage},
    asked::{Asked, AskedRequest},
    considered,
    description::{self, describe, endpoints},
    party::Client,
};

/// Where it goes.
#[derive(Default)]
pub(crate) struct Course {
    pub(crate) route: Option<Route>,
    pub(crate) considered: Vec<Considered>,
    /// What would lead elsewhere.
    pub(crate) opposite: Vec<String>,
    pub(crate) notes: Vec<String>,
    /// Who may be asked to serve it, best known first; empty when it ends before.
    pub(crate) servers: Vec<Server>,
}

/// Who may be asked to serve it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Service by which it is reached.
    pub(crate) service: Option<ServiceName>,
    pub(crate) address: Option<IpAddr>,
    /// Port it listens on.
    pub(crate) port: u16,
    /// The path that it sees, when it is another.
    pub(crate) path: Option<String>,
}

/// Where it goes; `claims` are those of a token that is believed.
pub(crate) fn course(
    world: &World,
    client: &Client,
    asked: &Asked,
    claims: Option<&Value>,
) -> Course {
    let following = Following {
        world,
        client,
        asked,
        claims,
    };
    match &asked.request {
        Some(request) => following.http(request),
        None => following.stream(),
    }
}

/// Following what is asked through the tables.
struct Following<'w> {
    world: &'w World,
    client: &'w Client,
    asked: &'w Asked,
    claims: Option<&'w Value>,
}

impl<'w> Following<'w> {
    fn http(&self, request: &AskedRequest) -> Course {
        let labels = self.client.label_pairs();
        let client = DecisionClient {
            namespace: &self.client.namespace,
            labels: &labels,
        };
        let headers = super::party::pairs(&request.headers);
        let asked = Request {
            host: &self.asked.host,
            port: self.asked.port,
            scheme: &request.scheme,
            method: &request.method,
            path: &request.path,
            authority: &self.asked.authority,
            headers: &headers,
            claims: self.claims,
        };
        let router = &self.world.router;
        let decision = match &self.client.gateway {
            Some(at) => router.gateway_http(&at.name, &client, &asked),
            None => router.mesh_http(&client, &asked),
        };
        let mut course = match decision.answer {
            HttpAnswer::PassThrough => self.addressed(),
            _ => self.decided(&decision),
        };
        if let Some(table) = decision.table {
            let decided = decision.route.map(|(position, _)| position);
            let told = considered::requests(table, &client, &asked, decided);
            course.considered = told.considered;
            course.opposite = told.opposite;
        }
        let has_rules = |table: &HostTable| !table.http.is_empty();
        self.pass_over(
            &mut course,
            decision.table,
            &asked_hosts(&[asked.host]),
            has_rules,
        );
        course
    }

    fn decided(&self, decision: &HttpDecision<'w>) -> Course {
        let mut course = Course::default();
        let reference = decision.route.map(|(_, route)| {
            let rule = &route.rule;
            Reference::new(&rule.origin, Some(rule.index))
        });
        let dialect = decision.table.map_or(Dialect::Istio, |table| table.dialect);
        let mut route = Route::bare(reference, 200);
        if let Some((_, found)) = decision.route {
            describe(&mut route, &found.rule);
            let mirrors = found.rule.mirrors.iter();
            route.mirrors = mirrors.map(|mirror| self.mirror(mirror)).collect();
        }
        match &decision.answer {
            HttpAnswer::PassThrough => {}
            HttpAnswer::NoListener => {
                course.notes.push(format!(
                    "the gateway does not listen at port {}",
                    self.asked.port
                ));
                return course;
            }
            HttpAnswer::NotFound if self.client.gateway.is_some() => {
                course
                    .notes
                    .push("no rule of the gateway fits: the answer is 404".into());
                course.notes.extend(self.known_hosts());
                return course;
            }
            HttpAnswer::NotFound => {
                let origin = decision.table.and_then(|table| table.origins.first());
                route.resource = origin.map(|origin| Reference::new(origin, None));
                route.status = 404;
                course.notes.push("no rule fits: the answer is 404".into());
            }
            HttpAnswer::Redirect(location) => {
                route.status = location.status;
                route.redirect = Some(answer::Redirect {
                    scheme: location.scheme.clone(),
                    host: location.host.clone(),
                    port: location.port,
                    path: location.path.clone(),
                    status: location.status,
                });
                if let (None, Some(at)) = (&route.resource, &self.client.gateway) {
                    route.resource = Some(Reference::new(&at.gateway.origin, None));
                }
            }
            HttpAnswer::Respond(response) => {
                let body = response.body.as_ref();
                route.status = response.status;
                route.direct_response = Some(answer::DirectResponse {
                    status: response.status,
                    body: body.map(|body| String::from_utf8_lossy(body).into_owned()),
                });
            }
            HttpAnswer::Forward {
                destinations,
                path,
                authority,
            } => {
                if path.is_some() || authority.is_some() {
                    route.rewrite = Some(answer::Rewrite {
                        path: path.clone(),
                        authority: authority.map(str::to_owned),
                    });
                }
                self.forward(
                    &mut route,
                    &mut course,
                    dialect,
                    destinations,
                    path.as_ref(),
                );
            }
        }
        course.route = Some(route);
        course
    }

    fn forward(
        &self,
        route: &mut Route,
        course: &mut Course,
        dialect: Dialect,
        written: &'w [route::Destination],
        path: Option<&String>,
    ) {
        let namespace = &self.client.namespace;
        let mut shares: Vec<(u32, Resolved<'w>)> = Vec::new();
        for destination in written {
            let mut resolved =
                destinations::resolve(self.world.mesh(), namespace, destination, self.dialled());
            self.forgive(&mut resolved);
            let servers = self.servers(&resolved, path);
            if destination.weight > 0 {
                course.servers.extend(servers);
            }
            route
                .destinations
                .push(description::destination(destination, &resolved));
            shares.push((destination.weight, resolved));
        }
        // When nothing can be reached, policies still have their word.
        if course.servers.is_empty() {
            let known = shares
                .iter()
                .find_map(|(_, resolved)| resolved.service.zip(resolved.port));
            course.servers.extend(known.map(|(service, port)| Server {
                service: Some(service.name.clone()),
                address: None,
                port: self.listening_port(service, port),
                path: path.cloned(),
            }));
        }
        let shares = shares.iter().map(|(weight, resolved)| (*weight, resolved));
        route.status = destinations::status(dialect, shares);
        let kind = route.resource.as_ref().map(|resource| &*resource.kind);
        // The Gateway API's word for what cannot be served: UNAVAILABLE.
        route.grpc_status = (kind == Some("GRPCRoute") && route.status != 200).then_some(14);
    }

    /// Where the workloads behind a port of a service listen: as their endpoints have it, else as the
    /// Kubernetes Service does.
    fn listening_port(&self, service: &Service, port: u16) -> u16 {
        let transport = self.asked.protocol;
        let mut ports = service.ports.iter();
        let endpoint = ports.find_map(|known| {
            let is_asked = known.number == port && known.protocol == transport;
            known.endpoints.first().filter(|_| is_asked)
        });
        let written = || self.target_port(&service.name.namespace, &service.short_name, port);
        endpoint
            .map(|endpoint| endpoint.port)
            .or_else(written)
            .unwrap_or(port)
    }

    fn target_port(&self, namespace: &Arc<str>, name: &Arc<str>, port: u16) -> Option<u16> {
        let store = &self.world.store;
        let object = store.object(&ObjectKey {
            kind: Kind::Service,
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
        })?;
        let Resource::Service(service) = &object.resource else {
            return None;
        };
        let (transport, text) = match self.asked.protocol {
            Protocol::Tcp => (weft_api::Protocol::Tcp, "TCP"),
            Protocol::Udp => (weft_api::Protocol::Udp, "UDP"),
        };
        let mut ports = service.ports.iter();
        let written = ports.find(|known| known.number == port && known.protocol == transport)?;
        match &written.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => {
                let pods = store.pods_in(namespace);
                let mut pods = pods.filter(|pod| service.selector.select(pod.labels));
                pods.find_map(|pod| {
                    let mut ports = pod.pod.ports.iter();
                    let named = ports.find(|it| it.name == *name && *it.protocol == *text);
                    named.map(|port| port.number)
                })
            }
        }
    }

    /// Files without any pod and slice say nothing about endpoints.
    fn forgive(&self, resolved: &mut Resolved<'_>) {
        let store = &self.world.store;
        let knows = |kind| store.objects(kind).next().is_some();
        if resolved.fault == Some(DestinationFault::NoEndpoint)
            && !knows(Kind::EndpointSlice)
            && !knows(Kind::Pod)
        {
            resolved.fault = None;
        }
    }

    fn servers(&self, resolved: &Resolved<'_>, path: Option<&String>) -> Vec<Server> {
        let service = resolved.service.map(|service| service.name.clone());
        let server = |endpoint: &&Endpoint| Server {
            service: service.clone(),
            address: Some(endpoint.address),
            port: endpoint.port,
            path: path.cloned(),
        };
        let mut servers: Vec<Server> = resolved.endpoints.iter().map(server).collect();
        if servers.is_empty() && resolved.fault.is_none() && service.is_some() {
            servers.push(Server {
                service,
                address: None,
                port: match resolved.service.zip(resolved.port) {
                    Some((service, port)) => self.listening_port(service, port),
                    None => self.asked.port,
                },
                path: path.cloned(),
            });
        }
        servers
    }

    /// To what was addressed, without a rule.
    fn addressed(&self) -> Course {
        let mut course = Course::default();
        let port = self.asked.port;
        match &self.asked.service {
            Some(name) => {
                let mesh = self.world.mesh();
                let namespace = &self.client.namespace;
                let mut resolved = destinations::addressed(
                    mesh,
                    namespace,
                    name,
                    None,
                    Some(port),
                    self.dialled(),
                );
                self.forgive(&mut resolved);
                course.servers = self.servers(&resolved, None);
                if let Some(fault) = resolved.fault {
                    course.notes.push(format!("{name}: {fault}"));
                }
            }
            None => {
                course
                    .servers
                    .extend(self.asked.address.map(|address| Server {
                        service: None,
                        address: Some(address),
                        port,
                        path: None,
                    }));
                if self.asked.address.is_none() {
                    let host = &self.asked.host;
                    let note = format!("no service has the host {host}: it is reached as it is");
                    course.notes.push(note);
                }
            }
        }
        course
    }

    fn stream(&self) -> Course {
        let labels = self.client.label_pairs();
        let client = DecisionClient {
            namespace: &self.client.namespace,
            labels: &labels,
        };
        let connection = Connection {
            host: &self.asked.host,
            address: self.asked.address,
            port: self.asked.port,
            sni: self.asked.sni.as_deref(),
            protocol: self.asked.protocol,
        };
        let router = &self.world.router;
        let decision = match &self.client.gateway {
            Some(at) => router.gateway_stream(&at.name, &client, &connection),
            None => router.mesh_stream(&client, &connection),
        };
        let mut course = match decision.answer {
            StreamAnswer::PassThrough => self.addressed(),
            StreamAnswer::Closed => Course {
                notes: vec!["the gateway has no route for this connection: it is closed".into()],
                ..Course::default()
            },
            StreamAnswer::Forward(written) => {
                let reference = decision.route.map(|route| {
                    let is_tls = decision.table.is_some_and(|table| {
                        table.tls.iter().any(|other| std::ptr::eq(other, route))
                    });
                    let list = considered::list(&route.origin, if is_tls { "tls" } else { "tcp" });
                    Reference::new(&route.origin, Some(route.index)).in_list(list)
                });
                let mut route = Route::bare(reference, 200);
                let mut course = Course::default();
                let dialect = decision.table.map_or(Dialect::Istio, |table| table.dialect);
                self.forward(&mut route, &mut course, dialect, written, None);
                course.route = Some(route);
                course
            }
        };
        if let Some(table) = decision.table {
            let told = considered::connections(table, &client, &connection, decision.route);
            course.considered = told.considered;
            course.opposite = told.opposite;
        }
        let has_rules = |table: &HostTable| match connection.protocol {
            Protocol::Udp => !table.udp.is_empty(),
            Protocol::Tcp => !table.tls.is_empty() || !table.tcp.is_empty(),
        };
        let hosts = asked_hosts(&[connection.host, connection.sni.unwrap_or("")]);
        self.pass_over(&mut course, decision.table, &hosts, has_rules);
        course
    }

    fn dialled(&self) -> (u16, Protocol) {
        (self.asked.port, self.asked.protocol)
    }

    /// Tables for the hosts asked that did not come to be asked.
    fn pass_over(
        &self,
        course: &mut Course,
        taken: Option<&HostTable>,
        hosts: &[&str],
        has_rules: impl Fn(&HostTable) -> bool + Copy,
    ) {
        for host in hosts {
            let tables = match &self.client.gateway {
                None => self.world.router.mesh_tables(host),
                Some(at) => {
                    let listeners = at.gateway.listeners.iter();
                    let here = listeners.filter(|listener| listener.port == self.asked.port);
                    let tables = here.flat_map(|listener| &listener.tables);
                    let fitting = tables.filter(|(pattern, _)| pattern.fits(host));
                    fitting.map(|(_, table)| &**table).collect()
                }
            };
            course.considered.extend(considered::passed_over(
                tables.into_iter(),
                taken,
                &self.client.namespace,
                self.asked.port,
                has_rules,
            ));
        }
    }

    /// Which hosts a gateway has rules for, where it has none for the one asked.
    fn known_hosts(&self) -> Option<String> {
        let at = self.client.gateway.as_ref()?;
        let listeners = at.gateway.listeners.iter();
        let here = listeners.filter(|listener| listener.port == self.asked.port);
        let mut hosts: Vec<String> = here
            .flat_map(|listener| listener.tables.keys().map(ToString::to_string))
            .collect();
        hosts.sort();
        hosts.dedup();
        let port = self.asked.port;
        let is_known = |host: &String| route::HostPattern::new(host).fits(&self.asked.host);
        (!hosts.is_empty() && !hosts.iter().any(is_known))
            .then(|| format!("at port {port} it has rules for {}", hosts.join(", ")))
    }

    fn mirror(&self, mirror: &'w route::Mirror) -> answer::Mirror {
        let to = &mirror.destination;
        let mesh = self.world.mesh();
        let resolved = destinations::resolve(mesh, &self.client.namespace, to, self.dialled());
        answer::Mirror {
            host: to.host.to_string(),
            subset: to.subset.as_ref().map(ToString::to_string),
            port: resolved.port,
            percentage: percentage(mirror.millionths),
            endpoints: endpoints(&resolved),
        }
    }
}

fn asked_hosts<'h>(hosts: &[&'h str]) -> Vec<&'h str> {
    let mut asked: Vec<&str> = Vec::new();
    for host in hosts.iter().filter(|host| !host.is_empty()) {
        if !asked.contains(host) {
            asked.push(host);
        }
    }
    asked
}
