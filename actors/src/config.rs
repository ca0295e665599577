//! What the engine can be told.

pub use schema::database::Database;

/// Sizes of the engine; the default is what is tested.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Topic of events and commands.
    pub topic: String,
    /// An event id is remembered for so many offsets of its partition.
    pub dedupe_records: i64,
    /// And for so long, in milliseconds of received time.
    pub dedupe_age_ms: i64,
    /// Records of one batch.
    pub batch_records: usize,
    /// Batches that may wait for a router before its partition is paused.
    pub batches_waiting: usize,
    /// Records that one flush may contain.
    pub flush_records: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            topic: schema::names::RAW_TOPIC.to_owned(),
            dedupe_records: 100_000,
            dedupe_age_ms: 3_600_000,
            batch_records: 2_000,
            batches_waiting: 4,
            flush_records: 50_000,
        }
    }
}
