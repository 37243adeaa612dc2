//! Istio's Gateways and the pods that serve them: IST0149, IST0161, IST0162. Where no pod is known
//! there is nothing to say; where others are, IST0101 is about the selector.

use std::{collections::BTreeSet, sync::Arc};

use weft_api::{
    Kind, KnownPod, Object, ObjectKey, PolicyScope, Protocol, Resource, TargetPort,
    istio_gateway::{IstioGateway, ServerTls, ServerTlsMode},
    virtual_service::VirtualService,
};

use super::{Analysis, full_text, selector_text};

/// Headers that stand for claims of a verified token.
const CLAIMS: &str = "@request.auth.claims";

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let gateways = analysis.each(Kind::IstioGateway, |resource| match resource {
        Resource::IstioGateway(gateway) => Some(&**gateway),
        _ => None,
    });
    for (object, gateway) in gateways {
        let pods = serving(analysis, gateway);
        if !pods.is_empty() {
            ports(analysis, object, gateway, &pods);
            credentials(analysis, object, gateway, &pods);
        }
    }
    let services = analysis.each(Kind::VirtualService, |resource| match resource {
        Resource::VirtualService(service) => Some(&**service),
        _ => None,
    });
    for (object, service) in services {
        claims(analysis, object, service);
    }
}

/// Pods that a Gateway selects, in any namespace.
fn serving<'s>(analysis: &Analysis<'s>, gateway: &IstioGateway) -> Vec<KnownPod<'s>> {
    let pods = analysis.pods.iter();
    let chosen = pods.filter(|pod| gateway.selector.select(pod.labels));
    chosen.copied().collect()
}

/// IST0162: the Services of the pods do not lead to the port.
fn ports(
    analysis: &mut Analysis<'_>,
    object: &Object,
    gateway: &IstioGateway,
    pods: &[KnownPod<'_>],
) {
    let mut reached: BTreeSet<u32> = BTreeSet::new();
    for service in analysis.store.objects(Kind::Service) {
        let Resource::Service(written) = &service.resource else {
            continue;
        };
        let is_theirs = pods.iter().any(|pod| {
            pod.object.key.namespace == service.key.namespace && written.selector.select(pod.labels)
        });
        let tcp = written.ports.iter();
        let tcp = tcp.filter(|port| is_theirs && port.protocol == Protocol::Tcp);
        reached.extend(tcp.map(|port| match port.target {
            TargetPort::Number(number) => u32::from(number),
            // As Istio has it: a name is not looked up.
            TargetPort::Name(_) => u32::from(port.number),
        }));
    }
    for (index, server) in gateway.servers.iter().enumerate() {
        let number = server.port.number;
        if !reached.contains(&number) {
            let text = format!(
                "The gateway is listening on a target port (port {number}) that is not defined in the \
                 Service associated with its workload instances (Pod selector {}). If you need to \
                 access the gateway port through the gateway Service, it will not be available.",
                selector_text(&gateway.selector)
            );
            analysis.say_of("IST0162", object, Some(("servers", index)), text);
        }
    }
}

/// IST0161: a Secret that cannot serve. IST0101: none, where the pods that need it are.
fn credentials(
    analysis: &mut Analysis<'_>,
    object: &Object,
    gateway: &IstioGateway,
    pods: &[KnownPod<'_>],
) {
    let Some(pod) = pods.first() else { return };
    let tls = gateway.servers.iter();
    let tls = tls.filter_map(|server| server.tls.as_ref());
    for (tls, name) in tls.flat_map(names) {
        let key = ObjectKey {
            kind: Kind::Secret,
            namespace: Arc::clone(&pod.object.key.namespace),
            name: Arc::clone(name),
        };
        match analysis.store.object(&key).map(|found| &found.resource) {
            Some(Resource::Secret(secret)) => {
                let pairs = [("tls.crt", "tls.key"), ("cert", "key")];
                let has = |key: &str| secret.pem.contains(key);
                if !pairs.iter().any(|(cert, key)| has(cert) && has(key)) {
                    let text = format!(
                        "The credential referenced by the Gateway {} in namespace {} is invalid, which \
                         can cause the traffic not to work as expected.",
                        object.key.name, object.key.namespace
                    );
                    analysis.say("IST0161", object, text);
                }
            }
            _ if tls.mode == ServerTlsMode::IstioMutual => {}
            _ => {
                let text = format!("Referenced credentialName not found: {name:?}");
                analysis.say("IST0101", object, text);
            }
        }
    }
}

fn names(tls: &ServerTls) -> impl Iterator<Item = (&ServerTls, &Arc<str>)> {
    let one = Some(&tls.credential_name).filter(|name| !name.is_empty());
    let all = one.into_iter().chain(&tls.credential_names);
    all.map(move |name| (tls, name))
}

/// IST0149: claims decide a route, and nobody verifies tokens.
fn claims(analysis: &mut Analysis<'_>, object: &Object, service: &VirtualService) {
    let matches = service.http.iter().flat_map(|rule| &rule.matches);
    let mut headers = matches.flat_map(|one| one.headers.keys().chain(one.without_headers.keys()));
    let Some(header) = headers.find(|header| header.starts_with(CLAIMS)) else {
        return;
    };
    let policies = analysis.each(Kind::RequestAuthentication, |resource| match resource {
        Resource::RequestAuthentication(policy) => Some(&policy.scope),
        _ => None,
    });
    for written in &service.gateways {
        let own = (&*object.key.namespace, &**written);
        let (namespace, name) = written.split_once('/').unwrap_or(own);
        let key = ObjectKey {
            kind: Kind::IstioGateway,
            namespace: namespace.into(),
            name: name.into(),
        };
        let Some(found) = analysis.store.object(&key) else {
            continue;
        };
        let Resource::IstioGateway(gateway) = &found.resource else {
            continue;
        };
        for pod in serving(analysis, gateway) {
            let root = &analysis.settings.root_namespace;
            let is_verified = policies.iter().any(|(policy, scope)| {
                let of = &policy.key.namespace;
                (of == root || *of == pod.object.key.namespace)
                    && match scope {
                        PolicyScope::All => true,
                        PolicyScope::Workloads(labels) => {
                            labels.is_empty() || labels.select(pod.labels)
                        }
                        PolicyScope::Targets(_) => false,
                    }
            });
            if !is_verified {
                let text = format!(
                    "The virtual service uses the JWT claim based routing (key: {header}) but found no \
                     request authentication for the gateway ({}) pod ({}). The request authentication \
                     must first be applied for the gateway pods to validate the JWT token and make \
                     the claims available for routing.",
                    full_text(found),
                    pod.object.key.name
                );
                analysis.say("IST0149", object, text);
            }
        }
    }
}
