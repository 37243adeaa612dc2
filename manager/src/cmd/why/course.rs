//! Where it goes.

use std::net::IpAddr;

use serde_json::{Value, json};
use weft_api::Kind;
use weft_decision::{
    Client as DecisionClient, Connection, HttpAnswer, HttpDecision, Request, Router, StreamAnswer,
    destinations::{self, DestinationFault, Resolved},
};
use weft_model::{
    Endpoint, Service, ServiceName,
    route::{self, Dialect, HashPolicy, HostTable, HttpRule, StringMatch},
};

use super::{
    World,
    answer::{self, Considered, Headers, Reference, Route, percentage, seconds},
    party::{Asked, AskedRequest, Client},
};

/// Where it goes.
pub(crate) struct Course {
    pub(crate) route: Option<Route>,
    pub(crate) considered: Vec<Considered>,
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

pub(crate) fn course(world: &World, client: &Client, asked: &Asked) -> Course {
    let following = Following {
        world,
        client,
        asked,
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
            course.considered = considered(table, &client, &asked, &decision);
        }
        course
    }

    fn decided(&self, decision: &HttpDecision<'w>) -> Course {
        let mut course = Course {
            route: None,
            considered: Vec::new(),
            notes: Vec::new(),
            servers: Vec::new(),
        };
        let reference = decision.route.map(|(_, route)| {
            let rule = &route.rule;
            Reference::new(&rule.origin, Some(rule.index))
        });
        let dialect = decision.table.map_or(Dialect::Istio, |table| table.dialect);
        let mut route = Route::bare(reference, 200);
        if let Some((_, found)) = decision.route {
            self.describe(&mut route, &found.rule);
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
                destinations::resolve(self.world.mesh(), namespace, destination, self.asked.port);
            self.forgive(&mut resolved);
            let servers = self.servers(&resolved, path);
            if destination.weight > 0 {
                course.servers.extend(servers);
            }
            route
                .destinations
                .push(describe_destination(destination, &resolved));
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
                port: target_port(service, port),
                path: path.cloned(),
            }));
        }
        let shares = shares.iter().map(|(weight, resolved)| (*weight, resolved));
        route.status = destinations::status(dialect, shares);
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
                port: resolved.port.unwrap_or(self.asked.port),
                path: path.cloned(),
            });
        }
        servers
    }

    /// To what was addressed, without a rule.
    fn addressed(&self) -> Course {
        let mut course = Course {
            route: None,
            considered: Vec::new(),
            notes: Vec::new(),
            servers: Vec::new(),
        };
        let port = self.asked.port;
        match &self.asked.service {
            Some(name) => {
                let mesh = self.world.mesh();
                let namespace = &self.client.namespace;
                let mut resolved =
                    destinations::addressed(mesh, namespace, name, None, Some(port), port);
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
        };
        let router = &self.world.router;
        let decision = match &self.client.gateway {
            Some(at) => router.gateway_stream(&at.name, &client, &connection),
            None => router.mesh_stream(&client, &connection),
        };
        let mut course = match decision.answer {
            StreamAnswer::PassThrough => self.addressed(),
            StreamAnswer::Closed => Course {
                route: None,
                considered: Vec::new(),
                notes: vec!["the gateway has no route for this connection: it is closed".into()],
                servers: Vec::new(),
            },
            StreamAnswer::Forward(written) => {
                let reference = decision
                    .route
                    .map(|route| Reference::new(&route.origin, Some(route.index)));
                let mut route = Route::bare(reference, 200);
                let mut course = Course {
                    route: None,
                    considered: Vec::new(),
                    notes: Vec::new(),
                    servers: Vec::new(),
                };
                let dialect = decision.table.map_or(Dialect::Istio, |table| table.dialect);
                self.forward(&mut route, &mut course, dialect, written, None);
                course.route = Some(route);
                course
            }
        };
        let origins = decision
            .table
            .map(|table| &table.origins[..])
            .unwrap_or_default();
        course.considered = origins
            .iter()
            .map(|origin| {
                let rule = decision.route.filter(|route| route.origin == *origin);
                Considered {
                    resource: Reference::new(origin, rule.map(|route| route.index)),
                    r#type: "route",
                    action: String::new(),
                    matched: rule.is_some(),
                    reason: match rule {
                        Some(_) => "decides".into(),
                        None => "no rule for this connection".into(),
                    },
                }
            })
            .collect();
        course
    }

    fn describe(&self, route: &mut Route, rule: &'w HttpRule) {
        route.name = Some(rule.name.to_string()).filter(|name| !name.is_empty());
        route.request_headers = Headers::new(&rule.request_headers);
        route.response_headers = Headers::new(&rule.response_headers);
        route.timeout = rule.timeout.map(seconds);
        route.retries = rule.retries.as_ref().map(|retries| answer::Retries {
            attempts: retries.attempts,
            per_try_timeout: retries.per_try_timeout.map(seconds),
            retry_on: retries.retry_on.iter().map(ToString::to_string).collect(),
            codes: retries.codes.clone(),
            backoff: retries.backoff.map(seconds),
            remote_localities: retries.remote_localities,
            ignore_previous_hosts: retries.ignore_previous_hosts,
        });
        route.fault = rule.fault.as_ref().map(|fault| answer::Fault {
            delay: fault.delay.map(|delay| answer::Delay {
                fixed_delay: seconds(delay.duration),
                percentage: percentage(delay.millionths),
            }),
            abort: fault.abort.map(|abort| answer::Abort {
                http_status: abort.http_status,
                grpc_status: abort.grpc_status,
                percentage: percentage(abort.millionths),
            }),
        });
        let mirrors = rule.mirrors.iter().map(|mirror| self.mirror(mirror));
        route.mirrors = mirrors.collect();
        route.cors = rule.cors.as_ref().map(cors);
    }

    fn mirror(&self, mirror: &'w route::Mirror) -> answer::Mirror {
        let to = &mirror.destination;
        let mesh = self.world.mesh();
        let resolved = destinations::resolve(mesh, &self.client.namespace, to, self.asked.port);
        answer::Mirror {
            host: to.host.to_string(),
            subset: to.subset.as_ref().map(ToString::to_string),
            port: resolved.port,
            percentage: percentage(mirror.millionths),
            endpoints: endpoints(&resolved),
        }
    }
}

/// Where the workloads of a service listen, as far as endpoints tell.
fn target_port(service: &Service, port: u16) -> u16 {
    let mut ports = service.ports.iter().filter(|known| known.number == port);
    let endpoint = ports.find_map(|port| port.endpoints.first());
    endpoint.map_or(port, |endpoint| endpoint.port)
}

fn endpoints(resolved: &Resolved<'_>) -> Vec<String> {
    let endpoints = resolved.endpoints.iter();
    endpoints
        .map(|endpoint| std::net::SocketAddr::new(endpoint.address, endpoint.port).to_string())
        .collect()
}

fn describe_destination(
    destination: &route::Destination,
    resolved: &Resolved<'_>,
) -> answer::Destination {
    answer::Destination {
        host: destination.host.to_string(),
        subset: destination.subset.as_ref().map(ToString::to_string),
        port: resolved.port,
        weight: destination.weight,
        status: resolved.fault.map_or(200, DestinationFault::status),
        reason: resolved.fault.map(|fault| fault.to_string()),
        endpoints: endpoints(resolved),
        request_headers: Headers::new(&destination.request_headers),
        response_headers: Headers::new(&destination.response_headers),
        hash: resolved.hash.map(hash),
    }
}

fn hash(policy: &HashPolicy) -> Value {
    match policy {
        HashPolicy::Header(name) => json!({ "header": name }),
        HashPolicy::QueryParameter(name) => json!({ "query_parameter": name }),
        HashPolicy::SourceIp => json!({ "source_ip": true }),
        HashPolicy::Cookie { name, path, ttl } => {
            json!({ "cookie": { "name": name, "path": path, "ttl": ttl.map(seconds) } })
        }
    }
}

fn cors(cors: &route::Cors) -> Value {
    let origin = |origin: &StringMatch| match origin {
        StringMatch::Exact(text) => json!({ "exact": text }),
        StringMatch::Prefix(text) => json!({ "prefix": text }),
        StringMatch::Regex(text) => json!({ "regex": text }),
    };
    json!({
        "allow_origins": cors.origins.iter().map(origin).collect::<Vec<_>>(),
        "allow_methods": cors.methods,
        "allow_headers": cors.headers,
        "expose_headers": cors.expose,
        "max_age": cors.max_age.map(seconds),
        "allow_credentials": cors.credentials,
    })
}

/// Every rule of the table, each once, up to the one that decides.
fn considered(
    table: &HostTable,
    client: &DecisionClient<'_>,
    request: &Request<'_>,
    decision: &HttpDecision<'_>,
) -> Vec<Considered> {
    let all = Router::considered(table, client, request);
    let decided = decision
        .route
        .map_or(all.len(), |(position, _)| position + 1);
    let mut found: Vec<Considered> = Vec::new();
    for (position, (origin, rule, fits)) in all.into_iter().take(decided).enumerate() {
        let resource = Reference::new(origin, Some(rule));
        let is_last = position + 1 == decided && fits;
        let same = |other: &Considered| {
            let (a, b) = (&other.resource, &resource);
            (&a.kind, &a.namespace, &a.name, a.rule) == (&b.kind, &b.namespace, &b.name, b.rule)
        };
        if !is_last && found.last().is_some_and(same) {
            continue;
        }
        found.retain(|other| !is_last || !same(other));
        found.push(Considered {
            resource,
            r#type: "route",
            action: String::new(),
            matched: fits,
            reason: if fits {
                "decides".into()
            } else {
                "does not match".into()
            },
        });
    }
    found
}
