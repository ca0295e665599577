//! How wide the histogram's bars are: a step of a ladder that people read easily, so that there are few of them.

use chrono::{DateTime, TimeDelta, Utc};
use schema::search::{Bar, SearchRequest};

/// Bars of one histogram at most.
const MOST_BARS: i64 = 60;
/// Widths in seconds.
const LADDER: [i64; 21] = [
    1,
    5,
    10,
    30,
    60,
    2 * 60,
    5 * 60,
    10 * 60,
    30 * 60,
    3_600,
    2 * 3_600,
    3 * 3_600,
    6 * 3_600,
    12 * 3_600,
    86_400,
    2 * 86_400,
    7 * 86_400,
    14 * 86_400,
    28 * 86_400,
    91 * 86_400,
    364 * 86_400,
];
/// Where even a year is too narrow.
const WIDEST: i64 = 200 * 364 * 86_400;

/// The time that a histogram spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: DateTime<Utc>,
    /// Exclusive.
    pub(super) to: DateTime<Utc>,
    pub(super) interval: TimeDelta,
}

impl Window {
    /// None if no time lies between.
    pub(super) fn new(from: DateTime<Utc>, to: DateTime<Utc>) -> Option<Self> {
        let narrow = LADDER.into_iter().find(|width| bars(from, to, *width) <= MOST_BARS);
        let interval = TimeDelta::seconds(narrow.unwrap_or(WIDEST));
        (from < to).then_some(Self { from, to, interval })
    }

    /// What the question leaves open, the oldest and the newest hit say.
    pub(super) fn of_hits(request: &SearchRequest, span: Option<(DateTime<Utc>, DateTime<Utc>)>) -> Option<Self> {
        let (oldest, newest) = span?;
        let behind = newest + TimeDelta::microseconds(1);
        Self::new(request.from.unwrap_or(oldest), request.to.unwrap_or(behind))
    }

    /// Every bar of the window once, those without hits too.
    pub(super) fn fill(&self, counted: &[Bar]) -> Vec<Bar> {
        let width = self.interval.num_seconds();
        let first = self.from.timestamp().div_euclid(width);
        let starts = (0..bars(self.from, self.to, width))
            .filter_map(|number| DateTime::from_timestamp(first.checked_add(number)?.checked_mul(width)?, 0));
        let count = |start: DateTime<Utc>| {
            let found = counted.binary_search_by_key(&start, |bar| bar.start).ok();
            found.and_then(|place| counted.get(place)).map_or(0, |bar| bar.count)
        };
        starts.map(|start| Bar { start, count: count(start) }).collect()
    }
}

/// Bars of `width` seconds that the time touches; they begin at multiples of it.
fn bars(from: DateTime<Utc>, to: DateTime<Utc>, width: i64) -> i64 {
    let last = (to - TimeDelta::microseconds(1)).timestamp().div_euclid(width);
    last - from.timestamp().div_euclid(width) + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn an_hour_has_a_bar_a_minute_and_a_month_one_a_day() {
        let seconds = |from, to| Window::new(at(from), at(to)).unwrap().interval.num_seconds();
        assert_eq!(seconds("2026-11-24T05:00:00Z", "2026-11-24T06:00:00Z"), 60);
        assert_eq!(seconds("2026-11-24T05:00:30Z", "2026-11-24T06:00:30Z"), 120);
        assert_eq!(seconds("2026-11-23T05:00:00Z", "2026-11-24T05:00:00Z"), 1_800);
        assert_eq!(seconds("2026-10-25T05:00:00Z", "2026-11-24T05:00:00Z"), 43_200 * 2);
        assert_eq!(seconds("2026-11-24T05:00:00Z", "2026-11-24T05:00:00.000001Z"), 1);
        assert_eq!(Window::new(at("2026-11-24T05:00:00Z"), at("2026-11-24T05:00:00Z")), None);
    }

    #[test]
    fn bars_without_hits_are_there_and_the_others_keep_their_counts() {
        let window = Window::new(at("2026-11-24T05:00:01Z"), at("2026-11-24T05:00:05Z")).unwrap();
        let filled = window.fill(&[Bar { start: at("2026-11-24T05:00:03Z"), count: 7 }]);
        assert_eq!(filled.iter().map(|bar| bar.count).collect::<Vec<_>>(), [0, 0, 7, 0]);
        assert_eq!(filled.first().unwrap().start, at("2026-11-24T05:00:01Z"));
    }

    proptest! {
        #[test]
        fn there_are_few_bars_whatever_is_asked(from in -62_135_596_800_i64..253_402_300_000, length in 1_i64..300_000_000_000) {
            let from = DateTime::from_timestamp(from, 0).unwrap();
            let window = Window::new(from, from + TimeDelta::seconds(length)).unwrap();
            let filled = window.fill(&[]);
            prop_assert!(!filled.is_empty() && filled.len() <= 60, "{}", filled.len());
            prop_assert!(filled[0].start <= from);
        }
    }
}
