//! The shapes of the operator's view that are not the engine's own.

use actors::supervision::view::ActorView;
use chrono::{DateTime, Utc};
use schema::oversight::{Excerpt, GapRow, PartitionRow, QuarantinedRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Everything that an operator sees at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Supervision {
    /// How long it took to ask everyone.
    pub collected_in_ms: u64,
    /// The engine of this process, from its root; null if it runs elsewhere.
    pub engine: Option<ActorView>,
    /// The summarizers of this process, if no engine is there that they could be shown under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summarizers: Option<ActorView>,
    /// The indexers of this process, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indexers: Option<ActorView>,
    /// What the database knows, of every process's partitions.
    #[serde(flatten)]
    pub known: Known,
}

impl Supervision {
    /// The whole picture: summarizers and indexers stand under the root of the engine, if it is here.
    pub fn new(
        collected_in_ms: u64,
        mut engine: Option<ActorView>,
        (mut summarizers, mut indexers): (Option<ActorView>, Option<ActorView>),
        known: Known,
    ) -> Self {
        if let Some(engine) = &mut engine {
            engine.children.extend(summarizers.take());
            engine.children.extend(indexers.take());
        }
        Self { collected_in_ms, engine, summarizers, indexers, known }
    }
}

/// What the database knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Known {
    /// False if it did not answer in time; then the rest is empty.
    pub database_answers: bool,
    /// Received time up to which all partitions are complete; null before the first record.
    pub complete_until: Option<DateTime<Utc>>,
    /// The partitions of the log, in order.
    pub partitions: Vec<Partition>,
    /// Holes in the log.
    pub log_gaps: Gaps,
    /// Fingerprints whose records go to the dead letters.
    pub quarantine: Quarantine,
}

/// One partition as its checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Partition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset that no transaction contains.
    pub next_offset: i64,
    /// Fencing token of the present owner.
    pub epoch: i64,
    /// The log's end as the owner last saw it.
    pub high_watermark: i64,
    /// Records between the two.
    pub lag: i64,
    /// Received time up to which it is complete.
    pub complete_until: Option<DateTime<Utc>>,
    /// When the checkpoint last moved or changed hands.
    pub updated_at: DateTime<Utc>,
    /// Whether the present owner is the engine of this process.
    pub is_here: bool,
}

/// Holes in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gaps {
    /// How many there are.
    pub total: i64,
    /// Offsets in all of them.
    pub records: i64,
    /// The newest, at most 100.
    pub items: Vec<Gap>,
}

/// Offsets that the log no longer held when they were needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset that was not there.
    pub from_offset: i64,
    /// First offset that was there again.
    pub to_offset: i64,
    /// How many there are between.
    pub size: i64,
    /// Why.
    pub reason: String,
    /// When it was met.
    pub detected_at: DateTime<Utc>,
}

/// Fingerprints in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quarantine {
    /// How many there are.
    pub total: i64,
    /// Records that went to the dead letters because of them.
    pub records: i64,
    /// The newest, at most 100.
    pub items: Vec<Quarantined>,
}

/// One fingerprint in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quarantined {
    /// Project.
    pub project_id: String,
    /// Fingerprint.
    pub fingerprint: String,
    /// Why.
    pub reason: String,
    /// Records that went to the dead letters because of it.
    pub records: i64,
    /// Since when.
    pub since_at: DateTime<Utc>,
}

impl From<PartitionRow> for Partition {
    fn from(row: PartitionRow) -> Self {
        // As `schema::freshness` has it for all partitions together.
        let complete_until = if row.next_offset < row.high_watermark {
            row.complete_until.or(row.caught_up_at)
        } else {
            row.complete_until.max(row.caught_up_at)
        };
        Self {
            topic: row.topic,
            partition: row.partition,
            next_offset: row.next_offset,
            epoch: row.epoch,
            high_watermark: row.high_watermark,
            lag: row.high_watermark.saturating_sub(row.next_offset).max(0),
            complete_until,
            updated_at: row.updated_at,
            is_here: false,
        }
    }
}

impl From<GapRow> for Gap {
    fn from(row: GapRow) -> Self {
        Self {
            size: row.to_offset.saturating_sub(row.from_offset),
            topic: row.topic,
            partition: row.partition,
            from_offset: row.from_offset,
            to_offset: row.to_offset,
            reason: row.reason,
            detected_at: row.detected_at,
        }
    }
}

impl From<QuarantinedRow> for Quarantined {
    fn from(row: QuarantinedRow) -> Self {
        Self {
            project_id: row.project_id,
            fingerprint: row.fingerprint,
            reason: row.reason,
            records: row.records,
            since_at: row.since_at,
        }
    }
}

impl From<Excerpt<GapRow>> for Gaps {
    fn from(found: Excerpt<GapRow>) -> Self {
        let items = found.rows.into_iter().map(Into::into).collect();
        Self { total: found.total, records: found.records, items }
    }
}

impl From<Excerpt<QuarantinedRow>> for Quarantine {
    fn from(found: Excerpt<QuarantinedRow>) -> Self {
        let items = found.rows.into_iter().map(Into::into).collect();
        Self { total: found.total, records: found.records, items }
    }
}
