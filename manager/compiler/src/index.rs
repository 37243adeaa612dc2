//! Which objects belong to which service.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{Object, ObjectKey, Resource};
use weft_model::ServiceName;

use crate::rules::HostPattern;

/// Which objects belong to which service.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// EndpointSlices by (namespace, `metadata.name` of the service).
    slices: BTreeMap<(Arc<str>, Arc<str>), BTreeSet<ObjectKey>>,
    /// The service of each EndpointSlice.
    slice_service: BTreeMap<ObjectKey, Arc<str>>,
    /// ServiceEntries by the service they define.
    entries: BTreeMap<ServiceName, BTreeSet<ObjectKey>>,
    /// The services of each ServiceEntry.
    entry_services: BTreeMap<ObjectKey, Vec<ServiceName>>,
    /// Compiled services by host name.
    hosts: BTreeMap<Arc<str>, BTreeSet<ServiceName>>,
}

impl Index {
    /// Takes in an EndpointSlice. Names of the services it belonged and belongs to.
    pub(crate) fn take_slice(&mut self, key: &ObjectKey, object: Option<&Object>) -> Vec<Arc<str>> {
        let before = self.slice_service.remove(key);
        if let Some(before) = &before {
            let service = (Arc::clone(&key.namespace), Arc::clone(before));
            if let Some(slices) = self.slices.get_mut(&service) {
                slices.remove(key);
                if slices.is_empty() {
                    self.slices.remove(&service);
                }
            }
        }
        let after = object.and_then(|object| match &object.resource {
            Resource::EndpointSlice(slice) => slice.service.clone(),
            _ => None,
        });
        if let Some(after) = &after {
            let service = (Arc::clone(&key.namespace), Arc::clone(after));
            self.slices.entry(service).or_default().insert(key.clone());
            self.slice_service.insert(key.clone(), Arc::clone(after));
        }
        before.into_iter().chain(after).collect()
    }

    /// The EndpointSlices of a Service.
    pub(crate) fn slices(
        &self,
        namespace: &Arc<str>,
        service: &Arc<str>,
    ) -> impl Iterator<Item = &ObjectKey> {
        let service = (Arc::clone(namespace), Arc::clone(service));
        self.slices.get(&service).into_iter().flatten()
    }

    /// Whether a Service has any EndpointSlice.
    pub(crate) fn has_slices(&self, namespace: &Arc<str>, service: &Arc<str>) -> bool {
        self.slices
            .contains_key(&(Arc::clone(namespace), Arc::clone(service)))
    }

    /// Takes in a ServiceEntry. The services it defined and defines.
    pub(crate) fn take_entry(
        &mut self,
        key: &ObjectKey,
        object: Option<&Object>,
    ) -> Vec<ServiceName> {
        let before = self.entry_services.remove(key).unwrap_or_default();
        for service in &before {
            if let Some(entries) = self.entries.get_mut(service) {
                entries.remove(key);
                if entries.is_empty() {
                    self.entries.remove(service);
                }
            }
        }
        let hosts = match object.map(|object| &object.resource) {
            Some(Resource::ServiceEntry(entry)) => entry.hosts.as_slice(),
            _ => &[],
        };
        let name = |hostname: &Arc<str>| ServiceName {
            namespace: Arc::clone(&key.namespace),
            hostname: Arc::clone(hostname),
        };
        let after: Vec<ServiceName> = hosts.iter().map(name).collect();
        for service in &after {
            self.entries
                .entry(service.clone())
                .or_default()
                .insert(key.clone());
        }
        if !after.is_empty() {
            self.entry_services.insert(key.clone(), after.clone());
        }
        before.into_iter().chain(after).collect()
    }

    /// The ServiceEntries that define a service.
    pub(crate) fn entries(&self, service: &ServiceName) -> impl Iterator<Item = &ObjectKey> {
        self.entries.get(service).into_iter().flatten()
    }

    pub(crate) fn remember(&mut self, service: &ServiceName) {
        let of_host = self.hosts.entry(Arc::clone(&service.hostname)).or_default();
        of_host.insert(service.clone());
    }

    pub(crate) fn forget(&mut self, service: &ServiceName) {
        if let Some(of_host) = self.hosts.get_mut(&service.hostname) {
            of_host.remove(service);
            if of_host.is_empty() {
                self.hosts.remove(&service.hostname);
            }
        }
    }

    /// Compiled services whose host name fits a rule's host.
    pub(crate) fn named(
        &self,
        pattern: &HostPattern,
    ) -> Box<dyn Iterator<Item = &ServiceName> + '_> {
        match pattern {
            HostPattern::Exact(host) => Box::new(self.hosts.get(host).into_iter().flatten()),
            HostPattern::Suffix(suffix) => {
                let suffix = Arc::clone(suffix);
                let hosts = self.hosts.iter();
                let fitting = hosts.filter(move |(host, _)| host.ends_with(&*suffix));
                Box::new(fitting.flat_map(|(_, services)| services))
            }
        }
    }
}
