//! All events of a run, errors or not, against the ledger of the core API. Pure.
//!
//! Only error events have a fingerprint, and most events are none. The ledger counts every event once, of whatever
//! type, so that one that was acknowledged and then lost leaves it short.

use crate::report::Report;
use indicatif::HumanCount;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Events that a proof itself sends between its two looks: the closing marker.
const MARKERS: i128 = 1;

/// The engine's side of a project's ledger, in events since the project began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Ledger {
    /// In the counts, each once. One that is sent again stands under `duplicate`, which nobody here needs.
    pub counted: i64,
    /// Kept in the dead letters.
    pub dead_lettered: i64,
    /// Dropped, by reason.
    pub dropped: BTreeMap<String, i64>,
}

/// What a run sent, of all types together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// Events that may have been taken in, although no acknowledgement came.
    pub unknown: u64,
}

impl From<&Report> for Sent {
    fn from(report: &Report) -> Self {
        Self { acknowledged: report.accepted, unknown: report.unknown.values().sum() }
    }
}

/// What was sent beside the growth of the ledger since the baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// By the run, without markers.
    pub sent: Sent,
    /// Events counted since, with the closing marker.
    pub counted: i128,
    /// Events that went to the dead letters since; below zero if more were put back out of them.
    pub dead_lettered: i128,
    /// Events dropped since, by reason.
    pub dropped: BTreeMap<String, i128>,
}

impl Balance {
    /// Takes the growth from `baseline` to `found`.
    pub fn new(sent: Sent, baseline: &Ledger, found: &Ledger) -> Self {
        let growth = |before: i64, after: i64| i128::from(after) - i128::from(before);
        let dropped = found.dropped.iter().map(|(reason, after)| {
            let before = baseline.dropped.get(reason).copied().unwrap_or(0);
            (reason.clone(), growth(before, *after))
        });
        Self {
            sent,
            counted: growth(baseline.counted, found.counted),
            dead_lettered: growth(baseline.dead_lettered, found.dead_lettered),
            dropped: dropped.collect(),
        }
    }

    /// Acknowledged events, the closing marker among them, that are not counted.
    pub fn missing(&self) -> u64 {
        positive(i128::from(self.sent.acknowledged) + MARKERS - self.counted)
    }

    /// Events counted beyond all that this run can have sent. Somebody else may use the project, so they contradict
    /// nothing; but where there are some, as many of this run's may be missing unseen.
    pub fn surplus(&self) -> u64 {
        let most = i128::from(self.sent.acknowledged) + i128::from(self.sent.unknown) + MARKERS;
        positive(self.counted - most)
    }

    /// How many are missing, and where they may be; `None` if none is.
    pub(super) fn missing_line(&self) -> Option<String> {
        let (missing, acknowledged) = (self.missing(), self.sent.acknowledged);
        let all = HumanCount(acknowledged);
        let first = match missing {
            0 => return None,
            _ if missing > acknowledged => {
                format!("none of {all} acknowledged events is counted, nor is the marker that was sent after them")
            }
            _ => format!("{} of {all} acknowledged events are not counted", HumanCount(missing)),
        };
        let losses = self.losses();
        Some(if losses.is_empty() { first } else { format!("{first}; {losses}") })
    }

    /// What else happened to the project meanwhile, whosoever's events they are; empty if nothing did.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.surplus() > 0 {
            let surplus = HumanCount(self.surplus());
            notes.push(format!(
                "{surplus} more events than this run sent were counted meanwhile; as many of its own that are no \
                 errors could be missing unseen"
            ));
        }
        let losses = self.losses();
        // Where events are missing, the losses stand beside them already.
        if self.missing() == 0 && !losses.is_empty() {
            notes.push(format!("{losses} meanwhile"));
        }
        notes
    }

    fn losses(&self) -> String {
        let dead = (self.dead_lettered > 0)
            .then(|| format!("{} went to the dead letters", HumanCount(positive(self.dead_lettered))));
        let dropped = self.dropped.iter().filter(|(_, events)| **events > 0);
        let dropped =
            dropped.map(|(reason, events)| format!("{} were dropped ({reason})", HumanCount(positive(*events))));
        dead.into_iter().chain(dropped).collect::<Vec<_>>().join(", ")
    }
}

/// The number, or 0 for one below.
fn positive(number: i128) -> u64 {
    u64::try_from(number.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ledger(counted: i64, dead_lettered: i64, dropped: &[(&str, i64)]) -> Ledger {
        let dropped = dropped.iter().map(|(reason, events)| ((*reason).to_owned(), *events)).collect();
        Ledger { counted, dead_lettered, dropped }
    }

    fn balance(acknowledged: u64, unknown: u64, found: &Ledger) -> Balance {
        Balance::new(Sent { acknowledged, unknown }, &ledger(100, 7, &[("too_old", 3)]), found)
    }

    #[test]
    fn growth_counts_and_the_marker_is_part_of_it() {
        let even = balance(10, 0, &ledger(111, 7, &[("too_old", 3)]));
        assert_eq!((even.counted, even.missing(), even.surplus()), (11, 0, 0));
        assert_eq!((even.missing_line(), even.notes()), (None, Vec::new()));
        let short = balance(10, 0, &ledger(110, 7, &[("too_old", 3)]));
        assert_eq!(short.missing_line().unwrap(), "1 of 10 acknowledged events are not counted", "not the marker");
    }

    #[test]
    fn what_is_missing_is_named_with_where_it_went() {
        let short = balance(9_431, 0, &ledger(9_520, 19, &[("too_old", 3), ("too_new", 1)]));
        let line =
            "12 of 9,431 acknowledged events are not counted; 12 went to the dead letters, 1 were dropped (too_new)";
        assert_eq!(short.missing_line().unwrap(), line);
        assert!(short.notes().is_empty(), "said once");
    }

    #[test]
    fn where_nothing_was_counted_the_marker_is_missing_too() {
        let line = balance(5, 2, &ledger(100, 7, &[])).missing_line().unwrap();
        assert!(line.starts_with("none of 5 acknowledged events is counted, nor is the marker"), "{line}");
        assert_eq!(balance(0, 0, &ledger(100, 7, &[])).missing(), 1);
    }

    #[test]
    fn events_of_others_are_mentioned_only() {
        let more = balance(10, 2, &ledger(1_347, 5, &[("too_old", 4)]));
        assert_eq!((more.missing(), more.surplus()), (0, 1_234));
        let [surplus, losses] = more.notes().try_into().unwrap();
        assert!(surplus.starts_with("1,234 more events than this run sent were counted meanwhile"), "{surplus}");
        assert_eq!(losses, "1 were dropped (too_old) meanwhile", "dead letters that were put back are no loss");
    }

    proptest! {
        #[test]
        fn exactly_what_can_be_ours_is_neither_missing_nor_too_much(
            acknowledged in 0u64..9, unknown in 0u64..4, found in 0i64..20,
        ) {
            let balance = balance(acknowledged, unknown, &ledger(100 + found, 7, &[]));
            let ours = acknowledged + 1..=acknowledged + unknown + 1;
            let is_ours = u64::try_from(found).is_ok_and(|found| ours.contains(&found));
            prop_assert_eq!(balance.missing() == 0 && balance.surplus() == 0, is_ours);
        }
    }
}
