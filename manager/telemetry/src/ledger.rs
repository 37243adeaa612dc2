//! From the kernel's edges to series: summed by label, monotonic, bounded, and forgotten when idle.
//!
//! Several edges share labels (ports and address families of one service, pods of one workload).
//! A plain sum over them would fall whenever one of them is deleted, and Prometheus would take
//! that for a restart and count everything twice. So series grow by differences: what an edge
//! gained since it was last seen.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weft_abi::{EdgeKey, EdgeValue, Protocol};
use weft_model::Workload;

use crate::{Names, PoolLabels};

/// How many times longer an edge with open connections may be silent.
const OPEN_PATIENCE: u32 = 16;

/// What is kept at most, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Series per family by edge; further edges are summed as workload `other`.
    pub edge_series: usize,
    /// Series per family by service; further services are summed as service `other`.
    pub service_series: usize,
    /// Series of rules of policy; further rules are summed as policy `other`.
    pub rule_series: usize,
    /// A series without a change for this long is forgotten with its edges.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            edge_series: 2_000,
            service_series: 2_000,
            rule_series: 2_000,
            idle: Duration::from_secs(15 * 60),
        }
    }
}

/// One end of a series.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Party<T> {
    /// This one.
    Known(T),
    /// Nothing is known: labels are `unknown`.
    Unknown,
    /// One of those beyond the limit: labels are `other`.
    Other,
}

impl<T> Party<T> {
    fn of(known: Option<T>) -> Self {
        known.map_or(Self::Unknown, Self::Known)
    }

    /// A label's value: `field` of a known one; `unknown` when it has none or nothing is known.
    pub fn label<'a>(&'a self, field: impl FnOnce(&'a T) -> Option<&'a str>) -> &'a str {
        match self {
            Self::Known(party) => field(party).unwrap_or("unknown"),
            Self::Unknown => "unknown",
            Self::Other => "other",
        }
    }
}

/// A service as metrics name it: all its pools together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ServiceLabels {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Fully qualified host name.
    pub hostname: Arc<str>,
    /// What people call it.
    pub short_name: Arc<str>,
}

impl From<&PoolLabels> for ServiceLabels {
    fn from(pool: &PoolLabels) -> Self {
        Self {
            namespace: Arc::clone(&pool.namespace),
            hostname: Arc::clone(&pool.hostname),
            short_name: Arc::clone(&pool.short_name),
        }
    }
}

/// What tells one series from another.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SeriesKey {
    /// The client.
    pub source: Party<Arc<Workload>>,
    /// The server.
    pub destination: Party<Arc<Workload>>,
    /// What the client dialled.
    pub service: Party<ServiceLabels>,
    /// See [`weft_abi::Protocol`].
    pub protocol: u8,
    /// As in [`EdgeKey`].
    pub security: u8,
}

impl SeriesKey {
    fn of(edge: &EdgeKey, names: &dyn Names) -> Self {
        Self {
            source: Party::of(names.workload(edge.source)),
            destination: Party::of(names.workload(edge.destination)),
            service: Party::of(names.pool(edge.service).map(|pool| (&*pool).into())),
            protocol: edge.protocol,
            security: edge.security,
        }
    }

    fn overflow(protocol: u8) -> Self {
        Self {
            source: Party::Other,
            destination: Party::Other,
            service: Party::Other,
            protocol,
            security: 0,
        }
    }

    fn is_overflow(&self) -> bool {
        self.source == Party::Other
    }

    /// Values of [`crate::family::EDGE_LABELS`].
    pub fn edge_labels(&self) -> [&str; 6] {
        [
            self.source.label(|workload| Some(&workload.name)),
            self.source.label(|workload| Some(&workload.namespace)),
            self.destination.label(|workload| Some(&workload.name)),
            self.destination.label(|workload| Some(&workload.namespace)),
            self.service.label(|service| Some(&service.hostname)),
            self.service.label(|service| Some(&service.namespace)),
        ]
    }
}

struct Tracked {
    value: EdgeValue,
    series: Arc<SeriesKey>,
}

/// All series by edge, and what they were made of.
pub struct Ledger {
    limits: Limits,
    edges: BTreeMap<EdgeKey, Tracked>,
    series: BTreeMap<Arc<SeriesKey>, EdgeValue>,
    overflowed: u64,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            edges: BTreeMap::new(),
            series: BTreeMap::new(),
            overflowed: 0,
        }
    }

    /// Adds what each edge gained since it was last observed. An edge that is not in `edges` is
    /// not forgotten: a read that failed must not make the next one count everything again.
    pub fn observe(&mut self, edges: &[(EdgeKey, EdgeValue)], names: &dyn Names) {
        for (edge, value) in edges {
            let wanted = SeriesKey::of(edge, names);
            let (before, known) = match self.edges.get(edge) {
                Some(tracked) if restarted(&tracked.value, value) => (EdgeValue::default(), None),
                Some(tracked) => (tracked.value, Some(Arc::clone(&tracked.series))),
                None => (EdgeValue::default(), None),
            };
            let series = match known {
                Some(series) if *series == wanted && self.series.contains_key(&series) => series,
                known => self.admit(wanted, known.is_some_and(|series| series.is_overflow())),
            };
            let totals = self.series.entry(Arc::clone(&series)).or_default();
            add(totals, value, &before);
            self.edges.insert(
                *edge,
                Tracked {
                    value: *value,
                    series,
                },
            );
        }
    }

    fn admit(&mut self, wanted: SeriesKey, overflowed_before: bool) -> Arc<SeriesKey> {
        if let Some((series, _)) = self.series.get_key_value(&wanted) {
            return Arc::clone(series);
        }
        if self.series.len() < self.limits.edge_series {
            return Arc::new(wanted);
        }
        self.overflowed += u64::from(!overflowed_before);
        Arc::new(SeriesKey::overflow(wanted.protocol))
    }

    /// Series with their totals, ordered.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesKey, &EdgeValue)> {
        self.series.iter().map(|(key, totals)| (&**key, totals))
    }

    /// Edges counted as `other` so far.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Forgets what has been idle too long at `now` (`CLOCK_MONOTONIC`) and names the edges to
    /// delete from the kernel's map. What they count between the last [`Ledger::observe`] and
    /// their deletion is lost.
    ///
    /// Edges that share [`SeriesKey::edge_labels`] go together, so that a manager started later,
    /// which knows only the edges that are left, continues from the same sums. Edges with open
    /// connections stay longer, or a connection silent for an hour would end without having begun.
    pub fn expired(&mut self, now: Duration) -> Vec<EdgeKey> {
        let idle = self.limits.idle;
        let alive = |key: &SeriesKey, value: &EdgeValue| {
            let open = key.protocol == Protocol::TCP && value.opened > value.closed;
            let patience = if open {
                idle.saturating_mul(OPEN_PATIENCE)
            } else {
                idle
            };
            now.saturating_sub(Duration::from_nanos(value.seen)) <= patience
        };
        let mut groups: BTreeMap<[&str; 6], bool> = BTreeMap::new();
        for (key, totals) in &self.series {
            *groups.entry(key.edge_labels()).or_default() |= alive(key, totals);
        }
        let over = |key: &SeriesKey| !groups.get(&key.edge_labels()).copied().unwrap_or_default();
        let idle_edge = |Tracked { value, series }: &Tracked| {
            !alive(series, value) && (series.is_overflow() || over(series))
        };
        let edges: Vec<EdgeKey> = self
            .edges
            .iter()
            .filter_map(|(edge, tracked)| idle_edge(tracked).then_some(*edge))
            .collect();
        let gone: Vec<Arc<SeriesKey>> = self
            .series
            .keys()
            .filter(|key| over(key))
            .map(Arc::clone)
            .collect();
        for edge in &edges {
            self.edges.remove(edge);
        }
        for key in &gone {
            self.series.remove(key);
        }
        edges
    }
}

/// Whether `now` cannot follow `before`: the edge was deleted and made again.
fn restarted(before: &EdgeValue, now: &EdgeValue) -> bool {
    now.opened < before.opened
        || now.closed < before.closed
        || now.failed < before.failed
        || now.sent < before.sent
        || now.received < before.received
}

/// Adds `now - before` to `totals`.
fn add(totals: &mut EdgeValue, now: &EdgeValue, before: &EdgeValue) {
    let gain = |total: &mut u64, now: u64, before: u64| {
        *total = total.saturating_add(now.saturating_sub(before));
    };
    totals.seen = totals.seen.max(now.seen);
    gain(&mut totals.opened, now.opened, before.opened);
    gain(&mut totals.closed, now.closed, before.closed);
    gain(&mut totals.failed, now.failed, before.failed);
    gain(&mut totals.reset, now.reset, before.reset);
    gain(&mut totals.sent, now.sent, before.sent);
    gain(&mut totals.received, now.received, before.received);
    gain(&mut totals.retransmits, now.retransmits, before.retransmits);
    gain(&mut totals.rtt_sum, now.rtt_sum, before.rtt_sum);
    gain(&mut totals.connect_sum, now.connect_sum, before.connect_sum);
    for ((total, now), before) in totals.rtt.iter_mut().zip(now.rtt).zip(before.rtt) {
        gain(total, now, before);
    }
    for ((total, now), before) in totals
        .connect
        .iter_mut()
        .zip(now.connect)
        .zip(before.connect)
    {
        gain(total, now, before);
    }
}

/// The sum of two totals, as of the later one.
pub fn sum(left: &EdgeValue, right: &EdgeValue) -> EdgeValue {
    let mut sum = *left;
    add(&mut sum, right, &EdgeValue::default());
    sum
}

/// What `now` has more than `before`; all of `now` when the edge started anew in between.
pub fn gained(now: &EdgeValue, before: &EdgeValue) -> EdgeValue {
    let mut gained = EdgeValue::default();
    let nothing = EdgeValue::default();
    add(
        &mut gained,
        now,
        if restarted(before, now) {
            &nothing
        } else {
            before
        },
    );
    gained
}

#[cfg(test)]
mod tests;
