//! `/state/top`: totals by service and by edge, from which two samples make rates.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use weft_telemetry::{
    EdgeValue, HISTOGRAM_BUCKETS, KernelSnapshot, Names, RecentEvents,
    ledger::{Party, ServiceLabels},
};

use super::EventReport;

/// Services and edges at most; the most recently used are kept.
const ROOM: usize = 1_000;

/// A sample.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TopReport {
    /// When it was taken: seconds of `CLOCK_MONOTONIC`.
    pub time: f64,
    /// Services with traffic, backends or refusals, by namespace and name.
    pub services: Vec<TopService>,
    /// Who talks to whom, by source.
    pub edges: Vec<TopEdge>,
    /// Services not shown because there are too many.
    pub services_omitted: u64,
    /// Edges not shown because there are too many.
    pub edges_omitted: u64,
    /// Latest failures and refusals, the latest first.
    pub events: Vec<EventReport>,
}

/// One service; totals since its kernel entries were made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TopService {
    /// Namespace.
    pub namespace: String,
    /// What people call it.
    pub name: String,
    /// Fully qualified host name.
    pub hostname: String,
    /// Traffic of all its clients.
    pub traffic: Traffic,
    /// Its backends now.
    pub backends: BackendTotals,
    /// Refused: no usable backend.
    pub no_backend: u64,
    /// Refused: every backend at its limit.
    pub over_limit: u64,
    /// UDP flows given a backend.
    pub udp_flows: u64,
}

/// Backends now; one in several pools counts in each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BackendTotals {
    /// Take new connections.
    pub ready: u64,
    /// Passed over for now.
    pub ejected: u64,
    /// Kept for the connections they have.
    pub draining: u64,
    /// Connections open or opening.
    pub active: u64,
}

/// One edge.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TopEdge {
    /// The client.
    pub source: WorkloadRef,
    /// `NAMESPACE/NAME` of the service dialled, `unknown` for a direct connection.
    pub service: String,
    /// The server.
    pub destination: WorkloadRef,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// Its traffic.
    pub traffic: Traffic,
}

/// A workload by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// Namespace, `unknown` when it is not known.
    pub namespace: String,
    /// Name, `unknown` when it is not known.
    pub name: String,
}

/// Totals. Bytes are the client's view.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections established.
    pub opened: u64,
    /// Established connections that ended.
    pub closed: u64,
    /// Connects that failed.
    pub failed: u64,
    /// Ended by a reset from the peer.
    pub reset: u64,
    /// Bytes the client sent.
    pub sent: u64,
    /// Bytes the client received.
    pub received: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Round-trip times: bucket `i` counts values up to `32 us << i`, the last all above.
    pub rtt: [u64; HISTOGRAM_BUCKETS],
    /// Connect latencies, likewise.
    pub connect: [u64; HISTOGRAM_BUCKETS],
}

impl Traffic {
    /// Adds an edge.
    pub fn add(&mut self, edge: &EdgeValue) {
        self.opened += edge.opened;
        self.closed += edge.closed;
        self.failed += edge.failed;
        self.reset += edge.reset;
        self.sent += edge.sent;
        self.received += edge.received;
        self.retransmits += edge.retransmits;
        for i in 0..HISTOGRAM_BUCKETS {
            self.rtt[i] += edge.rtt[i];
            self.connect[i] += edge.connect[i];
        }
    }

    /// What this sample has more than an earlier one. An entry that was made anew in between may
    /// have less; that counts as nothing, not as a huge number.
    pub fn since(&self, before: &Self) -> Self {
        let gain = |now: &[u64; HISTOGRAM_BUCKETS], before: &[u64; HISTOGRAM_BUCKETS]| {
            std::array::from_fn(|i| now[i].saturating_sub(before[i]))
        };
        Self {
            opened: self.opened.saturating_sub(before.opened),
            closed: self.closed.saturating_sub(before.closed),
            failed: self.failed.saturating_sub(before.failed),
            reset: self.reset.saturating_sub(before.reset),
            sent: self.sent.saturating_sub(before.sent),
            received: self.received.saturating_sub(before.received),
            retransmits: self.retransmits.saturating_sub(before.retransmits),
            rtt: gain(&self.rtt, &before.rtt),
            connect: gain(&self.connect, &before.connect),
        }
    }
}

/// With when it was last used, to choose what is kept.
type Used<T> = (u64, T);

impl TopReport {
    /// A sample from the kernel's counters and the latest events.
    pub fn assemble(kernel: &KernelSnapshot, names: &dyn Names, recent: &RecentEvents) -> Self {
        let (services, services_omitted) = newest(services(kernel, names).into_values());
        let (edges, edges_omitted) = newest(edges(kernel, names).into_values());
        Self {
            time: kernel.time.as_secs_f64(),
            services,
            edges,
            services_omitted,
            edges_omitted,
            events: events(recent, kernel.time),
        }
    }
}

fn events(recent: &RecentEvents, now: Duration) -> Vec<EventReport> {
    recent
        .latest()
        .take(50)
        .map(|event| EventReport::new(event, now))
        .collect()
}

/// The [`ROOM`] last used, in their order, and how many were left out.
fn newest<T>(entries: impl Iterator<Item = Used<T>>) -> (Vec<T>, u64) {
    let mut entries: Vec<(usize, Used<T>)> = entries.enumerate().collect();
    let omitted = entries.len().saturating_sub(ROOM);
    if omitted > 0 {
        entries.sort_by_key(|(place, (used, _))| (Reverse(*used), *place));
        entries.truncate(ROOM);
        entries.sort_by_key(|(place, _)| *place);
    }
    (
        entries.into_iter().map(|(_, (_, entry))| entry).collect(),
        omitted as u64,
    )
}

fn services(
    kernel: &KernelSnapshot,
    names: &dyn Names,
) -> BTreeMap<ServiceLabels, Used<TopService>> {
    let mut services: BTreeMap<ServiceLabels, Used<TopService>> = BTreeMap::new();
    let mut with = |pool: u32, act: &mut dyn FnMut(&mut Used<TopService>)| {
        if let Some(pool) = names.pool(pool) {
            let entry = services.entry(ServiceLabels::from(&*pool));
            act(entry.or_insert_with_key(|labels| (0, named(labels))));
        }
    };
    for (edge, value) in &kernel.edges {
        with(edge.service, &mut |(used, service)| {
            *used = value.seen.max(*used);
            service.traffic.add(value);
        });
    }
    for (pool, counts) in &kernel.backends {
        with(*pool, &mut |(_, service)| {
            service.backends.ready += counts.ready;
            service.backends.ejected += counts.ejected;
            service.backends.draining += counts.draining;
            service.backends.active += counts.active;
        });
    }
    for (pool, state) in &kernel.services {
        if state.no_backend + state.over_limit + state.udp_flows > 0 {
            with(*pool, &mut |(used, service)| {
                // The kernel does not say when; anything at all ranks above never used.
                *used = (*used).max(1);
                service.no_backend += state.no_backend;
                service.over_limit += state.over_limit;
                service.udp_flows += state.udp_flows;
            });
        }
    }
    services
}

fn named(labels: &ServiceLabels) -> TopService {
    TopService {
        namespace: labels.namespace.to_string(),
        name: labels.short_name.to_string(),
        hostname: labels.hostname.to_string(),
        ..TopService::default()
    }
}

type EdgeId = (WorkloadRef, String, WorkloadRef, u8);

fn edges(kernel: &KernelSnapshot, names: &dyn Names) -> BTreeMap<EdgeId, Used<TopEdge>> {
    let mut edges: BTreeMap<EdgeId, Used<TopEdge>> = BTreeMap::new();
    for (key, value) in &kernel.edges {
        let [source, destination] = [key.source, key.destination].map(|id| {
            let party = names.workload(id).map_or(Party::Unknown, Party::Known);
            WorkloadRef {
                namespace: party.label(|workload| Some(&workload.namespace)).to_owned(),
                name: party.label(|workload| Some(&workload.name)).to_owned(),
            }
        });
        let service = names.pool(key.service).map_or_else(
            || "unknown".to_owned(),
            |pool| format!("{}/{}", pool.namespace, pool.short_name),
        );
        let id = (source, service, destination, key.protocol);
        let (used, edge) = edges.entry(id).or_insert_with_key(|id| {
            let (source, service, destination, protocol) = id.clone();
            let protocol = match protocol {
                6 => "TCP".to_owned(),
                17 => "UDP".to_owned(),
                other => other.to_string(),
            };
            (
                0,
                TopEdge {
                    source,
                    service,
                    destination,
                    protocol,
                    traffic: Traffic::default(),
                },
            )
        });
        *used = value.seen.max(*used);
        edge.traffic.add(value);
    }
    edges
}
