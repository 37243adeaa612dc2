//! Who asks, and whom.

use std::{net::IpAddr, sync::Arc};

use weft_api::{Kind, Object, Resource};
use weft_compiler::{Application, application, pod_workload};
use weft_model::{
    Exclusions, Instance, Protocol, Service, ServiceName,
    route::{Gateway, GatewayName, Listener, ListenerProtocol},
};

use super::{WhyError, World};
use crate::args::offline::{Spoken, WhyArgs};

/// Labels of a workload, owned.
pub(crate) type OwnedLabels = Vec<(String, String)>;

/// Who asks: a workload, or whoever reaches a gateway.
pub(crate) struct Client {
    /// Namespace of the workload, or of the gateway.
    pub(crate) namespace: String,
    /// Labels of the workload, or of the gateway's.
    pub(crate) labels: OwnedLabels,
    /// Verified identity, without `spiffe://`; none from outside the mesh.
    pub(crate) principal: Option<String>,
    /// Address packets come from.
    pub(crate) address: IpAddr,
    /// The gateway at which traffic arrives.
    pub(crate) gateway: Option<AtGateway>,
    /// Its node, and what of its traffic is left alone.
    pub(crate) exclusions: Option<(Option<Arc<str>>, Exclusions)>,
    pub(crate) notes: Vec<String>,
}

/// A gateway at which traffic arrives.
pub(crate) struct AtGateway {
    pub(crate) name: GatewayName,
    pub(crate) gateway: Arc<Gateway>,
    /// GatewayClass, empty for Istio's Gateways.
    pub(crate) class: String,
    /// Identity under which it reaches backends.
    pub(crate) principal: String,
    /// Whether that is only what such a gateway usually has, for no pod says so.
    pub(crate) is_assumed: bool,
}

impl Client {
    /// The client that the arguments name.
    pub(crate) fn find(world: &World, args: &WhyArgs) -> Result<Self, WhyError> {
        match (&args.gateway, &args.from) {
            (Some(gateway), _) => at_gateway(world, gateway, args),
            (None, from) => workload(world, from.as_deref().unwrap_or_default(), args),
        }
    }

    /// Labels as decisions want them.
    pub(crate) fn label_pairs(&self) -> Vec<(&str, &str)> {
        pairs(&self.labels)
    }
}

/// Labels as decisions want them.
pub(crate) fn pairs(labels: &OwnedLabels) -> Vec<(&str, &str)> {
    labels
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect()
}

/// Labels of an object.
pub(crate) fn labels_of(object: &Object) -> OwnedLabels {
    let labels = object.labels.iter();
    labels
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// Labels of an instance, as policies see them.
pub(crate) fn labels_of_instance(instance: &Instance) -> OwnedLabels {
    let labels = instance.labels.iter();
    labels
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn two_parts<'t>(argument: &'static str, given: &'t str) -> Result<(&'t str, &'t str), WhyError> {
    let parts = given.split_once('/');
    let parts = parts.filter(|(a, b)| !a.is_empty() && !b.is_empty() && !b.contains('/'));
    parts.ok_or_else(|| WhyError::Form {
        argument,
        given: given.to_owned(),
        form: "NAMESPACE/NAME",
    })
}

fn workload(world: &World, from: &str, args: &WhyArgs) -> Result<Client, WhyError> {
    let (namespace, name) = two_parts("--from", from)?;
    let pod = pod(world, namespace, name);
    if pod.is_none()
        && let Some((address, instance)) = instance(world, namespace, name)
    {
        return Ok(Client {
            principal: Some(instance.identity.principal()),
            namespace: namespace.to_owned(),
            labels: labels_of_instance(instance),
            address: args.source_ip.unwrap_or(*address),
            gateway: None,
            exclusions: Some((instance.node.clone(), instance.exclusions.clone())),
            notes: Vec::new(),
        });
    }
    let mut notes = Vec::new();
    let (labels, account, address) = match &pod {
        Some((object, account)) => {
            let Resource::Pod(pod) = &object.resource else {
                unreachable!("a pod holds a pod");
            };
            (
                labels_of(object),
                account.to_string(),
                pod.addresses.first().copied(),
            )
        }
        None => {
            notes.push(format!(
                "no pod of a workload {namespace}/{name} in the files: it has no labels here, and \
                 the service account \"default\""
            ));
            (Vec::new(), "default".to_owned(), None)
        }
    };
    let domain = &world.settings.trust_domain;
    let standing = address.and_then(|address| world.mesh().instances.get(&address));
    Ok(Client {
        principal: Some(format!("{domain}/ns/{namespace}/sa/{account}")),
        namespace: namespace.to_owned(),
        labels,
        address: args.source_ip.or(address).unwrap_or(UNKNOWN),
        gateway: None,
        exclusions: standing.map(|it| (it.node.clone(), it.exclusions.clone())),
        notes,
    })
}

/// An address that is nobody's (RFC 5737).
const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// The pod of this name, else the first of the workload of this name, with its service account.
fn pod<'w>(world: &'w World, namespace: &str, name: &str) -> Option<(&'w Arc<Object>, Arc<str>)> {
    let mut found = None;
    for object in world.store.objects_in(Kind::Pod, &namespace.into()) {
        let workload = pod_workload(object)?;
        if *object.key.name == *name {
            return Some((object, workload.service_account));
        }
        if *workload.name == *name && found.is_none() {
            found = Some((object, workload.service_account));
        }
    }
    found
}

/// The instance of this name that is no pod, else the first of the workload of this name.
fn instance<'w>(
    world: &'w World,
    namespace: &str,
    name: &str,
) -> Option<(&'w IpAddr, &'w Instance)> {
    let instances = world.mesh().instances.iter();
    let instances = instances.map(|(address, instance)| (address, &**instance));
    let inside: Vec<_> = instances
        .filter(|(_, it)| *it.namespace == *namespace)
        .collect();
    let named = inside.iter().find(|(_, it)| *it.name == *name);
    let of_workload = || inside.iter().find(|(_, it)| *it.workload.name == *name);
    named.or_else(of_workload).copied()
}

fn at_gateway(world: &World, given: &str, args: &WhyArgs) -> Result<Client, WhyError> {
    let (namespace, name) = two_parts("--gateway", given)?;
    let gateways = &world.mesh().routes.gateways;
    let found = [true, false].into_iter().find_map(|is_gateway_api| {
        let key = GatewayName {
            is_gateway_api,
            namespace: namespace.into(),
            name: name.into(),
        };
        gateways.get_key_value(&key)
    });
    let (key, gateway) = found.ok_or_else(|| WhyError::NoGateway(given.to_owned()))?;
    let pod: Option<&Object> = gateway_pod(world, key).map(|pod| &**pod);
    let (labels, class) = (pod.map(labels_of).unwrap_or_default(), class(world, key));
    let account = match pod.and_then(pod_workload) {
        Some(workload) => workload.service_account.to_string(),
        None if class.is_empty() => name.to_owned(),
        None => format!("{name}-{class}"),
    };
    let of = pod.map_or(namespace, |pod| &*pod.key.namespace);
    let principal = format!("{}/ns/{of}/sa/{account}", world.settings.trust_domain);
    Ok(Client {
        namespace: pod.map_or(namespace, |pod| &*pod.key.namespace).to_owned(),
        labels: match (pod, selector(world, key)) {
            (None, Some(selector)) => selector,
            _ => labels,
        },
        principal: None,
        address: args.source_ip.unwrap_or(UNKNOWN),
        gateway: Some(AtGateway {
            name: key.clone(),
            gateway: Arc::clone(gateway),
            class,
            principal,
            is_assumed: pod.is_none(),
        }),
        exclusions: None,
        notes: Vec::new(),
    })
}

fn gateway_object<'w>(world: &'w World, name: &GatewayName) -> Option<&'w Arc<Object>> {
    world.store.object(&weft_api::ObjectKey {
        kind: if name.is_gateway_api {
            Kind::Gateway
        } else {
            Kind::IstioGateway
        },
        namespace: Arc::clone(&name.namespace),
        name: Arc::clone(&name.name),
    })
}

fn class(world: &World, name: &GatewayName) -> String {
    match gateway_object(world, name).map(|object| &object.resource) {
        Some(Resource::Gateway(gateway)) => gateway.gateway_class_name.to_string(),
        _ => String::new(),
    }
}

/// Labels that an Istio Gateway's workloads have.
fn selector(world: &World, name: &GatewayName) -> Option<OwnedLabels> {
    let Resource::IstioGateway(gateway) = &gateway_object(world, name)?.resource else {
        return None;
    };
    let labels = gateway.selector.iter();
    Some(
        labels
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    )
}

/// A pod that serves the gateway.
fn gateway_pod<'w>(world: &'w World, name: &GatewayName) -> Option<&'w Arc<Object>> {
    let serves = |object: &&Arc<Object>| match gateway_object(world, name).map(|o| &o.resource) {
        Some(Resource::IstioGateway(gateway)) => gateway.selector.select(&object.labels),
        _ => {
            let label = object
                .labels
                .value("gateway.networking.k8s.io/gateway-name");
            object.key.namespace == name.namespace && label == Some(&name.name)
        }
    };
    let mut pods = world.store.objects(Kind::Pod);
    pods.find(serves)
}

/// Whom, and how.
pub(crate) struct Asked {
    /// Host in lower case: of the service, or as a client of a gateway writes it.
    pub(crate) host: String,
    /// The Host header.
    pub(crate) authority: String,
    pub(crate) port: u16,
    /// The service that the host names, inside the mesh.
    pub(crate) service: Option<ServiceName>,
    /// The address that was dialled, where it is known.
    pub(crate) address: Option<IpAddr>,
    /// The request; none for other connections.
    pub(crate) request: Option<AskedRequest>,
    /// Server name of TLS that is not opened here.
    pub(crate) sni: Option<String>,
    /// TCP, or UDP.
    pub(crate) protocol: Protocol,
}

/// A request.
pub(crate) struct AskedRequest {
    pub(crate) scheme: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Asked {
    /// What the arguments ask for.
    pub(crate) fn find(world: &World, client: &Client, args: &WhyArgs) -> Result<Self, WhyError> {
        let (host, port) = host_and_port(&args.to)?;
        let mut asked = Self {
            authority: args.to.clone(),
            host: host.to_ascii_lowercase(),
            port: 0,
            service: None,
            address: host.parse().ok(),
            request: None,
            sni: args.sni.as_ref().map(|name| name.to_ascii_lowercase()),
            protocol: match args.protocol {
                Some(Spoken::Udp) => Protocol::Udp,
                _ => Protocol::Tcp,
            },
        };
        let request = asked_request(args)?;
        let asks_http = args.protocol == Some(Spoken::Http)
            || args.method.is_some()
            || args.path.is_some()
            || args.jwt.is_some()
            || !args.headers.is_empty();
        let speaks = match &client.gateway {
            Some(at) => {
                let listener = listener(at, &asked, port, asks_http, args.protocol)?;
                asked.port = listener.map_or(port.unwrap_or(80), |listener| listener.port);
                let is_secure = listener.is_some_and(|l| l.protocol.scheme() == "https");
                asked.request = Some(AskedRequest {
                    scheme: args.scheme.clone().unwrap_or_else(|| {
                        if is_secure {
                            "https".into()
                        } else {
                            "http".into()
                        }
                    }),
                    ..request
                });
                if listener.is_none_or(|listener| listener.protocol.is_http()) {
                    Application::Http
                } else {
                    Application::Tcp
                }
            }
            None => {
                asked.resolve(world, client);
                asked.port = asked.mesh_port(world, port, args.sni.is_some())?;
                asked.request = Some(request);
                match &asked.service {
                    Some(name) => application(&world.store, &world.settings, name, asked.port),
                    None => Application::Sniffed,
                }
            }
        };
        let is_http = match speaks {
            _ if matches!(args.protocol, Some(Spoken::Tcp | Spoken::Udp)) => false,
            Application::Http => asked.sni.is_none() || asks_http,
            Application::Sniffed => asked.sni.is_none() && (asks_http || asked.has_rules(world)),
            Application::Tls | Application::Tcp => asks_http && client.gateway.is_none(),
        };
        if speaks == Application::Tls && asked.sni.is_none() && !is_http {
            asked.sni = Some(asked.host.clone());
        }
        if !is_http {
            asked.request = None;
        }
        Ok(asked)
    }

    /// Whether some rule for requests is about the host.
    fn has_rules(&self, world: &World) -> bool {
        let mut tables = world.mesh().routes.mesh.iter();
        tables.any(|(host, tables)| {
            host.fits(&self.host) && tables.iter().any(|table| !table.http.is_empty())
        })
    }

    /// The service that the host names for a client: short names in its namespace, as DNS does.
    fn resolve(&mut self, world: &World, client: &Client) {
        let services = &world.mesh().services;
        if let Some(address) = self.address {
            let owner = services.values().find(|service| {
                service
                    .frontends
                    .iter()
                    .any(|frontend| frontend.address == address)
            });
            if let Some(service) = owner {
                self.host = service.name.hostname.to_string();
                self.service = Some(service.name.clone());
            }
            return;
        }
        let (host, domain) = (&self.host, &world.settings.cluster_domain);
        let names = [
            host.clone(),
            format!("{host}.{}.svc.{domain}", client.namespace),
            format!("{host}.svc.{domain}"),
            format!("{host}.{domain}"),
        ];
        for name in names {
            let mut fitting: Vec<&Arc<Service>> = services
                .values()
                .filter(|service| *service.name.hostname == *name)
                .collect();
            fitting.sort_by_key(|service| *service.name.namespace != *client.namespace);
            if let Some(service) = fitting.first() {
                self.service = Some(service.name.clone());
                self.address = service.frontends.first().map(|frontend| frontend.address);
                self.host = name;
                return;
            }
        }
    }

    fn mesh_port(&self, world: &World, port: Option<u16>, has_sni: bool) -> Result<u16, WhyError> {
        if let Some(port) = port {
            return Ok(port);
        }
        let service = self
            .service
            .as_ref()
            .and_then(|name| world.mesh().services.get(name));
        let ports = service
            .map(|service| &service.ports[..])
            .unwrap_or_default();
        let ports = ports.iter().filter(|port| port.protocol == self.protocol);
        let ports: Vec<u16> = ports.map(|port| port.number).collect();
        let usual = if has_sni { 443 } else { 80 };
        match ports[..] {
            [only] => Ok(only),
            [] => Ok(usual),
            _ if ports.contains(&usual) => Ok(usual),
            _ => Err(WhyError::WhichPort(self.host.clone())),
        }
    }
}

fn host_and_port(to: &str) -> Result<(&str, Option<u16>), WhyError> {
    let wrong = || WhyError::Form {
        argument: "--to",
        given: to.to_owned(),
        form: "HOST or HOST:PORT",
    };
    if let Some(rest) = to.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or_else(wrong)?;
        return match (rest, rest.strip_prefix(':').map(str::parse)) {
            ("", _) => Ok((address, None)),
            (_, Some(Ok(port))) => Ok((address, Some(port))),
            _ => Err(wrong()),
        };
    }
    if to.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((to, None));
    }
    match to.split_once(':') {
        None if to.is_empty() => Err(wrong()),
        None => Ok((to, None)),
        Some((host, port)) => match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() => Ok((host, Some(port))),
            _ => Err(wrong()),
        },
    }
}

fn asked_request(args: &WhyArgs) -> Result<AskedRequest, WhyError> {
    let mut headers = Vec::new();
    for given in &args.headers {
        let separator = given.find(['=', ':']);
        let (name, value) = separator
            .map(|at| (&given[..at], &given[at + 1..]))
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| WhyError::Form {
                argument: "--header",
                given: given.clone(),
                form: "NAME=VALUE",
            })?;
        headers.push((
            name.trim().to_ascii_lowercase(),
            value.trim_start().to_owned(),
        ));
    }
    if let Some(token) = &args.jwt {
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    let path = args.path.clone().unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') {
        return Err(WhyError::Form {
            argument: "--path",
            given: path,
            form: "a path that begins with /",
        });
    }
    Ok(AskedRequest {
        scheme: args.scheme.clone().unwrap_or_else(|| "http".to_owned()),
        method: args.method.clone().unwrap_or_else(|| "GET".to_owned()),
        path,
        headers,
    })
}

/// The listener that is meant: at the port given, else the first that fits best. None when the
/// gateway listens, but not at that port.
fn listener<'g>(
    at: &'g AtGateway,
    asked: &Asked,
    port: Option<u16>,
    asks_http: bool,
    spoken: Option<Spoken>,
) -> Result<Option<&'g Listener>, WhyError> {
    let all = &at.gateway.listeners;
    if all.is_empty() {
        return Err(WhyError::NoListener(at.name.to_string()));
    }
    let host = asked.sni.as_deref().unwrap_or(&asked.host);
    let is_stream = matches!(spoken, Some(Spoken::Tcp | Spoken::Udp));
    let wants_stream = is_stream || (asked.sni.is_some() && !asks_http);
    let is_udp = asked.protocol == Protocol::Udp;
    let rank = |listener: &&Listener| {
        (
            (listener.protocol == ListenerProtocol::Udp) == is_udp,
            listener.protocol.is_http() != wants_stream,
            listener.hostname.fits(host),
            !listener.https_redirect || asked.sni.is_none(),
        )
    };
    let here = all
        .iter()
        .filter(|l| port.is_none_or(|port| port == l.port));
    // Of equals the first: `max_by_key` would take the last.
    Ok(here.rev().max_by_key(rank))
}
