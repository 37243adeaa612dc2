//! Every metric family there is: the table that registration, documentation and dashboards share.
//!
//! `istio_*` names, labels and meanings are Istio's
//! (<https://istio.io/latest/docs/reference/config/metrics/>), `process_*` those of Prometheus
//! client libraries, `weft_*` our own.

/// What a family's samples mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows, from 0 when its process or entry starts. The name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets `le` with `_sum` and `_count`.
    Histogram,
}

/// One metric family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetricFamily {
    /// Name as it is exposed and queried; a counter's ends in `_total`.
    pub name: &'static str,
    /// What its samples mean.
    pub kind: Kind,
    /// One sentence, without the full stop.
    pub help: &'static str,
    /// Label names, in the order written; `le` of histograms is not among them.
    pub labels: &'static [&'static str],
}

impl MetricFamily {
    /// The name without `_total`: what OpenMetrics calls the family.
    pub fn base(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram => self.name,
        }
    }
}

/// Istio's labels of a TCP metric.
pub const TCP_LABELS: &[&str] = &[
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "source_canonical_service",
    "source_canonical_revision",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
];

/// Labels of who talks to whom, short: histograms repeat them once per bucket.
pub const EDGE_LABELS: &[&str] = &[
    "source_workload",
    "source_workload_namespace",
    "destination_workload",
    "destination_workload_namespace",
    "destination_service",
    "destination_service_namespace",
];

/// Labels of a service.
pub const SERVICE_LABELS: &[&str] = &[
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
];

macro_rules! families {
    ($($id:ident = $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub const $id: MetricFamily = MetricFamily {
                name: $name,
                kind: Kind::$kind,
                help: $help,
                labels: $labels,
            };
        )*

        /// All families, in the order they are documented.
        pub const ALL: &[MetricFamily] = &[$($id),*];
    };
}

families! {
    TCP_OPENED = Counter "istio_tcp_connections_opened_total" TCP_LABELS,
        "TCP connections established";
    TCP_CLOSED = Counter "istio_tcp_connections_closed_total" TCP_LABELS,
        "Established TCP connections that ended";
    TCP_FAILED = Counter "istio_tcp_connections_failed_total" TCP_LABELS,
        "TCP connects that failed: refused by the peer, timed out, unreachable";
    TCP_SENT = Counter "istio_tcp_sent_bytes_total" TCP_LABELS,
        "Response bytes, from server to client, as Istio counts them for either reporter";
    TCP_RECEIVED = Counter "istio_tcp_received_bytes_total" TCP_LABELS,
        "Request bytes, from client to server, as Istio counts them for either reporter";
    ISTIO_BUILD = Gauge "istio_build" &["component", "tag"],
        "Always 1; the labels say which component and version this is, for Istio's dashboards";

    TCP_RTT = Histogram "weft_tcp_rtt_seconds" EDGE_LABELS,
        "Smoothed TCP round-trip time, sampled at close and at each report of a live connection";
    TCP_CONNECT = Histogram "weft_tcp_connect_seconds" EDGE_LABELS,
        "Time from connect to an established TCP connection";
    TCP_RETRANSMITS = Counter "weft_tcp_retransmits_total" EDGE_LABELS,
        "TCP segments that clients sent again";
    TCP_RESETS = Counter "weft_tcp_resets_total" EDGE_LABELS,
        "Established TCP connections ended by a reset from the peer";
    UDP_EDGE_FLOWS = Counter "weft_udp_edge_flows_total" EDGE_LABELS,
        "UDP flows by client and server, where the kernel counts them by edge";

    REFUSED = Counter "weft_refused_total" &[
            "destination_service",
            "destination_service_name",
            "destination_service_namespace",
            "reason",
        ],
        "Connects and datagrams refused in the kernel; reason is no_backend or over_limit";
    POLICY_HITS = Counter "weft_policy_hits_total" &[
            "policy_namespace",
            "policy",
            "rule",
            "action",
            "hop",
        ],
        "New connections that a rule of an AuthorizationPolicy decided or noted; action is allow, deny, audit, dry_run_allow or dry_run_deny, hop kernel or proxy; policy is none where no rule allowed the connection";
    UDP_FLOWS = Counter "weft_udp_flows_total" SERVICE_LABELS,
        "UDP flows given a backend";
    BACKENDS = Gauge "weft_backends" &[
            "destination_service",
            "destination_service_name",
            "destination_service_namespace",
            "state",
        ],
        "Backends in the kernel by state: ready, ejected or draining; one that is in several pools of a service counts in each";
    ACTIVE = Gauge "weft_active_connections" SERVICE_LABELS,
        "Connections now open or opening";
    EJECTIONS = Counter "weft_ejections_total" SERVICE_LABELS,
        "Backends ejected by outlier detection";
    EJECTIONS_REFUSED = Counter "weft_ejections_refused_total" SERVICE_LABELS,
        "Ejections not made because the maximum share of backends was already ejected";

    MAP_ENTRIES = Gauge "weft_map_entries" &["map"],
        "Entries in use in a BPF map";
    MAP_MAX_ENTRIES = Gauge "weft_map_max_entries" &["map"],
        "Entries a BPF map has room for";
    PROGRAM_SECONDS = Counter "weft_program_run_seconds_total" &["program"],
        "Time spent in a BPF program; grows only while the kernel's run-time statistics are on";
    PROGRAM_RUNS = Counter "weft_program_runs_total" &["program"],
        "Runs of a BPF program; grows only while the kernel's run-time statistics are on";
    EVENTS = Counter "weft_events_total" &["kind"],
        "Events read from the kernel's ring buffer";
    EVENTS_DROPPED = Counter "weft_ring_buffer_dropped_total" &[],
        "Events lost because the ring buffer was full";
    EDGES_DROPPED = Counter "weft_edges_dropped_total" &[],
        "Updates of edge counters lost because their map was full";
    STORAGE_FAILED = Counter "weft_socket_storage_failed_total" &[],
        "Sockets that got no storage and are not counted";
    LOOKUPS_RETRIED = Counter "weft_lookups_retried_total" &[],
        "Service lookups that met an update and looked again";
    LOOKUPS_INCONSISTENT = Counter "weft_lookups_inconsistent_total" &[],
        "Service lookups refused after meeting updates again and again";
    UPLINK_FLOWS = Counter "weft_uplink_flows_total" &[],
        "New flows balanced on named interfaces";
    UPLINK_FLOWS_DROPPED = Counter "weft_uplink_flows_dropped_total" &[],
        "New flows on named interfaces that found no free port or no room";
    ICMP_TRANSLATED = Counter "weft_icmp_translated_total" &[],
        "ICMP errors translated on named interfaces";
    CONNECTIONS_HELD = Counter "weft_connections_held_total" &[],
        "Connections opened by workloads, and first packets of connections to them, that waited for their policy";
    SERIES_OVERFLOWED = Counter "weft_series_overflowed_total" &[],
        "Edges and services reported as workload or service other, because the limit was reached";

    CONFIG_GENERATION = Gauge "weft_config_generation" &[],
        "Generation of the configuration now in force, counted from 1 at each start";
    CONFIG_EFFECT = Histogram "weft_config_effect_seconds" &[],
        "Time from the event of a changed file to the last map write it caused";
    CONFIG_PROBLEMS = Gauge "weft_config_problems" &["severity"],
        "Problems in the configuration now, by severity: error, warning or info";
    STARTS = Counter "weft_manager_starts_total" &["mode"],
        "Starts of this manager process; mode is fresh, or adopted when it found pinned maps";
    SOCKETS_DESTROYED = Counter "weft_sockets_destroyed_total" &["protocol"],
        "Sockets destroyed because their backend was removed";
    CERT_EXPIRY = Gauge "weft_cert_expiry_seconds" &["identity"],
        "When the certificate of a service account ends, as Unix time";
    ROOT_EXPIRY = Gauge "weft_root_expiry_seconds" &["trust_domain"],
        "When the first root certificate of a trust domain ends, as Unix time";
    CLOCK_SKEW = Gauge "weft_clock_skew_seconds" &[],
        "How far this clock is ahead of the authority's, as the last certificate told";
    BUILD = Gauge "weft_build_info" &["version", "commit"],
        "Always 1; the labels say what is running";

    PROCESS_CPU = Counter "process_cpu_seconds_total" &[],
        "User and system CPU time of the manager";
    PROCESS_RSS = Gauge "process_resident_memory_bytes" &[],
        "Resident memory of the manager";
    PROCESS_FDS = Gauge "process_open_fds" &[],
        "Open file descriptors of the manager";
}

/// The family a sample name belongs to: `NAME`, or `NAME_bucket`, `NAME_sum`, `NAME_count` of a
/// histogram.
pub fn of_sample(sample: &str) -> Option<&'static MetricFamily> {
    ALL.iter().find(|family| match family.kind {
        Kind::Counter | Kind::Gauge => family.name == sample,
        Kind::Histogram => sample
            .strip_prefix(family.name)
            .is_some_and(|rest| matches!(rest, "_bucket" | "_sum" | "_count")),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn counters_end_with_total_once_and_nothing_else_does() {
        for family in ALL {
            let ends = family.name.ends_with("_total");
            assert_eq!(ends, family.kind == Kind::Counter, "{}", family.name);
            assert!(!family.base().ends_with("_total"), "{}", family.name);
        }
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut seen = BTreeSet::new();
        for family in ALL {
            assert!(seen.insert(family.base()), "{} twice", family.name);
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(plain(family.name), "{}", family.name);
            assert!(
                family.labels.iter().all(|label| plain(label)),
                "{}",
                family.name
            );
            assert!(
                !family.help.is_empty() && !family.help.ends_with('.'),
                "{}",
                family.name
            );
            assert!(!family.help.contains(['\n', '\\', '"']), "{}", family.name);
        }
    }
}
