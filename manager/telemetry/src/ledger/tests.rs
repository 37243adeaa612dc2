use super::*;
use crate::NameTable;

const SECOND: u64 = 1_000_000_000;

fn workload(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        namespace: "default".into(),
        name: name.into(),
        canonical_service: name.into(),
        canonical_revision: "latest".into(),
        app: Some(name.into()),
        version: None,
        service_account: "default".into(),
    })
}

fn pool(name: &str, port: u16) -> Arc<PoolLabels> {
    Arc::new(PoolLabels {
        hostname: format!("{name}.default.svc.cluster.local").into(),
        short_name: name.into(),
        namespace: "default".into(),
        port,
        protocol: weft_model::Protocol::Tcp,
        class: "internal".into(),
    })
}

/// Workloads 1 to 9 are w1 to w9; pools 10 and 11 are ports 80 and 81 of `web`.
fn names() -> NameTable {
    NameTable {
        pools: [(10, pool("web", 80)), (11, pool("web", 81))].into(),
        workloads: (1..10)
            .map(|id| (id, workload(&format!("w{id}"))))
            .collect(),
        backends: BTreeMap::new(),
    }
}

fn edge(source: u32, service: u32, destination: u32) -> EdgeKey {
    EdgeKey {
        source,
        service,
        destination,
        protocol: Protocol::TCP,
        security: 0,
        reserved: [0; 2],
    }
}

/// Connections that all ended.
fn value(opened: u64, seen_seconds: u64) -> EdgeValue {
    EdgeValue {
        opened,
        closed: opened,
        sent: opened * 10,
        seen: seen_seconds * SECOND,
        ..EdgeValue::default()
    }
}

fn opened(ledger: &Ledger) -> Vec<u64> {
    ledger.series().map(|(_, totals)| totals.opened).collect()
}

#[test]
fn edges_with_the_same_labels_are_one_series() {
    let mut ledger = Ledger::new(Limits::default());
    ledger.observe(
        &[(edge(1, 10, 2), value(3, 1)), (edge(1, 11, 2), value(4, 1))],
        &names(),
    );
    assert_eq!(opened(&ledger), [7]);
}

#[test]
fn a_failed_read_counts_nothing_twice() {
    let mut ledger = Ledger::new(Limits::default());
    ledger.observe(&[(edge(1, 10, 2), value(3, 1))], &names());
    ledger.observe(&[], &names());
    ledger.observe(&[(edge(1, 10, 2), value(5, 2))], &names());
    assert_eq!(opened(&ledger), [5]);
}

#[test]
fn an_edge_made_again_adds_all_it_has() {
    let mut ledger = Ledger::new(Limits::default());
    ledger.observe(&[(edge(1, 10, 2), value(3, 1))], &names());
    ledger.observe(&[(edge(1, 10, 2), value(2, 2))], &names());
    assert_eq!(opened(&ledger), [5]);
}

#[test]
fn an_id_with_a_new_name_leaves_the_old_series_as_it_was() {
    let mut ledger = Ledger::new(Limits::default());
    let mut names = names();
    ledger.observe(&[(edge(1, 10, 2), value(3, 1))], &names);
    names.workloads.insert(2, workload("w2b"));
    ledger.observe(&[(edge(1, 10, 2), value(5, 2))], &names);
    assert_eq!(opened(&ledger), [3, 2]);
}

#[test]
fn series_beyond_the_limit_are_summed_as_other() {
    let limits = Limits {
        edge_series: 2,
        ..Limits::default()
    };
    let mut ledger = Ledger::new(limits);
    let edges: Vec<_> = (1..6)
        .map(|id| (edge(id, 10, 9), value(u64::from(id), 1)))
        .collect();
    ledger.observe(&edges, &names());
    ledger.observe(&edges, &names());
    assert_eq!(opened(&ledger), [1, 2, 3 + 4 + 5]);
    assert_eq!(ledger.overflowed(), 3);
    let (last, _) = ledger.series().last().expect("three series");
    assert_eq!(last.edge_labels()[0], "other");
}

#[test]
fn idle_series_expire_with_their_edges_and_busy_ones_stay() {
    let mut ledger = Ledger::new(Limits::default());
    let edges = [
        (edge(1, 10, 2), value(3, 100)),
        (edge(3, 10, 4), value(4, 1000)),
    ];
    ledger.observe(&edges, &names());
    assert!(ledger.expired(Duration::from_secs(1000)).is_empty());
    assert_eq!(ledger.expired(Duration::from_secs(1001)), [edge(1, 10, 2)]);
    assert_eq!(opened(&ledger), [4]);
    // Used again after all: it starts from what the kernel says then.
    ledger.observe(&[(edge(1, 10, 2), value(1, 1100))], &names());
    assert_eq!(opened(&ledger), [1, 4]);
}

#[test]
fn an_idle_edge_stays_while_its_labels_are_in_use() {
    let mut ledger = Ledger::new(Limits::default());
    let edges = [
        (edge(1, 10, 2), value(3, 1)),
        (edge(1, 11, 2), value(4, 1000)),
    ];
    ledger.observe(&edges, &names());
    assert!(ledger.expired(Duration::from_secs(1100)).is_empty());
    let both = ledger.expired(Duration::from_secs(3000));
    assert_eq!(both, [edge(1, 10, 2), edge(1, 11, 2)]);
    assert!(opened(&ledger).is_empty());
}

#[test]
fn an_idle_edge_beyond_the_limit_goes_and_its_count_stays() {
    let limits = Limits {
        edge_series: 1,
        ..Limits::default()
    };
    let mut ledger = Ledger::new(limits);
    let busy = (edge(1, 10, 2), value(1, 2000));
    ledger.observe(
        &[
            busy,
            (edge(3, 10, 4), value(5, 1)),
            (edge(5, 10, 6), value(7, 2000)),
        ],
        &names(),
    );
    assert_eq!(ledger.expired(Duration::from_secs(2000)), [edge(3, 10, 4)]);
    assert_eq!(opened(&ledger), [1, 12]);
}

#[test]
fn gained_is_everything_when_the_edge_started_anew() {
    assert_eq!(gained(&value(5, 2), &value(3, 1)).opened, 2);
    assert_eq!(gained(&value(2, 2), &value(3, 1)).opened, 2);
    assert_eq!(sum(&value(5, 2), &value(3, 9)), value(8, 9));
}

#[test]
fn an_edge_with_open_connections_may_be_silent_for_hours_but_not_for_ever() {
    let mut ledger = Ledger::new(Limits::default());
    let open = EdgeValue {
        closed: 2,
        ..value(3, 1)
    };
    ledger.observe(
        &[(edge(1, 10, 2), open), (edge(3, 10, 4), value(3, 1))],
        &names(),
    );
    assert_eq!(ledger.expired(Duration::from_secs(3600)), [edge(3, 10, 4)]);
    assert_eq!(opened(&ledger), [3]);
    assert_eq!(
        ledger.expired(Duration::from_secs(4 * 3600 + 2)),
        [edge(1, 10, 2)]
    );
}
