//! Metrics of the manager itself: counted where things happen, by reference.

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::SystemTime,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry},
};
use weft_model::Protocol;

use crate::{Build, MetricFamily, events::Cause, family};

type Labels = Vec<(&'static str, String)>;

/// Counters and gauges of the manager. Cheap to clone; clones share their values.
#[derive(Clone, Debug)]
pub struct ManagerMetrics {
    generation: Gauge<i64, AtomicI64>,
    effect: Histogram,
    problems: Family<Labels, Gauge<i64, AtomicI64>>,
    starts: Family<Labels, Counter<u64, AtomicU64>>,
    destroyed: Family<Labels, Counter<u64, AtomicU64>>,
    events: Family<Labels, Counter<u64, AtomicU64>>,
    certificates: Family<Labels, Gauge<i64, AtomicI64>>,
    roots: Family<Labels, Gauge<i64, AtomicI64>>,
    skew: Gauge<f64, AtomicU64>,
}

impl ManagerMetrics {
    pub(crate) fn register(registry: &mut Registry, build: &Build) -> Self {
        let metrics = Self {
            generation: Gauge::default(),
            // 100 us to 10 s.
            effect: Histogram::new([
                1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0,
                2.5, 5.0, 10.0,
            ]),
            problems: Family::default(),
            starts: Family::default(),
            destroyed: Family::default(),
            events: Family::default(),
            certificates: Family::default(),
            roots: Family::default(),
            skew: Gauge::default(),
        };
        register(
            registry,
            &family::CONFIG_GENERATION,
            metrics.generation.clone(),
        );
        register(registry, &family::CONFIG_EFFECT, metrics.effect.clone());
        register(registry, &family::CONFIG_PROBLEMS, metrics.problems.clone());
        register(registry, &family::STARTS, metrics.starts.clone());
        register(
            registry,
            &family::SOCKETS_DESTROYED,
            metrics.destroyed.clone(),
        );
        register(registry, &family::EVENTS, metrics.events.clone());
        register(registry, &family::CERT_EXPIRY, metrics.certificates.clone());
        register(registry, &family::ROOT_EXPIRY, metrics.roots.clone());
        register(registry, &family::CLOCK_SKEW, metrics.skew.clone());
        constant(registry, &family::BUILD, &[&build.version, &build.commit]);
        constant(registry, &family::ISTIO_BUILD, &["weft", &build.version]);
        metrics.problems_now(0, 0, 0);
        metrics
    }

    /// A configuration is in force: its generation, and the seconds from the file event to the
    /// last map write (`None` for the first one, which no event caused).
    pub fn config_applied(&self, generation: u64, effect_seconds: Option<f64>) {
        self.generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
        if let Some(seconds) = effect_seconds {
            self.effect.observe(seconds);
        }
    }

    /// Problems in the configuration now.
    pub fn problems_now(&self, errors: u64, warnings: u64, infos: u64) {
        for (severity, count) in [("error", errors), ("warning", warnings), ("info", infos)] {
            let gauge = self
                .problems
                .get_or_create(&labels(&family::CONFIG_PROBLEMS, [severity]));
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The manager started; `adopted` when it found the maps of an earlier one.
    pub fn started(&self, adopted: bool) {
        let mode = if adopted { "adopted" } else { "fresh" };
        self.starts
            .get_or_create(&labels(&family::STARTS, [mode]))
            .inc();
    }

    /// Sockets were destroyed because their backend is gone.
    pub fn sockets_destroyed(&self, protocol: Protocol, count: u64) {
        let protocol = match protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let counter = self
            .destroyed
            .get_or_create(&labels(&family::SOCKETS_DESTROYED, [protocol]));
        counter.inc_by(count);
    }

    /// A service account has a certificate that ends at `not_after`.
    pub fn certificate(&self, identity: &str, not_after: SystemTime) {
        self.certificates
            .get_or_create(&labels(&family::CERT_EXPIRY, [identity]))
            .set(unix(not_after));
    }

    /// A service account has no certificate any more.
    pub fn certificate_gone(&self, identity: &str) {
        self.certificates
            .remove(&labels(&family::CERT_EXPIRY, [identity]));
    }

    /// The first root of a trust domain ends at `not_after`.
    pub fn root(&self, trust_domain: &str, not_after: SystemTime) {
        self.roots
            .get_or_create(&labels(&family::ROOT_EXPIRY, [trust_domain]))
            .set(unix(not_after));
    }

    /// This clock is ahead of the authority's by so many seconds.
    pub fn clock_skew(&self, seconds: f64) {
        self.skew.set(seconds);
    }

    /// An event was read from the ring buffer.
    pub fn event(&self, cause: Cause) {
        self.events
            .get_or_create(&labels(&family::EVENTS, [cause.name()]))
            .inc();
    }
}

fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

fn register(registry: &mut Registry, family: &MetricFamily, metric: impl Metric) {
    registry.register(family.base(), family.help, metric);
}

fn constant<const N: usize>(registry: &mut Registry, family: &MetricFamily, values: &[&str; N]) {
    let constant = Family::<Labels, Gauge<i64, AtomicI64>>::default();
    constant.get_or_create(&labels(family, *values)).set(1);
    register(registry, family, constant);
}

fn labels<const N: usize>(family: &MetricFamily, values: [&str; N]) -> Labels {
    debug_assert_eq!(family.labels.len(), N, "{}", family.name);
    family
        .labels
        .iter()
        .copied()
        .zip(values.map(str::to_owned))
        .collect()
}
