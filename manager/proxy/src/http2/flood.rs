//! A budget for frames that cost us something and bring the peer nothing.

use tokio::time::Instant;

/// Frames at once, and per second after that.
const BURST: u32 = 1000;
const PER_SECOND: f64 = 200.0;

/// What is left of the budget.
pub(crate) struct Flood {
    left: f64,
    since: Instant,
}

impl Flood {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: f64::from(BURST),
            since: now,
        }
    }

    /// Counts one such frame; false when there were too many.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        if self.left < 1.0 {
            let rest = now.saturating_duration_since(self.since).as_secs_f64();
            self.left = (self.left + rest * PER_SECOND).min(f64::from(BURST));
            self.since = now;
        }
        self.left -= 1.0;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_ends_and_a_trickle_goes_on() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        assert!((0..BURST).all(|_| flood.admit(start)));
        assert!(!flood.admit(start));
        let mut flood = Flood::new(start);
        let each = |second| start + Duration::from_secs(second);
        assert!((0..10_000).all(|second| flood.admit(each(second))));
    }
}
