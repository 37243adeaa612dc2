//! From two samples to rates.

use std::collections::BTreeMap;

use serde::Serialize;
use weft_admin::{EventReport, TopReport, Traffic, WorkloadRef};
use weft_telemetry::{HISTOGRAM_BUCKETS, histogram::quantile};

/// What happened between two samples, per second.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Rates {
    /// Seconds between them.
    pub(crate) interval_seconds: f64,
    pub(crate) services: Vec<ServiceRates>,
    pub(crate) edges: Vec<EdgeRates>,
    /// Services not shown because there are too many.
    pub(crate) services_omitted: u64,
    /// Edges not shown because there are too many.
    pub(crate) edges_omitted: u64,
    pub(crate) events: Vec<EventReport>,
}

/// One service.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ServiceRates {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) ready: u64,
    pub(crate) ejected: u64,
    /// Connections open or opening.
    pub(crate) active: u64,
    pub(crate) refused_per_second: f64,
    pub(crate) udp_flows_per_second: f64,
    #[serde(flatten)]
    pub(crate) traffic: TrafficRates,
}

/// One client, service and server.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct EdgeRates {
    pub(crate) source: String,
    pub(crate) service: String,
    pub(crate) destination: String,
    pub(crate) protocol: String,
    #[serde(flatten)]
    pub(crate) traffic: TrafficRates,
}

/// Rates of traffic; bytes are the client's view.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TrafficRates {
    pub(crate) connections_per_second: f64,
    /// Failed connects and resets.
    pub(crate) failures_per_second: f64,
    pub(crate) sent_bytes_per_second: f64,
    pub(crate) received_bytes_per_second: f64,
    pub(crate) retransmits_per_second: f64,
    pub(crate) rtt: Percentiles,
    pub(crate) connect: Percentiles,
    /// Since the kernel's entry was made.
    pub(crate) connections: u64,
    /// Since the kernel's entry was made.
    pub(crate) failures: u64,
}

/// Seconds; nothing when nothing was ever measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// What happened from `before` to `now`. What is not in `before` was idle until then.
pub(crate) fn rates(before: &TopReport, now: &TopReport) -> Rates {
    let seconds = now.time - before.time;
    let span = Span {
        per_second: if seconds > 0.0 { 1.0 / seconds } else { 0.0 },
    };
    let services: BTreeMap<_, _> = before
        .services
        .iter()
        .map(|one| ((&one.namespace, &one.hostname), one))
        .collect();
    let edges: BTreeMap<_, _> = before
        .edges
        .iter()
        .map(|one| {
            (
                (&one.source, &one.service, &one.destination, &one.protocol),
                one,
            )
        })
        .collect();
    let service = |one: &weft_admin::TopService| {
        let then = services.get(&(&one.namespace, &one.hostname)).copied();
        let then = then.cloned().unwrap_or_default();
        let refused = one.no_backend + one.over_limit;
        ServiceRates {
            namespace: one.namespace.clone(),
            name: one.name.clone(),
            ready: one.backends.ready,
            ejected: one.backends.ejected,
            active: one.backends.active,
            refused_per_second: span.rate(refused, then.no_backend + then.over_limit),
            udp_flows_per_second: span.rate(one.udp_flows, then.udp_flows),
            traffic: span.traffic(&one.traffic, &then.traffic),
        }
    };
    let edge = |one: &weft_admin::TopEdge| {
        let key = (&one.source, &one.service, &one.destination, &one.protocol);
        let then = edges
            .get(&key)
            .map(|then| then.traffic.clone())
            .unwrap_or_default();
        EdgeRates {
            source: named(&one.source),
            service: one.service.clone(),
            destination: named(&one.destination),
            protocol: one.protocol.clone(),
            traffic: span.traffic(&one.traffic, &then),
        }
    };
    Rates {
        interval_seconds: seconds.max(0.0),
        services: now.services.iter().map(service).collect(),
        edges: now.edges.iter().map(edge).collect(),
        services_omitted: now.services_omitted,
        edges_omitted: now.edges_omitted,
        events: now.events.clone(),
    }
}

fn named(workload: &WorkloadRef) -> String {
    let unknown = workload.namespace == "unknown" && workload.name == "unknown";
    if unknown {
        workload.name.clone()
    } else {
        format!("{}/{}", workload.namespace, workload.name)
    }
}

struct Span {
    per_second: f64,
}

impl Span {
    fn rate(&self, now: u64, before: u64) -> f64 {
        now.saturating_sub(before) as f64 * self.per_second
    }

    fn traffic(&self, now: &Traffic, before: &Traffic) -> TrafficRates {
        let gained = now.since(before);
        TrafficRates {
            connections_per_second: self.rate(gained.opened, 0),
            failures_per_second: self.rate(gained.failed + gained.reset, 0),
            sent_bytes_per_second: self.rate(gained.sent, 0),
            received_bytes_per_second: self.rate(gained.received, 0),
            retransmits_per_second: self.rate(gained.retransmits, 0),
            rtt: percentiles(&gained.rtt, &now.rtt),
            connect: percentiles(&gained.connect, &now.connect),
            connections: now.opened,
            failures: now.failed + now.reset,
        }
    }
}

/// Of the interval when something was measured in it, else of all time.
fn percentiles(interval: &[u64; HISTOGRAM_BUCKETS], all: &[u64; HISTOGRAM_BUCKETS]) -> Percentiles {
    let buckets = if interval.iter().any(|count| *count > 0) {
        interval
    } else {
        all
    };
    let at = |q| quantile(buckets, q).map(|value| value.as_secs_f64());
    Percentiles {
        p50: at(0.5),
        p99: at(0.99),
    }
}

#[cfg(test)]
mod tests {
    use weft_admin::{BackendTotals, TopEdge, TopService};

    use super::*;

    fn sample(time: f64, opened: u64, refused: u64) -> TopReport {
        let mut traffic = Traffic {
            opened,
            failed: opened / 10,
            ..Traffic::default()
        };
        traffic.rtt[1] = opened;
        let service = TopService {
            namespace: "shop".into(),
            name: "web".into(),
            hostname: "web.shop".into(),
            traffic: traffic.clone(),
            backends: BackendTotals {
                ready: 2,
                ejected: 1,
                draining: 0,
                active: 4,
            },
            no_backend: refused,
            ..TopService::default()
        };
        let unknown = WorkloadRef {
            namespace: "unknown".into(),
            name: "unknown".into(),
        };
        let edge = TopEdge {
            source: unknown,
            service: "shop/web".into(),
            destination: WorkloadRef {
                namespace: "shop".into(),
                name: "web-v1".into(),
            },
            protocol: "TCP".into(),
            traffic,
        };
        TopReport {
            time,
            services: vec![service],
            edges: vec![edge],
            ..TopReport::default()
        }
    }

    #[test]
    fn rates_are_differences_per_second() {
        let rates = rates(&sample(10.0, 100, 5), &sample(12.0, 300, 6));
        let service = &rates.services[0];
        assert_eq!(service.traffic.connections_per_second, 100.0);
        assert_eq!(service.traffic.failures_per_second, 10.0);
        assert_eq!((service.refused_per_second, service.active), (0.5, 4));
        assert_eq!(service.traffic.rtt.p50, Some(48e-6));
        assert_eq!(service.traffic.connect, Percentiles::default());
        assert_eq!(rates.edges[0].source, "unknown");
        assert_eq!(rates.edges[0].destination, "shop/web-v1");
    }

    #[test]
    fn two_samples_at_one_time_have_no_rate() {
        let same = sample(10.0, 100, 5);
        let rates = rates(&same, &same);
        assert_eq!(rates.services[0].traffic.connections_per_second, 0.0);
        assert_eq!(rates.services[0].traffic.connections, 100);
        assert!(rates.services[0].traffic.rtt.p50.is_some(), "of all time");
    }

    #[test]
    fn a_service_that_is_new_counts_from_nothing() {
        let rates = rates(
            &TopReport {
                time: 10.0,
                ..TopReport::default()
            },
            &sample(11.0, 7, 0),
        );
        assert_eq!(rates.services[0].traffic.connections_per_second, 7.0);
    }
}
