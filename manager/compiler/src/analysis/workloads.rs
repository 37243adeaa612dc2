//! Policies and the workloads they are for: IST0127.

use super::{Analysis, selector_text};
use weft_api::{Kind, Labels, PolicyScope, Resource};

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
    ];
    if !analysis.knows_workloads() {
        return;
    }
    for kind in kinds {
        for (object, scope) in analysis.each(kind, scope) {
            let none = Labels::default();
            let labels = match scope {
                PolicyScope::Workloads(labels) => labels,
                // As Istio has it: it says nothing of other kinds.
                PolicyScope::All if kind == Kind::AuthorizationPolicy => &none,
                PolicyScope::All | PolicyScope::Targets(_) => continue,
            };
            let is_root = object.key.namespace == analysis.settings.root_namespace;
            let namespace = (!is_root).then_some(&object.key.namespace);
            let is_idle = match (labels.is_empty(), namespace) {
                (true, Some(namespace)) => !analysis.has_any_pod(namespace),
                (true, None) => false,
                (false, _) => !analysis.has_pods(namespace, labels),
            };
            if is_idle {
                let text = format!(
                    "No matching workloads for this resource with the following labels: {}",
                    selector_text(labels)
                );
                analysis.say("IST0127", object, text);
            }
        }
    }
}
