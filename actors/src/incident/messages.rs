//! Letters to an IncidentActor. Its only sender is the router of its partition, so their order is the log's.

use super::state::{Changes, Occurrence};
use crate::consumer::batch::RecordBatch;
use actix::Message;
use schema::command::IncidentCommand;
use schema::snapshot::Sample;
use std::sync::Arc;
use tokio::sync::oneshot;

/// One record for this fingerprint.
#[derive(Clone, Debug)]
pub enum Record {
    /// An error event; `index` is its place in the letter's batch.
    Event {
        /// Place in the batch.
        index: usize,
        /// What is counted.
        occurrence: Occurrence,
    },
    /// A person's command.
    Command {
        /// Place in the log.
        offset: i64,
        /// What is asked.
        command: Box<IncidentCommand>,
    },
}

/// Apply these records of one batch, in log order. No reply. A full box hands the letter back to the router,
/// which keeps it and routes nothing else until it is taken.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Apply {
    /// The bytes.
    pub batch: Arc<RecordBatch>,
    /// This fingerprint's records.
    pub records: Vec<Record>,
}

/// Hand over what has changed since the last cut. A full box hands it back, as with [`Apply`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TakeSnapshot {
    /// Newest samples wanted.
    pub samples: usize,
    /// Dropped unanswered if the actor dies: the router then ends the tenure.
    pub reply: oneshot::Sender<Snapshot>,
}

/// The reply to [`TakeSnapshot`].
#[derive(Debug)]
pub struct Snapshot {
    /// Fingerprint's part of the flush.
    pub changes: Changes,
    /// Kept examples.
    pub samples: Vec<Sample>,
}

/// End: sent only to a clean actor, and nothing is sent after it, so no accepted letter is lost.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave;
