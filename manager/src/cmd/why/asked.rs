//! Whom the question is about, and how.

use std::{net::IpAddr, sync::Arc};

use weft_compiler::{Application, application};
use weft_model::{
    Protocol, Service, ServiceName,
    route::{Listener, ListenerProtocol},
};

use super::{
    WhyError, World,
    party::{AtGateway, Client},
};
use crate::args::offline::{Spoken, WhyArgs};

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
