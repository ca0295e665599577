//! Times of the envelope: read twice a record, so the way that our own ingest writes them is read without chrono's
//! general parser.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserializer;
use serde::de::{Error, Visitor};
use std::fmt;

/// Any RFC 3339 time, as UTC.
pub(crate) fn utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    deserializer.deserialize_str(Time)
}

struct Time;

impl Visitor<'_> for Time {
    type Value = DateTime<Utc>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 date and time")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DateTime<Utc>, E> {
        canonical(text).map_or_else(|| text.parse().map_err(E::custom), Ok)
    }
}

/// `2026-11-24T05:00:00.035Z`, with up to nine digits of a second or none; nothing for every other way to write a time.
fn canonical(text: &str) -> Option<DateTime<Utc>> {
    let (head, fraction) = text.strip_suffix('Z')?.as_bytes().split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2] = *head else {
        return None;
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(&[o1, o2])?, number(&[d1, d2])?)?;
    let nanos = nanoseconds(fraction)?;
    let time = NaiveTime::from_hms_nano_opt(number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?, nanos)?;
    Some(date.and_time(time).and_utc())
}

fn nanoseconds(fraction: &[u8]) -> Option<u32> {
    match fraction {
        [] => Some(0),
        [b'.', digits @ ..] => {
            let missing = 9_u32.checked_sub(u32::try_from(digits.len()).ok()?).filter(|missing| *missing < 9)?;
            Some(number(digits)? * 10_u32.pow(missing))
        }
        _ => None,
    }
}

/// At most nine digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |sum, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| sum * 10 + u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_canonical_is_left_to_the_general_parser() {
        for text in [
            "2026-11-24T05:00:00+00:00",
            "2026-11-24 05:00:00Z",
            "2026-11-24T05:00:00.Z",
            "2026-11-24T05:00:00.1234567890Z",
            "2026-11-24T05:00:60Z",
            "2026-02-30T05:00:00Z",
            "2026-11-24T05:00:0:Z",
            "+026-11-24T05:00:00Z",
            "2026-11-24T05:00Z",
            "Z",
            "",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn both_parsers_read_the_same(seconds in 0_i64..253_402_300_800, nanos in 0_u32..1_000_000_000, digits in 0_usize..10) {
            let at = DateTime::from_timestamp(seconds, nanos).unwrap();
            let fraction = format!(".{nanos:09}");
            let fraction = if digits == 0 { "" } else { &fraction[..=digits] };
            let text = format!("{}{fraction}Z", at.format("%Y-%m-%dT%H:%M:%S"));
            prop_assert_eq!(canonical(&text), Some(text.parse().unwrap()));
        }
    }
}
