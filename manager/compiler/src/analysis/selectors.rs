//! Objects that select the same workloads where one may be in force, and selectors that choose
//! nothing: IST0101, IST0110, IST0111, IST0157, IST0159, IST0160, IST0166.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{Kind, Labels, Object, PolicyScope, Resource};

use super::{Analysis, list_text, selector_text, workloads::scope};

/// Label of pods that serve a Gateway of the Gateway API.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Objects of a kind, each with its selector; none is for the whole namespace.
type Selecting<'s> = Vec<(&'s Arc<Object>, Option<&'s Labels>)>;

/// What a kind is called in the two messages.
struct Rivals {
    plural: &'static str,
    /// One pod selected by several.
    same_pod: &'static str,
    /// Several without a selector.
    no_selector: &'static str,
}

pub(super) fn analyze(analysis: &mut Analysis<'_>) {
    let sidecars = analysis.each(Kind::Sidecar, |resource| match resource {
        Resource::Sidecar(sidecar) => Some(&sidecar.selector),
        _ => None,
    });
    let sidecars = sidecars
        .into_iter()
        .map(|(object, selector)| (object, selector.as_ref()));
    let sidecars: Selecting<'_> = sidecars.collect();
    let telemetries = analysis.each(Kind::Telemetry, scope).into_iter();
    let telemetries = telemetries.filter_map(|(object, scope)| match scope {
        PolicyScope::All => Some((object, None)),
        PolicyScope::Workloads(labels) => Some((object, Some(labels))),
        PolicyScope::Targets(_) => None,
    });
    let telemetries: Selecting<'_> = telemetries.collect();
    let names = Rivals {
        plural: "Sidecars",
        same_pod: "IST0110",
        no_selector: "IST0111",
    };
    rivals(analysis, &sidecars, &names);
    choosing_nothing(analysis, &sidecars);
    let names = Rivals {
        plural: "Telemetries",
        same_pod: "IST0159",
        no_selector: "IST0160",
    };
    rivals(analysis, &telemetries, &names);
    choosing_nothing(analysis, &telemetries);
    empty_providers(analysis);
    ineffective(analysis);
}

/// IST0101: selectors that fit no pod; only where workloads are known at all.
fn choosing_nothing(analysis: &mut Analysis<'_>, selecting: &Selecting<'_>) {
    if !analysis.knows_workloads() {
        return;
    }
    for (object, selector) in selecting {
        let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
            continue;
        };
        if !analysis.has_pods(Some(&object.key.namespace), selector) {
            let name = selector_text(selector);
            let text = format!("Referenced selector not found: {name:?}");
            analysis.say("IST0101", object, text);
        }
    }
}

fn rivals(analysis: &mut Analysis<'_>, selecting: &Selecting<'_>, names: &Rivals) {
    for pod in analysis.pods.clone() {
        let key = &pod.object.key;
        let chosen = selecting.iter().filter(|(object, selector)| {
            object.key.namespace == key.namespace
                && selector.is_some_and(|selector| selector.select(pod.labels))
        });
        let chosen: Vec<&Arc<Object>> = chosen.map(|(object, _)| *object).collect();
        if chosen.len() < 2 {
            continue;
        }
        let list = list_text(chosen.iter().map(|object| &object.key.name));
        for object in chosen {
            let text = format!(
                "The {} {list} in namespace {:?} select the same workload pod {:?}, which can lead to \
                 undefined behavior.",
                names.plural, key.namespace, key.name
            );
            analysis.say(names.same_pod, object, text);
        }
    }
    let mut whole: BTreeMap<&Arc<str>, Vec<&Arc<Object>>> = BTreeMap::new();
    for (object, selector) in selecting {
        if selector.is_none() {
            whole.entry(&object.key.namespace).or_default().push(object);
        }
    }
    for (namespace, objects) in whole.into_iter().filter(|(_, objects)| objects.len() > 1) {
        let list = list_text(objects.iter().map(|object| &object.key.name));
        for object in objects {
            let text = format!(
                "The {} {list} in namespace {namespace:?} have no workload selector, which can lead to \
                 undefined behavior.",
                names.plural
            );
            analysis.say(names.no_selector, object, text);
        }
    }
}

/// IST0157: logging that names no provider, where the mesh has no default.
fn empty_providers(analysis: &mut Analysis<'_>) {
    let has_default = analysis.each(Kind::ConfigMap, |resource| match resource {
        Resource::ConfigMap(map) => map.mesh.as_deref(),
        _ => None,
    });
    let root = &analysis.settings.root_namespace;
    let has_default = has_default.iter().any(|(object, mesh)| {
        object.key.namespace == *root && !mesh.default_providers.access_logging.is_empty()
    });
    if has_default {
        return;
    }
    let telemetries = analysis.each(Kind::Telemetry, |resource| match resource {
        Resource::Telemetry(telemetry) => Some(&**telemetry),
        _ => None,
    });
    for (object, telemetry) in telemetries {
        let mut logs = telemetry.access_logging.iter();
        if logs.any(|log| log.providers.is_empty()) {
            let text = format!(
                "The Telemetry {} in namespace {:?} with empty providers will be ignored.",
                object.key.name, object.key.namespace
            );
            analysis.say("IST0157", object, text);
        }
    }
}

/// IST0166: policies reach the pods of a Gateway by `targetRefs` only.
fn ineffective(analysis: &mut Analysis<'_>) {
    let kinds = [
        Kind::AuthorizationPolicy,
        Kind::RequestAuthentication,
        Kind::Telemetry,
        Kind::WasmPlugin,
    ];
    for kind in kinds {
        for (object, scope) in analysis.each(kind, scope) {
            let PolicyScope::Workloads(labels) = scope else {
                continue;
            };
            for pod in analysis.pods.clone() {
                let Some(gateway) = pod.labels.value(GATEWAY_NAME) else {
                    continue;
                };
                if pod.object.key.namespace == object.key.namespace && labels.select(pod.labels) {
                    let text = format!(
                        "Ineffective selector on Kubernetes Gateway {gateway}. Use the TargetRef field \
                         instead."
                    );
                    analysis.say("IST0166", object, text);
                }
            }
        }
    }
}
