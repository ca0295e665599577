//! One flush, one transaction: the only writer of incidents and of all that the engine keeps.
//!
//! The first statement moves the partition's checkpoint and demands the offset and the epoch that the batch
//! started from. If it moves nothing, the batch was written already or its owner is one of the past; in both
//! cases nothing else is written (G2, G3).

mod guards;
mod incidents;
mod statements;
mod trends;

pub use guards::Guards;

use crate::snapshot::{
    BucketDelta, CommandOutcome, IncidentSnapshot, LedgerDelta, LogGap, Sample, Transition, TrendDelta,
};
use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection, AsyncPgConnection};

/// Samples kept of each incident; the ring's size.
pub const SAMPLES_KEPT: i64 = 20;

/// From where to where a batch moves its partition, and on whose behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointAdvance {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The owner's fencing token.
    pub epoch: i64,
    /// The next offset that the database must hold now.
    pub from_offset: i64,
    /// The next offset that it holds afterwards.
    pub next_offset: i64,
    /// Received time of the last record contained.
    pub complete_until: Option<DateTime<Utc>>,
    /// The log's end as the owner knows it, at least `next_offset`.
    pub high_watermark: i64,
}

/// All that a consistent cut through one partition leaves behind. Each list holds a key at most once.
#[derive(Clone, Debug)]
pub struct FlushBatch {
    /// The fence.
    pub checkpoint: CheckpointAdvance,
    /// Incidents that were opened, oldest generation first within a fingerprint. Each wants a summary.
    pub opened: Vec<IncidentSnapshot>,
    /// Incidents that were open, or resolved, before and changed.
    pub changed: Vec<IncidentSnapshot>,
    /// Kept examples.
    pub samples: Vec<Sample>,
    /// Steps of life.
    pub transitions: Vec<Transition>,
    /// Answers to commands.
    pub outcomes: Vec<CommandOutcome>,
    /// Minutes of projects.
    pub buckets: Vec<BucketDelta>,
    /// Minutes of fingerprints.
    pub trends: Vec<TrendDelta>,
    /// What became of the records.
    pub ledger: Vec<LedgerDelta>,
    /// Holes in the log.
    pub gaps: Vec<LogGap>,
    /// Quarantines and limits.
    pub guards: Guards,
}

impl FlushBatch {
    /// Rows that it writes or changes, its checkpoint among them.
    pub fn rows(&self) -> usize {
        // An incident that opens brings a job with it.
        1 + self.opened.len() * 2
            + self.changed.len()
            + self.samples.len()
            + self.transitions.len()
            + self.outcomes.len()
            + self.buckets.len()
            + self.trends.len()
            + self.ledger.len()
            + self.gaps.len()
            + self.guards.quarantines.len()
            + self.guards.poison.len()
            + self.guards.limits.len()
    }
}

/// How a flush that is durable came to be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// This call wrote it.
    Now,
    /// An earlier call did, though its answer was lost.
    Before,
}

/// Why a flush changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// Another owner has the partition; this batch must be forgotten.
    #[error("the tenure of partition {partition} (epoch {epoch}) is over")]
    StaleTenure {
        /// Partition.
        partition: i32,
        /// Epoch of the refused batch.
        epoch: i64,
    },
    /// The database refused or is not there; the same batch may be tried again.
    #[error(transparent)]
    Database(#[from] diesel::result::Error),
}

/// Writes the batch and moves the checkpoint in one transaction.
///
/// # Errors
/// [`FlushError`]; after an error nothing of the batch is in the database, unless the connection broke while
/// it was committing: then calling again tells ([`Committed::Before`]).
pub async fn commit(connection: &mut AsyncPgConnection, batch: &FlushBatch) -> Result<Committed, FlushError> {
    connection.transaction(async |connection| write(connection, batch).await).await
}

/// Does all that [`commit`] does, and takes it back: whether the database would take this batch.
///
/// # Errors
/// [`FlushError`]; the same that a commit would meet.
pub async fn rehearse(connection: &mut AsyncPgConnection, batch: &FlushBatch) -> Result<(), FlushError> {
    let rehearsed = connection.transaction(async |connection| {
        write(connection, batch).await?;
        Err::<(), FlushError>(diesel::result::Error::RollbackTransaction.into())
    });
    match rehearsed.await {
        Ok(()) | Err(FlushError::Database(diesel::result::Error::RollbackTransaction)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn write(connection: &mut AsyncPgConnection, batch: &FlushBatch) -> Result<Committed, FlushError> {
    if !statements::advance_checkpoint(connection, &batch.checkpoint).await? {
        return already_or_stale(connection, &batch.checkpoint).await;
    }
    // First the old ones: one that is resolved leaves the index of unresolved ones before its successor enters.
    incidents::update(connection, &batch.changed).await?;
    incidents::insert(connection, &batch.opened).await?;
    // The rest stands each for itself, and goes over the line without waiting for the answer to what was sent before.
    let line: &AsyncPgConnection = connection;
    futures_util::try_join!(
        statements::upsert_samples(line, &batch.samples),
        statements::insert_transitions(line, &batch.transitions),
        statements::insert_outcomes(line, &batch.outcomes),
        statements::add_to_buckets(line, &batch.buckets),
        trends::add(line, &batch.trends),
        statements::add_to_ledger(line, &batch.checkpoint, &batch.ledger),
        statements::queue_jobs(line, &batch.opened),
        statements::insert_gaps(line, &batch.checkpoint, &batch.gaps),
        guards::write(line, &batch.checkpoint, &batch.guards),
    )?;
    Ok(Committed::Now)
}

async fn already_or_stale(
    connection: &mut AsyncPgConnection,
    wanted: &CheckpointAdvance,
) -> Result<Committed, FlushError> {
    let found = crate::checkpoint::read(connection, &wanted.group, &wanted.topic, wanted.partition).await?;
    match found {
        Some(now) if now.epoch == wanted.epoch && now.next_offset == wanted.next_offset => Ok(Committed::Before),
        _ => Err(FlushError::StaleTenure { partition: wanted.partition, epoch: wanted.epoch }),
    }
}
