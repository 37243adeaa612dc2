//! Services and ServiceEntries: IST0118, IST0134, IST0150, IST0177.

use super::{Analysis, full_text};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{
    Kind, Object, Protocol, Resource, ServiceEntry, ServicePort, ServiceType, TargetPort,
};

use crate::routes::{overlap, visibility};

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

/// Ports of protocols in which the server speaks first: those are never guessed.
const KNOWN_PORTS: [u16; 4] = [25, 53, 3306, 27017];

fn is_named_well(port: &ServicePort) -> bool {
    let name = port.name.to_ascii_lowercase();
    port.protocol == Protocol::Udp
        || KNOWN_PORTS.contains(&port.number)
        || name.starts_with("grpc-web")
        || NAMES.contains(&name.split('-').next().unwrap_or(""))
}

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let services = analysis.each(Kind::Service, |resource| match resource {
        Resource::Service(service) => Some(&**service),
        _ => None,
    });
    for (object, service) in services {
        let namespace = &*object.key.namespace;
        // Istio's own are its own business.
        let is_istio = object.labels.value("istio").is_some()
            || object
                .labels
                .value("release")
                .is_some_and(|name| **name == *"istio")
            || *namespace == *analysis.settings.root_namespace;
        if SYSTEM.contains(&namespace) || is_istio {
            continue;
        }
        for (index, port) in service.ports.iter().enumerate() {
            let item = Some(("ports", index));
            let well = is_named_well(port);
            if service.service_type == ServiceType::ExternalName {
                if !well || *port.name == *"tcp" {
                    let text = "Port name for ExternalName service is invalid. Proxy may prevent \
                                tcp named ports and unmatched traffic for ports serving TCP \
                                protocol from being forwarded correctly";
                    analysis.say_of("IST0150", object, item, text.to_owned());
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
                analysis.say_of("IST0118", object, item, text);
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
    for (object, entry) in &entries {
        let is_blind = entry.addresses.is_empty() && entry.networks.is_empty();
        let is_tcp = |application: &str| matches!(application, "" | "TCP");
        for (index, port) in entry.ports.iter().enumerate() {
            if is_blind && is_tcp(&port.application) {
                let text = "ServiceEntry addresses are required for this protocol.".to_owned();
                analysis.say_of("IST0134", object, Some(("ports", index)), text);
            }
        }
    }
    conflicts(analysis, &entries);
}

/// An entry that has a port, with the protocol that it says.
type Claim<'e> = (&'e Arc<Object>, &'e ServiceEntry, &'e Arc<str>);

/// IST0177: one host and port in several ServiceEntries that the same clients see, with protocols that
/// differ.
fn conflicts(analysis: &mut Analysis<'_>, entries: &[(&Arc<Object>, &ServiceEntry)]) {
    let mut claims: BTreeMap<(&Arc<str>, u16), Vec<Claim<'_>>> = BTreeMap::new();
    for (object, entry) in entries {
        for name in &entry.names {
            for port in &entry.ports {
                let of_port = claims.entry((name, port.number)).or_default();
                of_port.push((object, entry, &port.application));
            }
        }
    }
    for ((host, port), claims) in claims {
        let sees = |object: &Object, entry: &ServiceEntry| {
            visibility(&object.key.namespace, &entry.export_to)
        };
        for (object, entry, protocol) in &claims {
            let own = sees(object, entry);
            let meeting: Vec<_> = claims
                .iter()
                .filter(|(object, entry, _)| overlap(&own, &sees(object, entry)))
                .collect();
            if meeting.iter().all(|(.., other)| other == protocol) {
                continue;
            }
            let names: BTreeSet<String> = meeting
                .iter()
                .map(|(object, ..)| full_text(object))
                .collect();
            let protocols: BTreeSet<&str> =
                meeting.iter().map(|(.., protocol)| &***protocol).collect();
            let names: Vec<String> = names.into_iter().collect();
            let protocols: Vec<&str> = protocols.into_iter().collect();
            let text = format!(
                "ServiceEntries {} define host {host} and port {port} with different protocols: {}.",
                names.join(", "),
                protocols.join(", ")
            );
            analysis.say("IST0177", object, text);
        }
    }
}
