//! DestinationRules: IST0128, IST0129, IST0173, IST0174.

use weft_api::{
    DestinationRule, Kind, Labels, Object, Resource,
    traffic::{ClientTls, ClientTlsMode},
};
use weft_model::route::HostPattern;

use super::Analysis;

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let rules = analysis.each(Kind::DestinationRule, |resource| match resource {
        Resource::DestinationRule(rule) => Some(&**rule),
        _ => None,
    });
    let knows_pods = analysis.store.objects(Kind::Pod).next().is_some();
    for (object, rule) in rules {
        unverified(analysis, object, rule);
        unknown_host(analysis, object, rule);
        if knows_pods {
            empty_subsets(analysis, object, rule);
        }
    }
}

fn mode(tls: &ClientTls) -> Option<&'static str> {
    let is_unverified = tls.ca_certificates.is_empty()
        && tls.credential_name.is_empty()
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
    for mode in top.filter_map(|policy| mode(policy.tls.as_ref()?)) {
        analysis.say("IST0128", object, text(mode, ""));
    }
    let ports = rule.ports.iter();
    let ports = ports.chain(rule.subsets.iter().flat_map(|subset| &subset.ports));
    for (number, policy) in ports {
        if let Some(mode) = policy.tls.as_ref().and_then(mode) {
            let at = format!(" at port {number}");
            analysis.say("IST0129", object, text(mode, &at));
        }
    }
}

/// IST0174: a host that nobody is.
fn unknown_host(analysis: &mut Analysis<'_>, object: &Object, rule: &DestinationRule) {
    let pattern = analysis.pattern(&object.key.namespace, &rule.host);
    let is_known = analysis
        .hosts
        .iter()
        .any(|known| HostPattern::new(known).meet(&pattern).is_some());
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
    for subset in &rule.subsets {
        let both = written.selector.iter().chain(subset.labels.iter()).cloned();
        let selector: Labels = both.collect();
        if !analysis.has_pods(Some(&service.key.namespace), &selector) {
            let text = format!(
                "The Subset {} defined in the DestinationRule does not select any pods. Which may lead \
                 to 503 UH (NoHealthyUpstream).",
                subset.name
            );
            analysis.say("IST0173", object, text);
        }
    }
}
