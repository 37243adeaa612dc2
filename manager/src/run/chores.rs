//! What is done now and then, on threads that may block.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{Shared, canary::Canary, evidence, now, repair::Repair, uplinks::Uplinks};

/// How often live connections are counted and orphaned sockets looked for.
const VISIT: Duration = Duration::from_secs(5);

/// How often the canary dials.
const CANARY: Duration = Duration::from_secs(60);

/// How often idle edges are dropped from the kernel's map.
const EXPIRE: Duration = Duration::from_secs(60);

/// The kernel measures its programs' run time for one second in this many.
const MEASURE_EVERY: u64 = 15;

/// When each is due, and what goes on.
pub(super) struct Chores {
    shared: Arc<Shared>,
    canary: Canary,
    repair: Arc<Mutex<Repair>>,
    uplinks: Uplinks,
    visiting: Option<JoinHandle<()>>,
    next_visit: Duration,
    next_canary: Duration,
    next_expiry: Duration,
    measuring: Option<weft_loader::StatsGuard>,
    next_measure: Duration,
}

impl Chores {
    pub(super) fn new(shared: &Arc<Shared>, canary: Canary) -> Self {
        let repair = Repair::new(shared.config.grace);
        Self {
            shared: Arc::clone(shared),
            canary,
            repair: Arc::new(Mutex::new(repair)),
            uplinks: Uplinks::attached(&shared.config.interfaces),
            visiting: None,
            next_visit: Duration::ZERO,
            next_canary: Duration::ZERO,
            next_expiry: now() + EXPIRE,
            measuring: None,
            next_measure: Duration::ZERO,
        }
    }

    /// Backends may have gone: look at sockets now.
    pub(super) fn visit_soon(&mut self) {
        if self.shared.engine().take_removed() {
            self.next_visit = Duration::ZERO;
        }
    }

    pub(super) async fn work(&mut self) {
        let now = now();
        if now >= self.next_visit && self.visiting.as_ref().is_none_or(JoinHandle::is_finished) {
            self.next_visit = now + VISIT;
            let (shared, repair) = (Arc::clone(&self.shared), Arc::clone(&self.repair));
            self.visiting = Some(tokio::task::spawn_blocking(move || {
                let mut repair = repair.lock().unwrap_or_else(PoisonError::into_inner);
                repair.visit(&shared);
                let metrics = shared.engine().metrics.clone();
                if let Some(metrics) = metrics {
                    evidence::observe_rules(&shared, &metrics);
                }
            }));
        }
        if now >= self.next_canary {
            self.next_canary = now + CANARY;
            let failure = self.canary.check(self.shared.plane.cgroup().path()).await;
            self.shared.engine().set_canary(failure);
        }
        if now >= self.next_expiry {
            self.next_expiry = now + EXPIRE;
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_blocking(move || evidence::expire(&shared));
        }
        self.uplinks.look(&self.shared.plane, now);
        self.measure(now);
    }

    /// Statistics cost every program of the machine some nanoseconds, so they are sampled.
    fn measure(&mut self, now: Duration) {
        if now < self.next_measure {
            return;
        }
        self.measuring = match self.measuring.take() {
            Some(_) => None,
            None => weft_loader::plane::enable_stats().ok(),
        };
        let wait = if self.measuring.is_some() {
            1
        } else {
            MEASURE_EVERY - 1
        };
        self.next_measure = now + Duration::from_secs(wait);
    }
}
