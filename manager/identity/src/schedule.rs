//! When to renew a certificate. Pure: times and chance come in.

use std::time::{Duration, SystemTime};

/// How far into its life a certificate is renewed.
const RENEW_AT: f64 = 0.5;

/// How far renewals are spread around that, as a share of the life, to either side.
const SPREAD: f64 = 0.05;

/// Below this share of its life left, a certificate that was not renewed is a reason not to be ready.
const WORRY_BELOW: f64 = 0.25;

/// The first and the longest wait between attempts.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// How far the authority dates certificates back, for peers whose clock is behind.
pub const BACKDATE: Duration = Duration::from_secs(120);

/// From when to when a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validity {
    /// First moment.
    pub not_before: SystemTime,
    /// Last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Of a certificate, from the moment it was signed: with the back-dating counted in, half of a
    /// short life would be over at once.
    pub fn of(svid: &crate::Svid) -> Self {
        Self::dated_back(svid.not_before(), svid.not_after())
    }

    /// The same of a revocation list, which ends with its next update.
    pub fn of_list(list: &crate::RevocationList) -> Self {
        Self::dated_back(list.this_update(), list.next_update())
    }

    fn dated_back(not_before: SystemTime, not_after: SystemTime) -> Self {
        let signed = not_before + BACKDATE;
        Self {
            not_before: if signed < not_after {
                signed
            } else {
                not_before
            },
            not_after,
        }
    }

    /// How long that is.
    pub fn life(self) -> Duration {
        self.not_after
            .duration_since(self.not_before)
            .unwrap_or_default()
    }

    /// What is left at `now`; nothing after the end.
    pub fn left(self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// Whether it has ended.
    pub fn is_over(self, now: SystemTime) -> bool {
        now > self.not_after
    }
}

/// When to renew: at half of its life, give or take a twentieth, as `chance` (0 to 1) has it.
pub fn renewal(validity: Validity, chance: f64) -> SystemTime {
    let share = RENEW_AT + SPREAD * (2.0 * fraction(chance) - 1.0);
    validity.not_before + validity.life().mul_f64(share)
}

/// How long to wait after `failures` failures in a row (1 and up): doubling, from half a second to
/// a minute, of which `chance` (0 to 1) takes up to a half.
pub fn retry(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let full = FIRST_RETRY
        .saturating_mul(1 << doublings)
        .min(LONGEST_RETRY);
    full.mul_f64(1.0 - fraction(chance) / 2.0)
}

/// How a certificate stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Good, or soon to be renewed.
    Well,
    /// Should long have been renewed; so much is left.
    Late(Duration),
    /// Ended.
    Over,
}

/// How a certificate stands at `now`.
pub fn standing(validity: Validity, now: SystemTime) -> Standing {
    if validity.is_over(now) {
        return Standing::Over;
    }
    let left = validity.left(now);
    if left < validity.life().mul_f64(WORRY_BELOW) {
        Standing::Late(left)
    } else {
        Standing::Well
    }
}

/// How many seconds the local clock is ahead of the authority's, from a certificate just signed:
/// the authority wrote its time less [`BACKDATE`] into `not_before`, somewhen between `sent` and
/// `received`. Good to a second and half of that span.
pub fn clock_skew(not_before: SystemTime, sent: SystemTime, received: SystemTime) -> f64 {
    let half = received.duration_since(sent).unwrap_or_default() / 2;
    // The authority cuts to whole seconds: half a second is lost on average.
    let signed = not_before + BACKDATE + Duration::from_millis(500);
    seconds(sent + half, signed)
}

fn seconds(later: SystemTime, earlier: SystemTime) -> f64 {
    match later.duration_since(earlier) {
        Ok(span) => span.as_secs_f64(),
        Err(error) => -error.duration().as_secs_f64(),
    }
}

fn fraction(chance: f64) -> f64 {
    if chance.is_finite() {
        chance.clamp(0.0, 1.0)
    } else {
        0.5
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn day() -> Validity {
        let not_before = SystemTime::UNIX_EPOCH + HOUR * 1000;
        Validity {
            not_before,
            not_after: not_before + HOUR * 24,
        }
    }

    #[test]
    fn renews_around_half_of_its_life() {
        let start = day().not_before;
        let minutes = |chance| {
            let at = renewal(day(), chance).duration_since(start).expect("later");
            at.as_secs_f64() / 60.0
        };
        assert!((minutes(0.5) - 720.0).abs() < 0.1);
        assert!((minutes(0.0) - 648.0).abs() < 0.1 && (minutes(1.0) - 792.0).abs() < 0.1);
    }

    #[test]
    fn waits_longer_after_each_failure_up_to_a_minute() {
        assert_eq!(retry(1, 0.0), Duration::from_millis(500));
        assert_eq!(retry(4, 0.0), Duration::from_secs(4));
        assert_eq!(retry(4, 1.0), Duration::from_secs(2));
        assert_eq!(retry(u32::MAX, 0.0), Duration::from_secs(60));
    }

    #[test]
    fn is_late_with_a_quarter_left_and_over_after_its_end() {
        let day = day();
        let at = |hours: u32| standing(day, day.not_before + HOUR * hours);
        assert_eq!(at(18), Standing::Well);
        assert_eq!(at(19), Standing::Late(HOUR * 5));
        assert_eq!(at(24), Standing::Late(Duration::ZERO));
        assert_eq!(at(25), Standing::Over);
    }

    #[test]
    fn tells_the_skew_of_the_clock_within_a_second() {
        let truth = SystemTime::UNIX_EPOCH + HOUR * 1000;
        for skew in [-600.0, -1.0, 0.0, 3.0, 600.0_f64] {
            let local = if skew < 0.0 {
                truth - Duration::from_secs_f64(-skew)
            } else {
                truth + Duration::from_secs_f64(skew)
            };
            let told = clock_skew(truth - BACKDATE, local, local + Duration::from_millis(200));
            assert!((told - skew).abs() <= 1.0, "{skew} told as {told}");
        }
    }

    proptest! {
        #[test]
        fn never_renews_outside_of_its_life(life in 0_u64..1 << 32, chance in any::<f64>()) {
            let not_before = SystemTime::UNIX_EPOCH;
            let validity = Validity { not_before, not_after: not_before + Duration::from_secs(life) };
            let at = renewal(validity, chance);
            prop_assert!(at >= not_before && at <= validity.not_after);
        }
    }
}
