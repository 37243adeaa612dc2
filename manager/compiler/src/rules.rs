//! DestinationRules: which one holds for a service, and what it asks for.
//!
//! In Istio every client namespace may see another rule. Here a service is compiled once for all
//! its clients, so the rule of the service's own namespace holds, else that of the root namespace,
//! else the oldest that another namespace exports.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{DestinationRule, LoadBalancing, Object, ObjectKey, Policy, Resource};
use weft_model::{Balancing, Origin, Outlier, Port, Problem, ServiceName, Severity};

use crate::{Settings, compiler::Notes, index::Index, problems};

/// All rules.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: BTreeMap<ObjectKey, Known>,
    exact: BTreeMap<Arc<str>, BTreeSet<ObjectKey>>,
    wildcard: BTreeSet<ObjectKey>,
}

#[derive(Debug)]
struct Known {
    host: HostPattern,
    rule: DestinationRule,
    created: Option<i64>,
    origin: Origin,
}

/// The host of a rule, resolved in its namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HostPattern {
    /// A full host name.
    Exact(Arc<str>),
    /// Every host name with this ending.
    Suffix(Arc<str>),
}

/// A rule whose host fits a service.
pub(crate) struct Fitting<'r> {
    pub(crate) key: &'r ObjectKey,
    pub(crate) rule: &'r DestinationRule,
    pub(crate) origin: &'r Origin,
    pub(crate) created: Option<i64>,
    /// Of the host, greater is more specific.
    pub(crate) specificity: (bool, usize),
}

impl HostPattern {
    fn resolve(settings: &Settings, namespace: &Arc<str>, host: &str) -> Self {
        match host.strip_prefix('*') {
            Some(suffix) => Self::Suffix(suffix.into()),
            None if host.contains('.') => {
                Self::Exact(host.strip_suffix('.').unwrap_or(host).into())
            }
            None => Self::Exact(settings.service_name(namespace, host).hostname),
        }
    }

    /// The more specific, the greater.
    fn specificity(&self) -> (bool, usize) {
        match self {
            Self::Exact(host) => (true, host.len()),
            Self::Suffix(suffix) => (false, suffix.len()),
        }
    }
}

impl Rules {
    /// Takes in a rule, new, changed or gone. The hosts it held and holds for.
    pub(crate) fn take(
        &mut self,
        settings: &Settings,
        key: &ObjectKey,
        object: Option<&Object>,
    ) -> Vec<HostPattern> {
        let mut hosts = Vec::new();
        if let Some(before) = self.rules.remove(key) {
            match &before.host {
                HostPattern::Exact(host) => {
                    let rules = self.exact.entry(Arc::clone(host)).or_default();
                    rules.remove(key);
                    if rules.is_empty() {
                        self.exact.remove(host);
                    }
                }
                HostPattern::Suffix(_) => drop(self.wildcard.remove(key)),
            }
            hosts.push(before.host);
        }
        let Some(object) = object else { return hosts };
        let Resource::DestinationRule(rule) = &object.resource else {
            return hosts;
        };
        let host = HostPattern::resolve(settings, &key.namespace, &rule.host);
        match &host {
            HostPattern::Exact(host) => {
                self.exact
                    .entry(Arc::clone(host))
                    .or_default()
                    .insert(key.clone());
            }
            HostPattern::Suffix(_) => drop(self.wildcard.insert(key.clone())),
        }
        hosts.push(host.clone());
        let known = Known {
            host,
            rule: (**rule).clone(),
            created: object.created,
            origin: problems::origin(object),
        };
        self.rules.insert(key.clone(), known);
        hosts
    }

    /// All rules whose host fits a service.
    pub(crate) fn fitting(&self, service: &ServiceName) -> Vec<Fitting<'_>> {
        let fitting = self.candidates(service).map(|(key, known)| Fitting {
            key,
            rule: &known.rule,
            origin: &known.origin,
            created: known.created,
            specificity: known.host.specificity(),
        });
        fitting.collect()
    }

    /// The rule that holds for a service.
    pub(crate) fn choose(&self, settings: &Settings, service: &ServiceName) -> Option<ObjectKey> {
        let candidates = self.candidates(service).filter_map(|(key, known)| {
            let rank = rank(settings, service, key, known)?;
            Some((rank, Reverse(known.host.specificity()), known.created, key))
        });
        candidates.min().map(|(.., key)| key.clone())
    }

    fn candidates(&self, service: &ServiceName) -> impl Iterator<Item = (&ObjectKey, &Known)> {
        let exact = self.exact.get(&service.hostname).into_iter().flatten();
        let keys = exact.chain(&self.wildcard);
        keys.filter_map(|key| self.rules.get_key_value(key))
            .filter(|(_, known)| match &known.host {
                HostPattern::Exact(_) => true,
                HostPattern::Suffix(suffix) => service.hostname.ends_with(&**suffix),
            })
    }

    /// Writes what the chosen rule asks for to each port.
    pub(crate) fn apply(&self, rule: Option<&ObjectKey>, default: Balancing, ports: &mut [Port]) {
        let rule = rule
            .and_then(|key| self.rules.get(key))
            .map(|known| &known.rule);
        for port in ports {
            let unset = Policy::default();
            let policy = rule.map_or(&unset, |rule| {
                // Settings for a port replace the others, they do not inherit from them.
                let own = rule.ports.iter().find(|(number, _)| *number == port.number);
                own.map_or(&rule.policy, |(_, policy)| policy)
            });
            port.balancing = policy.balancing.map_or(default, balancing);
            port.max_connections = policy.max_connections;
            port.outlier = policy.outlier.map(|outlier| Outlier {
                consecutive_failures: outlier.consecutive_failures,
                interval: outlier.interval,
                base_ejection: outlier.base_ejection,
                max_ejection_percent: outlier.max_ejection_percent,
                min_health_percent: outlier.min_health_percent,
            });
        }
    }

    /// Rules that hold for no service, or not as written.
    pub(crate) fn problems(
        &self,
        settings: &Settings,
        index: &Index,
        notes: &BTreeMap<ServiceName, Notes>,
    ) -> Vec<Problem> {
        let rules = self
            .rules
            .iter()
            .filter(|(_, known)| known.rule.applies_to_all_clients);
        rules
            .filter_map(|(key, known)| unused(settings, index, notes, key, known))
            .collect()
    }
}

/// Lower is stronger; none if the rule does not hold for all clients of the service.
fn rank(settings: &Settings, service: &ServiceName, key: &ObjectKey, known: &Known) -> Option<u8> {
    if !known.rule.applies_to_all_clients {
        return None;
    }
    if key.namespace == service.namespace {
        return (!exports_nothing(known)).then_some(0);
    }
    let is_exported = known.rule.export_to.is_empty()
        || known
            .rule
            .export_to
            .iter()
            .any(|to| **to == *"*" || *to == service.namespace);
    let is_root = key.namespace == settings.root_namespace;
    is_exported.then_some(if is_root { 1 } else { 2 })
}

fn exports_nothing(known: &Known) -> bool {
    known.rule.export_to.iter().any(|to| **to == *"~")
}

fn unused(
    settings: &Settings,
    index: &Index,
    notes: &BTreeMap<ServiceName, Notes>,
    key: &ObjectKey,
    known: &Known,
) -> Option<Problem> {
    let mut fitting = index.named(&known.host).peekable();
    let problem = |severity, code, path: &str, message| {
        let (origin, path) = (known.origin.clone(), path.to_owned());
        Some(Problem {
            severity,
            code,
            origin,
            path,
            line: 0,
            message,
        })
    };
    let Some(first) = fitting.peek().copied() else {
        let message = format!("no service has the host {}", known.rule.host);
        return problem(Severity::Warning, "unknown-host", "spec.host", message);
    };
    let rule_of = |name: &ServiceName| notes.get(name).and_then(|notes| notes.rule.as_ref());
    if let Some(service) = fitting.find(|name| rule_of(name) == Some(key)) {
        let is_private = known.rule.export_to.iter().any(|to| **to == *".");
        let message = format!(
            "visibility to clients is not supported yet; the rule holds for all clients of {service}"
        );
        return is_private
            .then(|| problem(Severity::Info, "not-supported", "spec.exportTo", message))?;
    }
    match rule_of(first) {
        Some(winner) if winner.namespace == key.namespace => {
            let message = format!("{winner} holds for {first}, this rule does not");
            problem(Severity::Warning, "conflict", "spec.host", message)
        }
        Some(winner) => {
            let message = format!("not used: {winner} holds for {first}");
            problem(Severity::Info, "not-used", "", message)
        }
        None if rank(settings, first, key, known).is_none() => {
            let message = format!("not used: it is not exported to the namespace of {first}");
            problem(Severity::Info, "not-used", "spec.exportTo", message)
        }
        None => None,
    }
}

fn balancing(written: LoadBalancing) -> Balancing {
    match written {
        LoadBalancing::RoundRobin => Balancing::RoundRobin,
        LoadBalancing::Random => Balancing::Random,
        LoadBalancing::LeastConnections => Balancing::LeastConnections,
        LoadBalancing::SourceHash { table_size } => Balancing::SourceHash { table_size },
    }
}
