//! What resources mean with a local file of workload discovery beside them. What both name is as
//! the resources say.

use std::{collections::BTreeMap, sync::Arc};

use weft_model::{Change, Mesh, Origin, Problem, Severity, policy::PolicyChange};

/// The mesh of a local file, and the whole.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) local: Mesh,
    pub(crate) mesh: Mesh,
}

impl Merged {
    /// All of the resources, without a file yet.
    pub(crate) fn of(resources: &Mesh) -> Self {
        Self {
            local: Mesh::default(),
            mesh: resources.clone(),
        }
    }

    /// Takes in a change of the resources: what goes from them comes back as the file has it.
    pub(crate) fn update(&mut self, mut change: Change) -> Change {
        uncover(&self.local.services, &mut change.services);
        uncover(&self.local.addresses, &mut change.addresses);
        uncover(&self.local.instances, &mut change.instances);
        let policies = &self.local.policies.authorization;
        uncover(policies, &mut change.policies.authorization);
        self.mesh.apply(&change);
        change
    }

    /// Takes in another file.
    pub(crate) fn replace(&mut self, local: Mesh, resources: &Mesh) -> Change {
        let before = std::mem::replace(&mut self.local, local);
        let after = &self.local;
        let authorization = difference(
            &before.policies.authorization,
            &after.policies.authorization,
            &resources.policies.authorization,
        );
        let change = Change {
            services: difference(&before.services, &after.services, &resources.services),
            addresses: difference(&before.addresses, &after.addresses, &resources.addresses),
            instances: difference(&before.instances, &after.instances, &resources.instances),
            policies: PolicyChange {
                authorization,
                ..PolicyChange::default()
            },
            ..Change::default()
        };
        self.mesh.apply(&change);
        change
    }

    /// What of the file is hidden by resources.
    pub(crate) fn problems(&self, resources: &Mesh) -> Vec<Problem> {
        let Mesh {
            services,
            instances,
            policies,
            ..
        } = &self.local;
        let services = services.iter().filter_map(|(name, service)| {
            let by = &resources.services.get(name)?.origin;
            Some(hidden(&service.origin, by, "its host name"))
        });
        let instances = instances.iter().filter_map(|(address, instance)| {
            let by = &resources.instances.get(address)?.origin;
            Some(hidden(&instance.origin, by, &address.to_string()))
        });
        let policies = policies.authorization.iter().filter_map(|(name, policy)| {
            let by = &resources.policies.authorization.get(name)?.author.origin;
            Some(hidden(&policy.author.origin, by, "its name"))
        });
        services.chain(instances).chain(policies).collect()
    }
}

fn hidden(origin: &Origin, by: &Origin, what: &str) -> Problem {
    Problem {
        severity: Severity::Warning,
        code: "conflict",
        origin: origin.clone(),
        path: String::new(),
        line: 0,
        message: format!(
            "{what} is also that of {} {}/{} ({}:{}), which holds",
            by.kind, by.namespace, by.name, by.file, by.line
        ),
    }
}

fn uncover<K: Ord, V>(local: &BTreeMap<K, Arc<V>>, change: &mut [(K, Option<Arc<V>>)]) {
    for (key, value) in change {
        if value.is_none() {
            *value = local.get(key).cloned();
        }
    }
}

fn difference<K: Ord + Clone, V: PartialEq>(
    before: &BTreeMap<K, Arc<V>>,
    after: &BTreeMap<K, Arc<V>>,
    resources: &BTreeMap<K, Arc<V>>,
) -> Vec<(K, Option<Arc<V>>)> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let gone = gone.map(|key| (key, None));
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value));
    let changed = changed.map(|(key, value)| (key, Some(Arc::clone(value))));
    gone.chain(changed)
        .filter(|(key, _)| !resources.contains_key(*key))
        .map(|(key, value)| (key.clone(), value))
        .collect()
}
