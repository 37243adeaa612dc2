//! `RateLimitPolicy`: what each client may open to a service. Of several for one service the oldest
//! holds.

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{Kind, Object, ObjectKey, RateLimitPolicy, Resource, Store};
use weft_model::{ConnectionLimits, Problem, ServiceName, Severity};

use crate::{Settings, problems};

/// What limits a service has now.
type Limits = BTreeMap<ServiceName, Arc<ConnectionLimits>>;

/// Takes in what changed. What differs from `limits`, which is changed with it.
pub(crate) fn update(
    settings: &Settings,
    store: &Store,
    changed: &[ObjectKey],
    limits: &mut Limits,
) -> Vec<(ServiceName, Option<Arc<ConnectionLimits>>)> {
    if !changed.iter().any(|key| key.kind == Kind::RateLimitPolicy) {
        return Vec::new();
    }
    let mut wanted = Limits::new();
    for (object, policy) in policies(store) {
        for service in services(settings, object, policy) {
            wanted
                .entry(service)
                .or_insert_with(|| Arc::new(limit(object, policy)));
        }
    }
    let gone = limits.keys().filter(|name| !wanted.contains_key(*name));
    let mut change: Vec<_> = gone.map(|name| (name.clone(), None)).collect();
    for (name, limit) in &wanted {
        if limits.get(name) != Some(limit) {
            change.push((name.clone(), Some(Arc::clone(limit))));
        }
    }
    *limits = wanted;
    change
}

/// Services that have a limit of an older policy, and such as do not exist.
pub(crate) fn problems(settings: &Settings, store: &Store) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut holders: BTreeMap<ServiceName, &ObjectKey> = BTreeMap::new();
    for (object, policy) in policies(store) {
        for (index, service) in services(settings, object, policy).enumerate() {
            let name = &policy.services[index];
            let key = ObjectKey {
                kind: Kind::Service,
                namespace: Arc::clone(&object.key.namespace),
                name: Arc::clone(name),
            };
            let mut tell = |code, message| {
                found.push(Problem {
                    severity: Severity::Warning,
                    code,
                    origin: problems::origin(object),
                    path: format!("spec.targetRefs[{index}]"),
                    line: 0,
                    message,
                });
            };
            if store.object(&key).is_none() {
                tell("TargetNotFound", format!("{key} was not found"));
            }
            let holder = *holders.entry(service).or_insert(&object.key);
            if *holder != object.key {
                tell(
                    "conflict",
                    format!("not used for {key}: {holder} limits it and is older"),
                );
            }
        }
    }
    found
}

/// The oldest first.
fn policies(store: &Store) -> Vec<(&Object, &RateLimitPolicy)> {
    let objects = store.objects(Kind::RateLimitPolicy);
    let mut policies: Vec<_> = objects
        .filter_map(|object| match &object.resource {
            Resource::RateLimitPolicy(policy) => Some((&**object, &**policy)),
            _ => None,
        })
        .collect();
    policies.sort_by_key(|(object, _)| (object.created, &object.key));
    policies
}

fn services<'a>(
    settings: &'a Settings,
    object: &'a Object,
    policy: &'a RateLimitPolicy,
) -> impl Iterator<Item = ServiceName> + 'a {
    let names = policy.services.iter();
    names.map(|name| settings.service_name(&object.key.namespace, name))
}

fn limit(object: &Object, policy: &RateLimitPolicy) -> ConnectionLimits {
    let written = &policy.connections;
    ConnectionLimits {
        origin: problems::origin(object),
        per_second: written.per_second,
        burst: written.burst,
        concurrent: written.concurrent,
    }
}
