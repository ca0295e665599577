//! What a poll thread asks of librdkafka's consumer: records into batches, partitions on and off, errors said once.

use super::batch::{Labels, RecordBatch};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schema::names::{KIND_COMMAND, KIND_HEADER, RETRIES_HEADER, TRACEPARENT_HEADER};
use schema::trace::TraceParent;
use std::sync::Arc;
use std::time::Duration;

/// How long the broker may take to show that it is there at the end.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// The consumer of one topic.
pub(crate) struct Source<C: ConsumerContext + 'static> {
    pub consumer: Arc<BaseConsumer<C>>,
    topic: String,
    /// Kinds of errors that were said since records last flowed.
    said: Vec<Option<RDKafkaErrorCode>>,
}

impl<C: ConsumerContext + 'static> Source<C> {
    pub(crate) fn new(consumer: Arc<BaseConsumer<C>>, topic: &str) -> Self {
        Self { consumer, topic: topic.to_owned(), said: Vec::new() }
    }

    pub(crate) fn context(&self) -> &Arc<C> {
        self.consumer.context()
    }

    /// A record has come: the next error is news again.
    pub(crate) fn flows(&mut self) {
        self.said.clear();
    }

    /// librdkafka repeats itself several times a second while a broker is away: each kind is said once until records flow
    /// again.
    pub(crate) fn note_error(&mut self, error: &KafkaError) {
        let kind = error.rdkafka_error_code();
        if !self.said.contains(&kind) {
            tracing::warn!(topic = self.topic, %error, "the log answers with an error");
            self.said.push(kind);
        }
    }

    /// Stops or goes on fetching a partition.
    pub(crate) fn switch(&self, partition: i32, pause: bool) {
        let list = self.list(partition, Offset::Invalid);
        let switched = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        if let Err(error) = switched {
            tracing::warn!(topic = self.topic, partition, pause, %error, "cannot pause or resume a partition");
        }
    }

    /// Whether the broker answers just now. Without it librdkafka waits with a last commit for as long as a session lasts.
    pub(crate) fn answers(&self) -> bool {
        let told = self.consumer.fetch_metadata(Some(&self.topic), LAST_ANSWER);
        told.inspect_err(|error| tracing::warn!(topic = self.topic, %error, "the last offsets are not committed"))
            .is_ok()
    }

    /// One partition, as librdkafka wants it named.
    pub(crate) fn list(&self, partition: i32, offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        self.add(&mut list, partition, offset);
        list
    }

    /// Names one more partition.
    pub(crate) fn add(&self, list: &mut TopicPartitionList, partition: i32, offset: Offset) {
        if let Err(error) = list.add_partition_offset(&self.topic, partition, offset) {
            tracing::error!(topic = self.topic, partition, %error, "cannot name a partition to librdkafka");
        }
    }
}

/// Adds a record to its partition's batch.
pub(crate) fn gather(batch: &mut RecordBatch, message: &BorrowedMessage<'_>) {
    let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
    batch.push(message.offset(), labels(message), key, payload);
}

/// What a record's headers say.
fn labels(message: &BorrowedMessage<'_>) -> Labels {
    let mut labels = Labels::default();
    let Some(headers) = message.headers() else { return labels };
    for header in headers.iter() {
        match header.key {
            KIND_HEADER => labels.is_command = header.value == Some(KIND_COMMAND),
            RETRIES_HEADER => {
                let text = header.value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
                labels.retries = text.parse().unwrap_or(0);
            }
            TRACEPARENT_HEADER => labels.trace = header.value.and_then(TraceParent::from_bytes),
            _ => {}
        }
    }
    labels
}
