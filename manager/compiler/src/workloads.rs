//! Pods as workloads, named as Istio's metrics name them, and who owns which address.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_api::{Kind, KnownPod, Labels, Object, ObjectKey, Pod, Resource};
use weft_model::{Problem, Severity, Workload};

use crate::problems;

/// Workloads of all pods.
#[derive(Debug)]
pub(crate) struct Workloads {
    pods: BTreeMap<ObjectKey, Known>,
    /// Pods by the addresses they own.
    claims: BTreeSet<(IpAddr, ObjectKey)>,
    /// One copy of each workload: many pods, one identity.
    shared: BTreeSet<Arc<Workload>>,
    latest: Arc<str>,
    unknown: Arc<str>,
}

impl Default for Workloads {
    fn default() -> Self {
        Self {
            pods: BTreeMap::new(),
            claims: BTreeSet::new(),
            shared: BTreeSet::new(),
            latest: Arc::from("latest"),
            unknown: Arc::from(""),
        }
    }
}

#[derive(Debug)]
struct Known {
    workload: Arc<Workload>,
    /// Addresses that are its own.
    addresses: Vec<IpAddr>,
    labels: Labels,
    is_terminating: bool,
    created: Option<i64>,
    origin: weft_model::Origin,
}

/// What an edit of a pod touches.
pub(crate) struct Touched {
    /// Addresses it had or has.
    pub(crate) addresses: Vec<IpAddr>,
    /// Labels it had or has.
    pub(crate) labels: Vec<Labels>,
}

impl Workloads {
    /// Takes in a pod, new, changed or gone.
    pub(crate) fn take(&mut self, key: &ObjectKey, object: Option<&Object>) -> Touched {
        let mut touched = Touched {
            addresses: Vec::new(),
            labels: Vec::new(),
        };
        if let Some(before) = self.pods.remove(key) {
            for address in &before.addresses {
                self.claims.remove(&(*address, key.clone()));
            }
            touched.addresses.extend(before.addresses);
            touched.labels.push(before.labels);
        }
        let Some((object, pod)) = object.and_then(|object| match &object.resource {
            Resource::Pod(pod) => Some((object, pod)),
            _ => None,
        }) else {
            self.prune();
            return touched;
        };
        let is_owner = !pod.is_host_network && !pod.phase.is_finished();
        let addresses = if is_owner {
            pod.addresses.clone()
        } else {
            Vec::new()
        };
        self.claims
            .extend(addresses.iter().map(|address| (*address, key.clone())));
        touched.addresses.extend(&addresses);
        touched.labels.push(object.labels.clone());
        let workload = self.share(workload(object, &object.labels, pod));
        let known = Known {
            workload,
            addresses,
            labels: object.labels.clone(),
            is_terminating: pod.is_terminating,
            created: object.created,
            origin: problems::origin(object),
        };
        self.pods.insert(key.clone(), known);
        touched
    }

    /// The workload that owns an address. Of several pods, the youngest that is not ending.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<Arc<Workload>> {
        let (_, known) = self.claimants(address).into_iter().next()?;
        Some(Arc::clone(&known.workload))
    }

    /// Labels of the pod that owns an address.
    pub(crate) fn labels(&self, address: IpAddr) -> Option<&Labels> {
        let (_, known) = self.claimants(address).into_iter().next()?;
        Some(&known.labels)
    }

    /// The workload of a pod, by name.
    pub(crate) fn pod(&self, namespace: &Arc<str>, name: &Arc<str>) -> Option<Arc<Workload>> {
        let (namespace, name) = (Arc::clone(namespace), Arc::clone(name));
        let key = ObjectKey {
            kind: Kind::Pod,
            namespace,
            name,
        };
        Some(Arc::clone(&self.pods.get(&key)?.workload))
    }

    /// Pods that share an address which can be only one's.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut previous = None;
        for (address, _) in &self.claims {
            if previous.replace(*address) == Some(*address) {
                let claimants = self.claimants(*address);
                let (winner, _) = claimants[0];
                problems.extend(claimants[1..].iter().map(|(_, loser)| Problem {
                    severity: Severity::Warning,
                    code: "conflict",
                    origin: loser.origin.clone(),
                    path: "status.podIPs".into(),
                    line: 0,
                    message: format!("{address} is the address of {winner} too, which owns it"),
                }));
            }
        }
        problems
    }

    /// The workload of an endpoint of which only the pod's name is known.
    pub(crate) fn named(&self, namespace: &Arc<str>, pod: &Arc<str>) -> Workload {
        Workload {
            namespace: Arc::clone(namespace),
            name: Arc::clone(pod),
            canonical_service: Arc::clone(pod),
            canonical_revision: Arc::clone(&self.latest),
            app: None,
            version: None,
            service_account: Arc::clone(&self.unknown),
        }
    }

    fn claimants(&self, address: IpAddr) -> Vec<(&ObjectKey, &Known)> {
        let empty: Arc<str> = Arc::from("");
        let least = ObjectKey {
            kind: Kind::Namespace,
            namespace: Arc::clone(&empty),
            name: empty,
        };
        let claims = self.claims.range((address, least)..);
        let claims = claims.take_while(|(other, _)| *other == address);
        let mut pods: Vec<_> = claims
            .filter_map(|(_, key)| Some((key, self.pods.get(key)?)))
            .collect();
        pods.sort_by_key(|(key, known)| (known.is_terminating, Reverse(known.created), *key));
        pods
    }

    fn share(&mut self, workload: Workload) -> Arc<Workload> {
        match self.shared.get(&workload) {
            Some(shared) => Arc::clone(shared),
            None => {
                let shared = Arc::new(workload);
                self.shared.insert(Arc::clone(&shared));
                shared
            }
        }
    }

    /// Forgets workloads without pods, when there are more of them than pods.
    fn prune(&mut self) {
        if self.shared.len() > 64 + 2 * self.pods.len() {
            self.shared
                .retain(|workload| Arc::strong_count(workload) > 1);
        }
    }
}

/// The workload that a pod is of.
pub fn pod_workload(known: KnownPod<'_>) -> Workload {
    workload(known.object, known.labels, known.pod)
}

fn workload(object: &Object, labels: &Labels, pod: &Pod) -> Workload {
    let label = |key: &str| labels.value(key).filter(|value| !value.is_empty()).cloned();
    let name = label("service.istio.io/workload-name").unwrap_or_else(|| owner_name(object, pod));
    let canonical_service = label("service.istio.io/canonical-name")
        .or_else(|| label("app.kubernetes.io/name"))
        .or_else(|| label("app"));
    let canonical_revision = label("service.istio.io/canonical-revision")
        .or_else(|| label("app.kubernetes.io/version"))
        .or_else(|| label("version"));
    Workload {
        namespace: Arc::clone(&object.key.namespace),
        canonical_service: canonical_service.unwrap_or_else(|| Arc::clone(&name)),
        canonical_revision: canonical_revision.unwrap_or_else(|| "latest".into()),
        app: label("app"),
        version: label("version"),
        service_account: Arc::clone(&pod.service_account),
        name,
    }
}

/// As Istio's `GetDeployMetaFromPod`: the owner whose name people gave.
pub(crate) fn owner_name(object: &Object, pod: &Pod) -> Arc<str> {
    let Some(owner) = &pod.owner else {
        return Arc::clone(&object.key.name);
    };
    let given = match &*owner.kind {
        "ReplicaSet" => object.labels.value("pod-template-hash").and_then(|hash| {
            owner
                .name
                .strip_suffix(&**hash)?
                .strip_suffix('-')
                .filter(|name| !name.is_empty())
        }),
        // A CronJob names its Jobs after their minute.
        "Job" => owner.name.rsplit_once('-').and_then(|(name, minute)| {
            let is_minute = (8..=10).contains(&minute.len())
                && minute.bytes().all(|byte| byte.is_ascii_digit());
            (is_minute && !name.is_empty()).then_some(name)
        }),
        _ => None,
    };
    given.map_or_else(|| Arc::clone(&owner.name), Arc::from)
}
