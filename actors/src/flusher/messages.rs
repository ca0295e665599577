//! Letters to the Flusher.

use crate::dead_letter::DeadLetter;
use actix::Message;
use chrono::{DateTime, Utc};
use schema::flush::{Committed, FlushBatch, FlushError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// What comes of a flush.
pub type Answer = Result<Committed, Refusal>;

/// Why a flush will never be durable as it is.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The fence: the partition has another owner.
    #[error(transparent)]
    Fence(#[from] FlushError),
    /// The database refuses what some of its records say. Without them it would take it.
    #[error("the database refuses what is in a flush: {}", .0.first().map_or("", |first| &first.reason))]
    Content(Vec<Conviction>),
}

/// Whose records of a flush the database refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// Project.
    pub project: String,
    /// Fingerprint; empty for all that the project sent.
    pub fingerprint: String,
    /// From this offset on...
    pub from_offset: i64,
    /// ...to before this one.
    pub to_offset: i64,
    /// A sentence with the database's words.
    pub reason: String,
}

/// Make this durable. Sent by a PartitionRouter that has no other flush on its way; a full box hands it back and the
/// router waits.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush {
    /// What to write. The router keeps it until it is durable, and sends it again if the Flusher dies of it: the fence
    /// makes the second try harmless.
    pub cut: Arc<Cut>,
    /// Answered when it is durable, or will never be. Dropped unanswered if the Flusher dies.
    pub reply: oneshot::Sender<Answer>,
}

/// A consistent cut through one partition.
#[derive(Debug)]
pub struct Cut {
    /// What to write.
    pub batch: FlushBatch,
    /// What to measure by.
    pub measures: Measures,
    /// Records that go to the dead letters before the transaction says so.
    pub dead_letters: Vec<DeadLetter>,
    are_letters_sent: AtomicBool,
}

impl Cut {
    /// With its dead letters still to be sent.
    pub fn new(batch: FlushBatch, measures: Measures, dead_letters: Vec<DeadLetter>) -> Self {
        Self { batch, measures, dead_letters, are_letters_sent: AtomicBool::new(false) }
    }

    /// Dead letters that nobody has acknowledged yet.
    pub fn letters_to_send(&self) -> &[DeadLetter] {
        if self.are_letters_sent.load(Ordering::Relaxed) { &[] } else { &self.dead_letters }
    }

    /// All of them are acknowledged: another try of the same cut need not send them again.
    pub fn note_letters_sent(&self) {
        self.are_letters_sent.store(true, Ordering::Relaxed);
    }
}

/// Of what a flush was made. Nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Records of the log.
    pub records: usize,
    /// For each batch of them: when the newest was received, and how many there are.
    pub arrivals: Vec<(DateTime<Utc>, usize)>,
}
