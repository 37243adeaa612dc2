//! Connections refused lately, as `weft denied` shows them.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use weft_admin::DenialReport;

use super::now;

/// Refusals kept, alike ones counted together.
const CAPACITY: usize = 1024;

/// The latest last.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    kept: VecDeque<(Duration, DenialReport)>,
    /// All there ever were.
    total: u64,
}

impl Refusals {
    /// Takes one in; `at` is time since boot. The times of `report` are filled in when it is shown.
    pub(crate) fn push(&mut self, at: Duration, mut report: DenialReport) {
        self.total += 1;
        report.count = 1;
        let known = self
            .kept
            .iter()
            .rposition(|(_, other)| is_alike(other, &report));
        if let Some((_, other)) = known.and_then(|at| self.kept.remove(at)) {
            report.count += other.count;
        } else if self.kept.len() == CAPACITY {
            self.kept.pop_front();
        }
        self.kept.push_back((at, report));
    }

    /// The latest first.
    pub(crate) fn reports(&self) -> Vec<DenialReport> {
        let now = now();
        let wall = wall_clock().unwrap_or_default();
        let shown = self.kept.iter().rev().map(|(at, report)| {
            let ago = now.saturating_sub(*at);
            DenialReport {
                seconds_ago: ago.as_secs_f64(),
                time: wall.saturating_sub(ago).as_secs_f64(),
                ..report.clone()
            }
        });
        shown.collect()
    }
}

/// Whether only the client's port and the time differ.
fn is_alike(a: &DenialReport, b: &DenialReport) -> bool {
    let host = |addr: &str| addr.rsplit_once(':').map(|(host, _)| host.to_owned());
    (&a.cause, &a.hop, &a.reason) == (&b.cause, &b.hop, &b.reason)
        && (&a.policy, &a.service) == (&b.policy, &b.service)
        && (&a.src.identity, &a.src.workload) == (&b.src.identity, &b.src.workload)
        && host(&a.src.addr) == host(&b.src.addr)
        && a.dst == b.dst
}

fn wall_clock() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use weft_admin::EndReport;

    use super::*;

    fn report(client: &str, reason: &str) -> DenialReport {
        DenialReport {
            cause: "denied".into(),
            src: EndReport {
                addr: client.into(),
                ..EndReport::default()
            },
            reason: reason.into(),
            ..DenialReport::default()
        }
    }

    #[test]
    fn alike_ones_are_counted_together_and_the_latest_is_first() {
        let mut refusals = Refusals::default();
        let at = Duration::from_millis;
        refusals.push(at(1), report("10.0.0.1:5", "a"));
        refusals.push(at(2), report("10.0.0.2:5", "a"));
        refusals.push(at(3), report("10.0.0.1:6", "a"));
        let shown = refusals.reports();
        let told: Vec<(&str, u64)> = shown
            .iter()
            .map(|one| (one.src.addr.as_str(), one.count))
            .collect();
        assert_eq!(told, [("10.0.0.1:6", 2), ("10.0.0.2:5", 1)]);
        refusals.push(at(4), report("10.0.0.1:6", "b"));
        assert_eq!(refusals.reports().len(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..2 * CAPACITY {
            refusals.push(Duration::ZERO, report("x:1", &number.to_string()));
        }
        assert_eq!(refusals.reports().len(), CAPACITY);
        assert_eq!(refusals.total, 2 * CAPACITY as u64);
    }
}
