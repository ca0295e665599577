//! How long an endpoint wants to be left alone, in every form in which endpoints say so.
//!
//! | header | forms |
//! |---|---|
//! | `retry-after-ms`, `x-ms-retry-after-ms` | milliseconds; before all others, since they are the most exact |
//! | `retry-after` | seconds, a date, a duration |
//! | `x-ratelimit-reset`, `x-ratelimit-reset-*` | epoch seconds or milliseconds, seconds from now, a duration (`1m2.5s`), RFC 3339 |
//!
//! Of several resets those count whose `x-ratelimit-remaining-*` is 0, and of these the last; if there is no such, the soonest.
//! A wait of nought is none: who has just refused does not mean "at once".

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// No wait is longer.
const LONGEST: Duration = Duration::from_secs(86_400);
/// A bare number from here on is a time in seconds since 1970, not a wait.
const EPOCH_SECONDS: f64 = 1e8;
/// A bare number from here on is a time in milliseconds since 1970.
const EPOCH_MILLIS: f64 = 1e11;

/// The wait that these headers ask for; more than nought, at most a day. Times are measured by the answer's own `Date`.
pub(super) fn wait_asked(headers: &HeaderMap, system: SystemTime) -> Option<Duration> {
    let now = text(headers, DATE.as_str())
        .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
        .map_or_else(|| DateTime::<Utc>::from(system), |date| date.to_utc());
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| number(text(headers, name)?));
    millis
        .and_then(|millis| duration(millis / 1_000.0))
        .or_else(|| wait(text(headers, RETRY_AFTER.as_str())?, now))
        .or_else(|| reset(headers, now))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn reset(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let resets = headers.keys().map(|name| name.as_str()).filter_map(|name| {
        let limit = name.strip_prefix("x-ratelimit-reset")?;
        let remaining = text(headers, &format!("x-ratelimit-remaining{limit}")).and_then(number);
        Some((remaining.is_some_and(|left| left <= 0.0), wait(text(headers, name)?, now)?))
    });
    let resets: Vec<(bool, Duration)> = resets.collect();
    let spent = resets.iter().filter(|(is_spent, _)| *is_spent).map(|(_, wait)| *wait).max();
    spent.or_else(|| resets.iter().map(|(_, wait)| *wait).min())
}

/// One value in any of the forms.
fn wait(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Some(number) = number(value) {
        let seconds = if number >= EPOCH_MILLIS { number / 1_000.0 } else { number };
        let since_1970 = f64::from(u32::try_from(now.timestamp()).ok()?);
        return duration(if number >= EPOCH_SECONDS { seconds - since_1970 } else { seconds });
    }
    let date = DateTime::parse_from_rfc2822(value).or_else(|_| DateTime::parse_from_rfc3339(value));
    match date {
        Ok(date) => (date.to_utc() - now).to_std().ok().and_then(|wait| duration(wait.as_secs_f64())),
        Err(_) => span(value),
    }
}

fn number(value: &str) -> Option<f64> {
    value.parse().ok().filter(|number: &f64| number.is_finite())
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero()).map(|wait| wait.min(LONGEST))
}

/// A duration as Go writes it: `6m0s`, `1.5s`, `20ms`.
fn span(value: &str) -> Option<Duration> {
    let mut rest = value;
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, after) = rest.split_at_checked(end)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let seconds = match unit {
            "d" => TimeDelta::days(1).as_seconds_f64(),
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number(amount)? * seconds;
        rest = after;
    }
    duration(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn asked(pairs: &[(&str, &str)]) -> Option<f64> {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        wait_asked(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).map(|wait| wait.as_secs_f64())
    }

    type Headers = &'static [(&'static str, &'static str)];

    const FORMS: &[(Headers, Option<f64>)] = &[
        (&[], None),
        (&[("retry-after", "120")], Some(120.0)),
        (&[("retry-after", "1.5")], Some(1.5)),
        (&[("retry-after", "0")], None),
        (&[("retry-after", "-3")], None),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "2m30s")], Some(150.0)),
        (&[("retry-after", "9999999")], Some(86_400.0)),
        (&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"), ("date", DAY)], Some(30.0)),
        (&[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT"), ("date", DAY)], None),
        (&[("retry-after", "Sun, 09 Sep 2001 01:46:55 GMT")], Some(15.0)),
        (&[("retry-after-ms", "250"), ("retry-after", "1")], Some(0.25)),
        (&[("x-ms-retry-after-ms", "1500")], Some(1.5)),
        (&[("retry-after", "7"), ("x-ratelimit-reset-requests", "1s")], Some(7.0)),
        (&[("x-ratelimit-reset-requests", "1s")], Some(1.0)),
        (&[("x-ratelimit-reset-tokens", "6m0s")], Some(360.0)),
        (&[("x-ratelimit-reset-tokens", "20ms")], Some(0.02)),
        (&[("x-ratelimit-reset-requests", "1h2m59.56s")], Some(3_779.56)),
        (&[("x-ratelimit-reset", "12")], Some(12.0)),
        (&[("x-ratelimit-reset", "1000000042")], Some(42.0)),
        (&[("x-ratelimit-reset", "1000000042000")], Some(42.0)),
        (&[("x-ratelimit-reset-tokens-per-minute", "784111800"), ("date", DAY)], Some(23.0)),
        (&[("x-ratelimit-reset-requests", "2001-09-09T01:47:40Z")], Some(60.0)),
        (&[("x-ratelimit-reset-requests", "0")], None),
        (&[("x-ratelimit-reset-requests", "999999990")], None),
        (&[("x-ratelimit-reset-a", "9"), ("x-ratelimit-reset-b", "4"), ("x-ratelimit-reset-c", "0")], Some(4.0)),
        (
            &[
                ("x-ratelimit-reset-requests", "1"),
                ("x-ratelimit-remaining-requests", "12"),
                ("x-ratelimit-reset-tokens-per-minute", "20"),
                ("x-ratelimit-remaining-tokens-per-minute", "0"),
                ("x-ratelimit-reset-tokens-per-day", "900"),
                ("x-ratelimit-remaining-tokens-per-day", "0"),
            ],
            Some(900.0),
        ),
    ];

    #[test]
    fn every_form_of_every_header() {
        for (headers, expected) in FORMS {
            let got = asked(headers);
            let is_equal = match (got, expected) {
                (Some(got), Some(expected)) => (got - expected).abs() < 1e-6,
                (got, expected) => got == *expected,
            };
            assert!(is_equal, "{headers:?}: {got:?} instead of {expected:?}");
        }
    }
}
