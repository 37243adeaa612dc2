//! What stands behind a destination: the port, the policy of the client, the endpoints.

use weft_model::{
    Endpoint, Mesh, Protocol, Service, ServiceName,
    route::{Destination, DestinationPolicy, Dialect, HashPolicy, Target},
};

/// What stands behind a destination.
#[derive(Debug)]
pub struct Resolved<'m> {
    /// The service, where it is known.
    pub service: Option<&'m Service>,
    /// Port of the service; none if it cannot be told.
    pub port: Option<u16>,
    /// The DestinationRule that holds for the client, where there is one.
    pub policy: Option<&'m DestinationPolicy>,
    /// How an endpoint is chosen by hash.
    pub hash: Option<&'m HashPolicy>,
    /// Endpoints that may be used, of the subset only.
    pub endpoints: Vec<&'m Endpoint>,
    /// Why nothing may be used.
    pub fault: Option<DestinationFault<'m>>,
}

/// Why nothing behind a destination may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DestinationFault<'m> {
    /// It names nothing that may be used; why, and the status of its share.
    Invalid(&'m str, u16),
    /// The service has no such port.
    NoPort,
    /// No DestinationRule that holds for the client has the subset.
    NoSubset,
    /// Nothing is ready.
    NoEndpoint,
}

impl DestinationFault<'_> {
    /// The response flag of access logs: `NC` (nothing known by this name), `UH` (nothing healthy).
    pub fn flag(self) -> &'static str {
        match self {
            Self::Invalid(..) | Self::NoPort | Self::NoSubset => "NC",
            Self::NoEndpoint => "UH",
        }
    }

    /// Status of a request that meets it.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid(_, status) => status,
            Self::NoPort | Self::NoSubset | Self::NoEndpoint => 503,
        }
    }
}

impl std::fmt::Display for DestinationFault<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Invalid(reason, _) => reason,
            Self::NoPort => "the service has no such port",
            Self::NoSubset => "no DestinationRule that holds for the client has the subset",
            Self::NoEndpoint => "no endpoint is ready",
        })
    }
}

/// What stands behind a destination for a client in `namespace` that dialled this port.
pub fn resolve<'m>(
    mesh: &'m Mesh,
    namespace: &str,
    destination: &'m Destination,
    dialled: (u16, Protocol),
) -> Resolved<'m> {
    let name = match &destination.target {
        Target::Service(name) => name,
        Target::Invalid { reason, status } => {
            return Resolved {
                service: None,
                port: destination.port,
                policy: None,
                hash: None,
                endpoints: Vec::new(),
                fault: Some(DestinationFault::Invalid(reason, *status)),
            };
        }
    };
    let subset = destination.subset.as_deref();
    addressed(mesh, namespace, name, subset, destination.port, dialled)
}

/// What stands behind a service that is addressed without a rule, or by one.
pub fn addressed<'m>(
    mesh: &'m Mesh,
    namespace: &str,
    name: &ServiceName,
    subset: Option<&str>,
    port: Option<u16>,
    (dialled, protocol): (u16, Protocol),
) -> Resolved<'m> {
    let service = mesh.services.get(name).map(|service| &**service);
    let policies = mesh.routes.policies.get(name).map(|policies| &**policies);
    let mut policies = policies.into_iter().flatten();
    let policy = policies.find(|policy| policy.clients.includes(namespace));
    let chosen = subset.map(|subset| {
        let mut subsets = policy.into_iter().flat_map(|policy| &policy.subsets);
        subsets.find(|known| *known.name == *subset)
    });
    let mut resolved = Resolved {
        service,
        port: port.or_else(|| service.and_then(|service| only_port(service, protocol))),
        policy,
        hash: None,
        endpoints: Vec::new(),
        fault: None,
    };
    let number = *resolved.port.get_or_insert(dialled);
    // Services that nobody can list the endpoints of, such as names outside, are not at fault.
    let Some(service) = service else {
        resolved.fault = matches!(chosen, Some(None)).then_some(DestinationFault::NoSubset);
        return resolved;
    };
    let position = service
        .ports
        .iter()
        .position(|port| port.number == number && port.protocol == protocol);
    let Some(position) = position else {
        resolved.fault = Some(DestinationFault::NoPort);
        return resolved;
    };
    let hashes = match chosen {
        Some(subset) => subset.map(|subset| &subset.hashes),
        None => policy.map(|policy| &policy.hashes),
    };
    resolved.hash = hashes.and_then(|hashes| hashes.get(position)?.as_ref());
    let all = &service.ports[position].endpoints;
    resolved.endpoints = match chosen {
        None => all.iter().collect(),
        Some(None) => {
            resolved.fault = Some(DestinationFault::NoSubset);
            return resolved;
        }
        Some(Some(subset)) => {
            let of_port = subset.endpoints.get(position).into_iter().flatten();
            of_port
                .filter_map(|at| all.get(usize::try_from(*at).ok()?))
                .collect()
        }
    };
    resolved
        .endpoints
        .retain(|endpoint| endpoint.ready && endpoint.weight > 0);
    if resolved.endpoints.is_empty() {
        resolved.fault = Some(DestinationFault::NoEndpoint);
    }
    resolved
}

fn only_port(service: &Service, protocol: Protocol) -> Option<u16> {
    let mut ports = service
        .ports
        .iter()
        .filter(|port| port.protocol == protocol);
    match (ports.next(), ports.next()) {
        (Some(only), None) => Some(only.number),
        _ => None,
    }
}

/// Status of a request that a rule sends to these destinations: that of a share that arrives, if any
/// does.
pub fn status<'r, 'm: 'r>(
    dialect: Dialect,
    shares: impl Iterator<Item = (u32, &'r Resolved<'m>)>,
) -> u16 {
    let mut worst = None;
    for (_, resolved) in shares.filter(|(weight, _)| *weight > 0) {
        match resolved.fault {
            None => return 200,
            Some(fault) => worst = worst.or(Some(fault.status())),
        }
    }
    worst.unwrap_or(match dialect {
        Dialect::GatewayApi => 500,
        Dialect::Istio => 503,
    })
}
