//! DestinationRules: IST0128, IST0129, IST0173, IST0174.

use std::sync::Arc;

use weft_api::{
    DestinationRule, Kind, KnownPod, Labels, Object, ObjectKey, Resource,
    traffic::{ClientTls, ClientTlsMode},
};
use weft_model::route::HostPattern;

use super::Analysis;

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let rules = analysis.each(Kind::DestinationRule, |resource| match resource {
        Resource::DestinationRule(rule) => Some(&**rule),
        _ => None,
    });
    let knows_pods = !analysis.pods.is_empty();
    for (object, rule) in rules {
        unverified(analysis, object, rule);
        unknown_host(analysis, object, rule);
        if knows_pods {
            empty_subsets(analysis, object, rule);
        }
    }
}

/// The mode of settings by which nobody verifies the server. Secrets are for clients that a
/// workloadSelector names.
fn mode(rule: &DestinationRule, tls: &ClientTls) -> Option<&'static str> {
    let is_unverified = tls.ca_certificates.is_empty()
        && (tls.credential_name.is_empty() || rule.applies_to_all_clients)
        && tls.insecure_skip_verify != Some(true);
    match tls.mode {
        ClientTlsMode::Simple if is_unverified => Some("SIMPLE"),
        ClientTlsMode::Mutual if is_unverified => Some("MUTUAL"),
        _ => None,
    }
}

fn unverified(analysis: &mut Analysis<'_>, object: &Object, rule: &DestinationRule) {
    let (namespace, name) = (&object.key.namespace, &object.key.name);
    let text = |mode: &str, at: &str| {
        format!(
            "DestinationRule {name} in namespace {namespace} has TLS mode set to {mode} but no \
             caCertificates are set to validate server identity for host: {}{at}",
            rule.host
        )
    };
    let top = std::iter::once(&rule.policy);
    let top = top.chain(
        rule.subsets
            .iter()
            .filter_map(|subset| subset.policy.as_ref()),
    );
    for mode in top.filter_map(|policy| mode(rule, policy.tls.as_ref()?)) {
        analysis.say("IST0128", object, text(mode, ""));
    }
    let ports = rule.ports.iter();
    let ports = ports.chain(rule.subsets.iter().flat_map(|subset| &subset.ports));
    for (number, policy) in ports {
        if let Some(mode) = policy.tls.as_ref().and_then(|tls| mode(rule, tls)) {
            let at = format!(" at port {number}");
            analysis.say("IST0129", object, text(mode, &at));
        }
    }
}

/// IST0174: a host that nobody is.
fn unknown_host(analysis: &mut Analysis<'_>, object: &Object, rule: &DestinationRule) {
    let pattern = analysis.pattern(&object.key.namespace, &rule.host);
    let mut hosts = analysis.hosts.keys();
    let is_known = hosts.any(|known| HostPattern::new(known).meet(&pattern).is_some());
    if !is_known {
        let text = format!(
            "The host {} defined in the DestinationRule does not match any services in the mesh.",
            rule.host
        );
        analysis.say("IST0174", object, text);
    }
}

/// Subsets of Kubernetes Services that no pod is in.
fn empty_subsets(analysis: &mut Analysis<'_>, object: &Object, rule: &DestinationRule) {
    let host = analysis.pattern(&object.key.namespace, &rule.host);
    let HostPattern::Exact(host) = host else {
        return;
    };
    let mut services = analysis.store.objects(Kind::Service);
    let service = services.find(|service| {
        let key = &service.key;
        analysis
            .settings
            .service_name(&key.namespace, &key.name)
            .hostname
            == host
    });
    let Some(service) = service else { return };
    let Resource::Service(written) = &service.resource else {
        return;
    };
    if written.selector.is_empty() {
        return;
    }
    for (index, subset) in rule.subsets.iter().enumerate() {
        let both = written.selector.iter().chain(subset.labels.iter());
        let both: Vec<_> = both.collect();
        let pods = analysis.pods.iter();
        let mut here = pods.filter(|pod| pod.object.key.namespace == service.key.namespace);
        let has = |known: &KnownPod<'_>, (key, value): &(Arc<str>, Arc<str>)| {
            let node = known.pod.node.as_ref();
            known.labels.value(key) == Some(value) || placed(analysis, node, key) == Some(value)
        };
        let is_served = here.any(|pod| both.iter().all(|pair| has(pod, pair)));
        // Without pods of its own a Service may still have WorkloadEntries.
        let selector: Labels = both.into_iter().cloned().collect();
        if !is_served && !analysis.has_pods(Some(&service.key.namespace), &selector) {
            let text = format!(
                "The Subset {} defined in the DestinationRule does not select any pods. Which may lead \
                 to 503 UH (NoHealthyUpstream).",
                subset.name
            );
            analysis.say_of("IST0173", object, Some(("subsets", index)), text);
        }
    }
}

/// A label that pods have from the node they run on.
fn placed<'s>(
    analysis: &Analysis<'s>,
    node: Option<&'s Arc<str>>,
    label: &str,
) -> Option<&'s Arc<str>> {
    let node = node?;
    match label {
        "kubernetes.io/hostname" => Some(node),
        "topology.kubernetes.io/region"
        | "topology.kubernetes.io/zone"
        | "topology.istio.io/subzone" => {
            let key = ObjectKey {
                kind: Kind::Node,
                namespace: "".into(),
                name: Arc::clone(node),
            };
            analysis.store.object(&key)?.labels.value(label)
        }
        _ => None,
    }
}
