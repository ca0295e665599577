//! What lies on the Flusher's desk: flushes under way and how they fare. For the operator's view; nothing is decided by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by the Flusher and whoever looks.
#[derive(Debug, Default)]
pub struct Desk(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    next: u64,
    under_way: BTreeMap<u64, Flushing>,
    durable: u64,
    refused: u64,
    last_durable: Option<Instant>,
    letters: Letters,
}

/// How the dead letters fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// Handed over and not acknowledged.
    pub waiting: usize,
    /// Acknowledged.
    pub sent: u64,
    /// The last error, until a letter is acknowledged again.
    pub failing: Option<String>,
}

/// Letters that wait; they do no longer when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Desk, usize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut books = self.0.lock();
        books.letters.waiting = books.letters.waiting.saturating_sub(self.1);
    }
}

#[derive(Debug)]
struct Flushing {
    began: Instant,
    failures: u32,
    last_error: String,
}

/// What the desk shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Flushes under way.
    pub under_way: usize,
    /// Time since the oldest of them came.
    pub oldest: Option<Duration>,
    /// Flushes made durable.
    pub durable: u64,
    /// Flushes that the fence refused.
    pub refused: u64,
    /// Time since the last one was durable.
    pub since_durable: Option<Duration>,
    /// Of the flush under way that has failed most often: how often, and the last error.
    pub failing: Option<(u32, String)>,
}

/// One flush on the desk; it leaves the desk when this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    desk: Arc<Desk>,
    number: u64,
}

impl Desk {
    /// A flush has come.
    pub(crate) fn take(self: &Arc<Self>) -> Entry {
        let mut books = self.lock();
        let number = books.next;
        books.next = number.wrapping_add(1);
        books.under_way.insert(number, Flushing { began: Instant::now(), failures: 0, last_error: String::new() });
        Entry { desk: Arc::clone(self), number }
    }

    /// So many dead letters wait for their acknowledgements, until the answer is dropped.
    pub(crate) fn letters_wait(&self, letters: usize) -> Waiting<'_> {
        let mut books = self.lock();
        books.letters.waiting = books.letters.waiting.saturating_add(letters);
        Waiting(self, letters)
    }

    pub(crate) fn letter_sent(&self) {
        let letters = &mut self.lock().letters;
        (letters.sent, letters.failing) = (letters.sent.saturating_add(1), None);
    }

    pub(crate) fn letter_failed(&self, error: &str) {
        self.lock().letters.failing = Some(error.to_owned());
    }

    /// How the dead letters fare now.
    pub fn letters(&self) -> Letters {
        self.lock().letters.clone()
    }

    /// What lies there now.
    pub fn glance(&self) -> Glance {
        let books = self.lock();
        let worst = books.under_way.values().max_by_key(|flushing| flushing.failures);
        let failing = worst.filter(|flushing| flushing.failures > 0);
        Glance {
            under_way: books.under_way.len(),
            oldest: books.under_way.values().map(|flushing| flushing.began.elapsed()).max(),
            durable: books.durable,
            refused: books.refused,
            since_durable: books.last_durable.map(|at| at.elapsed()),
            failing: failing.map(|flushing| (flushing.failures, flushing.last_error.clone())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The database did not take it; it is tried again.
    pub(crate) fn failed(&self, error: &str) {
        if let Some(flushing) = self.desk.lock().under_way.get_mut(&self.number) {
            flushing.failures = flushing.failures.saturating_add(1);
            error.clone_into(&mut flushing.last_error);
        }
    }

    /// It came to its end.
    pub(crate) fn done(self, is_durable: bool) {
        let mut books = self.desk.lock();
        if is_durable {
            books.durable = books.durable.saturating_add(1);
            books.last_durable = Some(Instant::now());
        } else {
            books.refused = books.refused.saturating_add(1);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.desk.lock().under_way.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_lies_there_until_its_end_and_shows_how_it_fares() {
        let desk = Arc::new(Desk::default());
        let (first, second, third) = (desk.take(), desk.take(), desk.take());
        first.failed("away");
        first.failed("still away");
        let glance = desk.glance();
        assert_eq!((glance.under_way, glance.failing), (3, Some((2, "still away".to_owned()))));
        assert!(glance.oldest.is_some() && glance.since_durable.is_none());
        first.done(true);
        second.done(false);
        drop(third);
        let glance = desk.glance();
        assert_eq!((glance.under_way, glance.durable, glance.refused), (0, 1, 1));
        assert!(glance.oldest.is_none() && glance.failing.is_none() && glance.since_durable.is_some());
    }

    #[test]
    fn dead_letters_wait_until_they_are_given_up_or_acknowledged() {
        let desk = Desk::default();
        let waiting = desk.letters_wait(3);
        desk.letter_failed("away");
        assert_eq!(desk.letters(), Letters { waiting: 3, sent: 0, failing: Some("away".to_owned()) });
        desk.letter_sent();
        drop(waiting);
        assert_eq!(desk.letters(), Letters { waiting: 0, sent: 1, failing: None });
    }
}
