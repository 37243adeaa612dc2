//! The kernel's histograms: power-of-two buckets of microseconds.

use std::time::Duration;

use weft_abi::HISTOGRAM_BUCKETS;

/// Upper bound of bucket `i` in microseconds; the last bucket has none.
pub fn bound_micros(i: usize) -> Option<u64> {
    (i + 1 < HISTOGRAM_BUCKETS).then(|| 32 << i)
}

/// Upper bound of bucket `i` in seconds; infinite for the last.
pub fn bound_seconds(i: usize) -> f64 {
    // A decimal division, so that 32 us is printed as 0.000032 and not as a sum of errors.
    bound_micros(i).map_or(f64::INFINITY, |micros| micros as f64 / 1e6)
}

/// The `q` quantile (0 to 1), interpolated within its bucket as Prometheus'
/// `histogram_quantile` does; values in the last bucket count as its lower bound. `None` without
/// values.
pub fn quantile(buckets: &[u64; HISTOGRAM_BUCKETS], q: f64) -> Option<Duration> {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = q.clamp(0.0, 1.0) * total as f64;
    let mut below = 0.0;
    for (i, &count) in buckets.iter().enumerate() {
        let count = count as f64;
        if count > 0.0 && below + count >= rank {
            return Some(within(i, ((rank - below) / count).clamp(0.0, 1.0)));
        }
        below += count;
    }
    Some(within(HISTOGRAM_BUCKETS - 1, 0.0))
}

fn within(i: usize, share: f64) -> Duration {
    let low = if i == 0 { 0 } else { 32u64 << (i - 1) };
    let micros = match bound_micros(i) {
        Some(high) => low as f64 + (high - low) as f64 * share,
        None => low as f64,
    };
    Duration::from_secs_f64(micros / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_of_nothing_is_nothing() {
        assert_eq!(quantile(&[0; HISTOGRAM_BUCKETS], 0.5), None);
    }

    #[test]
    fn quantile_interpolates_within_its_bucket() {
        let mut buckets = [0; HISTOGRAM_BUCKETS];
        buckets[1] = 100; // 32 to 64 us
        assert_eq!(quantile(&buckets, 0.5), Some(Duration::from_micros(48)));
        buckets[3] = 100; // 128 to 256 us
        assert_eq!(quantile(&buckets, 0.5), Some(Duration::from_micros(64)));
        assert_eq!(quantile(&buckets, 0.75), Some(Duration::from_micros(192)));
        assert_eq!(quantile(&buckets, 1.0), Some(Duration::from_micros(256)));
    }

    #[test]
    fn quantile_in_the_open_bucket_is_its_lower_bound() {
        let mut buckets = [0; HISTOGRAM_BUCKETS];
        buckets[HISTOGRAM_BUCKETS - 1] = 1;
        assert_eq!(
            quantile(&buckets, 0.99),
            Some(Duration::from_micros(32 << 14))
        );
    }

    #[test]
    fn bounds_are_the_kernels() {
        assert_eq!(bound_micros(0), Some(32));
        assert_eq!(bound_micros(14), Some(32 << 14));
        assert_eq!(bound_micros(15), None);
        assert_eq!(bound_seconds(0), 0.000_032);
    }
}
