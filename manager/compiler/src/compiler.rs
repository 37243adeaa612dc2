//! The incremental pass over everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use weft_api::{Kind, Labels, ObjectKey, Resource, Store};
use weft_model::{Change, Mesh, Problem, Service, ServiceName, status::ObjectStatus};

use crate::{
    Settings,
    endpoints::WorkloadRef,
    entries,
    gateways::Statuses,
    index::Index,
    instances::Instances,
    limits,
    merged::Merged,
    nodes, problems,
    routes::{self, Routes},
    rules::Rules,
    security::Security,
    services::{self, Compiled, Sources},
    workloads::Workloads,
};

/// Compiles, and remembers what it compiled.
#[derive(Debug, Default)]
pub struct Compiler {
    /// As given; the mesh configuration may say otherwise.
    given: Settings,
    /// In force.
    settings: Settings,
    /// Of the resources.
    mesh: Mesh,
    /// With a local file beside them.
    merged: Option<Box<Merged>>,
    index: Index,
    rules: Rules,
    workloads: Workloads,
    instances: Instances,
    security: Security,
    routes: Routes,
    statuses: Statuses,
    /// What is known of each service besides the model.
    notes: BTreeMap<ServiceName, Notes>,
    /// Which services ask for the workload of an endpoint, by what they know of it. Hashes keep it
    /// small; when two fall together, a service is compiled once too often.
    asking: BTreeSet<(u64, Arc<ServiceName>)>,
}

/// What is known of a service besides the model.
#[derive(Debug)]
pub(crate) struct Notes {
    name: Arc<ServiceName>,
    asks: Vec<u64>,
    /// Whether its endpoints come from pods.
    from_pods: bool,
    /// The rule in force for it.
    pub(crate) rule: Option<ObjectKey>,
    pub(crate) problems: Vec<Problem>,
}

impl Compiler {
    /// A compiler that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Self {
            given: settings.clone(),
            settings,
            ..Self::default()
        }
    }

    /// What everything means so far.
    pub fn mesh(&self) -> &Mesh {
        self.merged.as_ref().map_or(&self.mesh, |it| &it.mesh)
    }

    /// The mesh of the local file, where there is one.
    pub fn local(&self) -> Option<&Mesh> {
        self.merged.as_ref().map(|it| &it.local)
    }

    /// Puts the mesh of a local file ([`crate::local_mesh`]) beside the resources, instead of the
    /// one before; what both name is as the resources say. Says what differs in the mesh.
    pub fn update_local(&mut self, local: Mesh) -> Change {
        let resources = &self.mesh;
        let merged = self
            .merged
            .get_or_insert_with(|| Box::new(Merged::of(resources)));
        merged.replace(local, resources)
    }

    /// What is wrong now, both in the objects (as the store says) and in how they fit together;
    /// ordered by file and line, each once.
    pub fn problems(&self, store: &Store) -> Vec<Problem> {
        let notes = self.notes.iter();
        let found = notes.flat_map(|(_, notes)| notes.problems.iter().cloned());
        let found = found.chain(store.problems().map(problems::from_api));
        let found = found.chain(
            self.rules
                .problems(&self.settings, &self.index, &self.notes),
        );
        let found = found.chain(problems::shared_addresses(self.mesh()));
        let hidden = self.merged.iter().flat_map(|it| it.problems(&self.mesh));
        let found = found.chain(hidden).chain(self.workloads.problems());
        let found = found.chain(limits::problems(&self.settings, store));
        let policies = &self.mesh.policies;
        let found = found.chain(self.security.problems(&self.settings, store, policies));
        let found = found.chain(self.routes.problems(&self.settings, store));
        let found = found.chain(self.statuses.problems().cloned());
        problems::in_order(found)
    }

    /// The `status` of every Gateway API object, as [`crate::gateway_status`] has it; what differs
    /// after an update is in [`Change::statuses`].
    pub fn gateway_status(&self) -> impl Iterator<Item = &ObjectStatus> {
        self.statuses.iter()
    }

    /// Takes in the objects that changed (new, different or gone) since the last time, and says
    /// what differs in the mesh. The first time, `changed` is all keys of the store.
    pub fn update(&mut self, store: &Store, changed: &[ObjectKey]) -> Change {
        let mut change = Change::default();
        let mut dirty = BTreeSet::new();
        let everything: Vec<ObjectKey>;
        let mut changed = changed;
        if changed.iter().any(|key| key.kind == Kind::ConfigMap) {
            let settings = self.given.with_mesh_config(store);
            if settings != self.settings {
                self.settings = settings;
                everything = store.keys().chain(changed).cloned().collect();
                changed = &everything;
            }
        }
        self.update_nodes(store, changed, &mut change, &mut dirty);
        self.update_pods(store, changed, &mut change, &mut dirty);
        self.update_index(store, changed, &mut dirty);
        let (settings, instances) = (&self.settings, &mut self.mesh.instances);
        let workloads = &self.workloads;
        change.instances = self
            .instances
            .update(settings, store, workloads, changed, instances);
        change.limits = limits::update(settings, store, changed, &mut self.mesh.limits);
        let policies = &mut self.mesh.policies;
        change.policies = self.security.update(settings, store, changed, policies);
        let tables = &mut self.mesh.routes;
        change.routes = self.routes.update(settings, store, changed, tables);
        change.statuses = self.statuses.update(store, changed);
        for name in dirty {
            let compiled = self.compile(store, &name);
            let service = self.note(&name, compiled);
            self.update_policies(store, &name, service.as_ref(), &mut change);
            self.replace(name, service, &mut change);
        }
        match &mut self.merged {
            Some(merged) => merged.update(change),
            None => change,
        }
    }

    fn update_nodes(
        &mut self,
        store: &Store,
        changed: &[ObjectKey],
        change: &mut Change,
        dirty: &mut BTreeSet<ServiceName>,
    ) {
        for key in changed.iter().filter(|key| key.kind == Kind::Node) {
            let node = store.object(key).and_then(nodes::node);
            if self.mesh.nodes.get(&key.name) == node.as_ref() {
                continue;
            }
            match node.clone() {
                Some(node) => drop(self.mesh.nodes.insert(Arc::clone(&key.name), node)),
                None => drop(self.mesh.nodes.remove(&key.name)),
            }
            change.nodes.push((Arc::clone(&key.name), node));
        }
        if !change.nodes.is_empty() {
            // Pods take their zone from their node.
            let from_pods = self.notes.iter().filter(|(_, notes)| notes.from_pods);
            dirty.extend(from_pods.map(|(name, _)| name.clone()));
        }
        change.nodes.sort_by(|(a, _), (b, _)| a.cmp(b));
        change.nodes.dedup_by(|(a, _), (b, _)| a == b);
    }

    fn update_pods(
        &mut self,
        store: &Store,
        changed: &[ObjectKey],
        change: &mut Change,
        dirty: &mut BTreeSet<ServiceName>,
    ) {
        let mut touched: BTreeSet<IpAddr> = BTreeSet::new();
        let mut labels: BTreeMap<Arc<str>, BTreeSet<Labels>> = BTreeMap::new();
        for key in changed.iter().filter(|key| key.kind == Kind::Pod) {
            let of_namespace = labels.entry(Arc::clone(&key.namespace)).or_default();
            let replaced = self
                .workloads
                .take(key, store.object(key).map(|object| &**object));
            touched.extend(replaced.addresses);
            of_namespace.extend(replaced.labels);
            self.ask(WorkloadRef::Pod(&key.namespace, &key.name), dirty);
        }
        for address in touched {
            let owner = self.workloads.owner(address);
            self.ask(WorkloadRef::Address(address), dirty);
            if self.mesh.addresses.get(&address) == owner.as_ref() {
                continue;
            }
            match &owner {
                Some(owner) => drop(self.mesh.addresses.insert(address, Arc::clone(owner))),
                None => drop(self.mesh.addresses.remove(&address)),
            }
            change.addresses.push((address, owner));
        }
        for (namespace, labels) in labels {
            self.touch_selectors(store, &namespace, &labels, dirty);
        }
    }

    /// Services that take their endpoints from pods with one of these label sets.
    fn touch_selectors(
        &self,
        store: &Store,
        namespace: &Arc<str>,
        labels: &BTreeSet<Labels>,
        dirty: &mut BTreeSet<ServiceName>,
    ) {
        for object in store.objects_in(Kind::Service, namespace) {
            let Resource::Service(service) = &object.resource else {
                continue;
            };
            if !service.selector.is_empty()
                && !self.index.has_slices(namespace, &object.key.name)
                && labels.iter().any(|labels| service.selector.select(labels))
            {
                dirty.insert(self.settings.service_name(namespace, &object.key.name));
            }
        }
    }

    /// Services that ask for this workload.
    fn ask(&self, workload: WorkloadRef<'_>, dirty: &mut BTreeSet<ServiceName>) {
        let hash = workload.hash();
        let empty: Arc<str> = Arc::from("");
        let least = ServiceName {
            namespace: Arc::clone(&empty),
            hostname: empty,
        };
        let asking = self.asking.range((hash, Arc::new(least))..);
        let asking = asking.take_while(|(other, _)| *other == hash);
        dirty.extend(asking.map(|(_, name)| (**name).clone()));
    }

    fn update_index(
        &mut self,
        store: &Store,
        changed: &[ObjectKey],
        dirty: &mut BTreeSet<ServiceName>,
    ) {
        for key in changed {
            let object = store.object(key).map(|object| &**object);
            match key.kind {
                Kind::Namespace => {
                    let inside = self.notes.keys().filter(|name| name.namespace == key.name);
                    dirty.extend(inside.cloned());
                }
                Kind::Service => {
                    dirty.insert(self.settings.service_name(&key.namespace, &key.name));
                }
                Kind::EndpointSlice => {
                    for service in self.index.take_slice(key, object) {
                        dirty.insert(self.settings.service_name(&key.namespace, &service));
                    }
                }
                Kind::ServiceEntry => dirty.extend(self.index.take_entry(key, object)),
                Kind::DestinationRule => {
                    for host in self.rules.take(&self.settings, key, object) {
                        dirty.extend(self.index.named(&host).cloned());
                    }
                }
                // Nothing of a service's endpoints depends on the others.
                _ => {}
            }
        }
    }

    fn compile(&self, store: &Store, name: &ServiceName) -> Option<Compiled> {
        let sources = Sources {
            settings: &self.settings,
            store,
            index: &self.index,
            workloads: &self.workloads,
            mesh: &self.mesh,
        };
        let mut compiled = match services::kubernetes(&sources, name) {
            Some(compiled) => compiled,
            None => entries::service_entry(&sources, name)?,
        };
        compiled.problems.extend(entries::hidden(&sources, name));
        let rule = self.rules.choose(&self.settings, name);
        let default = self.settings.default_balancing;
        self.rules
            .apply(rule.as_ref(), default, &mut compiled.service.ports);
        compiled.rule = rule;
        Some(compiled)
    }

    /// What DestinationRules say of a service to its clients.
    fn update_policies(
        &mut self,
        store: &Store,
        name: &ServiceName,
        service: Option<&Service>,
        change: &mut Change,
    ) {
        let fitting = self.rules.fitting(name);
        let new: Option<Arc<[_]>> = match service {
            Some(service) if !fitting.is_empty() => {
                let sources = Sources {
                    settings: &self.settings,
                    store,
                    index: &self.index,
                    workloads: &self.workloads,
                    mesh: &self.mesh,
                };
                let policies = routes::policies::policies(&sources, service, fitting);
                (!policies.is_empty()).then(|| policies.into())
            }
            _ => None,
        };
        let known = &mut self.mesh.routes.policies;
        if known.get(name) == new.as_ref() {
            return;
        }
        match &new {
            Some(new) => drop(known.insert(name.clone(), Arc::clone(new))),
            None => drop(known.remove(name)),
        }
        change.routes.policies.push((name.clone(), new));
    }

    /// Writes down all that is known of a service but the model.
    fn note(&mut self, name: &ServiceName, compiled: Option<Compiled>) -> Option<Service> {
        if let Some(notes) = self.notes.remove(name) {
            for hash in notes.asks {
                self.asking.remove(&(hash, Arc::clone(&notes.name)));
            }
        }
        let Some(compiled) = compiled else {
            self.index.forget(name);
            return None;
        };
        self.index.remember(name);
        let Compiled {
            service,
            mut asks,
            from_pods,
            rule,
            problems,
        } = compiled;
        asks.sort_unstable();
        asks.dedup();
        let shared = Arc::new(name.clone());
        self.asking
            .extend(asks.iter().map(|hash| (*hash, Arc::clone(&shared))));
        let notes = Notes {
            name: shared,
            asks,
            from_pods,
            rule,
            problems,
        };
        self.notes.insert(name.clone(), notes);
        Some(service)
    }

    fn replace(&mut self, name: ServiceName, service: Option<Service>, change: &mut Change) {
        let before = self.mesh.services.get(&name);
        if before.map(|before| &**before) == service.as_ref() {
            return;
        }
        let service = service.map(Arc::new);
        match &service {
            Some(service) => drop(self.mesh.services.insert(name.clone(), Arc::clone(service))),
            None => drop(self.mesh.services.remove(&name)),
        }
        change.services.push((name, service));
    }
}
