//! The `status` of all Gateway API objects, kept up to date.
//!
//! Each object's status is found anew when something changed that was looked up for it, or when a
//! number that others contribute to changed: routes at a listener, Gateways that lead to a Service.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weft_api::{Kind, ObjectKey, Resource, Store};
use weft_model::{
    Problem,
    status::{ObjectStatus, Status, StatusName},
};

use super::{
    Gateways, Read, Reads, Route,
    contests::Contests,
    route::ROUTES,
    status::{of_class, of_object, of_route, status_name},
    verdict::{Lead, RouteVerdict},
};

/// How many routes lead from Gateways (inner) to Services (outer).
pub(super) type LeadingTo = BTreeMap<ObjectKey, BTreeMap<ObjectKey, u32>>;

/// A status that is new or different (`Some`), or gone (`None`).
type Edit = (StatusName, Option<Arc<ObjectStatus>>);

/// The status of all Gateway API objects.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    entries: BTreeMap<ObjectKey, Entry>,
    /// Objects by what was looked up for them.
    readers: BTreeMap<Read, BTreeSet<ObjectKey>>,
    /// By Gateway and position of the listener: how many accepted routes are attached.
    attached: BTreeMap<ObjectKey, BTreeMap<usize, u32>>,
    leading_to: LeadingTo,
    contests: Contests,
}

/// What is known of an object.
#[derive(Debug, Default)]
struct Entry {
    /// None when it is others' business.
    status: Option<Arc<ObjectStatus>>,
    problems: Vec<Problem>,
    reads: BTreeSet<Read>,
    attached: BTreeSet<(ObjectKey, usize)>,
    leads: BTreeSet<Lead>,
}

/// The `status` of every Gateway API object in force that is Weft's business: classes, Gateways,
/// routes, policies, each in ascending namespace and name. Routes without a parent of Weft's have
/// one without parents.
///
/// `Programmed` says that there is something to serve, not that a data plane serves it by now.
pub fn gateway_status(store: &Store) -> Vec<ObjectStatus> {
    let mut statuses = Statuses::default();
    let keys: Vec<ObjectKey> = store.keys().cloned().collect();
    statuses.update(store, &keys);
    statuses.iter().cloned().collect()
}

impl Statuses {
    /// All statuses, in the order of [`gateway_status`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ObjectStatus> {
        let kinds = [Kind::GatewayClass, Kind::Gateway].into_iter();
        let kinds = kinds.chain(ROUTES).chain([Kind::BackendTlsPolicy]);
        let of_kind = |kind| {
            let entries = self.entries.range(least(kind)..);
            entries.take_while(move |(key, _)| key.kind == kind)
        };
        kinds
            .flat_map(of_kind)
            .filter_map(|(_, entry)| entry.status.as_deref())
    }

    /// What of Gateways, routes and policies is not accepted, or does not lead anywhere.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.entries.values().flat_map(|entry| &entry.problems)
    }

    /// Takes in the objects that changed, and says which statuses differ, in no order.
    pub(crate) fn update(&mut self, store: &Store, changed: &[ObjectKey]) -> Vec<Edit> {
        let mut routes = BTreeSet::new();
        let mut others = BTreeSet::new();
        for key in changed {
            let is_counted = has_status(key.kind);
            let all = Read::All(key.kind, Arc::clone(&key.namespace));
            let readers = [Read::Object(key.clone()), all];
            let readers = readers.iter().filter_map(|read| self.readers.get(read));
            for key in readers.flatten().chain(is_counted.then_some(key)) {
                let dirty = match ROUTES.contains(&key.kind) {
                    true => &mut routes,
                    false => &mut others,
                };
                dirty.insert(key.clone());
            }
        }
        let mut edits = Vec::new();
        for (key, entry) in self.settled(store, routes) {
            self.count(&entry, &key, &mut others);
            self.replace(key, entry, &mut edits);
        }
        for key in others {
            let entry = self.of_other(store, &key);
            self.replace(key, entry, &mut edits);
        }
        edits
    }

    /// What came of these routes and of those for which they decide anew.
    fn settled(
        &mut self,
        store: &Store,
        routes: BTreeSet<ObjectKey>,
    ) -> BTreeMap<ObjectKey, Entry> {
        let contests = &mut self.contests;
        let mut touched = BTreeSet::new();
        let mut entries = BTreeMap::new();
        for key in routes {
            let claim = |verdict: Option<&mut RouteVerdict<'_>>| {
                contests.take(&key, verdict.as_deref(), &mut touched);
            };
            let entry = of_route_with(store, &key, claim);
            entries.insert(key, entry);
        }
        let mut losers = contests.judge(store, &touched);
        losers.extend(entries.keys().filter(|key| contests.has_lost(key)).cloned());
        for key in losers {
            let settle = |verdict: Option<&mut RouteVerdict<'_>>| {
                verdict
                    .into_iter()
                    .for_each(|verdict| contests.settle(verdict));
            };
            let entry = of_route_with(store, &key, settle);
            entries.insert(key, entry);
        }
        entries
    }

    fn of_other(&self, store: &Store, key: &ObjectKey) -> Entry {
        let reads = Reads::default();
        let gateways = Gateways::watched(store, &reads);
        let Some(object) = store.object(key) else {
            return Entry::default();
        };
        let (status, problems): (Option<Status>, _) = match &object.resource {
            Resource::GatewayClass(_) => (of_class(object), Vec::new()),
            Resource::Gateway(_) => {
                let counts = self.attached.get(key);
                let owned = gateways.owned(object);
                let status = owned.map(|own| gateways.gateway_status(object, own, counts));
                (status, gateways.gateway_problems(object))
            }
            Resource::BackendTlsPolicy(policy) => (
                Some(gateways.policy_status(object, policy, &self.leading_to)),
                gateways.policy_problems(object, policy),
            ),
            _ => (None, Vec::new()),
        };
        Entry {
            status: status.map(|status| Arc::new(of_object(key, status))),
            problems,
            reads: reads.into_inner(),
            ..Entry::default()
        }
    }

    /// Counts what a route contributes instead of what it contributed; whose status depends on a
    /// number that changed is dirty.
    fn count(&mut self, new: &Entry, key: &ObjectKey, dirty: &mut BTreeSet<ObjectKey>) {
        let none = Entry::default();
        let old = self.entries.get(key).unwrap_or(&none);
        for (gateway, listener) in old.attached.difference(&new.attached) {
            subtract(&mut self.attached, gateway, listener);
            dirty.insert(gateway.clone());
        }
        for (gateway, listener) in new.attached.difference(&old.attached) {
            add(&mut self.attached, gateway, listener);
            dirty.insert(gateway.clone());
        }
        let mut services = BTreeSet::new();
        for lead in old.leads.difference(&new.leads) {
            subtract(&mut self.leading_to, &lead.service, &lead.gateway);
            services.insert(&lead.service);
        }
        for lead in new.leads.difference(&old.leads) {
            add(&mut self.leading_to, &lead.service, &lead.gateway);
            services.insert(&lead.service);
        }
        for service in services {
            let readers = self.readers.get(&Read::Object(service.clone()));
            let policies = readers.into_iter().flatten();
            let policies = policies.filter(|key| key.kind == Kind::BackendTlsPolicy);
            dirty.extend(policies.cloned());
        }
    }

    fn replace(&mut self, key: ObjectKey, new: Entry, edits: &mut Vec<Edit>) {
        let old = self.entries.remove(&key).unwrap_or_default();
        for read in old.reads.difference(&new.reads) {
            if let Some(readers) = self.readers.get_mut(read) {
                readers.remove(&key);
                if readers.is_empty() {
                    self.readers.remove(read);
                }
            }
        }
        for read in new.reads.difference(&old.reads) {
            let readers = self.readers.entry(read.clone()).or_default();
            readers.insert(key.clone());
        }
        if old.status != new.status {
            edits.push((status_name(&key), new.status.clone()));
        }
        if new.status.is_some() || !new.problems.is_empty() || !new.reads.is_empty() {
            self.entries.insert(key, new);
        }
    }
}

/// What is known of a route once others had their say about what came of it.
fn of_route_with(
    store: &Store,
    key: &ObjectKey,
    others: impl FnOnce(Option<&mut RouteVerdict<'_>>),
) -> Entry {
    let reads = Reads::default();
    let gateways = Gateways::watched(store, &reads);
    let object = store.object(key);
    let verdict = object.and_then(|object| Some(gateways.route_verdict(Route::of(object)?)));
    let Some(mut verdict) = verdict else {
        others(None);
        return Entry::default();
    };
    others(Some(&mut verdict));
    let attached = verdict.attached();
    Entry {
        status: Some(Arc::new(of_object(key, of_route(&verdict)))),
        problems: gateways.route_problems(&verdict),
        leads: verdict.leads(&attached),
        attached,
        reads: reads.into_inner(),
    }
}

fn has_status(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::GatewayClass | Kind::Gateway | Kind::BackendTlsPolicy
    ) || ROUTES.contains(&kind)
}

fn least(kind: Kind) -> ObjectKey {
    ObjectKey {
        kind,
        namespace: Arc::from(""),
        name: Arc::from(""),
    }
}

fn add<K: Ord + Clone>(
    counts: &mut BTreeMap<ObjectKey, BTreeMap<K, u32>>,
    outer: &ObjectKey,
    inner: &K,
) {
    let inner_counts = counts.entry(outer.clone()).or_default();
    *inner_counts.entry(inner.clone()).or_default() += 1;
}

fn subtract<K: Ord + Clone>(
    counts: &mut BTreeMap<ObjectKey, BTreeMap<K, u32>>,
    outer: &ObjectKey,
    inner: &K,
) {
    let Some(of_outer) = counts.get_mut(outer) else {
        return;
    };
    if let Some(count) = of_outer.get_mut(inner) {
        *count -= 1;
        if *count == 0 {
            of_outer.remove(inner);
        }
    }
    if of_outer.is_empty() {
        counts.remove(outer);
    }
}
