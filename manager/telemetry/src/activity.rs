//! What happened to services as a whole, summed over their pools, by the same rules as
//! [`crate::ledger`]: sums grow by differences, their number is bounded.

use std::collections::{BTreeMap, BTreeSet};

use weft_abi::ServiceState;

use crate::{
    BackendCounts, Names, PoolLabels,
    ledger::{Party, ServiceLabels},
};

/// What happened to one service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceTotals {
    /// Refused: no usable backend.
    pub no_backend: u64,
    /// Refused: every backend at its limit.
    pub over_limit: u64,
    /// UDP flows given a backend.
    pub udp_flows: u64,
    /// Ejections.
    pub ejections: u64,
    /// Ejections not made because too many were ejected already.
    pub ejections_refused: u64,
    /// Backends now.
    pub backends: BackendCounts,
}

/// All services with something to tell.
pub struct Activity {
    limit: usize,
    states: BTreeMap<u32, ServiceState>,
    services: BTreeMap<Party<ServiceLabels>, ServiceTotals>,
    overflowed: BTreeSet<ServiceLabels>,
    overflows: u64,
}

impl Activity {
    /// Empty, for at most `limit` services and one `other`.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            states: BTreeMap::new(),
            services: BTreeMap::new(),
            overflowed: BTreeSet::new(),
            overflows: 0,
        }
    }

    /// Takes a copy of the kernel's counters, by pool id. Services without a pool are forgotten.
    pub fn observe(
        &mut self,
        states: &[(u32, ServiceState)],
        backends: &[(u32, BackendCounts)],
        names: &dyn Names,
    ) {
        for totals in self.services.values_mut() {
            totals.backends = BackendCounts::default();
        }
        let mut present = BTreeSet::new();
        for (id, state) in states {
            // The counters of an id outlive its owner, so a new owner starts from here.
            let before = self.states.insert(*id, *state).unwrap_or_default();
            if let Some(pool) = names.pool(*id) {
                let service = ServiceLabels::from(&*pool);
                let gained = gained(state, &before);
                if gained != ServiceState::default() {
                    add(self.entry(&service), &gained);
                }
                present.insert(service);
            }
        }
        for (id, counts) in backends {
            if let Some(pool) = names.pool(*id) {
                let service = ServiceLabels::from(&*pool);
                let sum = &mut self.entry(&service).backends;
                sum.ready += counts.ready;
                sum.ejected += counts.ejected;
                sum.draining += counts.draining;
                sum.active += counts.active;
                present.insert(service);
            }
        }
        self.services.retain(|service, _| match service {
            Party::Known(service) => present.contains(service),
            Party::Unknown | Party::Other => true,
        });
        self.overflowed.retain(|service| present.contains(service));
    }

    /// Counts an ejection in this pool.
    pub fn ejected(&mut self, pool: &PoolLabels) {
        self.entry(&pool.into()).ejections += 1;
    }

    /// Counts an ejection not made in this pool, because too many were ejected already.
    pub fn ejection_refused(&mut self, pool: &PoolLabels) {
        self.entry(&pool.into()).ejections_refused += 1;
    }

    /// Services with their totals, ordered.
    pub fn services(&self) -> impl Iterator<Item = (&Party<ServiceLabels>, &ServiceTotals)> {
        self.services.iter()
    }

    /// Times a service began to be counted as `other`.
    pub fn overflowed(&self) -> u64 {
        self.overflows
    }

    fn entry(&mut self, service: &ServiceLabels) -> &mut ServiceTotals {
        let known = Party::Known(service.clone());
        let fits = self.services.contains_key(&known) || self.services.len() < self.limit;
        if !fits && self.overflowed.insert(service.clone()) {
            self.overflows += 1;
        }
        self.services
            .entry(if fits { known } else { Party::Other })
            .or_default()
    }
}

fn gained(now: &ServiceState, before: &ServiceState) -> ServiceState {
    let gain = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
    ServiceState {
        turn: 0,
        no_backend: gain(now.no_backend, before.no_backend),
        over_limit: gain(now.over_limit, before.over_limit),
        udp_flows: gain(now.udp_flows, before.udp_flows),
    }
}

fn add(totals: &mut ServiceTotals, gained: &ServiceState) {
    totals.no_backend += gained.no_backend;
    totals.over_limit += gained.over_limit;
    totals.udp_flows += gained.udp_flows;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::NameTable;

    fn names(pools: &[(u32, &str)]) -> NameTable {
        let pool = |name: &str| PoolLabels {
            hostname: name.into(),
            short_name: name.into(),
            namespace: "default".into(),
            port: 80,
            protocol: weft_model::Protocol::Tcp,
            class: "internal".into(),
        };
        let pools = pools
            .iter()
            .map(|(id, name)| (*id, Arc::new(pool(name))))
            .collect();
        NameTable {
            pools,
            ..NameTable::default()
        }
    }

    fn refused(count: u64) -> ServiceState {
        ServiceState {
            no_backend: count,
            ..ServiceState::default()
        }
    }

    fn totals(activity: &Activity) -> Vec<(String, u64)> {
        let name = |party: &Party<ServiceLabels>| {
            party.label(|service| Some(&service.short_name)).to_owned()
        };
        activity
            .services()
            .map(|(party, totals)| (name(party), totals.no_backend))
            .collect()
    }

    #[test]
    fn pools_of_one_service_are_summed_and_never_fall() {
        let mut activity = Activity::new(10);
        let web = names(&[(2, "web"), (3, "web")]);
        activity.observe(&[(2, refused(4)), (3, refused(5))], &[], &web);
        assert_eq!(totals(&activity), [("web".into(), 9)]);
        activity.observe(&[(2, refused(6))], &[], &names(&[(2, "web")]));
        assert_eq!(totals(&activity), [("web".into(), 11)]);
    }

    #[test]
    fn the_next_owner_of_a_pool_id_does_not_inherit_its_counts() {
        let mut activity = Activity::new(10);
        activity.observe(&[(2, refused(4))], &[], &names(&[(2, "old")]));
        activity.observe(&[(2, refused(7))], &[], &names(&[(2, "new")]));
        assert_eq!(totals(&activity), [("new".into(), 3)]);
    }

    #[test]
    fn services_beyond_the_limit_are_summed_as_other() {
        let mut activity = Activity::new(1);
        let names = names(&[(2, "a"), (3, "b"), (4, "c")]);
        activity.observe(
            &[(2, refused(1)), (3, refused(2)), (4, refused(3))],
            &[],
            &names,
        );
        assert_eq!(totals(&activity), [("a".into(), 1), ("other".into(), 5)]);
        assert_eq!(activity.overflowed(), 2);
    }

    #[test]
    fn gauges_follow_the_last_snapshot() {
        let mut activity = Activity::new(10);
        let names = names(&[(2, "web")]);
        let counts = BackendCounts {
            ready: 3,
            ejected: 1,
            draining: 0,
            active: 9,
        };
        activity.observe(&[], &[(2, counts)], &names);
        activity.observe(&[], &[(2, counts)], &names);
        let (_, totals) = activity.services().next().expect("web");
        assert_eq!(totals.backends, counts);
    }
}
