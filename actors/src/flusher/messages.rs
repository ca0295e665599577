//! Letters to the Flusher.

use super::actor::Flusher;
use crate::dead_letter::DeadLetter;
use actix::{Addr, Message};
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
    /// Records that go to the dead letters before the transaction says so.
    pub dead_letters: Vec<DeadLetter>,
    /// Answered when it is durable, or will never be. Dropped unanswered if the Flusher dies.
    pub reply: oneshot::Sender<Result<Committed, FlushError>>,
}
