//! What is probably not meant: resources looked at together, with the codes and texts of Istio's
//! analyzers as far as they make sense without sidecars.
//!
//! Codes that are Weft's own begin with `WEFT`: 0001 for what is read but not acted on, 0002 for what
//! is not accepted for another reason, 0003 and 0004 for labels that enrol nothing. [`CODES`] lists
//! all.

mod annotations;
mod codes;
mod destination_rules;
mod enrolment;
mod gateways;
mod ingress;
mod references;
mod schema;
mod selectors;
mod services;
mod sharing;
mod virtual_services;
mod workloads;

use std::{collections::BTreeMap, sync::Arc};

use weft_api::{Items, Kind, KnownPod, Labels, Object, Resource, Store};
use weft_model::{
    Origin, Severity,
    route::{HostPattern, Visibility},
};

pub use self::{
    codes::{CODES, Code, Coverage},
    schema::unreadable,
};
use crate::{
    Settings, problems,
    routes::{full_name, overlap, virtual_service_pattern, visibility},
};

/// Something that an analyzer says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Message {
    /// How bad.
    pub severity: Severity,
    /// Istio's code, such as `IST0101`.
    pub code: &'static str,
    /// The object.
    pub origin: Origin,
    /// Line of the field, from 1; 0 when only the object or an item of it is meant.
    pub line: u32,
    /// The item that is meant, by its list in `spec` and its position there.
    pub item: Option<(&'static str, usize)>,
    /// Istio's text.
    pub text: String,
}

impl Message {
    /// The line that is meant, given the items of the file.
    pub fn line_in(&self, items: &Items<'_>) -> u32 {
        match self.item {
            Some((list, index)) if self.line == 0 => items.line(self.origin.line, list, index),
            _ => self.line.max(self.origin.line),
        }
    }
}

/// What analyzers look at.
struct Analysis<'s> {
    store: &'s Store,
    settings: Settings,
    /// Hosts of all services and ServiceEntries.
    hosts: BTreeMap<Arc<str>, Vec<Host>>,
    /// Pods, and those that templates will make.
    pods: Vec<KnownPod<'s>>,
    messages: Vec<Message>,
}

/// An item that a message is about: its list in `spec`, its position.
type Item = Option<(&'static str, usize)>;

/// A Service, or a ServiceEntry, under one of its hosts.
struct Host {
    ports: Vec<u16>,
    /// Whose clients see it.
    visibility: Visibility,
}

/// Everything that analyzers say of the objects in a store, ordered by level (the worst first), code,
/// object. What an object's `galley.istio.io/analyze-suppress` names is left out.
pub fn analyze(store: &Store, settings: &Settings) -> Vec<Message> {
    let mut analysis = Analysis {
        store,
        settings: settings.with_mesh_config(store),
        hosts: BTreeMap::new(),
        pods: store.pods().collect(),
        messages: Vec::new(),
    };
    analysis.learn_hosts();
    schema::analyze(&mut analysis);
    references::analyze(&mut analysis);
    virtual_services::analyze(&mut analysis);
    destination_rules::analyze(&mut analysis);
    gateways::analyze(&mut analysis);
    ingress::analyze(&mut analysis);
    services::analyze(&mut analysis);
    sharing::analyze(&mut analysis);
    workloads::analyze(&mut analysis);
    selectors::analyze(&mut analysis);
    enrolment::analyze(&mut analysis);
    annotations::analyze(&mut analysis);
    analysis.finish()
}

/// Gateways that Istio installs, in the root namespace: they are there, as istioctl has it, though they
/// stand in no file.
const OF_ISTIO: [&str; 2] = ["istio-ingressgateway", "istio-egressgateway"];

/// Ports of [`OF_ISTIO`].
const ISTIO_PORTS: [u16; 5] = [80, 443, 15021, 15443, 31400];

/// Annotation of Services: the namespaces that see them.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

impl<'s> Analysis<'s> {
    fn learn_hosts(&mut self) {
        let services = self.each(Kind::Service, |resource| match resource {
            Resource::Service(service) => Some(&**service),
            _ => None,
        });
        for (object, service) in services {
            let key = &object.key;
            let name = self.settings.service_name(&key.namespace, &key.name);
            let exported = object.annotations.value(EXPORT_TO);
            let exported = exported.map_or("", |names| names).split(',');
            let exported = exported.map(str::trim).filter(|name| !name.is_empty());
            let exported: Vec<Arc<str>> = exported.map(Arc::from).collect();
            self.hosts.entry(name.hostname).or_default().push(Host {
                ports: service.ports.iter().map(|port| port.number).collect(),
                visibility: visibility(&key.namespace, &exported),
            });
        }
        for name in OF_ISTIO {
            let name = self
                .settings
                .service_name(&self.settings.root_namespace, name);
            self.hosts.entry(name.hostname).or_insert_with(|| {
                vec![Host {
                    ports: ISTIO_PORTS.into(),
                    visibility: Visibility::All,
                }]
            });
        }
        let entries = self.each(Kind::ServiceEntry, |resource| match resource {
            Resource::ServiceEntry(entry) => Some(&**entry),
            _ => None,
        });
        for (object, entry) in entries {
            for name in &entry.names {
                let host = Host {
                    ports: entry.ports.iter().map(|port| port.number).collect(),
                    visibility: visibility(&object.key.namespace, &entry.export_to),
                };
                self.hosts.entry(Arc::clone(name)).or_default().push(host);
            }
        }
    }

    fn say(&mut self, code: &'static str, object: &Object, text: String) {
        self.say_of(code, object, None, text);
    }

    /// Says something of an item of an object.
    fn say_of(&mut self, code: &'static str, object: &Object, item: Item, text: String) {
        self.messages.push(Message {
            severity: codes::severity(code),
            code,
            origin: problems::origin(object),
            line: 0,
            item,
            text,
        });
    }

    /// All objects of a kind, with what they hold.
    fn each<T>(
        &self,
        kind: Kind,
        of: impl Fn(&'s Resource) -> Option<&'s T>,
    ) -> Vec<(&'s Arc<Object>, &'s T)> {
        let objects = self.store.objects(kind);
        objects
            .filter_map(|object| Some((object, of(&object.resource)?)))
            .collect()
    }

    /// What stands behind a host for these clients: by its name, else by a wildcard.
    fn host(&self, host: &str, clients: &Visibility) -> Option<&Host> {
        let seen = |hosts: &&Host| overlap(&hosts.visibility, clients);
        let named = self.hosts.get(host).into_iter().flatten().find(seen);
        let wildcards = || {
            let wildcards = self
                .hosts
                .iter()
                .filter(|(known, _)| known.starts_with('*'));
            let mut fitting = wildcards.filter(|(known, _)| HostPattern::new(known).fits(host));
            fitting.find_map(|(_, hosts)| hosts.iter().find(seen))
        };
        named.or_else(wildcards)
    }

    /// Whether there are workloads at all; without any, nothing is said of what selects none.
    fn knows_workloads(&self) -> bool {
        !self.pods.is_empty() || self.store.objects(Kind::WorkloadEntry).next().is_some()
    }

    /// Pods of a namespace, or of all, that have all these labels.
    fn has_pods(&self, namespace: Option<&Arc<str>>, selector: &Labels) -> bool {
        let mut pods = self.pods.iter();
        let mut entries = self.store.objects(Kind::WorkloadEntry);
        let is_here =
            |object: &Object| namespace.is_none_or(|namespace| object.key.namespace == *namespace);
        pods.any(|pod| is_here(pod.object) && selector.select(pod.labels))
            || entries.any(|object| match &object.resource {
                Resource::WorkloadEntry(entry) => is_here(object) && selector.select(&entry.labels),
                _ => false,
            })
    }

    fn has_any_pod(&self, namespace: &Arc<str>) -> bool {
        let mut pods = self.pods.iter();
        pods.any(|pod| pod.object.key.namespace == *namespace)
            || self
                .store
                .objects_in(Kind::WorkloadEntry, namespace)
                .next()
                .is_some()
    }

    fn full_name(&self, namespace: &Arc<str>, host: &str) -> Arc<str> {
        full_name(&self.settings, namespace, host)
    }

    fn pattern(&self, namespace: &Arc<str>, host: &str) -> HostPattern {
        virtual_service_pattern(&self.settings, namespace, host)
    }

    fn finish(self) -> Vec<Message> {
        let store = self.store;
        let mut messages = self.messages;
        let suppressions = suppressions(store);
        messages.retain(|message| {
            let place = (Arc::clone(&message.origin.file), message.origin.line);
            let codes = suppressions.get(&place).map(Vec::as_slice);
            let mut codes = codes.unwrap_or_default().iter();
            !codes.any(|code| code == "*" || code == message.code)
        });
        messages.sort_by(|a, b| {
            let rank = |message: &Message| std::cmp::Reverse(message.severity);
            rank(a)
                .cmp(&rank(b))
                .then_with(|| (a.code, a).cmp(&(b.code, b)))
        });
        messages.dedup();
        messages
    }
}

/// Codes that objects do not want to hear of, by their place.
fn suppressions(store: &Store) -> BTreeMap<(Arc<str>, u32), Vec<String>> {
    let objects = store.keys().filter_map(|key| store.object(key));
    let named = objects.filter_map(|object| {
        let codes = object
            .annotations
            .value("galley.istio.io/analyze-suppress")?;
        let codes = codes.split(',').map(|code| code.trim().to_owned());
        Some(((Arc::clone(&object.file), object.line), codes.collect()))
    });
    named.collect()
}

/// Labels as Istio writes them: `a=b,c=d`.
fn selector_text(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

/// Names as Istio writes lists: `[a b]`.
fn list_text<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    format!("[{}]", names.join(" "))
}

/// `namespace/name`.
fn full_text(object: &Object) -> String {
    format!("{}/{}", object.key.namespace, object.key.name)
}
