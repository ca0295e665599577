//! Letters to the Flusher.

use super::actor::Flusher;
use crate::dead_letter::DeadLetter;
use actix::{Addr, Message};
use chrono::{DateTime, Utc};
use schema::flush::{Committed, FlushBatch, FlushError};
use tokio::sync::oneshot;

/// Where routers send their flushes.
pub type FlusherAddress = Addr<Flusher>;

/// Make this durable. Sent by a PartitionRouter that has no other flush on its way; a full box hands it back and the
/// router waits.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush {
    /// What to write.
    pub batch: Box<FlushBatch>,
    /// What to measure by.
    pub measures: Measures,
    /// Records that go to the dead letters before the transaction says so.
    pub dead_letters: Vec<DeadLetter>,
    /// Answered when it is durable, or will never be. Dropped unanswered if the Flusher dies.
    pub reply: oneshot::Sender<Result<Committed, FlushError>>,
}

/// Of what a flush was made. Nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    /// Records of the log.
    pub records: usize,
    /// For each batch of them: when the newest was received, and how many there are.
    pub arrivals: Vec<(DateTime<Utc>, usize)>,
}
