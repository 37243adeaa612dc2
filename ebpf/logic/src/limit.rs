//! How many connections one client identity may open to a service: a rate with a burst (GCRA, the
//! virtual scheduling form of ITU-T I.371) and a number open at once.

use weft_abi::ClientLimit;

const SECOND: u64 = 1_000_000_000;

/// What becomes of one more connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Let it be; the bucket is full again at this time (`ClientState::full_at`).
    Admitted(u64),
    /// Too many at once, or too fast.
    Refused,
}

/// Decides on one more connection of an identity with `active` open ones, whose bucket is full
/// again at `full_at`; `now` and `full_at` are `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub fn admit(limit: &ClientLimit, active: u32, full_at: u64, now: u64) -> Admission {
    if limit.concurrent != 0 && active >= limit.concurrent {
        return Admission::Refused;
    }
    if limit.per_second == 0 {
        return Admission::Admitted(full_at);
    }
    let each = SECOND / limit.per_second as u64;
    let burst = if limit.burst == 0 { 1 } else { limit.burst } as u64;
    let filled = if full_at > now { full_at } else { now };
    // One connection always fits a bucket that is full.
    if filled - now > each * (burst - 1) {
        return Admission::Refused;
    }
    Admission::Admitted(filled + each)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(per_second: u32, burst: u32, concurrent: u32) -> ClientLimit {
        ClientLimit {
            per_second,
            burst,
            concurrent,
            reserved: 0,
        }
    }

    /// How many of `tries` connections, one every `gap` ns from `start` on, are admitted.
    fn admitted(limit: &ClientLimit, start: u64, gap: u64, tries: u64) -> u64 {
        let mut full_at = 0;
        let mut count = 0;
        for number in 0..tries {
            if let Admission::Admitted(at) = admit(limit, 0, full_at, start + number * gap) {
                full_at = at;
                count += 1;
            }
        }
        count
    }

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let limit = limit(10, 5, 0);
        assert_eq!(admitted(&limit, SECOND, 0, 100), 5);
        // For ten seconds, every millisecond: the burst and what flows in.
        assert_eq!(admitted(&limit, SECOND, 1_000_000, 10_000), 5 + 99);
    }

    #[test]
    fn open_connections_are_counted_beside_the_rate() {
        let limit = limit(0, 0, 2);
        assert_eq!(admit(&limit, 1, 0, 9), Admission::Admitted(0));
        assert_eq!(admit(&limit, 2, 0, 9), Admission::Refused);
    }

    #[test]
    fn without_numbers_nothing_is_limited() {
        let limit = limit(0, 0, 0);
        assert_eq!(admit(&limit, u32::MAX, 5, 9), Admission::Admitted(5));
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_admits_more_than_burst_and_rate(
            per_second in 1..1000u32,
            burst in 1..50u32,
            gap in 0..5_000_000u64,
            tries in 1..500u64,
        ) {
            let limit = limit(per_second, burst, 0);
            let count = admitted(&limit, SECOND, gap, tries);
            let each = SECOND / u64::from(per_second);
            let flowed = gap * (tries - 1) / each;
            prop_assert!(count <= u64::from(burst) + flowed);
            prop_assert!(count >= 1, "a full bucket refuses nobody");
        }

        #[test]
        fn no_values_overflow(per_second: u32, burst: u32, concurrent: u32, active: u32, now in 0..1u64 << 62) {
            let limit = limit(per_second, burst, concurrent);
            if let Admission::Admitted(at) = admit(&limit, active, now, now) {
                prop_assert!(at >= now);
            }
        }
    }
}
