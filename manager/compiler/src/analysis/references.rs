//! What is named and not there: IST0101.

use std::{collections::BTreeSet, sync::Arc};

use weft_api::{
    Kind, Object, ObjectKey, PolicyScope, Resource, TargetKind,
    virtual_service::{VirtualService, stream::Destination},
};
use weft_model::{Severity, route::HostPattern};

use super::{Analysis, selector_text};

const CODE: &str = "IST0101";

impl Analysis<'_> {
    fn missing(&mut self, object: &Object, what: &str, name: &str) {
        let text = format!("Referenced {what} not found: {name:?}");
        self.say(Severity::Error, CODE, object, text);
    }

    fn has(&self, kind: Kind, namespace: &Arc<str>, name: &str) -> bool {
        let key = ObjectKey {
            kind,
            namespace: Arc::clone(namespace),
            name: name.into(),
        };
        self.store.object(&key).is_some()
    }
}

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let services = analysis.each(Kind::VirtualService, |resource| match resource {
        Resource::VirtualService(service) => Some(&**service),
        _ => None,
    });
    let subsets = subsets(analysis);
    for (object, service) in services {
        destinations(analysis, object, service, &subsets);
        gateways_of(analysis, object, service);
        delegates(analysis, object, service);
    }
    selectors(analysis);
    targets(analysis);
}

/// Hosts with their subsets.
type Subsets = BTreeSet<(HostPattern, Arc<str>)>;

fn subsets(analysis: &Analysis<'_>) -> Subsets {
    let rules = analysis.each(Kind::DestinationRule, |resource| match resource {
        Resource::DestinationRule(rule) => Some(&**rule),
        _ => None,
    });
    let mut subsets = Subsets::new();
    for (object, rule) in rules {
        let host = analysis.pattern(&object.key.namespace, &rule.host);
        let of_rule = rule
            .subsets
            .iter()
            .map(|s| (host.clone(), Arc::clone(&s.name)));
        subsets.extend(of_rule);
    }
    subsets
}

fn destinations(
    analysis: &mut Analysis<'_>,
    object: &Object,
    service: &VirtualService,
    subsets: &Subsets,
) {
    let http = service.http.iter().flat_map(|rule| {
        let routes = rule.route.iter().map(|to| &to.destination);
        let mirrors = rule.copies().map(|(to, _)| to);
        routes
            .map(|to| (to, false))
            .chain(mirrors.map(|to| (to, true)))
    });
    let tls = service.tls.iter().flat_map(|rule| &rule.route);
    let tcp = service.tcp.iter().flat_map(|rule| &rule.route);
    let streams = tls.chain(tcp).map(|to| (&to.destination, false));
    let all: Vec<(&Destination, bool)> = http.chain(streams).collect();
    for (destination, is_mirror) in all {
        let host = analysis.full_name(&object.key.namespace, &destination.host);
        if !knows(analysis, &host) {
            let what = if is_mirror { "mirror host" } else { "host" };
            analysis.missing(object, what, &destination.host);
        } else if !destination.subset.is_empty() {
            let fits = |(pattern, name): &(HostPattern, Arc<str>)| {
                *name == destination.subset && pattern.fits(&host)
            };
            if !subsets.iter().any(fits) {
                let name = format!("{}+{}", destination.host, destination.subset);
                analysis.missing(object, "host+subset in destinationrule", &name);
            }
        }
        port_needed(analysis, object, destination, &host);
    }
}

fn knows(analysis: &Analysis<'_>, host: &Arc<str>) -> bool {
    let wildcards = || analysis.hosts.iter().filter(|known| known.starts_with('*'));
    analysis.hosts.contains(host) || wildcards().any(|known| HostPattern::new(known).fits(host))
}

/// IST0112: a destination must say which of several ports it means.
fn port_needed(
    analysis: &mut Analysis<'_>,
    object: &Object,
    destination: &Destination,
    host: &Arc<str>,
) {
    if destination.port.is_some() {
        return;
    }
    let mut services = analysis.store.objects(Kind::Service);
    let service = services.find(|service| {
        let key = &service.key;
        analysis
            .settings
            .service_name(&key.namespace, &key.name)
            .hostname
            == *host
    });
    let Some(Resource::Service(service)) = service.map(|service| &service.resource) else {
        return;
    };
    let ports: Vec<String> = service
        .ports
        .iter()
        .map(|port| port.number.to_string())
        .collect();
    if ports.len() < 2 {
        return;
    }
    let text = format!(
        "This VirtualService routes to a service {:?} that exposes multiple ports [{}]. Specifying a \
         port in the destination is required to disambiguate.",
        destination.host,
        ports.join(" ")
    );
    analysis.say(Severity::Error, "IST0112", object, text);
}

fn gateways_of(analysis: &mut Analysis<'_>, object: &Object, service: &VirtualService) {
    for gateway in service
        .gateways
        .iter()
        .filter(|gateway| ***gateway != *"mesh")
    {
        let own = (&*object.key.namespace, &**gateway);
        let (namespace, name) = gateway.split_once('/').unwrap_or(own);
        if !analysis.has(Kind::IstioGateway, &namespace.into(), name) {
            analysis.missing(object, "gateway", gateway);
        }
    }
}

fn delegates(analysis: &mut Analysis<'_>, object: &Object, service: &VirtualService) {
    for delegate in service
        .http
        .iter()
        .filter_map(|rule| rule.delegate.as_ref())
    {
        let namespace = match &*delegate.namespace {
            "" => &object.key.namespace,
            _ => &delegate.namespace,
        };
        if !analysis.has(Kind::VirtualService, namespace, &delegate.name) {
            let name = format!("{namespace}/{}", delegate.name);
            analysis.missing(object, "delegate", &name);
        }
    }
}

/// Gateways whose selector fits no workload; only where workloads are known at all.
fn selectors(analysis: &mut Analysis<'_>) {
    if analysis.store.objects(Kind::Pod).next().is_none() {
        return;
    }
    let gateways = analysis.each(Kind::IstioGateway, |resource| match resource {
        Resource::IstioGateway(gateway) => Some(&**gateway),
        _ => None,
    });
    for (object, gateway) in gateways {
        if !gateway.selector.is_empty() && !analysis.has_pods(None, &gateway.selector) {
            analysis.missing(object, "selector", &selector_text(&gateway.selector));
        }
    }
}

/// `targetRefs` of policies.
fn targets(analysis: &mut Analysis<'_>) {
    let kinds = [
        Kind::AuthorizationPolicy,
        Kind::RequestAuthentication,
        Kind::Telemetry,
    ];
    for kind in kinds {
        let policies = analysis.each(kind, super::workloads::scope);
        for (object, scope) in policies {
            let PolicyScope::Targets(targets) = scope else {
                continue;
            };
            for target in targets {
                let (kind, namespace) = match target.kind {
                    TargetKind::Service => (Kind::Service, Arc::clone(&object.key.namespace)),
                    TargetKind::ServiceEntry => {
                        (Kind::ServiceEntry, Arc::clone(&object.key.namespace))
                    }
                    TargetKind::Gateway => (Kind::Gateway, Arc::clone(&object.key.namespace)),
                    TargetKind::GatewayClass => (Kind::GatewayClass, Arc::from("")),
                };
                if !analysis.has(kind, &namespace, &target.name) {
                    analysis.missing(object, kind.name(), &target.name);
                }
            }
        }
    }
}
