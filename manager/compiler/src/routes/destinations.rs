//! What host names mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{Kind, Object, ObjectKey, Resource};
use weft_model::{ServiceName, route::Target};

use super::Sources;
use crate::Settings;

/// ServiceEntries by their hosts.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    entries: BTreeMap<Arc<str>, BTreeSet<ObjectKey>>,
    of: BTreeMap<ObjectKey, Vec<Arc<str>>>,
}

impl Hosts {
    /// Takes in a ServiceEntry, new, changed or gone. Hosts that are new or gone.
    pub(super) fn take(&mut self, key: &ObjectKey, object: Option<&Arc<Object>>) -> Vec<Arc<str>> {
        let before = self.of.remove(key).unwrap_or_default();
        let after = match object.map(|object| &object.resource) {
            Some(Resource::ServiceEntry(entry)) => entry.names.clone(),
            _ => Vec::new(),
        };
        for host in &before {
            super::remove(&mut self.entries, host, key);
        }
        for host in &after {
            self.entries
                .entry(Arc::clone(host))
                .or_default()
                .insert(key.clone());
        }
        let is_new = |host: &&Arc<str>| !before.contains(host);
        let is_gone = |host: &&Arc<str>| !after.contains(host);
        let differing = after
            .iter()
            .filter(is_new)
            .chain(before.iter().filter(is_gone));
        let differing = differing.cloned().collect();
        if !after.is_empty() {
            self.of.insert(key.clone(), after);
        }
        differing
    }
}

/// The full name of a host as Istio resolves it in a namespace: only names without a dot are short.
pub(crate) fn full_name(settings: &Settings, namespace: &Arc<str>, host: &str) -> Arc<str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.contains('.') || host.starts_with('*') || host.contains(':') {
        return host.to_ascii_lowercase().into();
    }
    settings
        .service_name(namespace, &host.to_ascii_lowercase())
        .hostname
}

impl Sources<'_> {
    /// The service that has a full host name: a Kubernetes Service, or a ServiceEntry, of the asking
    /// namespace before others.
    pub(super) fn service(&self, namespace: &Arc<str>, host: &Arc<str>) -> Option<ServiceName> {
        self.kubernetes(host).or_else(|| {
            let entries = self.hosts.entries.get(host)?;
            let own = entries.iter().find(|key| key.namespace == *namespace);
            let key = own.or_else(|| entries.first())?;
            Some(ServiceName {
                namespace: Arc::clone(&key.namespace),
                hostname: Arc::clone(host),
            })
        })
    }

    fn kubernetes(&self, host: &Arc<str>) -> Option<ServiceName> {
        let rest = host.strip_suffix(&*self.settings.cluster_domain)?;
        let (name, namespace) = rest.strip_suffix(".svc.")?.split_once('.')?;
        if namespace.contains('.') {
            return None;
        }
        let key = ObjectKey {
            kind: Kind::Service,
            namespace: namespace.into(),
            name: name.into(),
        };
        let service = ServiceName {
            namespace: namespace.into(),
            hostname: Arc::clone(host),
        };
        self.store.object(&key).map(|_| service)
    }

    /// What a destination of a VirtualService names: 503 when there is no such host.
    pub(super) fn target(&self, namespace: &Arc<str>, host: &Arc<str>) -> Target {
        match self.service(namespace, host) {
            Some(service) => Target::Service(service),
            None => Target::Invalid {
                reason: format!("no service has the host {host}").into(),
                status: 503,
            },
        }
    }
}
