//! What the engine's threads share with whoever started them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The order to end, and a sign of life.
#[derive(Debug, Default)]
pub struct Controls {
    stop: AtomicBool,
    rounds: AtomicU64,
    sleepers: (Mutex<()>, Condvar),
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

    pub(crate) fn count_round(&self) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
    }

    /// Sleeps for `time`, or until the order to end.
    pub(crate) fn wait(&self, time: Duration) {
        let guard = self.sleepers.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A spurious wake-up only means that a thread is early.
        let woken = self.sleepers.1.wait_timeout_while(guard, time, |()| !self.is_stopping());
        drop(woken);
    }
}
