//! The topics of the log: made if they are missing.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schema::names::{DLQ_TOPIC, RAW_TOPIC};
use std::time::Duration;

/// How long the log may take to make them.
const PATIENCE: Duration = Duration::from_secs(30);
const SEVEN_DAYS_MS: &str = "604800000";
const THIRTY_DAYS_MS: &str = "2592000000";

/// How new topics are laid out. Topics that exist are left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Partitions of `signals.raw.v1`.
    pub partitions: i32,
    /// Copies of each partition; -1 leaves that to the cluster.
    pub replication: i32,
}

impl Default for Layout {
    fn default() -> Self {
        Self { partitions: 6, replication: -1 }
    }
}

/// Why a topic is not there.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The log does not answer, or refuses to talk about topics.
    #[error("the log cannot be asked for its topics: {0}")]
    Admin(#[from] KafkaError),
    /// The log refuses this topic.
    #[error("the log does not make the topic {topic}: {code}")]
    Refused {
        /// Topic.
        topic: String,
        /// Its reason.
        code: RDKafkaErrorCode,
    },
}

/// Makes both topics unless they are there.
///
/// # Errors
/// [`TopicError`]; can be tried again without harm.
pub async fn ensure(kafka: &ClientConfig, layout: Layout) -> Result<(), TopicError> {
    let admin: AdminClient<DefaultClientContext> = kafka.create()?;
    let copies = || TopicReplication::Fixed(layout.replication);
    let raw = NewTopic::new(RAW_TOPIC, layout.partitions, copies())
        .set("cleanup.policy", "delete")
        .set("retention.ms", SEVEN_DAYS_MS);
    let dlq = NewTopic::new(DLQ_TOPIC, 1, copies()).set("cleanup.policy", "delete").set("retention.ms", THIRTY_DAYS_MS);
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    for made in admin.create_topics([&raw, &dlq], &options).await? {
        match made {
            Ok(topic) => tracing::info!(topic, "the topic is made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(TopicError::Refused { topic, code }),
        }
    }
    Ok(())
}
