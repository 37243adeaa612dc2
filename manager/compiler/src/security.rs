//! Istio's security policies: which hold for what, and what they ask.
//!
//! Reading order: `scope` (for what), `authz`, `mtls`, `jwt` (what they ask), `enforcement` (who
//! can enforce it).

mod authz;
mod enforcement;
mod jwt;
mod mtls;
mod principals;
mod scope;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{Kind, Object, ObjectKey, PolicyScope, Resource, Store, TargetKind};
use weft_model::{
    Problem,
    policy::{Author, Policies, PolicyChange, PolicyName},
};

use crate::{Settings, problems};

pub use enforcement::is_kernel_only;

/// What one of `targetRefs` names: kind, namespace, name.
type TargetKey = (TargetKind, Arc<str>, Arc<str>);

/// What is known of policies besides the model.
#[derive(Debug, Default)]
pub(crate) struct Security {
    /// Policies by what their `targetRefs` name.
    targets: BTreeMap<TargetKey, BTreeSet<ObjectKey>>,
    /// What each policy's `targetRefs` name.
    refs: BTreeMap<ObjectKey, Vec<TargetKey>>,
    /// What is wrong with each policy.
    problems: BTreeMap<ObjectKey, Vec<Problem>>,
}

impl Security {
    /// Compiles the policies among `changed`, and those that depend on it.
    pub(crate) fn update(
        &mut self,
        settings: &Settings,
        store: &Store,
        changed: &[ObjectKey],
        policies: &mut Policies,
    ) -> PolicyChange {
        let mut dirty = BTreeSet::new();
        for key in changed {
            if is_policy(key.kind) {
                self.take_refs(key, store.object(key).map(|object| &**object));
                dirty.insert(key.clone());
            } else if let Some(kind) = target_kind(key.kind) {
                let target = (kind, Arc::clone(&key.namespace), Arc::clone(&key.name));
                dirty.extend(self.targets.get(&target).into_iter().flatten().cloned());
            }
        }
        let mut change = PolicyChange::default();
        if policies.mesh != settings.mesh_policy {
            policies.mesh = settings.mesh_policy;
            change.mesh = Some(settings.mesh_policy);
        }
        for key in dirty {
            self.compile(settings, store, &key, policies, &mut change);
        }
        change
    }

    /// What is wrong with policies, alone and together.
    pub(crate) fn problems(
        &self,
        settings: &Settings,
        store: &Store,
        policies: &Policies,
    ) -> Vec<Problem> {
        let mut found: Vec<Problem> = self.problems.values().flatten().cloned().collect();
        found.extend(mtls::conflicts(policies));
        found.extend(enforcement::problems(settings, store, policies));
        found
    }

    fn compile(
        &mut self,
        settings: &Settings,
        store: &Store,
        key: &ObjectKey,
        policies: &mut Policies,
        change: &mut PolicyChange,
    ) {
        let name = policy_name(key);
        let object = store.object(key).map(|object| &**object);
        let mut cx = Compiling {
            settings,
            store,
            problems: Vec::new(),
        };
        match key.kind {
            Kind::AuthorizationPolicy => {
                let policy = object.and_then(|object| authz::policy(&mut cx, object));
                replace(
                    &mut policies.authorization,
                    name,
                    policy,
                    &mut change.authorization,
                );
            }
            Kind::PeerAuthentication => {
                let policy = object.and_then(|object| mtls::policy(&mut cx, object));
                replace(&mut policies.peer, name, policy, &mut change.peer);
            }
            Kind::RequestAuthentication => {
                let policy = object.and_then(|object| jwt::policy(&mut cx, object));
                replace(&mut policies.request, name, policy, &mut change.request);
            }
            _ => return,
        }
        if cx.problems.is_empty() {
            self.problems.remove(key);
        } else {
            self.problems.insert(key.clone(), cx.problems);
        }
    }

    fn take_refs(&mut self, key: &ObjectKey, object: Option<&Object>) {
        for target in self.refs.remove(key).unwrap_or_default() {
            if let Some(policies) = self.targets.get_mut(&target) {
                policies.remove(key);
                if policies.is_empty() {
                    self.targets.remove(&target);
                }
            }
        }
        let scope = object.and_then(|object| match &object.resource {
            Resource::AuthorizationPolicy(policy) => Some(&policy.scope),
            Resource::RequestAuthentication(policy) => Some(&policy.scope),
            _ => None,
        });
        let Some(PolicyScope::Targets(targets)) = scope else {
            return;
        };
        let refs: Vec<_> = targets
            .iter()
            .map(|target| {
                (
                    target.kind,
                    Arc::clone(&key.namespace),
                    Arc::clone(&target.name),
                )
            })
            .collect();
        for target in &refs {
            self.targets
                .entry(target.clone())
                .or_default()
                .insert(key.clone());
        }
        self.refs.insert(key.clone(), refs);
    }
}

/// What goes along while a policy is compiled.
struct Compiling<'a> {
    settings: &'a Settings,
    store: &'a Store,
    problems: Vec<Problem>,
}

fn replace<T: PartialEq>(
    policies: &mut BTreeMap<PolicyName, Arc<T>>,
    name: PolicyName,
    policy: Option<T>,
    changes: &mut Vec<(PolicyName, Option<Arc<T>>)>,
) {
    if policies.get(&name).map(|before| &**before) == policy.as_ref() {
        return;
    }
    let policy = policy.map(Arc::new);
    match &policy {
        Some(policy) => drop(policies.insert(name.clone(), Arc::clone(policy))),
        None => drop(policies.remove(&name)),
    }
    changes.push((name, policy));
}

fn policy_name(key: &ObjectKey) -> PolicyName {
    PolicyName {
        namespace: Arc::clone(&key.namespace),
        name: Arc::clone(&key.name),
    }
}

fn author(object: &Object) -> Author {
    Author {
        name: policy_name(&object.key),
        origin: problems::origin(object),
        created: object.created,
    }
}

fn is_policy(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::AuthorizationPolicy | Kind::PeerAuthentication | Kind::RequestAuthentication
    )
}

fn target_kind(kind: Kind) -> Option<TargetKind> {
    match kind {
        Kind::Service => Some(TargetKind::Service),
        Kind::ServiceEntry => Some(TargetKind::ServiceEntry),
        _ => None,
    }
}
