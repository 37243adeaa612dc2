//! What `weft top` shows, on a screen of 80 by 24 or more, and as text.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Cell, Paragraph, Row, Table as Grid},
};

use super::rates::{EdgeRates, Percentiles, Rates, ServiceRates, TrafficRates};
use crate::cmd::{
    output::{bytes, latency, span},
    status::{cause, events_text},
    table::Table,
};

const KEYS: &str =
    "q quit  s sort  c conn/s  a active  f fail/s  l latency  n name  tab pane  \u{2191}\u{2193}";

/// What rows are ordered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    Connections,
    Active,
    Failures,
    Latency,
    Name,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Connections => "conn/s",
            Self::Active => "active",
            Self::Failures => "fail/s",
            Self::Latency => "rtt p99",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Connections => Self::Active,
            Self::Active => Self::Failures,
            Self::Failures => Self::Latency,
            Self::Latency => Self::Name,
            Self::Name => Self::Connections,
        }
    }

    /// Orders rows, the largest first; ties stay by name.
    fn apply(self, rates: &mut Rates) {
        let of = |traffic: &TrafficRates, active: f64| match self {
            Self::Connections => traffic.connections_per_second,
            Self::Active => active,
            Self::Failures => traffic.failures_per_second,
            Self::Latency => traffic.rtt.p99.unwrap_or(0.0),
            Self::Name => 0.0,
        };
        let service = |one: &ServiceRates| match self {
            Self::Failures => one.traffic.failures_per_second + one.refused_per_second,
            _ => of(&one.traffic, one.active as f64),
        };
        // An edge's live connections are not known to the kernel; its rate stands in for them.
        let edge = |one: &EdgeRates| of(&one.traffic, one.traffic.connections_per_second);
        rates.services.sort_by(|a, b| {
            let names = (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name));
            service(b).total_cmp(&service(a)).then(names)
        });
        rates.edges.sort_by(|a, b| {
            let names = (&a.source, &a.service, &a.destination);
            let names = names.cmp(&(&b.source, &b.service, &b.destination));
            edge(b).total_cmp(&edge(a)).then(names)
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pane {
    Services,
    Edges,
}

/// The state of the screen.
pub(crate) struct Screen {
    rates: Rates,
    sort: Sort,
    pane: Pane,
    first_service: usize,
    first_edge: usize,
    failure: Option<String>,
}

impl Screen {
    pub(crate) fn new(rates: Rates) -> Self {
        let mut screen = Self {
            rates,
            sort: Sort::Connections,
            pane: Pane::Services,
            first_service: 0,
            first_edge: 0,
            failure: None,
        };
        screen.sort(Some(Sort::Connections));
        screen
    }

    pub(crate) fn update(&mut self, rates: Rates) {
        self.rates = rates;
        self.failure = None;
        self.sort.apply(&mut self.rates);
        self.scroll(0);
    }

    /// Keeps what is shown and says why it is old.
    pub(crate) fn fail(&mut self, why: &str) {
        self.failure = Some(why.to_owned());
    }

    /// Orders rows by `sort`, or by the next key.
    pub(crate) fn sort(&mut self, sort: Option<Sort>) {
        self.sort = sort.unwrap_or_else(|| self.sort.next());
        self.sort.apply(&mut self.rates);
    }

    pub(crate) fn switch(&mut self) {
        self.pane = match self.pane {
            Pane::Services => Pane::Edges,
            Pane::Edges => Pane::Services,
        };
    }

    pub(crate) fn scroll(&mut self, rows: isize) {
        let (services, edges) = (self.rates.services.len(), self.rates.edges.len());
        let first = match self.pane {
            Pane::Services => &mut self.first_service,
            Pane::Edges => &mut self.first_edge,
        };
        *first = first.saturating_add_signed(rows);
        self.first_service = self.first_service.min(services.saturating_sub(1));
        self.first_edge = self.first_edge.min(edges.saturating_sub(1));
    }

    pub(crate) fn draw(&self, frame: &mut Frame<'_>) {
        let [head, services, edges, events, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(3),
            Constraint::Fill(3),
            Constraint::Length(5),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.head(frame, head);
        self.services(frame, services);
        self.edges(frame, edges);
        self.events(frame, events);
        let dim = Style::new().add_modifier(Modifier::DIM);
        frame.render_widget(Paragraph::new(KEYS).style(dim), keys);
    }

    fn head(&self, frame: &mut Frame<'_>, area: Rect) {
        let line = match &self.failure {
            Some(failure) => Line::styled(failure.clone(), Style::new().fg(Color::Red)),
            None => {
                let services = &self.rates.services;
                let connections: f64 = services
                    .iter()
                    .map(|one| one.traffic.connections_per_second)
                    .sum();
                let active: u64 = services.iter().map(|one| one.active).sum();
                let line = format!(
                    "weft top: {} conn/s, {active} active, over {}, by {}",
                    rate(connections),
                    span(self.rates.interval_seconds),
                    self.sort.name()
                );
                Line::styled(line, Style::new().add_modifier(Modifier::BOLD))
            }
        };
        frame.render_widget(Paragraph::new(line), area);
    }

    fn services(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self
            .rates
            .services
            .iter()
            .skip(self.first_service)
            .map(|one| {
                let row = Row::new(right(service_cells(one), 1));
                if one.ejected > 0 || one.refused_per_second > 0.0 {
                    row.style(Style::new().fg(Color::Red))
                } else {
                    row
                }
            });
        let widths = [
            Constraint::Fill(1),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
        ];
        let head = header(&SERVICE_HEAD, 1);
        let title = self.title("services", Pane::Services, self.rates.services_omitted);
        frame.render_widget(Grid::new(rows, widths).header(head).block(title), area);
    }

    fn edges(&self, frame: &mut Frame<'_>, area: Rect) {
        let rows = self.rates.edges.iter().skip(self.first_edge);
        // What tells workloads apart is usually at the end of their names.
        let room = usize::from(area.width.saturating_sub(5 * 7 + 2) / 3);
        let rows = rows.map(|one| {
            let mut cells = edge_cells(one);
            cells[..3]
                .iter_mut()
                .for_each(|name| *name = tail(name, room));
            Row::new(right(cells, 3))
        });
        let widths = [
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
            Constraint::Length(6),
        ];
        let head = header(&EDGE_HEAD, 3);
        let title = self.title("edges", Pane::Edges, self.rates.edges_omitted);
        frame.render_widget(Grid::new(rows, widths).header(head).block(title), area);
    }

    fn events(&self, frame: &mut Frame<'_>, area: Rect) {
        let lines = self.rates.events.iter().map(|event| {
            let at = [&event.service, &event.backend].map(|at| at.as_deref().unwrap_or("-"));
            let ago = span(event.seconds_ago);
            Line::raw(format!(
                "{ago:>6} ago  {}x {}: {} {}",
                event.count,
                cause(event),
                at[0],
                at[1]
            ))
        });
        let block = Block::new()
            .borders(Borders::TOP)
            .title("failures and refusals");
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
    }

    fn title(&self, name: &'static str, pane: Pane, omitted: u64) -> Block<'static> {
        let mark = if self.pane == pane { "> " } else { "" };
        let omitted = if omitted > 0 {
            format!(" ({omitted} more)")
        } else {
            String::new()
        };
        Block::new()
            .borders(Borders::TOP)
            .title(format!("{mark}{name}{omitted}"))
    }
}

fn header(heads: &[&'static str], left: usize) -> Row<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    Row::new(right(heads.iter().map(|head| (*head).to_owned()), left)).style(bold)
}

/// Cells, aligned to the right from number `left` on.
fn right(
    cells: impl IntoIterator<Item = String>,
    left: usize,
) -> impl Iterator<Item = Cell<'static>> {
    cells.into_iter().enumerate().map(move |(i, cell)| {
        let line = Line::raw(cell);
        Cell::from(if i < left { line } else { line.right_aligned() })
    })
}

const SERVICE_HEAD: [&str; 9] = [
    "SERVICE", "CONN/S", "ACTIVE", "FAIL/S", "REFU/S", "RTT50", "RTT99", "CON50", "CON99",
];

fn service_cells(one: &ServiceRates) -> [String; 9] {
    let traffic = &one.traffic;
    let [rtt50, rtt99] = latencies(traffic.rtt);
    let [con50, con99] = latencies(traffic.connect);
    [
        format!("{}/{}", one.namespace, one.name),
        rate(traffic.connections_per_second),
        one.active.to_string(),
        rate(traffic.failures_per_second),
        rate(one.refused_per_second),
        rtt50,
        rtt99,
        con50,
        con99,
    ]
}

const EDGE_HEAD: [&str; 8] = [
    "CLIENT", "SERVICE", "SERVER", "CONN/S", "FAIL/S", "OUT/S", "IN/S", "RTT99",
];

fn edge_cells(one: &EdgeRates) -> [String; 8] {
    let traffic = &one.traffic;
    let [_, rtt99] = latencies(traffic.rtt);
    [
        one.source.clone(),
        one.service.clone(),
        one.destination.clone(),
        rate(traffic.connections_per_second),
        rate(traffic.failures_per_second),
        bytes(traffic.sent_bytes_per_second),
        bytes(traffic.received_bytes_per_second),
        rtt99,
    ]
}

/// The last `room` characters, with a mark where something is missing.
fn tail(name: &str, room: usize) -> String {
    let length = name.chars().count();
    if length <= room {
        return name.to_owned();
    }
    let kept = name.chars().skip(length + 1 - room.max(1));
    std::iter::once('\u{2026}').chain(kept).collect()
}

fn latencies(percentiles: Percentiles) -> [String; 2] {
    [percentiles.p50, percentiles.p99].map(|value| value.map_or_else(|| "-".to_owned(), latency))
}

fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".to_owned(),
        r if r < 10.0 => format!("{r:.1}"),
        r if r < 100_000.0 => format!("{r:.0}"),
        r => format!("{:.0}k", r / 1e3),
    }
}

/// One sample as text.
pub(crate) fn text(rates: &Rates) -> String {
    let mut sorted = rates.clone();
    Sort::Connections.apply(&mut sorted);
    let mut services = Table::new([
        "SERVICE", ">CONN/S", ">ACTIVE", ">FAIL/S", ">REFU/S", ">RTT50", ">RTT99", ">CON50",
        ">CON99",
    ]);
    sorted
        .services
        .iter()
        .for_each(|one| services.row(service_cells(one)));
    let mut edges = Table::new([
        "CLIENT", "SERVICE", "SERVER", ">CONN/S", ">FAIL/S", ">OUT/S", ">IN/S", ">RTT99",
    ]);
    sorted
        .edges
        .iter()
        .for_each(|one| edges.row(edge_cells(one)));
    let mut text = format!("{}\n{}", services.render(0), edges.render(0));
    if !sorted.events.is_empty() {
        text += &format!("\n{}", events_text(&sorted.events));
    }
    text
}

#[cfg(test)]
mod tests;
