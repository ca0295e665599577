//! Records that nobody could handle: kept byte for byte in `signals.dlq.v1`, with the reason.
//!
//! Header names are those of Kafka Connect (KIP-298), so that tools which know them show ours.

use crate::flusher::retry::Patience;
use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use schema::names::{self, KIND_COMMAND, KIND_HEADER, RETRIES_HEADER, TRACEPARENT_HEADER};
use schema::trace::TraceParent;
use std::sync::Arc;
use std::time::Duration;

/// Letters that wait for their acknowledgements side by side: one after the other, each would cost a flush a round trip.
const TOGETHER: usize = 1_000;

/// One record on its way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Partition that it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub payload: Vec<u8>,
    /// Whether it is a person's command.
    pub is_command: bool,
    /// How often it had been taken back before.
    pub retries: u32,
    /// `decode`, `incident`, `project`, `quarantine` or `index`.
    pub stage: &'static str,
    /// A sentence: the parser's, or the panic's message.
    pub reason: String,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// The way to the dead-letter topic.
#[derive(Clone)]
pub struct DeadLetterProducer {
    producer: FutureProducer,
    origin: Arc<str>,
    topic: Arc<str>,
    group: Arc<str>,
}

impl std::fmt::Debug for DeadLetterProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterProducer").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl DeadLetterProducer {
    /// Connects when the first letter is sent. `origin` is the topic that the records come from.
    ///
    /// # Errors
    /// librdkafka's, for settings that it does not know.
    pub fn new(mut kafka: ClientConfig, origin: &str, topic: &str) -> KafkaResult<Self> {
        kafka.set("enable.idempotence", "true").set("message.timeout.ms", "10000");
        let group = names::ENGINE_GROUP.into();
        Ok(Self { producer: kafka.create()?, origin: origin.into(), topic: topic.into(), group })
    }

    /// The same, on behalf of another consumer group than the engine's.
    #[must_use]
    pub fn on_behalf_of(self, group: &str) -> Self {
        Self { group: group.into(), ..self }
    }

    /// Sends all and tries each again until it is acknowledged. They are handed over in order; one that must be tried
    /// again may come to stand behind later ones.
    pub async fn send(&self, letters: &[DeadLetter]) {
        for together in letters.chunks(TOGETHER) {
            join_all(together.iter().map(|letter| self.send_until_taken(letter))).await;
        }
    }

    async fn send_until_taken(&self, letter: &DeadLetter) {
        let mut wait = Patience::default();
        while let Err(error) = self.send_once(letter).await {
            wait.after(&error, "a dead letter was not taken, will try again").await;
        }
    }

    async fn send_once(&self, letter: &DeadLetter) -> Result<(), String> {
        let record = FutureRecord::to(&self.topic).key(&letter.key).payload(&letter.payload).headers(headers(
            letter,
            &self.origin,
            &self.group,
        ));
        let sent = self.producer.send(record, Timeout::After(Duration::from_secs(10))).await;
        sent.map(drop).map_err(|(error, _)| error.to_string())
    }
}

fn headers(letter: &DeadLetter, origin: &str, group: &str) -> OwnedHeaders {
    let texts = [
        (names::ORIGIN_TOPIC_HEADER, origin.to_owned()),
        (names::ORIGIN_PARTITION_HEADER, letter.partition.to_string()),
        (names::ORIGIN_OFFSET_HEADER, letter.offset.to_string()),
        (names::CONNECTOR_HEADER, group.to_owned()),
        (names::STAGE_HEADER, letter.stage.to_owned()),
        (names::REASON_HEADER, letter.reason.clone()),
        (RETRIES_HEADER, letter.retries.to_string()),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(texts.len() + 2);
    for (key, value) in &texts {
        headers = headers.insert(Header { key, value: Some(value.as_bytes()) });
    }
    if letter.is_command {
        headers = headers.insert(Header { key: KIND_HEADER, value: Some(KIND_COMMAND) });
    }
    if let Some(trace) = letter.trace {
        headers = headers.insert(Header { key: TRACEPARENT_HEADER, value: Some(trace.to_string().as_bytes()) });
    }
    headers
}
