//! What lies on each summarizer's desk: the job in hand, and how its work fares. The keeper of a summarizer that died finds
//! there whose job it was; the operator's view reads it.

use schema::ai::ClaimedJob;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One summarizer's desk. It outlives the summarizer.
#[derive(Debug)]
pub struct Desk(Mutex<Books>);

#[derive(Debug)]
struct Books {
    job: Option<ClaimedJob>,
    since: Instant,
    is_there: bool,
    tally: Tally,
    last_error: Option<String>,
}

/// Somebody sits at the desk until this is dropped.
#[derive(Debug)]
pub(super) struct Seat<'a>(&'a Desk);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.lock().is_there = false;
    }
}

/// What a summarizer has done since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that it took.
    pub jobs: u64,
    /// Of these, those that it ended well.
    pub succeeded: u64,
    /// Of these, those that went wrong, this time at least.
    pub failed: u64,
    /// Times that it asked a model.
    pub calls: u64,
}

/// What a desk shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The incident that it is at work on, and the attempt; none if it is idle.
    pub job: Option<(String, i32)>,
    /// Since when.
    pub since: Duration,
    /// Whether somebody sits there.
    pub is_there: bool,
    /// What was done.
    pub tally: Tally,
    /// What last went wrong.
    pub last_error: Option<String>,
}

impl Default for Desk {
    fn default() -> Self {
        Self(Mutex::new(Books {
            job: None,
            since: Instant::now(),
            is_there: false,
            tally: Tally::default(),
            last_error: None,
        }))
    }
}

impl Desk {
    /// A summarizer sits down; it has left when this is dropped.
    pub(super) fn sit_down(&self) -> Seat<'_> {
        self.lock().is_there = true;
        Seat(self)
    }

    /// A job was taken in hand.
    pub(super) fn take(&self, job: &ClaimedJob) {
        let mut books = self.lock();
        books.tally.jobs = books.tally.jobs.saturating_add(1);
        books.job = Some(job.clone());
        books.since = Instant::now();
    }

    /// A model is asked.
    pub(super) fn call(&self) {
        let mut books = self.lock();
        books.tally.calls = books.tally.calls.saturating_add(1);
    }

    /// The job is no longer in hand: ended well, or with an error.
    pub(super) fn put_down(&self, error: Option<&str>) {
        let mut books = self.lock();
        books.job = None;
        books.since = Instant::now();
        match error {
            None => books.tally.succeeded = books.tally.succeeded.saturating_add(1),
            Some(error) => {
                books.tally.failed = books.tally.failed.saturating_add(1);
                books.last_error = Some(error.to_owned());
            }
        }
    }

    /// The job that a dead summarizer has left.
    pub(super) fn left_behind(&self) -> Option<ClaimedJob> {
        self.lock().job.clone()
    }

    /// What lies there now.
    pub fn glance(&self) -> Glance {
        let books = self.lock();
        Glance {
            job: books.job.as_ref().map(|job| (job.incident_id.clone(), job.attempt_count)),
            since: books.since.elapsed(),
            is_there: books.is_there,
            tally: books.tally,
            last_error: books.last_error.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
