use ratatui::{Terminal, backend::TestBackend};
use weft_admin::EventReport;

use super::*;

fn traffic(connections: f64, failures: f64, p99: f64) -> TrafficRates {
    TrafficRates {
        connections_per_second: connections,
        failures_per_second: failures,
        sent_bytes_per_second: 2048.0,
        received_bytes_per_second: 5e6,
        rtt: Percentiles {
            p50: Some(45e-6),
            p99: Some(p99),
        },
        ..TrafficRates::default()
    }
}

fn service(name: &str, active: u64, traffic: TrafficRates) -> ServiceRates {
    ServiceRates {
        namespace: "shop".into(),
        name: name.into(),
        active,
        traffic,
        ..ServiceRates::default()
    }
}

fn sample() -> Rates {
    let edge = EdgeRates {
        source: "shop/client".into(),
        service: "shop/web".into(),
        destination: "shop/web-v1".into(),
        protocol: "TCP".into(),
        traffic: traffic(120.0, 0.0, 0.0009),
    };
    let event = EventReport {
        seconds_ago: 2.0,
        cause: "no_backend".into(),
        errno: None,
        service: Some("shop/cart:80".into()),
        backend: None,
        workload: None,
        consecutive: 0,
        count: 7,
    };
    Rates {
        interval_seconds: 1.0,
        services: vec![
            service("cart", 9, traffic(3.5, 1.0, 0.2)),
            service("web", 1, traffic(120.0, 0.0, 0.0009)),
        ],
        edges: vec![edge],
        events: vec![event],
        ..Rates::default()
    }
}

fn lines(screen: &Screen) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
    terminal.draw(|frame| screen.draw(frame)).expect("drawn");
    let buffer = terminal.backend().buffer();
    let line = |row: &[ratatui::buffer::Cell]| {
        let line: String = row.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    };
    buffer.content().chunks(80).map(line).collect()
}

#[test]
fn everything_fits_80_by_24() {
    let lines = lines(&Screen::new(sample()));
    assert_eq!(
        lines[0],
        "weft top: 124 conn/s, 10 active, over 1.0s, by conn/s"
    );
    let head = "SERVICE                  CONN/S ACTIVE FAIL/S REFU/S  RTT50  RTT99  CON50  CON99";
    assert_eq!(lines[2], head);
    let web = "shop/web                    120      1      0      0   45us  900us      -      -";
    assert_eq!(lines[3], web);
    assert!(
        lines[4].starts_with("shop/cart                   3.5      9    1.0"),
        "{}",
        lines[4]
    );
    let edge = lines
        .iter()
        .find(|line| line.starts_with("shop/client"))
        .expect("the edge");
    assert!(
        edge.contains("shop/web") && edge.contains("shop/web-v1"),
        "{edge}"
    );
    assert!(edge.ends_with("120      0   2.0K   4.8M  900us"), "{edge}");
    let event = "  2.0s ago  7x refused: no backend: shop/cart:80 -";
    assert!(lines.iter().any(|line| line == event), "{lines:#?}");
    assert!(lines[23].starts_with("q quit"), "{}", lines[23]);
}

#[test]
fn rows_are_sorted_by_what_was_asked() {
    let mut screen = Screen::new(sample());
    screen.sort(None);
    assert!(lines(&screen)[3].starts_with("shop/cart"), "by active");
    screen.sort(Some(Sort::Latency));
    assert!(lines(&screen)[3].starts_with("shop/cart"), "by latency");
    screen.sort(Some(Sort::Connections));
    assert!(lines(&screen)[3].starts_with("shop/web"), "by connections");
    screen.sort(Some(Sort::Name));
    assert!(lines(&screen)[3].starts_with("shop/cart"), "by name");
}

#[test]
fn scrolling_stays_within_the_rows_of_its_pane() {
    let mut screen = Screen::new(sample());
    screen.scroll(1);
    assert!(lines(&screen)[3].starts_with("shop/cart"));
    screen.scroll(10);
    assert!(
        lines(&screen)[3].starts_with("shop/cart"),
        "the last row stays"
    );
    screen.switch();
    screen.scroll(-5);
    assert!(
        lines(&screen)[3].starts_with("shop/cart"),
        "the other pane scrolled"
    );
    screen.switch();
    screen.scroll(-5);
    assert!(lines(&screen)[3].starts_with("shop/web"));
}

#[test]
fn a_manager_that_is_away_leaves_the_last_sample_and_says_so() {
    let mut screen = Screen::new(sample());
    screen.fail("the manager does not run; traffic goes on");
    let failed = lines(&screen);
    assert_eq!(failed[0], "the manager does not run; traffic goes on");
    assert!(failed[3].starts_with("shop/web"));
    screen.update(sample());
    assert!(lines(&screen)[0].starts_with("weft top"));
}

#[test]
fn one_sample_as_text_has_services_edges_and_events() {
    let text = text(&sample());
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("SERVICE    CONN/S  ACTIVE"), "{text}");
    assert!(lines[1].starts_with("shop/web      120       1"), "{text}");
    assert!(
        lines[4].starts_with("CLIENT       SERVICE   SERVER"),
        "{text}"
    );
    assert!(lines[8].contains("refused: no backend"), "{text}");
}

#[test]
fn long_names_keep_their_end() {
    assert_eq!(tail("shop/workload-29", 14), "\u{2026}p/workload-29");
    assert_eq!(tail("shop/web", 14), "shop/web");
    assert_eq!(tail("shop/web", 0), "\u{2026}");
    let mut rates = sample();
    rates.edges[0].source = "shop/a-rather-long-workload-name-29".into();
    let lines = lines(&Screen::new(rates));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("\u{2026}kload-name-29 shop/web")),
        "{lines:#?}"
    );
}
