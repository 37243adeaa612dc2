//! The text as scrapers read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use weft_abi::{Counter, EdgeKey, EdgeValue, HitKey, Protocol, ServiceState};
use weft_model::Workload;
use weft_telemetry::{
    BackendCounts, Build, Cause, Format, Hop, KernelSnapshot, Kind, Limits, MapFill, Metrics,
    NameTable, PolicyName, PoolLabels, Process, ProgramStats, RuleHits, RuleName, RuleSnapshot,
    Snapshot, family,
};

fn workload(name: &str, version: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "shop".into(),
        name: name.into(),
        canonical_service: name.into(),
        canonical_revision: version.into(),
        app: Some(name.into()),
        version: Some(version.into()),
        service_account: "default".into(),
    })
}

fn pool(name: &str) -> Arc<PoolLabels> {
    Arc::new(PoolLabels {
        hostname: format!("{name}.shop.svc.cluster.local").into(),
        short_name: name.into(),
        namespace: "shop".into(),
        port: 80,
        protocol: weft_model::Protocol::Tcp,
        class: "internal".into(),
    })
}

fn edge(source: u32, destination: u32, protocol: u8) -> EdgeKey {
    EdgeKey {
        source,
        service: 2,
        destination,
        protocol,
        security: 0,
        reserved: [0; 2],
    }
}

fn value(opened: u64) -> EdgeValue {
    let mut value = EdgeValue {
        seen: 1,
        opened,
        closed: opened - 1,
        failed: 2,
        reset: 1,
        sent: 1_000,
        received: 50_000,
        retransmits: 4,
        rtt_sum: 300,
        connect_sum: 5_000_000,
        ..EdgeValue::default()
    };
    value.rtt[0] = 2;
    value.rtt[3] = 1;
    value.connect[15] = 3;
    value
}

fn snapshot() -> Snapshot {
    let mut counters = [0; Counter::COUNT as usize];
    counters[Counter::EVENTS_DROPPED as usize] = 7;
    let kernel = KernelSnapshot {
        time: Duration::from_secs(10),
        edges: vec![
            (edge(1, 2, Protocol::TCP), value(5)),
            // Another revision of the same workload: own series for Istio, one for the short set.
            (edge(1, 3, Protocol::TCP), value(6)),
            (edge(0, 0, Protocol::TCP), value(1)),
            (edge(4, 2, Protocol::UDP), value(9)),
        ],
        counters,
        services: vec![(
            2,
            ServiceState {
                no_backend: 3,
                udp_flows: 9,
                ..Default::default()
            },
        )],
        backends: vec![(
            2,
            BackendCounts {
                ready: 2,
                ejected: 1,
                draining: 0,
                active: 4,
            },
        )],
        maps: vec![MapFill {
            name: "SERVICES".into(),
            entries: 3,
            max_entries: 65_536,
        }],
        programs: vec![ProgramStats {
            name: "weft_connect4".into(),
            run_time_ns: 1_500_000_000,
            run_count: 5_000,
        }],
    };
    let workloads = [
        (1, workload("client", "v1")),
        (2, workload("server", "v1")),
        (3, workload("server", "v2")),
        (4, workload("od\"d\\na\nme", "v1")),
    ];
    let names = NameTable {
        pools: [(2, pool("web"))].into(),
        workloads: workloads.into(),
        ..NameTable::default()
    };
    let process = Process {
        cpu_seconds: 0.25,
        resident_bytes: 8 << 20,
        open_fds: 40,
    };
    Snapshot {
        kernel,
        names: Arc::new(names),
        process: Some(process),
    }
}

fn metrics_of(snapshot: impl Fn() -> Snapshot + Send + Sync + 'static) -> Metrics {
    let build = Build {
        version: "0.1.0".into(),
        commit: "abc".into(),
        cluster: Some("east".into()),
        trust_domain: "cluster.local".to_owned(),
    };
    let metrics = Metrics::new(&build, Limits::default(), snapshot);
    let manager = metrics.manager();
    let day = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
    manager.certificate("spiffe://cluster.local/ns/shop/sa/web", day);
    manager.root("cluster.local", day);
    manager.config_applied(4, Some(0.003));
    manager.problems_now(1, 2, 0);
    manager.started(true);
    manager.sockets_destroyed(weft_model::Protocol::Udp, 2);
    manager.event(Cause::ConnectFailed { errno: 111 });
    metrics.ejected(&pool("web"));
    let policy: PolicyName = ("shop".into(), "admit".into());
    let hits = RuleHits {
        key: HitKey { set: 1, clause: 0 },
        hop: Hop::Kernel,
        name: RuleName {
            rule: Some((policy.clone(), 0)),
            action: "allow",
        },
        hits: 7,
    };
    let rules = RuleSnapshot {
        hits: vec![hits],
        sets: [1].into(),
        policies: [policy].into(),
    };
    metrics.observe_rules(|| Some(rules));
    metrics
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Sample {
    fn series(&self) -> (String, Vec<(String, String)>) {
        (self.name.clone(), self.labels.clone().into_iter().collect())
    }
}

/// Reads one sample line; anything the format does not allow panics.
fn sample(line: &str) -> Sample {
    let name: String = line
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    assert!(!name.is_empty(), "no name in {line}");
    let mut rest = &line[name.len()..];
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").expect("a label");
            let (value, after) = quoted(after);
            assert!(
                labels.insert(label.to_owned(), value).is_none(),
                "{label} twice in {line}"
            );
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect("one space before the value");
    assert!(!value.contains(' '), "timestamp or exemplar in {line}");
    Sample {
        name,
        labels,
        value: value.parse().expect("a number"),
    }
}

fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("an escaped character").1 {
                'n' => value.push('\n'),
                c @ ('"' | '\\') => value.push(c),
                c => panic!("escape {c}"),
            },
            c => value.push(c),
        }
    }
    panic!("label value without an end: {text}")
}

/// Checks a page line by line against the format and against the family table; gives its samples.
fn check(page: &str, format: Format) -> Vec<Sample> {
    let total = match format {
        Format::Prometheus => |family: &family::MetricFamily| family.name,
        Format::OpenMetrics => family::MetricFamily::base,
    };
    let mut samples = Vec::new();
    let (mut seen, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut current: Option<&family::MetricFamily> = None;
    let mut lines = page
        .strip_suffix('\n')
        .expect("ends with a newline")
        .lines()
        .peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("help");
            let family = family::ALL.iter().find(|family| total(family) == name);
            let family = family.unwrap_or_else(|| panic!("{name} is not in the table"));
            assert!(seen.insert(family.name), "{name} is not contiguous");
            assert_eq!(help, format!("{}.", family.help));
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            assert_eq!(lines.next(), Some(&*format!("# TYPE {name} {kind}")));
            assert!(
                lines.peek().is_some_and(|l| !l.starts_with('#')),
                "{name} has no samples"
            );
            current = Some(family);
        } else if line == "# EOF" {
            assert_eq!(format, Format::OpenMetrics);
            assert_eq!(lines.next(), None);
        } else {
            let sample = sample(line);
            let family = family::of_sample(&sample.name).expect("a family");
            assert_eq!(Some(family), current, "{line} is outside its family");
            let mut labels: BTreeSet<&str> = family.labels.iter().copied().collect();
            if sample.name.ends_with("_bucket") {
                labels.insert("le");
            }
            assert_eq!(
                sample
                    .labels
                    .keys()
                    .map(String::as_str)
                    .collect::<BTreeSet<_>>(),
                labels
            );
            assert!(series.insert(sample.series()), "{line} twice");
            assert!(sample.value.is_finite() && sample.value >= 0.0, "{line}");
            samples.push(sample);
        }
    }
    assert_eq!(page.ends_with("# EOF\n"), format == Format::OpenMetrics);
    check_histograms(&samples);
    samples
}

/// Buckets grow with `le`, end in `+Inf`, and agree with `_count`.
fn check_histograms(samples: &[Sample]) {
    type Series = BTreeMap<String, String>;
    let mut buckets: BTreeMap<(&str, Series), Vec<(f64, f64)>> = BTreeMap::new();
    for sample in samples {
        if let Some(name) = sample.name.strip_suffix("_bucket") {
            let mut labels = sample.labels.clone();
            let le = labels.remove("le").expect("le");
            let le = if le == "+Inf" {
                f64::INFINITY
            } else {
                le.parse().expect("a bound")
            };
            buckets
                .entry((name, labels))
                .or_default()
                .push((le, sample.value));
        }
    }
    assert!(!buckets.is_empty());
    for ((name, labels), buckets) in buckets {
        assert!(
            buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
            "{name}: {buckets:?}"
        );
        let (last, all) = *buckets.last().expect("a bucket");
        assert_eq!(last, f64::INFINITY);
        let count = format!("{name}_count");
        let count = samples
            .iter()
            .find(|s| s.name == count && s.labels == labels);
        assert_eq!(count.expect("a count").value, all);
    }
}

fn find<'a>(samples: &'a [Sample], name: &str, labels: &[(&str, &str)]) -> Vec<&'a Sample> {
    let has = |sample: &Sample, (name, value): &(&str, &str)| {
        sample.labels.get(*name).is_some_and(|v| v == value)
    };
    samples
        .iter()
        .filter(|s| s.name == name && labels.iter().all(|l| has(s, l)))
        .collect()
}

#[test]
fn both_formats_are_strictly_well_formed_and_only_hold_families_of_the_table() {
    let metrics = metrics_of(snapshot);
    let plain = check(&metrics.render(Format::Prometheus), Format::Prometheus);
    let open = check(&metrics.render(Format::OpenMetrics), Format::OpenMetrics);
    assert_eq!(plain.len(), open.len());
    let families: BTreeSet<&str> = plain
        .iter()
        .map(|s| family::of_sample(&s.name).expect("a family").name)
        .collect();
    let all: BTreeSet<&str> = family::ALL.iter().map(|family| family.name).collect();
    assert_eq!(families, all, "every family of the table has a sample");
}

#[test]
fn sent_is_what_the_server_sent_and_missing_names_are_unknown() {
    let samples = check(
        &metrics_of(snapshot).render(Format::Prometheus),
        Format::Prometheus,
    );
    let v1 = [
        ("destination_workload", "server"),
        ("destination_version", "v1"),
    ];
    let one = |name, labels: &[(&str, &str)]| match &find(&samples, name, labels)[..] {
        [sample] => sample.value,
        found => panic!("{name}: {found:?}"),
    };
    assert_eq!(one("istio_tcp_sent_bytes_total", &v1), 50_000.0);
    assert_eq!(one("istio_tcp_received_bytes_total", &v1), 1_000.0);
    assert_eq!(one("istio_tcp_connections_opened_total", &v1), 5.0);
    let failed = find(&samples, "istio_tcp_connections_failed_total", &v1);
    assert_eq!(failed[0].labels["response_flags"], "CONNECT");
    let unknown = find(
        &samples,
        "istio_tcp_connections_opened_total",
        &[("source_workload", "unknown")],
    );
    assert_eq!(unknown.len(), 1);
    for (label, value) in &unknown[0].labels {
        let known = label.starts_with("destination_service")
            || [
                "reporter",
                "request_protocol",
                "response_flags",
                "connection_security_policy",
            ]
            .contains(&label.as_str());
        assert_eq!(value == "unknown", !known, "{label}={value}");
    }
    // UDP is not in Istio's TCP families.
    assert!(
        find(
            &samples,
            "istio_tcp_sent_bytes_total",
            &[("source_workload", "od\"d\\na\nme")]
        )
        .is_empty()
    );
    assert_eq!(
        one(
            "weft_udp_edge_flows_total",
            &[("source_workload", "od\"d\\na\nme")]
        ),
        9.0
    );
}

#[test]
fn histograms_sum_the_revisions_of_a_workload() {
    let samples = check(
        &metrics_of(snapshot).render(Format::Prometheus),
        Format::Prometheus,
    );
    let edge = [
        ("source_workload", "client"),
        ("destination_workload", "server"),
    ];
    assert_eq!(
        find(&samples, "weft_tcp_rtt_seconds_count", &edge)[0].value,
        6.0
    );
    assert_eq!(
        find(&samples, "weft_tcp_rtt_seconds_sum", &edge)[0].value,
        0.0006
    );
    let bounds = find(&samples, "weft_tcp_rtt_seconds_bucket", &edge);
    let le: f64 = bounds[0].labels["le"].parse().expect("a number");
    assert_eq!(le, 0.000_032);
    assert_eq!(bounds[0].value, 4.0);
}

#[test]
fn counters_never_fall_when_edges_come_go_and_start_anew() {
    let current = Arc::new(Mutex::new(snapshot()));
    let shared = Arc::clone(&current);
    let metrics = metrics_of(move || shared.lock().unwrap().clone());
    let mut before: BTreeMap<_, f64> = BTreeMap::new();
    for round in 0..20_u64 {
        {
            let mut now = current.lock().unwrap();
            let mut edges = snapshot().kernel.edges;
            edges.retain(|(edge, _)| (u64::from(edge.destination) + round) % 3 != 0);
            for (_, value) in &mut edges {
                value.opened += round % 7;
                value.seen += round;
            }
            now.kernel.edges = edges;
        }
        for sample in check(&metrics.render(Format::Prometheus), Format::Prometheus) {
            if sample.name.starts_with("istio_tcp") {
                let last = before.insert(sample.series(), sample.value).unwrap_or(0.0);
                assert!(sample.value >= last, "{sample:?} fell from {last}");
            }
        }
    }
}

#[test]
fn the_python_client_parses_both_formats() {
    let metrics = metrics_of(snapshot);
    for (format, parser) in [
        (Format::Prometheus, "prometheus_client.parser"),
        (Format::OpenMetrics, "prometheus_client.openmetrics.parser"),
    ] {
        let script = format!(
            "import sys\ntry:\n    from {parser} import text_string_to_metric_families as parse\n\
            except ImportError:\n    sys.exit(77)\n\
            print(sum(len(f.samples) for f in parse(sys.stdin.read()) if f.type != 'unknown'))"
        );
        let python = Command::new("python3")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut python) = python else {
            return println!("skipped: no python3");
        };
        let page = metrics.render(format);
        // It closes its input when it has no parser.
        let _ = python
            .stdin
            .take()
            .expect("piped")
            .write_all(page.as_bytes());
        let output = python.wait_with_output().expect("python ran");
        if output.status.code() == Some(77) {
            return println!("skipped: no Python package prometheus_client");
        }
        assert!(output.status.success(), "{parser} refused:\n{page}");
        let samples = check(&page, format).len();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            samples.to_string()
        );
    }
}
