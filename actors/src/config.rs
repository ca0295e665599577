//! What the engine can be told.

use crate::router::book::BookPolicy;
use crate::router::quarantine::QuarantinePolicy;
use crate::summarizer::pool::JobsQueued;
use crate::supervision::plan::Plan;
pub use schema::database::Database;
use std::time::Duration;

/// Sizes of the engine; the default is what is tested.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Consumer group; also the key of the checkpoints.
    pub group: String,
    /// Topic of events and commands.
    pub topic: String,
    /// Topic of the records that nobody could handle.
    pub dlq_topic: String,
    /// An event id is remembered for so many offsets of its partition.
    pub dedupe_records: i64,
    /// And for so long, in milliseconds of received time.
    pub dedupe_age_ms: i64,
    /// Records that a batch may grow to while its router is busy; then its partition is paused.
    pub batch_records: usize,
    /// The same for their bytes.
    pub batch_bytes: usize,
    /// Batches that may wait in a router's inbox, besides the one that grows.
    pub batches_waiting: usize,
    /// Records that one flush may contain...
    pub flush_records: usize,
    /// ...and their bytes, which are held until the cut.
    pub flush_bytes: usize,
    /// Under load, at least this long between two cuts of a partition.
    pub shortest_pace: Duration,
    /// Under load, at most this long.
    pub longest_pace: Duration,
    /// IncidentActors (and as many ProjectActors) that may live with one router.
    pub residents: usize,
    /// What bounds a project.
    pub limits: BookPolicy,
    /// When a fingerprint's records are no longer tried.
    pub quarantine: QuarantinePolicy,
    /// How often each part may die, how soon it lives again, and who dies of it when it has died too often.
    pub plan: Plan,
    /// Told of every commit that queued jobs for summaries; whoever writes them in this process listens.
    pub jobs_queued: JobsQueued,
    /// Further settings of the consumer, by librdkafka's names.
    pub consumer_settings: Vec<(String, String)>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            group: schema::names::ENGINE_GROUP.to_owned(),
            topic: schema::names::RAW_TOPIC.to_owned(),
            dlq_topic: schema::names::DLQ_TOPIC.to_owned(),
            dedupe_records: 100_000,
            dedupe_age_ms: 3_600_000,
            batch_records: 32_000,
            batch_bytes: 24 << 20,
            batches_waiting: 1,
            flush_records: 100_000,
            flush_bytes: 64 << 20,
            shortest_pace: Duration::from_millis(50),
            longest_pace: Duration::from_secs(2),
            residents: 50_000,
            limits: BookPolicy::default(),
            quarantine: QuarantinePolicy::default(),
            plan: Plan::default(),
            jobs_queued: JobsQueued::default(),
            consumer_settings: Vec::new(),
        }
    }
}
