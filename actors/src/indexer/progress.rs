//! How far an indexer is: written by itself, read by the poll thread and the operator's view.

use crate::supervision::doing::Doing;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What an indexer is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// For records.
    Waiting,
    /// Makes templates or folders ready.
    Preparing,
    /// Waits for the index to store a batch.
    Storing,
    /// Waits before it tries again what the index did not take.
    BackingOff,
    /// Writes dead letters.
    Burying,
}

impl Step {
    /// As part of a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for records",
            Self::Preparing => "making the index ready",
            Self::Storing => "storing events",
            Self::BackingOff => "waiting to try again",
            Self::Burying => "writing dead letters",
        }
    }
}

/// No offset is known.
const NONE: i64 = -1;

/// Figures of one assigned partition. Each is exact by itself; together they are a glance, not a cut.
#[derive(Debug)]
pub struct Progress {
    stored: AtomicI64,
    high_watermark: AtomicI64,
    events: AtomicU64,
    is_paused: AtomicBool,
    step: Doing<Step>,
    moved: Doing<()>,
    trouble: Mutex<Option<(u32, String)>>,
}

impl Progress {
    /// At the offset that the group had committed, if there is one.
    pub fn starting_at(offset: Option<i64>) -> Self {
        Self {
            stored: AtomicI64::new(offset.unwrap_or(NONE)),
            high_watermark: AtomicI64::new(NONE),
            events: AtomicU64::new(0),
            is_paused: AtomicBool::new(false),
            step: Doing::new(Step::Waiting),
            moved: Doing::new(()),
            trouble: Mutex::new(None),
        }
    }

    /// First offset that is neither stored nor dead-lettered nor left out; none before the first record of a new group.
    pub fn stored(&self) -> Option<i64> {
        Some(self.stored.load(Ordering::Relaxed)).filter(|offset| *offset > NONE)
    }

    /// The log's end as it was last seen.
    pub fn high_watermark(&self) -> Option<i64> {
        Some(self.high_watermark.load(Ordering::Relaxed)).filter(|offset| *offset > NONE)
    }

    /// Records of the log that are not stored yet, as far as it is known.
    pub fn lag(&self) -> Option<i64> {
        Some(self.high_watermark()?.saturating_sub(self.stored()?).max(0))
    }

    /// Events that the index took or had, since the assignment.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Whether the partition is paused because its indexer is behind.
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    /// What it is at, and since when.
    pub fn step(&self) -> (Step, Duration) {
        self.step.now()
    }

    /// Time since an offset was stored.
    pub fn since_moved(&self) -> Duration {
        self.moved.now().1
    }

    /// How often the index failed in a row, and what it said last.
    pub fn trouble(&self) -> Option<(u32, String)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn enter(&self, step: Step) {
        self.step.enter(step);
    }

    pub(crate) fn set_stored(&self, offset: i64) {
        self.stored.store(offset, Ordering::Relaxed);
        self.moved.enter(());
    }

    pub(crate) fn count_events(&self, events: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn set_high_watermark(&self, offset: i64) {
        self.high_watermark.store(offset, Ordering::Relaxed);
    }

    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, words: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let times = trouble.take().map_or(0, |(times, _)| times);
        *trouble = Some((times.saturating_add(1), words.to_owned()));
    }

    pub(crate) fn succeeded(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown_as_a_number() {
        let progress = Progress::starting_at(None);
        assert_eq!((progress.stored(), progress.high_watermark(), progress.lag()), (None, None, None));
        progress.set_stored(7);
        progress.set_high_watermark(10);
        assert_eq!((progress.stored(), progress.lag()), (Some(7), Some(3)));
        progress.failed("away");
        progress.failed("still away");
        assert_eq!(progress.trouble(), Some((2, "still away".to_owned())));
        progress.succeeded();
        assert_eq!(progress.trouble(), None);
    }
}
