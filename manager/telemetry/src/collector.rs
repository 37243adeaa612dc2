//! From totals to samples, at scrape time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder},
    metrics::MetricType,
};
use weft_abi::{Counter, EdgeKey, EdgeValue, HISTOGRAM_BUCKETS, Protocol};

use crate::{
    KernelSnapshot, Kind, MetricFamily, Process, Snapshot,
    activity::{Activity, ServiceTotals},
    family::{self, SERVICE_LABELS, TCP_LABELS},
    histogram::bound_seconds,
    ledger::{Ledger, Party, SeriesKey, ServiceLabels, sum},
    rules::RuleTotals,
};

/// What is remembered between scrapes.
pub(crate) struct Totals {
    pub(crate) ledger: Ledger,
    pub(crate) activity: Activity,
}

impl Totals {
    pub(crate) fn observe(&mut self, snapshot: &Snapshot) {
        let names = &*snapshot.names;
        self.ledger.observe(&snapshot.kernel.edges, names);
        self.activity
            .observe(&snapshot.kernel.services, &snapshot.kernel.backends, names);
    }
}

/// Reads the kernel's counters and writes their samples.
pub(crate) struct KernelCollector {
    pub(crate) source: Box<dyn Fn() -> Snapshot + Send + Sync>,
    pub(crate) totals: Arc<Mutex<Totals>>,
    pub(crate) rules: Arc<Mutex<RuleTotals>>,
    /// Held from reading the kernel's counters until they are taken in: an older copy that came after
    /// a newer one would look as if counting had begun anew.
    pub(crate) reading: Arc<Mutex<()>>,
    pub(crate) cluster: String,
    pub(crate) trust_domain: String,
}

impl fmt::Debug for KernelCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelCollector").finish_non_exhaustive()
    }
}

impl Collector for KernelCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = (self.source)();
        let mut page = Page { encoder };
        // Before totals are locked: who holds the rules waits for the engine, and who holds the engine
        // for totals.
        page.rules(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))?;
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.observe(&snapshot);
        drop(reading);
        page.tcp(&totals.ledger, self)?;
        page.edges(&totals.ledger)?;
        page.services(&totals.activity)?;
        page.maps(&snapshot.kernel)?;
        page.programs(&snapshot.kernel)?;
        page.counters(&snapshot.kernel.counters)?;
        let overflowed = totals.ledger.overflowed() + totals.activity.overflowed();
        page.counter(&family::SERIES_OVERFLOWED, [([], overflowed)])?;
        page.process(snapshot.process)
    }
}

type Labels<'a, const N: usize> = [&'a str; N];

struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Page<'_> {
    /// Istio's families: one series per pair of workloads and service.
    fn tcp(&mut self, ledger: &Ledger, place: &KernelCollector) -> fmt::Result {
        // The value of response_flags for a connect that failed is what Istio's node proxy uses.
        self.istio(&family::TCP_OPENED, ledger, place, "-", |totals| {
            totals.opened
        })?;
        self.istio(&family::TCP_CLOSED, ledger, place, "-", |totals| {
            totals.closed
        })?;
        self.istio(&family::TCP_FAILED, ledger, place, "CONNECT", |totals| {
            totals.failed
        })?;
        self.istio(&family::TCP_SENT, ledger, place, "-", |totals| {
            totals.received
        })?;
        self.istio(&family::TCP_RECEIVED, ledger, place, "-", |totals| {
            totals.sent
        })
    }

    fn istio(
        &mut self,
        family: &MetricFamily,
        ledger: &Ledger,
        place: &KernelCollector,
        flags: &str,
        value: impl Fn(&EdgeValue) -> u64,
    ) -> fmt::Result {
        let series: Vec<_> = ledger
            .series()
            .filter(|(key, _)| key.protocol == Protocol::TCP)
            .map(|(key, totals)| (key, principals(key, &place.trust_domain), value(totals)))
            .collect();
        let samples = series.iter().map(|(key, principals, value)| {
            let principals = principals.each_ref().map(String::as_str);
            (tcp_labels(key, principals, &place.cluster, flags), *value)
        });
        self.counter(family, samples)
    }

    /// Our own families by edge. Their short label set may cover several of Istio's series.
    fn edges(&mut self, ledger: &Ledger) -> fmt::Result {
        let tcp = by_edge(ledger, Protocol::TCP);
        let udp = by_edge(ledger, Protocol::UDP);
        self.histogram(&family::TCP_RTT, &tcp, |totals| {
            (totals.rtt_sum, &totals.rtt)
        })?;
        self.histogram(&family::TCP_CONNECT, &tcp, |totals| {
            (totals.connect_sum, &totals.connect)
        })?;
        let retransmits = tcp
            .iter()
            .map(|(labels, totals)| (*labels, totals.retransmits));
        self.counter(&family::TCP_RETRANSMITS, retransmits)?;
        let resets = tcp.iter().map(|(labels, totals)| (*labels, totals.reset));
        self.counter(&family::TCP_RESETS, resets)?;
        let flows = udp.iter().map(|(labels, totals)| (*labels, totals.opened));
        self.counter(&family::UDP_EDGE_FLOWS, flows)
    }

    fn services(&mut self, activity: &Activity) -> fmt::Result {
        let refused = activity.services().flat_map(|(service, totals)| {
            [
                (with_last(service, "no_backend"), totals.no_backend),
                (with_last(service, "over_limit"), totals.over_limit),
            ]
        });
        self.counter(&family::REFUSED, refused)?;
        let backends = activity.services().flat_map(|(service, totals)| {
            [
                (with_last(service, "ready"), totals.backends.ready),
                (with_last(service, "ejected"), totals.backends.ejected),
                (with_last(service, "draining"), totals.backends.draining),
            ]
        });
        self.gauge(&family::BACKENDS, backends)?;
        let each = |value: fn(&ServiceTotals) -> u64| {
            activity
                .services()
                .map(move |(service, totals)| (service_labels(service), value(totals)))
        };
        self.gauge(&family::ACTIVE, each(|totals| totals.backends.active))?;
        self.counter(&family::UDP_FLOWS, each(|totals| totals.udp_flows))?;
        self.counter(&family::EJECTIONS, each(|totals| totals.ejections))?;
        self.counter(
            &family::EJECTIONS_REFUSED,
            each(|totals| totals.ejections_refused),
        )
    }

    fn rules(&mut self, rules: &RuleTotals) -> fmt::Result {
        let samples: Vec<_> = rules.samples().collect();
        let samples = samples
            .iter()
            .map(|(labels, total)| (labels.each_ref().map(String::as_str), *total));
        self.counter(&family::POLICY_HITS, samples)
    }

    fn maps(&mut self, kernel: &KernelSnapshot) -> fmt::Result {
        let maps = &kernel.maps;
        let used = maps.iter().map(|map| ([&*map.name], map.entries));
        self.gauge(&family::MAP_ENTRIES, used)?;
        let room = maps.iter().map(|map| ([&*map.name], map.max_entries));
        self.gauge(&family::MAP_MAX_ENTRIES, room)
    }

    fn programs(&mut self, kernel: &KernelSnapshot) -> fmt::Result {
        let programs = &kernel.programs;
        let seconds = programs
            .iter()
            .map(|program| ([&*program.name], program.run_time_ns as f64 / 1e9));
        self.counter(&family::PROGRAM_SECONDS, seconds)?;
        let runs = programs
            .iter()
            .map(|program| ([&*program.name], program.run_count));
        self.counter(&family::PROGRAM_RUNS, runs)
    }

    fn counters(&mut self, counters: &[u64; Counter::COUNT as usize]) -> fmt::Result {
        for (index, family) in [
            (Counter::EVENTS_DROPPED, &family::EVENTS_DROPPED),
            (Counter::EDGES_FULL, &family::EDGES_DROPPED),
            (Counter::STORAGE_FAILED, &family::STORAGE_FAILED),
            (Counter::RETRIED, &family::LOOKUPS_RETRIED),
            (Counter::INCONSISTENT, &family::LOOKUPS_INCONSISTENT),
            (Counter::FLOWS, &family::UPLINK_FLOWS),
            (Counter::FLOWS_FULL, &family::UPLINK_FLOWS_DROPPED),
            (Counter::ICMP_TRANSLATED, &family::ICMP_TRANSLATED),
            (Counter::HELD, &family::CONNECTIONS_HELD),
        ] {
            self.counter(family, [([], counters[index as usize])])?;
        }
        Ok(())
    }

    fn process(&mut self, process: Option<Process>) -> fmt::Result {
        let Some(process) = process else {
            return Ok(());
        };
        self.counter(&family::PROCESS_CPU, [([], process.cpu_seconds)])?;
        self.gauge(&family::PROCESS_RSS, [([], process.resident_bytes)])?;
        self.gauge(&family::PROCESS_FDS, [([], process.open_fds)])
    }

    fn counter<'s, const N: usize, V: EncodeCounterValue>(
        &mut self,
        family: &MetricFamily,
        samples: impl IntoIterator<Item = (Labels<'s, N>, V)>,
    ) -> fmt::Result {
        self.write(family, samples, |mut sample, value| {
            sample.encode_counter::<NoExemplar, V, f64>(&value, None)
        })
    }

    fn gauge<'s, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        family: &MetricFamily,
        samples: impl IntoIterator<Item = (Labels<'s, N>, V)>,
    ) -> fmt::Result {
        self.write(family, samples, |mut sample, value| {
            sample.encode_gauge(&value)
        })
    }

    fn histogram(
        &mut self,
        family: &MetricFamily,
        edges: &BTreeMap<Labels<'_, 6>, EdgeValue>,
        value: impl Fn(&EdgeValue) -> (u64, &[u64; HISTOGRAM_BUCKETS]),
    ) -> fmt::Result {
        let samples = edges.iter().map(|(labels, totals)| (*labels, totals));
        self.write(family, samples, |mut sample, totals| {
            let (sum_micros, counts) = value(totals);
            let mut buckets = [(0.0, 0); HISTOGRAM_BUCKETS];
            for (i, bucket) in buckets.iter_mut().enumerate() {
                *bucket = (bound_seconds(i), counts[i]);
            }
            let count = counts.iter().sum();
            sample.encode_histogram::<NoExemplar>(sum_micros as f64 / 1e6, count, &buckets, None)
        })
    }

    /// Writes one family; nothing at all when it has no sample.
    fn write<'s, const N: usize, V>(
        &mut self,
        family: &MetricFamily,
        samples: impl IntoIterator<Item = (Labels<'s, N>, V)>,
        mut encode: impl FnMut(MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        debug_assert_eq!(family.labels.len(), N, "{}", family.name);
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        // The registry ends the help of its own families with a full stop.
        let help = format!("{}.", family.help);
        let mut encoder = self
            .encoder
            .encode_descriptor(family.base(), &help, None, kind)?;
        for (values, value) in samples {
            if N == 0 {
                encode(encoder, value)?;
                return Ok(());
            }
            let labels: Vec<(&str, &str)> = family.labels.iter().copied().zip(values).collect();
            encode(encoder.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

type NoExemplar = [(&'static str, &'static str); 0];

fn by_edge(ledger: &Ledger, protocol: u8) -> BTreeMap<Labels<'_, 6>, EdgeValue> {
    let mut edges: BTreeMap<Labels<'_, 6>, EdgeValue> = BTreeMap::new();
    for (key, totals) in ledger.series().filter(|(key, _)| key.protocol == protocol) {
        let edge = edges.entry(key.edge_labels()).or_default();
        *edge = sum(edge, totals);
    }
    edges
}

fn service_labels(service: &Party<ServiceLabels>) -> Labels<'_, 3> {
    const { assert!(SERVICE_LABELS.len() == 3) };
    [
        service.label(|service| Some(&service.hostname)),
        service.label(|service| Some(&service.short_name)),
        service.label(|service| Some(&service.namespace)),
    ]
}

fn with_last<'a>(service: &'a Party<ServiceLabels>, last: &'a str) -> Labels<'a, 4> {
    let [hostname, name, namespace] = service_labels(service);
    [hostname, name, namespace, last]
}

/// Identities of client and server. Where neither a certificate nor the kernel proves them they are
/// unknown, even when the service accounts are configured.
fn principals(key: &SeriesKey, trust_domain: &str) -> [String; 2] {
    [&key.source, &key.destination].map(|party| match party {
        Party::Known(workload) if key.security != 0 => format!(
            "spiffe://{trust_domain}/ns/{}/sa/{}",
            workload.namespace, workload.service_account
        ),
        Party::Other => "other".to_owned(),
        _ => "unknown".to_owned(),
    })
}

/// Values of [`TCP_LABELS`].
fn tcp_labels<'a>(
    key: &'a SeriesKey,
    [source_principal, destination_principal]: [&'a str; 2],
    cluster: &'a str,
    flags: &'a str,
) -> Labels<'a, 23> {
    const { assert!(TCP_LABELS.len() == 23) };
    let [
        source,
        source_namespace,
        destination,
        destination_namespace,
        hostname,
        namespace,
    ] = key.edge_labels();
    let [from, to] = [&key.source, &key.destination];
    [
        "source",
        source,
        source_namespace,
        source_principal,
        from.label(|workload| workload.app.as_deref()),
        from.label(|workload| workload.version.as_deref()),
        from.label(|_| Some(cluster)),
        from.label(|workload| Some(&workload.canonical_service)),
        from.label(|workload| Some(&workload.canonical_revision)),
        destination,
        destination_namespace,
        destination_principal,
        to.label(|workload| workload.app.as_deref()),
        to.label(|workload| workload.version.as_deref()),
        to.label(|_| Some(cluster)),
        to.label(|workload| Some(&workload.canonical_service)),
        to.label(|workload| Some(&workload.canonical_revision)),
        hostname,
        key.service.label(|service| Some(&service.short_name)),
        namespace,
        "tcp",
        flags,
        match key.security {
            EdgeKey::HBONE => "mutual_tls",
            // What the kernel attests on one node is not encrypted.
            _ => "none",
        },
    ]
}
