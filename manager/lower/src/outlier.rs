//! Which backends to pass over for a while: Envoy's outlier detection for consecutive failures
//! (`source/common/upstream/outlier_detection_impl.cc`, Envoy 1.36), fed by the kernel's counts.
//!
//! The kernel stops passing over a backend by itself when the time is up, so only ejections and
//! their withdrawal are verdicts. Unlike Envoy, which looks once per interval, a backend is back
//! exactly when its time is up.

use std::{collections::BTreeMap, time::Duration};

use weft_model::Outlier;

/// Envoy's default `max_ejection_time`; a longer base time takes its place.
const MAX_EJECTION: Duration = Duration::from_secs(300);

/// What the kernel counts apart: a backend that takes connections and resets them has successes of
/// the one kind and failures of the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FailureKind {
    /// `BackendState::consecutive_failures`.
    Connect,
    /// `BackendState::consecutive_resets`.
    Reset,
}

/// Failures in a row of one backend, as the kernel counts them since its last success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failures {
    /// Pool id.
    pub pool: u32,
    /// Index in `BACKENDS`.
    pub index: u32,
    /// That backend's generation.
    pub generation: u32,
    /// Which count.
    pub kind: FailureKind,
    /// The count.
    pub consecutive: u32,
}

/// What to do about a backend ([`Planner::eject`](crate::Planner::eject)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Pool id.
    pub pool: u32,
    /// Index in `BACKENDS`.
    pub index: u32,
    /// That backend's generation.
    pub generation: u32,
    /// Since boot; until then it is passed over. `None` takes it back at once.
    pub until: Option<Duration>,
    /// Why.
    pub reason: Reason,
}

impl Verdict {
    /// What [`Planner::eject`](crate::Planner::eject) takes: `CLOCK_MONOTONIC` in ns, or 0.
    pub fn until_ns(&self) -> u64 {
        self.until.map_or(0, |until| {
            u64::try_from(until.as_nanos()).unwrap_or(u64::MAX)
        })
    }
}

/// Why a verdict was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Failed this many times in a row since it was last taken back.
    Consecutive(u32),
    /// Too few healthy backends are left (`minHealthPercent`): all take connections again.
    TooFewHealthy,
    /// Enough healthy backends again: what is still ejected is passed over again.
    EnoughHealthy,
    /// The policy no longer asks for outlier detection.
    PolicyGone,
}

/// What happened in one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutlierCounts {
    /// Ejections so far.
    pub ejections: u64,
    /// Ejected at present.
    pub active: u32,
    /// Ejections that `maxEjectionPercent` did not allow.
    pub overflow: u64,
}

/// Watches the pools that have outlier detection.
#[derive(Clone, Debug, Default)]
pub struct OutlierDetector {
    pools: BTreeMap<u32, Pool>,
}

#[derive(Clone, Debug)]
struct Pool {
    config: Outlier,
    /// Backends that take connections, ejected ones among them.
    backends: u32,
    hosts: BTreeMap<(u32, u32), Host>,
    next_sweep: Duration,
    ejections: u64,
    overflow: u64,
    /// Too few are healthy: ejections stand, but nothing is passed over.
    panic: bool,
}

/// A backend that failed.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    ejected_until: Option<Duration>,
    /// The next ejection lasts this many base times more.
    times: u32,
    /// The kernel's counts, by kind, when they last rose.
    seen: [u32; 2],
    /// Counts up to which failures are paid for by an ejection.
    forgiven: [u32; 2],
}

impl Host {
    fn is_ejected(&self, now: Duration) -> bool {
        self.ejected_until.is_some_and(|until| until > now)
    }
}

impl OutlierDetector {
    /// Says what a pool's policy is now and how many backends take connections; `None` ends
    /// detection. To be called for every pool that a plan touched or removed.
    pub fn configure(
        &mut self,
        pool: u32,
        config: Option<Outlier>,
        backends: u32,
        now: Duration,
    ) -> Vec<Verdict> {
        let Some(config) = config else {
            let ended = self.pools.remove(&pool);
            return ended.map_or_else(Vec::new, |ended| ended.release(pool, now));
        };
        let watched = self.pools.entry(pool).or_insert_with(|| Pool {
            config,
            backends,
            hosts: BTreeMap::new(),
            next_sweep: now + config.interval,
            ejections: 0,
            overflow: 0,
            panic: false,
        });
        watched.config = config;
        watched.backends = backends;
        watched.weigh(pool, now)
    }

    /// Takes over an ejection that an earlier process left in the maps.
    pub fn restore(&mut self, pool: u32, index: u32, generation: u32, until: Duration) {
        if let Some(watched) = self.pools.get_mut(&pool) {
            let host = watched.hosts.entry((index, generation)).or_default();
            host.ejected_until = Some(until);
            host.times = host.times.max(1);
        }
    }

    /// Drops what is known of a backend that is gone.
    pub fn forget(&mut self, pool: u32, index: u32, generation: u32) {
        if let Some(watched) = self.pools.get_mut(&pool) {
            watched.hosts.remove(&(index, generation));
        }
    }

    /// Weighs a failure. Pools without a configuration have no verdicts.
    pub fn observe(&mut self, failures: Failures, now: Duration) -> Vec<Verdict> {
        let Some(pool) = self.pools.get_mut(&failures.pool) else {
            return Vec::new();
        };
        let Some(ejected) = pool.observe(failures, now) else {
            return Vec::new();
        };
        // An ejection that sets off panic is taken back in the same breath.
        let mut verdicts = Vec::new();
        if !pool.panic {
            verdicts.push(ejected);
        }
        verdicts.extend(pool.weigh(failures.pool, now));
        verdicts
    }

    /// Ends ejections whose time is up and lets the count of healthy backends fall, once per
    /// interval of the pool. To be called at [`Self::next_sweep`].
    pub fn sweep(&mut self, now: Duration) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (id, pool) in &mut self.pools {
            if pool.next_sweep <= now {
                pool.sweep(now);
                pool.next_sweep = now + pool.config.interval;
            }
            verdicts.extend(pool.weigh(*id, now));
        }
        verdicts
    }

    /// When there is something to sweep.
    pub fn next_sweep(&self) -> Option<Duration> {
        let busy = self.pools.values().filter(|pool| !pool.hosts.is_empty());
        busy.map(|pool| pool.next_sweep).min()
    }

    /// What happened in a pool; zeroes when it has no outlier detection.
    pub fn counts(&self, pool: u32, now: Duration) -> OutlierCounts {
        let counts = |pool: &Pool| OutlierCounts {
            ejections: pool.ejections,
            active: pool.active(now),
            overflow: pool.overflow,
        };
        self.pools.get(&pool).map(counts).unwrap_or_default()
    }
}

impl Pool {
    fn observe(&mut self, failures: Failures, now: Duration) -> Option<Verdict> {
        let key = (failures.index, failures.generation);
        let host = self.hosts.entry(key).or_default();
        let kind = failures.kind as usize;
        host.seen[kind] = failures.consecutive;
        if host.is_ejected(now) {
            // Connections begun before the ejection still fail; they do not count against it.
            host.forgiven[kind] = failures.consecutive;
            return None;
        }
        // Lower than before: there was a success in between.
        if failures.consecutive < host.forgiven[kind] {
            host.forgiven[kind] = 0;
        }
        let consecutive = failures.consecutive - host.forgiven[kind];
        if consecutive < self.config.consecutive_failures.max(1) {
            return None;
        }
        let active = self.active(now);
        if u64::from(active) * 100
            >= u64::from(self.config.max_ejection_percent) * u64::from(self.backends)
        {
            self.overflow += 1;
            return None;
        }
        self.ejections += 1;
        let until = now + self.lengthen(key);
        let host = self.hosts.entry(key).or_default();
        host.ejected_until = Some(until);
        host.forgiven = host.seen;
        Some(Verdict {
            pool: failures.pool,
            index: failures.index,
            generation: failures.generation,
            until: Some(until),
            reason: Reason::Consecutive(consecutive),
        })
    }

    /// Counts one more ejection; returns how long it lasts.
    fn lengthen(&mut self, key: (u32, u32)) -> Duration {
        let base = self.config.base_ejection;
        let longest = MAX_EJECTION.max(base);
        let host = self.hosts.entry(key).or_default();
        // Beyond the longest time the count would only take longer to fall.
        if base.saturating_mul(host.times) < longest {
            host.times += 1;
        }
        base.saturating_mul(host.times).min(longest)
    }

    fn sweep(&mut self, now: Duration) {
        self.hosts.retain(|_, host| {
            if host.is_ejected(now) {
                return true;
            }
            // Back since the last sweep: it has not yet been healthy for an interval.
            if host.ejected_until.take().is_none() {
                host.times = host.times.saturating_sub(1);
            }
            host.times > 0 || host.seen != [0, 0]
        });
    }

    fn active(&self, now: Duration) -> u32 {
        let ejected = self.hosts.values().filter(|host| host.is_ejected(now));
        u32::try_from(ejected.count()).unwrap_or(u32::MAX)
    }

    /// Enters or leaves panic, as the share of healthy backends asks.
    fn weigh(&mut self, id: u32, now: Duration) -> Vec<Verdict> {
        let healthy = u64::from(self.backends.saturating_sub(self.active(now))) * 100;
        let wanted = u64::from(self.config.min_health_percent) * u64::from(self.backends);
        let panic = healthy < wanted;
        if panic == self.panic {
            return Vec::new();
        }
        self.panic = panic;
        let reason = if panic {
            Reason::TooFewHealthy
        } else {
            Reason::EnoughHealthy
        };
        self.verdicts(id, now, reason, |until| (!panic).then_some(until))
    }

    fn release(&self, id: u32, now: Duration) -> Vec<Verdict> {
        self.verdicts(id, now, Reason::PolicyGone, |_| None)
    }

    fn verdicts(
        &self,
        pool: u32,
        now: Duration,
        reason: Reason,
        until: impl Fn(Duration) -> Option<Duration>,
    ) -> Vec<Verdict> {
        let ejected = self.hosts.iter().filter(|(_, host)| host.is_ejected(now));
        ejected
            .filter_map(|((index, generation), host)| {
                Some(Verdict {
                    pool,
                    index: *index,
                    generation: *generation,
                    until: until(host.ejected_until?),
                    reason,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
