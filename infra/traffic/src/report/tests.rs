use super::*;
use proptest::prelude::*;

fn report(sent: u64, accepted: u64) -> Report {
    Report { sent, accepted, ..Report::default() }
}

#[test]
fn quantiles_are_those_of_the_recorded_latencies() {
    let mut latency = Latency::default();
    (1..=1_000).for_each(|n| latency.record(Duration::from_millis(n)));
    let near = |part: f64, expected: u64| {
        let found = latency.quantile(part).as_secs_f64();
        let expected = Duration::from_millis(expected).as_secs_f64();
        assert!((found / expected - 1.0).abs() < 0.002, "{part}: {found} for {expected}");
    };
    near(0.50, 500);
    near(0.95, 950);
    near(0.99, 990);
    assert_eq!((latency.max(), latency.count()), (Duration::from_secs(1), 1_000));
}

#[test]
fn an_absurd_latency_is_kept_and_none_is_zero() {
    let mut latency = Latency::default();
    assert_eq!((latency.quantile(0.99), latency.max(), latency.count()), (Duration::ZERO, Duration::ZERO, 0));
    latency.record(Duration::from_secs(100_000));
    assert_eq!((latency.max(), latency.count()), (Duration::from_secs(100_000), 1));
}

#[test]
fn rates_are_exact_and_do_not_divide_by_zero() {
    assert_eq!(rate(1_234_567, Duration::from_secs(1)), "1,234,567.0");
    assert_eq!(rate(1, Duration::from_secs(3)), "0.3");
    assert_eq!(rate(25, Duration::from_millis(100)), "250.0");
    assert_eq!(rate(5, Duration::ZERO), "0.0");
    assert_eq!(tenths_per_second(u64::MAX, Duration::from_secs(1)), u128::from(u64::MAX) * 10);
}

#[test]
fn only_a_run_that_sent_something_and_had_all_of_it_acknowledged_is_complete() {
    assert!(report(3, 3).is_complete());
    assert!(!report(0, 0).is_complete());
    assert!(!report(3, 2).is_complete());
    assert!(!Report { unsent: 1, ..report(3, 3) }.is_complete());
}

#[test]
fn the_text_names_every_fate() {
    let mut report = Report { requests: 9, elapsed: Duration::from_secs(2), unsent: 4, ..report(2_010, 2_000) };
    report.add_refused("invalid");
    report.add_refused("invalid");
    report.add_refused("too_large");
    report.add_retry("503 unavailable", 10);
    report.add_unknown("timed out");
    report.add_undelivered("unreachable");
    report.latency.record(Duration::from_millis(12));
    report.stopped = Some("the server refused the API key".into());
    let text = report.to_string();
    for line in [
        "sent         2,010 events in 9 requests, 2.0 s",
        "accepted     2,000",
        "refused      3  (invalid x 2, too_large x 1)",
        "retries      1  (503 unavailable x 1)",
        "resent       10 events under the same ids",
        "unknown      1  (timed out x 1)",
        "undelivered  1  (unreachable x 1)",
        "unsent       4 events were due but never tried",
        "stopped      the server refused the API key",
        "latency      p50 12.0 ms, p95 12.0 ms, p99 12.0 ms, max 12.0 ms",
        "rate         4.5 requests/s, 1,000.0 events/s accepted",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
    }
}

proptest! {
    #[test]
    fn the_parts_of_a_run_add_up_to_the_whole(
        parts in proptest::collection::vec((0u64..50, 0u64..50, 1u64..5_000), 1..20),
    ) {
        let (mut whole, mut merged) = (Report::default(), Report::default());
        for (accepted, refused, micros) in parts {
            let mut part = report(accepted + refused, accepted);
            (0..refused).for_each(|_| part.add_refused("invalid"));
            part.latency.record(Duration::from_micros(micros));
            whole.sent += accepted + refused;
            whole.accepted += accepted;
            whole.latency.record(Duration::from_micros(micros));
            merged.merge(part);
        }
        prop_assert_eq!((merged.sent, merged.accepted), (whole.sent, whole.accepted));
        prop_assert_eq!(merged.sent, merged.accepted + merged.refused.values().sum::<u64>());
        prop_assert_eq!(merged.latency.count(), whole.latency.count());
        for part in [0.5, 0.95, 0.99, 1.0] {
            prop_assert_eq!(merged.latency.quantile(part), whole.latency.quantile(part));
        }
    }
}
