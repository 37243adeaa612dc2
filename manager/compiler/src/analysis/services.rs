//! Services and ServiceEntries: IST0118, IST0134, IST0150.

use super::Analysis;
use weft_api::{Kind, Resource, ServiceType, TargetPort};

/// Namespaces that Kubernetes and the mesh have for themselves.
const SYSTEM: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

/// What a port's name may begin with.
const NAMES: [&str; 12] = [
    "grpc", "grpc-web", "http", "http2", "https", "mongo", "mysql", "redis", "tcp", "tls", "udp",
    "hbone",
];

fn is_named_well(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("grpc-web") || NAMES.contains(&name.split('-').next().unwrap_or(""))
}

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let services = analysis.each(Kind::Service, |resource| match resource {
        Resource::Service(service) => Some(&**service),
        _ => None,
    });
    for (object, service) in services {
        let namespace = &*object.key.namespace;
        if SYSTEM.contains(&namespace) || *namespace == *analysis.settings.root_namespace {
            continue;
        }
        for port in &service.ports {
            let well = is_named_well(&port.name);
            if service.service_type == ServiceType::ExternalName {
                if !well {
                    let text = "Port name for ExternalName service is invalid. Proxy may prevent \
                                tcp named ports and unmatched traffic for ports serving TCP \
                                protocol from being forwarded correctly";
                    analysis.say("IST0150", object, text.to_owned());
                }
            } else if !well && port.app_protocol.is_empty() {
                let target = match &port.target {
                    TargetPort::Number(number) => number.to_string(),
                    TargetPort::Name(name) => name.to_string(),
                };
                let text = format!(
                    "Port name {} (port: {}, targetPort: {target}) doesn't follow the naming \
                     convention of Istio port.",
                    port.name, port.number
                );
                analysis.say("IST0118", object, text);
            }
        }
    }
    entries(analysis);
}

fn entries(analysis: &mut Analysis<'_>) {
    let entries = analysis.each(Kind::ServiceEntry, |resource| match resource {
        Resource::ServiceEntry(entry) => Some(&**entry),
        _ => None,
    });
    for (object, entry) in entries {
        let is_blind = entry.addresses.is_empty() && entry.networks.is_empty();
        let is_tcp = |application: &str| matches!(application, "" | "TCP");
        if is_blind && entry.ports.iter().any(|port| is_tcp(&port.application)) {
            let text = "ServiceEntry addresses are required for this protocol.".to_owned();
            analysis.say("IST0134", object, text);
        }
    }
}
