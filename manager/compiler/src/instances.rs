//! Pods and workload entries one by one: who each is, and whether it takes part in the mesh.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_api::{Capture, Kind, Labels, Object, ObjectKey, Pod, Resource, Store, WorkloadEntry};
use weft_model::{
    Exclusions, Identity, Instance, InstanceKind, Tunnel, Workload, policy::AddressRange,
};

use crate::{Settings, problems, workloads::Workloads};

/// Who comes first at an address that several claim: a pod before an entry, one that goes on before
/// one that ends, the younger before the older.
type Rank = (InstanceKind, bool, Reverse<Option<i64>>, ObjectKey);

/// Instances of all pods and workload entries.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    known: BTreeMap<ObjectKey, Known>,
    claims: BTreeMap<IpAddr, BTreeSet<Rank>>,
}

#[derive(Debug)]
struct Known {
    instance: Arc<Instance>,
    addresses: Vec<IpAddr>,
    rank: Rank,
}

impl Instances {
    /// Takes in what changed. Addresses with what stands there now, where that differs from `mesh`,
    /// which is changed with it.
    pub(crate) fn update(
        &mut self,
        settings: &Settings,
        store: &Store,
        workloads: &Workloads,
        changed: &[ObjectKey],
        mesh: &mut weft_model::Instances,
    ) -> Vec<(IpAddr, Option<Arc<Instance>>)> {
        let mut dirty: BTreeSet<ObjectKey> = BTreeSet::new();
        for key in changed {
            match key.kind {
                Kind::Pod | Kind::WorkloadEntry => drop(dirty.insert(key.clone())),
                // Its labels say whether what is in it takes part.
                Kind::Namespace => {
                    for kind in [Kind::Pod, Kind::WorkloadEntry] {
                        let inside = store.objects_in(kind, &key.name);
                        dirty.extend(inside.map(|object| object.key.clone()));
                    }
                }
                _ => {}
            }
        }
        let mut touched = BTreeSet::new();
        for key in dirty {
            self.take(settings, store, workloads, key, &mut touched);
        }
        let mut change = Vec::new();
        for address in touched {
            let owner = self.owner(address);
            if mesh.get(&address) == owner.as_ref() {
                continue;
            }
            match &owner {
                Some(owner) => drop(mesh.insert(address, Arc::clone(owner))),
                None => drop(mesh.remove(&address)),
            }
            change.push((address, owner));
        }
        change
    }

    fn take(
        &mut self,
        settings: &Settings,
        store: &Store,
        workloads: &Workloads,
        key: ObjectKey,
        touched: &mut BTreeSet<IpAddr>,
    ) {
        if let Some(before) = self.known.remove(&key) {
            for address in before.addresses {
                if let Some(claims) = self.claims.get_mut(&address) {
                    claims.remove(&before.rank);
                    if claims.is_empty() {
                        self.claims.remove(&address);
                    }
                }
                touched.insert(address);
            }
        }
        let known = store.object(&key).and_then(|object| {
            let namespace = namespace_labels(store, &key.namespace);
            match &object.resource {
                Resource::Pod(pod) => of_pod(settings, workloads, namespace, object, pod),
                Resource::WorkloadEntry(entry) => of_entry(settings, namespace, object, entry),
                _ => None,
            }
        });
        let Some(known) = known else { return };
        for address in &known.addresses {
            let claims = self.claims.entry(*address).or_default();
            claims.insert(known.rank.clone());
            touched.insert(*address);
        }
        self.known.insert(key, known);
    }

    fn owner(&self, address: IpAddr) -> Option<Arc<Instance>> {
        let (.., key) = self.claims.get(&address)?.first()?;
        Some(Arc::clone(&self.known.get(key)?.instance))
    }
}

fn namespace_labels<'s>(store: &'s Store, namespace: &Arc<str>) -> Option<&'s Labels> {
    let key = ObjectKey {
        kind: Kind::Namespace,
        namespace: "".into(),
        name: Arc::clone(namespace),
    };
    Some(&store.object(&key)?.labels)
}

/// One that shares the node's network, has ended or has no address yet is none.
fn of_pod(
    settings: &Settings,
    workloads: &Workloads,
    namespace: Option<&Labels>,
    object: &Object,
    pod: &Pod,
) -> Option<Known> {
    if pod.is_host_network || pod.phase.is_finished() || pod.addresses.is_empty() {
        return None;
    }
    let key = &object.key;
    let instance = Instance {
        namespace: Arc::clone(&key.namespace),
        name: Arc::clone(&key.name),
        kind: InstanceKind::Pod,
        origin: problems::origin(object),
        workload: workloads.pod(&key.namespace, &key.name)?,
        labels: object.labels.iter().cloned().collect(),
        identity: identity(settings, &key.namespace, &pod.service_account),
        node: pod.node.clone(),
        is_enrolled: false,
        tunnel: Tunnel::None,
        exclusions: Exclusions::default(),
    };
    let instance = with_capture(instance, &pod.capture, namespace);
    Some(Known {
        instance: Arc::new(instance),
        addresses: pod.addresses.clone(),
        rank: (
            InstanceKind::Pod,
            pod.is_terminating,
            Reverse(object.created),
            key.clone(),
        ),
    })
}

fn of_entry(
    settings: &Settings,
    namespace: Option<&Labels>,
    object: &Object,
    entry: &WorkloadEntry,
) -> Option<Known> {
    let address = entry.ip()?;
    let key = &object.key;
    // What the entry says of the workload counts before what is said of the entry.
    let mut labels: BTreeMap<_, _> = object.labels.iter().cloned().collect();
    labels.extend(entry.labels.iter().cloned());
    let account = match &*entry.service_account {
        "" => "default".into(),
        _ => Arc::clone(&entry.service_account),
    };
    let instance = Instance {
        namespace: Arc::clone(&key.namespace),
        name: Arc::clone(&key.name),
        kind: InstanceKind::WorkloadEntry,
        origin: problems::origin(object),
        workload: Arc::new(workload(object, &labels, &account)),
        labels: labels.into_iter().collect(),
        identity: identity(settings, &key.namespace, &account),
        node: None,
        is_enrolled: false,
        tunnel: Tunnel::None,
        exclusions: Exclusions::default(),
    };
    let instance = with_capture(instance, &entry.capture, namespace);
    Some(Known {
        instance: Arc::new(instance),
        addresses: vec![address],
        rank: (
            InstanceKind::WorkloadEntry,
            false,
            Reverse(object.created),
            key.clone(),
        ),
    })
}

fn identity(settings: &Settings, namespace: &Arc<str>, account: &Arc<str>) -> Identity {
    Identity {
        trust_domain: Arc::clone(&settings.trust_domain),
        namespace: Arc::clone(namespace),
        account: Arc::clone(account),
    }
}

/// A workload's own label decides before its namespace's; the annotation is a node's word that it
/// is captured. With a sidecar it is the sidecar's.
fn with_capture(mut instance: Instance, capture: &Capture, namespace: Option<&Labels>) -> Instance {
    const MODE: &str = "istio.io/dataplane-mode";
    const TUNNEL: &str = "networking.istio.io/tunnel";
    let own = |key: &str| {
        let mut labels = instance.labels.iter();
        labels.find(|(name, _)| **name == *key).map(|(_, it)| it)
    };
    let mode = own(MODE).or_else(|| namespace.and_then(|labels| labels.value(MODE)));
    let is_ambient = mode.is_some_and(|mode| **mode == *"ambient");
    let has_tunnel = own(TUNNEL).is_some_and(|tunnel| **tunnel == *"http");
    let is_enrolled = (is_ambient || capture.is_redirected) && !capture.has_sidecar;
    instance.is_enrolled = is_enrolled;
    if is_enrolled || (has_tunnel && !capture.has_sidecar) {
        instance.tunnel = Tunnel::Hbone;
    }
    let ranges = capture.excluded_outbound_ranges.iter();
    instance.exclusions = Exclusions {
        bypasses_inbound: capture.bypasses_inbound,
        inbound_ports: capture.excluded_inbound_ports.to_vec(),
        outbound_ports: capture.excluded_outbound_ports.to_vec(),
        outbound_ranges: ranges
            .map(|(address, prefix_length)| AddressRange {
                address: *address,
                prefix_length: *prefix_length,
            })
            .collect(),
    };
    instance
}

fn workload(
    object: &Object,
    labels: &BTreeMap<Arc<str>, Arc<str>>,
    account: &Arc<str>,
) -> Workload {
    let first = |keys: &[&str]| {
        let values = keys.iter().filter_map(|key| labels.get(*key));
        values.into_iter().find(|it| !it.is_empty()).cloned()
    };
    let name = first(&["service.istio.io/workload-name"]);
    let name = name.unwrap_or_else(|| Arc::clone(&object.key.name));
    Workload {
        namespace: Arc::clone(&object.key.namespace),
        canonical_service: first(&[
            "service.istio.io/canonical-name",
            "app.kubernetes.io/name",
            "app",
        ])
        .unwrap_or_else(|| Arc::clone(&name)),
        canonical_revision: first(&[
            "service.istio.io/canonical-revision",
            "app.kubernetes.io/version",
            "version",
        ])
        .unwrap_or_else(|| "latest".into()),
        app: first(&["app"]),
        version: first(&["version"]),
        service_account: Arc::clone(account),
        name,
    }
}
