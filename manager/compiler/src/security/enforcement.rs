//! Who can enforce a policy: the kernel judges connections, the proxy requests.
//!
//! As in Istio's ambient mode: a workload whose namespace (or itself) is labelled
//! `istio.io/dataplane-mode: ambient` gets its connections judged, and its requests only where
//! `istio.io/use-waypoint` asks for it. Workloads without that label get both, as with sidecars.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{Kind, Labels, Object, ObjectKey, Store};
use weft_model::{
    Problem, Severity,
    policy::{Action, AuthorizationPolicy, Policies, Scope},
};

use crate::Settings;

const MODE: &str = "istio.io/dataplane-mode";
const WAYPOINT: &str = "istio.io/use-waypoint";

/// Whether only connections are judged at a workload, by its labels and those of its namespace.
pub fn is_kernel_only(store: &Store, namespace: &str, labels: &Labels) -> bool {
    let key = ObjectKey {
        kind: Kind::Namespace,
        namespace: "".into(),
        name: namespace.into(),
    };
    let of_namespace = store.object(&key).map(|object| &object.labels);
    let label = |key| {
        let own = labels.value(key);
        own.or_else(|| of_namespace?.value(key))
            .map(|value| &**value)
    };
    let has_waypoint = label(WAYPOINT).is_some_and(|name| !name.is_empty() && name != "none");
    label(MODE) == Some("ambient") && !has_waypoint
}

/// What of policies cannot be enforced as written; the texts are those of Istio's status.
pub(super) fn problems(settings: &Settings, store: &Store, policies: &Policies) -> Vec<Problem> {
    let mut places = Places {
        settings,
        store,
        pods: BTreeMap::new(),
    };
    let policies = policies.authorization.values();
    let asking = policies.filter_map(|policy| Some((policy, unsupported(policy)?)));
    let held = asking.filter(|(policy, _)| places.meet(&policy.scope));
    let problems = held.map(|(policy, message)| Problem {
        severity: Severity::Warning,
        code: "UnsupportedValue",
        origin: policy.author.origin.clone(),
        path: "spec".to_owned(),
        line: 0,
        message,
    });
    problems.collect()
}

/// What the kernel cannot judge of a policy.
fn unsupported(policy: &AuthorizationPolicy) -> Option<String> {
    let consequence = match policy.action {
        Action::Allow => {
            "Within an ALLOW policy, rules matching HTTP attributes are omitted. \
             This will be more restrictive than requested."
        }
        Action::Deny => {
            "DENY policy with HTTP attributes is enforced without the HTTP rules. \
             This will be more restrictive than requested."
        }
        Action::Audit | Action::Custom(_) => {
            let action = policy.action.name();
            return Some(format!("ztunnel does not support the {action} action"));
        }
    };
    let rules = policy.rules.iter();
    let mut found: Vec<String> = rules.flat_map(|rule| rule.http_attributes()).collect();
    found.sort();
    found.dedup();
    (!found.is_empty()).then(|| {
        format!(
            "ztunnel does not support HTTP attributes (found: {}). In ambient mode you must use a \
             waypoint proxy to enforce HTTP rules. {consequence}",
            found.join(", ")
        )
    })
}

/// Where only connections are judged.
struct Places<'s> {
    settings: &'s Settings,
    store: &'s Store,
    /// Pods at which only connections are judged, by namespace, as far as it was asked.
    pods: BTreeMap<Arc<str>, Vec<&'s Object>>,
}

impl Places<'_> {
    /// Whether a policy holds for one of them.
    fn meet(&mut self, scope: &Scope) -> bool {
        match scope {
            Scope::Namespace(namespace) => {
                is_kernel_only(self.store, namespace, &Labels::default())
                    || self.in_namespace(namespace, &[])
            }
            Scope::Workloads {
                namespace: Some(namespace),
                labels,
            } => self.in_namespace(namespace, labels),
            Scope::Mesh => self.anywhere(&[]),
            Scope::Workloads {
                namespace: None,
                labels,
            } => self.anywhere(labels),
            Scope::Targets(_) => false,
        }
    }

    fn anywhere(&mut self, labels: &[(Arc<str>, Arc<str>)]) -> bool {
        let root = &self.settings.root_namespace;
        let namespaces = self.store.objects(Kind::Namespace);
        let mut names = namespaces.map(|object| &object.key.name);
        names.any(|name| name != root && self.in_namespace(name, labels))
    }

    fn in_namespace(&mut self, namespace: &Arc<str>, labels: &[(Arc<str>, Arc<str>)]) -> bool {
        let store = self.store;
        let pods = self.pods.entry(Arc::clone(namespace)).or_insert_with(|| {
            let pods = store.objects_in(Kind::Pod, namespace).map(|pod| &**pod);
            pods.filter(|pod| is_kernel_only(store, namespace, &pod.labels))
                .collect()
        });
        let has_all = |pod: &&Object| {
            let mut labels = labels.iter();
            labels.all(|(key, value)| pod.labels.value(key) == Some(value))
        };
        pods.iter().any(has_all)
    }
}
