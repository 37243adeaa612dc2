//! Backends that fail are passed over: what the detector is told of pools, and what it remembers.

use std::time::Duration;

use weft_model::ServiceName;

use super::Engine;
use crate::run::now;

impl Engine {
    /// Tells the outlier detector what these services ask for now.
    pub(super) fn watch(&mut self, services: &[ServiceName]) {
        let now = now();
        let mut verdicts = Vec::new();
        for name in services {
            let before = self.watched.remove(name).unwrap_or_default();
            let mut pools = Vec::new();
            for pool in self
                .planner
                .pools_of(name)
                .filter(|pool| pool.outlier.is_some())
            {
                verdicts.extend(
                    self.detector
                        .configure(pool.id, pool.outlier, pool.taking(), now),
                );
                pools.push(pool.id);
            }
            for gone in before.into_iter().filter(|id| !pools.contains(id)) {
                verdicts.extend(self.detector.configure(gone, None, 0, now));
            }
            if !pools.is_empty() {
                self.watched.insert(name.clone(), pools);
            }
        }
        self.carry_out(&verdicts, now);
    }

    pub(super) fn restore_ejections(&mut self) {
        let now = now();
        for id in self.watched.values().flatten() {
            let backends = self
                .planner
                .pool(*id)
                .into_iter()
                .flat_map(|pool| pool.backends());
            for backend in backends {
                let until = Duration::from_nanos(backend.ejected_until);
                if until > now {
                    self.detector
                        .restore(*id, backend.index, backend.generation, until);
                }
            }
        }
    }
}
