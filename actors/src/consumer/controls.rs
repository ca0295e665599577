//! What the engine's threads share with whoever started them.

use crate::supervision::doing::Doing;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What the poll thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Rounds: records off the wire and to the routers.
    Polling,
    /// Takes a partition over, for which it waits for the database.
    Claiming(i32),
    /// Waits for the last flushes of tenures that end.
    EndingTenures,
}

/// The order to end, and signs of life.
#[derive(Debug)]
pub struct Controls {
    stop: AtomicBool,
    rounds: AtomicU64,
    round: Doing<()>,
    work: Doing<Work>,
    sleepers: (Mutex<()>, Condvar),
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            stop: AtomicBool::new(false),
            rounds: AtomicU64::new(0),
            round: Doing::new(()),
            work: Doing::new(Work::Polling),
            sleepers: Default::default(),
        }
    }
}

/// Goes back to polling when it is dropped.
#[derive(Debug)]
pub(crate) struct Aside<'a>(&'a Controls);

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.work.enter(Work::Polling);
    }
}

impl Controls {
    /// Asks the threads to end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let _guard = self.sleepers.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.1.notify_all();
    }

    /// Whether they were asked to.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Rounds of the poll thread: one that stands still is stuck in a callback or in librdkafka.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Time since the last round began.
    pub fn since_round(&self) -> Duration {
        self.round.now().1
    }

    /// What the poll thread is at, and since when.
    pub fn work(&self) -> (Work, Duration) {
        self.work.now()
    }

    pub(crate) fn count_round(&self) {
        if crate::unwatched::is_on() {
            self.rounds.fetch_add(1, Ordering::Relaxed);
            self.round.enter(());
        }
    }

    /// The poll thread turns aside from its rounds, until the answer is dropped.
    #[must_use]
    pub(crate) fn turn_to(&self, work: Work) -> Aside<'_> {
        self.work.enter(work);
        Aside(self)
    }

    /// Sleeps for `time`, or until the order to end.
    pub(crate) fn wait(&self, time: Duration) {
        let guard = self.sleepers.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A spurious wake-up only means that a thread is early.
        let woken = self.sleepers.1.wait_timeout_while(guard, time, |()| !self.is_stopping());
        drop(woken);
    }
}
