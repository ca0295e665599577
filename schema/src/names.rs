//! The names that the processes must agree on: topics, consumer groups, record headers.

/// Every accepted event and every command, keyed by project id. Kept 7 days.
pub const RAW_TOPIC: &str = "signals.raw.v1";
/// Records that nobody could handle, bytes unchanged. Kept 30 days.
pub const DLQ_TOPIC: &str = "signals.dlq.v1";
/// The consumer group of the engine; also the key of its rows in `partition_checkpoints`.
pub const ENGINE_GROUP: &str = "incident-engine-group";
/// The consumer group of the search indexer.
pub const INDEXER_GROUP: &str = "indexer-group";
/// Record header that tells an event from a command. A record without it is an event.
pub const KIND_HEADER: &str = "signals-record-kind";
/// Value of [`KIND_HEADER`] for a person's command.
pub const KIND_COMMAND: &[u8] = b"command";
/// Record header that says how often a record was taken back out of the dead letters, as decimal text.
pub const RETRIES_HEADER: &str = "signals-retries";
/// Record header with the trace that a record belongs to; see [`crate::trace::TraceParent`]. Absent if its client sent none.
pub const TRACEPARENT_HEADER: &str = "traceparent";
/// `schema_version` of the records written today.
pub const SCHEMA_VERSION: &str = "1.0";

/// Headers of a dead letter, by the names of Kafka Connect (KIP-298): the topic that the record came from.
pub const ORIGIN_TOPIC_HEADER: &str = "__connect.errors.topic";
/// Its partition there, as decimal text.
pub const ORIGIN_PARTITION_HEADER: &str = "__connect.errors.partition";
/// Its offset there, as decimal text.
pub const ORIGIN_OFFSET_HEADER: &str = "__connect.errors.offset";
/// The consumer group that could not handle it.
pub const CONNECTOR_HEADER: &str = "__connect.errors.connector.name";
/// Where it failed: `decode`, `incident`, `project`, `quarantine`, `flush` or, for the search index, `index`.
pub const STAGE_HEADER: &str = "__connect.errors.stage";
/// Why, in a sentence.
pub const REASON_HEADER: &str = "__connect.errors.exception.message";
/// Header of a record without value in the dead-letter topic: the letter of the same origin was put back into the log,
/// with this number in [`RETRIES_HEADER`].
pub const RETRIED_HEADER: &str = "signals-retried";
