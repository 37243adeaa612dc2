//! Policies and the workloads they are for: IST0127, IST0159, IST0160.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{Kind, Object, PolicyScope, Resource};
use weft_model::Severity;

use super::{Analysis, selector_text};

/// What a policy is for.
pub(super) fn scope(resource: &Resource) -> Option<&PolicyScope> {
    Some(match resource {
        Resource::AuthorizationPolicy(policy) => &policy.scope,
        Resource::RequestAuthentication(policy) => &policy.scope,
        Resource::PeerAuthentication(policy) => &policy.scope,
        Resource::Telemetry(telemetry) => &telemetry.scope,
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
                analysis.say(Severity::Warning, "IST0127", object, text);
            }
        }
    }
    telemetries(analysis);
}

/// Of several Telemetries for the same workloads only the oldest is in force.
fn telemetries(analysis: &mut Analysis<'_>) {
    let mut groups: BTreeMap<(Arc<str>, String), Vec<&Arc<Object>>> = BTreeMap::new();
    for (object, scope) in analysis.each(Kind::Telemetry, scope) {
        let selector = match scope {
            PolicyScope::All => String::new(),
            PolicyScope::Workloads(labels) => selector_text(labels),
            PolicyScope::Targets(_) => continue,
        };
        let key = (Arc::clone(&object.key.namespace), selector);
        groups.entry(key).or_default().push(object);
    }
    for ((namespace, selector), objects) in groups {
        if objects.len() < 2 {
            continue;
        }
        let names: Vec<&str> = objects.iter().map(|object| &*object.key.name).collect();
        let names = names.join(" ");
        for object in objects {
            let (code, text) = match selector.as_str() {
                "" => (
                    "IST0160",
                    format!(
                        "The Telemetries [{names}] in namespace {namespace:?} do not define workload \
                         selectors, which can lead to undefined behavior."
                    ),
                ),
                selector => (
                    "IST0159",
                    format!(
                        "The Telemetries [{names}] in namespace {namespace:?} select the same \
                         workload {selector:?}, which can lead to undefined behavior."
                    ),
                ),
            };
            analysis.say(Severity::Error, code, object, text);
        }
    }
}
