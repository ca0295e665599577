//! What a thread or a task is at, and for how long: written by itself, read by the operator's view when it does not answer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The present step. Written once a batch or a flush, never once a record.
#[derive(Debug)]
pub struct Doing<T>(Mutex<(T, Instant)>);

impl<T: Copy> Doing<T> {
    /// At it from now on.
    pub fn new(step: T) -> Self {
        Self(Mutex::new((step, Instant::now())))
    }

    /// Goes over to the next step.
    pub fn enter(&self, step: T) {
        if crate::unwatched::is_on() {
            *self.lock() = (step, Instant::now());
        }
    }

    /// The step, and the time since it began.
    pub fn now(&self) -> (T, Duration) {
        let (step, since) = *self.lock();
        (step, since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, (T, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
