//! All metrics of one manager.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{encoding::text, registry::Registry};
use weft_abi::EdgeKey;

use crate::{
    Format, Hop, Limits, ManagerMetrics, PoolLabels, RuleName, RuleSnapshot, Snapshot,
    activity::Activity,
    collector::{KernelCollector, Totals},
    exposition::to_prometheus,
    ledger::Ledger,
    rules::RuleTotals,
};

/// What is running, for labels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// Version, such as `0.1.0`.
    pub version: String,
    /// Commit it was built from, `unknown` when it is not known.
    pub commit: String,
    /// Name of the cluster (`source_cluster`, `destination_cluster`), when there is one.
    pub cluster: Option<String>,
    /// Trust domain of the mesh, for principals.
    pub trust_domain: String,
}

/// All metrics. Share it in an [`Arc`].
pub struct Metrics {
    registry: Registry,
    manager: ManagerMetrics,
    totals: Arc<Mutex<Totals>>,
    rules: Arc<Mutex<RuleTotals>>,
    reading: Arc<Mutex<()>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics that call `source` at each [`Metrics::render`]. It may block for as long as
    /// reading the kernel's maps takes, so render on a thread that may block.
    pub fn new(
        build: &Build,
        limits: Limits,
        source: impl Fn() -> Snapshot + Send + Sync + 'static,
    ) -> Self {
        let totals = Totals {
            ledger: Ledger::new(limits),
            activity: Activity::new(limits.service_series),
        };
        let totals = Arc::new(Mutex::new(totals));
        let rules = Arc::new(Mutex::new(RuleTotals::new(limits.rule_series)));
        let reading = Arc::default();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(KernelCollector {
            source: Box::new(source),
            totals: Arc::clone(&totals),
            rules: Arc::clone(&rules),
            reading: Arc::clone(&reading),
            cluster: build
                .cluster
                .clone()
                .unwrap_or_else(|| "unknown".to_owned()),
            trust_domain: build.trust_domain.clone(),
        }));
        let manager = ManagerMetrics::register(&mut registry, build);
        Self {
            registry,
            manager,
            totals,
            rules,
            reading,
        }
    }

    /// The manager's own metrics.
    pub fn manager(&self) -> &ManagerMetrics {
        &self.manager
    }

    /// Counts an ejection in this pool.
    pub fn ejected(&self, pool: &PoolLabels) {
        self.totals().activity.ejected(pool);
    }

    /// Counts an ejection not made in this pool because too many were ejected already.
    pub fn ejection_refused(&self, pool: &PoolLabels) {
        self.totals().activity.ejection_refused(pool);
    }

    /// The edges to delete from the kernel's map, forgotten here: idle since [`Limits::idle`] before
    /// the time of the snapshot that `read` takes. Call it every minute or so. What an edge counts
    /// between that snapshot and its deletion is lost.
    pub fn expired(&self, read: impl FnOnce() -> Snapshot) -> Vec<EdgeKey> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = read();
        let mut totals = self.totals();
        totals.observe(&snapshot);
        totals.ledger.expired(snapshot.kernel.time)
    }

    /// Takes in the counters of policy, which `read` copies; none leaves all as it is. Call it before
    /// each [`Metrics::render`], and often enough that no rule set goes uncounted.
    pub fn observe_rules(&self, read: impl FnOnce() -> Option<RuleSnapshot>) {
        // Held while reading, or an older copy could come after a newer one.
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = read() {
            rules.observe(&snapshot);
        }
    }

    /// What each rule of policy decided, as far as it was taken in; without a name those beyond the
    /// limit.
    pub fn rule_totals(&self) -> Vec<(Option<RuleName>, Hop, u64)> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = rules.totals();
        totals
            .map(|(name, hop, total)| (name.cloned(), hop, total))
            .collect()
    }

    /// All metrics as text.
    pub fn render(&self, format: Format) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail, and label values are strings.
        text::encode(&mut page, &self.registry).expect("a string takes everything");
        match format {
            Format::OpenMetrics => page,
            Format::Prometheus => to_prometheus(&page),
        }
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
