//! What the indexers can be told.

use crate::supervision::kind::Kind;
use crate::supervision::plan::Plan;
use std::time::Duration;

/// Sizes of the indexers; the default is what is tested.
#[derive(Clone, Debug)]
pub struct IndexerConfig {
    /// Consumer group; its committed offsets say what is stored.
    pub group: String,
    /// Topic of events and commands.
    pub topic: String,
    /// Topic of the records that nobody could handle.
    pub dlq_topic: String,
    /// How long a record may wait for others before its batch is handed over.
    pub linger: Duration,
    /// Records that a batch may grow to while its indexer is busy; then its partition is paused.
    pub batch_records: usize,
    /// Bytes, likewise. Up to three batches of a partition are in memory: one grows, one waits, one is stored.
    pub batch_bytes: usize,
    /// Events that are sent to the index together, at most.
    pub bulk_records: usize,
    /// Bytes of their records, at most, but always one event.
    pub bulk_bytes: usize,
    /// At least so long between two refreshes of the index.
    pub refresh_every: Duration,
    /// What is done when an indexer dies: it always begins anew, since search takes no other part down.
    pub plan: Plan,
    /// Further settings of the consumer, by librdkafka's names.
    pub consumer_settings: Vec<(String, String)>,
}

/// Beside the indexers, which are guests by the plan, their way to the dead letters must never end either.
fn guests() -> Plan {
    let plan = Plan::default();
    let policy = plan.of(Kind::Indexer).policy;
    plan.with(Kind::DeadLetterWriter, policy)
}

impl Default for IndexerConfig {
    fn default() -> Self {
        Self {
            group: schema::names::INDEXER_GROUP.to_owned(),
            topic: schema::names::RAW_TOPIC.to_owned(),
            dlq_topic: schema::names::DLQ_TOPIC.to_owned(),
            linger: Duration::from_millis(100),
            batch_records: 10_000,
            batch_bytes: 4 << 20,
            bulk_records: 2_500,
            bulk_bytes: 4 << 20,
            refresh_every: Duration::from_secs(1),
            plan: guests(),
            consumer_settings: Vec::new(),
        }
    }
}
