use std::time::Duration;

use weft_model::Outlier;

use super::{FailureKind, Failures, OutlierCounts, OutlierDetector, Reason, Verdict};

const POOL: u32 = 7;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn policy() -> Outlier {
    Outlier {
        consecutive_failures: 5,
        interval: seconds(10),
        base_ejection: seconds(30),
        max_ejection_percent: 10,
        min_health_percent: 0,
    }
}

fn detector(policy: Outlier, backends: u32) -> OutlierDetector {
    let mut detector = OutlierDetector::default();
    assert_eq!(
        detector.configure(POOL, Some(policy), backends, seconds(0)),
        []
    );
    detector
}

fn fail(detector: &mut OutlierDetector, index: u32, consecutive: u32, at: u64) -> Vec<Verdict> {
    fail_as(detector, FailureKind::Connect, index, consecutive, at)
}

fn fail_as(
    detector: &mut OutlierDetector,
    kind: FailureKind,
    index: u32,
    consecutive: u32,
    at: u64,
) -> Vec<Verdict> {
    let failures = Failures {
        pool: POOL,
        index,
        generation: index + 100,
        kind,
        consecutive,
    };
    detector.observe(failures, seconds(at))
}

fn until(verdicts: &[Verdict]) -> Vec<(u32, Option<u64>)> {
    let line = |verdict: &Verdict| (verdict.index, verdict.until.map(|until| until.as_secs()));
    verdicts.iter().map(line).collect()
}

#[test]
fn ejects_at_the_threshold_and_not_before() {
    let mut detector = detector(policy(), 10);
    for consecutive in 1..5 {
        assert_eq!(fail(&mut detector, 2, consecutive, 1), []);
    }
    let verdicts = fail(&mut detector, 2, 5, 1);
    let expected = Verdict {
        pool: POOL,
        index: 2,
        generation: 102,
        until: Some(seconds(31)),
        reason: Reason::Consecutive(5),
    };
    assert_eq!(verdicts, [expected]);
    assert_eq!(fail(&mut detector, 2, 6, 2), [], "it is ejected already");
}

#[test]
fn each_ejection_lasts_one_base_time_longer_up_to_five_minutes() {
    let mut detector = detector(policy(), 10);
    let mut now = 0;
    let mut consecutive = 0;
    for times in 1..15 {
        consecutive += 5;
        let verdicts = fail(&mut detector, 2, consecutive, now);
        let length = (30 * times).min(300);
        assert_eq!(until(&verdicts), [(2, Some(now + length))]);
        now += length;
    }
}

#[test]
fn failures_before_the_return_do_not_count_against_it() {
    let mut detector = detector(policy(), 10);
    fail(&mut detector, 2, 5, 0);
    assert_eq!(fail(&mut detector, 2, 8, 5), [], "connections begun before");
    assert_eq!(fail(&mut detector, 2, 12, 31), [], "only four since");
    assert_eq!(until(&fail(&mut detector, 2, 13, 31)), [(2, Some(91))]);
}

#[test]
fn a_success_between_starts_the_count_anew() {
    let mut detector = detector(policy(), 10);
    fail(&mut detector, 2, 5, 0);
    assert_eq!(fail(&mut detector, 2, 1, 40), []);
    assert_eq!(fail(&mut detector, 2, 4, 40), []);
    assert_eq!(until(&fail(&mut detector, 2, 5, 40)), [(2, Some(100))]);
}

#[test]
fn the_share_is_checked_before_ejecting_so_one_always_may_be() {
    let mut detector = detector(policy(), 3);
    assert_eq!(fail(&mut detector, 2, 5, 0).len(), 1, "0 % before");
    assert_eq!(fail(&mut detector, 3, 5, 0), [], "33 % before");
    let counts = OutlierCounts {
        ejections: 1,
        active: 1,
        overflow: 1,
    };
    assert_eq!(detector.counts(POOL, seconds(0)), counts);
    assert_eq!(detector.counts(POOL, seconds(30)).active, 0);
    assert_eq!(fail(&mut detector, 3, 6, 31).len(), 1, "the first is back");
}

#[test]
fn no_share_means_no_ejection() {
    let none = Outlier {
        max_ejection_percent: 0,
        ..policy()
    };
    let mut detector = detector(none, 3);
    assert_eq!(fail(&mut detector, 2, 50, 0), []);
    assert_eq!(detector.counts(POOL, seconds(0)).overflow, 1);
}

#[test]
fn healthy_intervals_shorten_the_next_ejection() {
    let mut detector = detector(policy(), 10);
    fail(&mut detector, 2, 5, 0);
    fail(&mut detector, 2, 10, 30); // the second: until 90
    detector.sweep(seconds(100)); // back since the last sweep
    detector.sweep(seconds(110)); // healthy for an interval: 2 -> 1
    assert_eq!(until(&fail(&mut detector, 2, 15, 111)), [(2, Some(171))]);
}

#[test]
fn too_few_healthy_backends_take_everyone_back_until_there_are_enough() {
    let careful = Outlier {
        max_ejection_percent: 100,
        min_health_percent: 50,
        ..policy()
    };
    let mut detector = detector(careful, 3);
    assert_eq!(until(&fail(&mut detector, 2, 5, 0)), [(2, Some(30))]);
    let verdicts = fail(&mut detector, 3, 5, 10);
    assert_eq!(until(&verdicts), [(3, Some(40)), (2, None), (3, None)]);
    let verdicts = fail(&mut detector, 4, 5, 11);
    assert_eq!(until(&verdicts), [], "ejected in name only");
    let verdicts = detector.configure(POOL, Some(careful), 30, seconds(12));
    let again = [(2, Some(30)), (3, Some(40)), (4, Some(41))];
    assert_eq!(until(&verdicts), again);
}

#[test]
fn an_end_of_the_policy_takes_everyone_back() {
    let mut detector = detector(policy(), 10);
    fail(&mut detector, 2, 5, 0);
    let verdicts = detector.configure(POOL, None, 10, seconds(1));
    assert_eq!(until(&verdicts), [(2, None)]);
    assert_eq!(fail(&mut detector, 2, 50, 2), []);
}

#[test]
fn another_backend_at_the_same_index_starts_clean() {
    let mut detector = detector(policy(), 10);
    fail(&mut detector, 2, 5, 0);
    let next = Failures {
        pool: POOL,
        index: 2,
        generation: 500,
        kind: FailureKind::Connect,
        consecutive: 4,
    };
    assert_eq!(detector.observe(next, seconds(1)), []);
    detector.forget(POOL, 2, 102);
    assert_eq!(detector.counts(POOL, seconds(1)).active, 0);
}

#[test]
fn a_restored_ejection_counts() {
    let mut detector = detector(policy(), 3);
    detector.restore(POOL, 2, 102, seconds(20));
    assert_eq!(detector.counts(POOL, seconds(1)).active, 1);
    assert_eq!(fail(&mut detector, 3, 5, 1), [], "one in three is ejected");
}

#[test]
fn connect_failures_and_resets_are_counted_apart_and_forgiven_together() {
    let mut detector = detector(policy(), 10);
    let reset = FailureKind::Reset;
    assert_eq!(fail(&mut detector, 2, 4, 0), []);
    assert_eq!(
        fail_as(&mut detector, reset, 2, 1, 0),
        [],
        "four and one are not five"
    );
    assert_eq!(
        until(&fail_as(&mut detector, reset, 2, 5, 0)),
        [(2, Some(30))]
    );
    assert_eq!(
        fail(&mut detector, 2, 5, 31),
        [],
        "four of them were before"
    );
    assert_eq!(until(&fail(&mut detector, 2, 9, 31)), [(2, Some(91))]);
}

#[test]
fn a_verdict_says_when_in_the_units_of_the_maps() {
    let mut detector = detector(policy(), 10);
    assert_eq!(fail(&mut detector, 2, 5, 1)[0].until_ns(), 31_000_000_000);
}
