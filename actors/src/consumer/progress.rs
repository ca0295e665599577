//! How far a tenure is: written by its router, read by the poll thread and the operator's view.

use crate::supervision::doing::Doing;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

/// What a router is at. It answers the operator only while it is `Waiting`; in every other step only these figures speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// For records, for a flush, or for its time to cut.
    Waiting,
    /// Sorts records and hands them to its children, for which it may wait for room in their boxes.
    Routing,
    /// Loads rows, of incidents say: waits for the database.
    Waking,
    /// Asks its children for their part of a cut.
    Cutting,
    /// Waits for its flush before it goes on.
    Settling,
    /// Sends idle children away.
    MakingRoom,
}

impl Step {
    /// As part of a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for records",
            Self::Routing => "routing records",
            Self::Waking => "waiting for rows of the database",
            Self::Cutting => "waiting for its children's part of a cut",
            Self::Settling => "waiting for its flush",
            Self::MakingRoom => "sending idle children away",
        }
    }
}

/// Figures of one tenure. Each is exact by itself; together they are a glance, not a cut.
#[derive(Debug)]
pub struct Progress {
    position: AtomicI64,
    durable: AtomicI64,
    high_watermark: AtomicI64,
    residents: AtomicUsize,
    undurable: AtomicUsize,
    is_flushing: AtomicBool,
    is_paused: AtomicBool,
    step: Doing<Step>,
    moved: Doing<()>,
}

impl Progress {
    /// Both offsets at the start of a tenure.
    pub fn starting_at(offset: i64) -> Self {
        Self {
            position: AtomicI64::new(offset),
            durable: AtomicI64::new(offset),
            high_watermark: AtomicI64::new(0),
            residents: AtomicUsize::new(0),
            undurable: AtomicUsize::new(0),
            is_flushing: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            step: Doing::new(Step::Waiting),
            moved: Doing::new(()),
        }
    }

    /// What the router is at, and since when.
    pub fn step(&self) -> (Step, Duration) {
        self.step.now()
    }

    /// Time since a record was routed or became durable.
    pub fn since_moved(&self) -> Duration {
        self.moved.now().1
    }

    pub(crate) fn enter(&self, step: Step) {
        self.step.enter(step);
    }

    /// First offset that is not routed yet.
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Relaxed)
    }

    /// First offset that no transaction contains yet.
    pub fn durable(&self) -> i64 {
        self.durable.load(Ordering::Relaxed)
    }

    /// The log's end as it was last seen; 0 before the first answer.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Relaxed)
    }

    /// Records of the log that no transaction contains yet.
    pub fn lag(&self) -> i64 {
        self.high_watermark().saturating_sub(self.durable()).max(0)
    }

    /// IncidentActors alive.
    pub fn residents(&self) -> usize {
        self.residents.load(Ordering::Relaxed)
    }

    /// Records routed since the last cut.
    pub fn undurable(&self) -> usize {
        self.undurable.load(Ordering::Relaxed)
    }

    /// Whether a flush is on its way.
    pub fn is_flushing(&self) -> bool {
        self.is_flushing.load(Ordering::Relaxed)
    }

    /// Whether the partition is paused because the router's inbox is full.
    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    pub(crate) fn set_routed(&self, position: i64, undurable: usize, residents: usize) {
        self.position.store(position, Ordering::Relaxed);
        if crate::unwatched::is_on() {
            self.undurable.store(undurable, Ordering::Relaxed);
            self.residents.store(residents, Ordering::Relaxed);
            self.moved.enter(());
        }
    }

    pub(crate) fn set_undurable(&self, records: usize) {
        self.undurable.store(records, Ordering::Relaxed);
    }

    pub(crate) fn set_flushing(&self, is_flushing: bool) {
        self.is_flushing.store(is_flushing, Ordering::Relaxed);
    }

    pub(crate) fn set_durable(&self, offset: i64) {
        self.durable.store(offset, Ordering::Relaxed);
        self.moved.enter(());
    }

    pub(crate) fn set_high_watermark(&self, offset: i64) {
        self.high_watermark.store(offset, Ordering::Relaxed);
    }

    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }
}
