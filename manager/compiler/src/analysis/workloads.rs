//! Policies and the workloads they are for: IST0127.

use super::{Analysis, selector_text};
use weft_api::{Kind, PolicyScope, Resource};

/// What a policy is for.
pub(super) fn scope(resource: &Resource) -> Option<&PolicyScope> {
    Some(match resource {
        Resource::AuthorizationPolicy(policy) => &policy.scope,
        Resource::RequestAuthentication(policy) => &policy.scope,
        Resource::PeerAuthentication(policy) => &policy.scope,
        Resource::Telemetry(telemetry) => &telemetry.scope,
        Resource::WasmPlugin(plugin) => &plugin.scope,
        _ => return None,
    })
}

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let kinds = [
        Kind::AuthorizationPolicy,
        Kind::RequestAuthentication,
        Kind::PeerAuthentication,
        Kind::Telemetry,
    ];
    for kind in kinds {
        for (object, scope) in analysis.each(kind, scope) {
            let PolicyScope::Workloads(labels) = scope else {
                continue;
            };
            let is_root = object.key.namespace == analysis.settings.root_namespace;
            let namespace = (!is_root).then_some(&object.key.namespace);
            if !labels.is_empty() && !analysis.has_pods(namespace, labels) {
                let text = format!(
                    "No matching workloads for this resource with the following labels: {}",
                    selector_text(labels)
                );
                analysis.say("IST0127", object, text);
            }
        }
    }
}
