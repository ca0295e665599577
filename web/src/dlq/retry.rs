//! Puts a dead letter back into the log: same topic, key and bytes, one attempt more in its header.
//!
//! The record goes first, the note that it did second: a crash in between lets the letter look untouched, and putting
//! it back once more is harmless as long as the engine remembers the first (the same attempt is counted once within
//! the dedupe window).

use super::letter::Letter;
use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use schema::names;
use std::time::Duration;

/// A letter with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub letter: Letter,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

/// The way back into the log.
pub(super) struct Returns {
    producer: FutureProducer,
    dlq_topic: String,
}

impl Returns {
    pub(super) fn new(kafka: &ClientConfig, dlq_topic: &str) -> anyhow::Result<Self> {
        let mut kafka = kafka.clone();
        kafka.set("enable.idempotence", "true").set("message.timeout.ms", "15000");
        Ok(Self { producer: kafka.create()?, dlq_topic: dlq_topic.to_owned() })
    }

    /// Puts it back and notes that. Returns where it stands now.
    pub(super) async fn put_back(&self, whole: &Whole) -> anyhow::Result<String> {
        let attempt = attempt(&whole.letter);
        let headers = headers(&whole.letter);
        let origin = &whole.letter.origin;
        let record = FutureRecord::to(&origin.topic).key(&whole.key).payload(&whole.payload).headers(headers);
        let sent = self.producer.send(record, Timeout::After(Duration::from_secs(15))).await;
        let delivery = sent.map_err(|(error, _)| error).context("the log did not take the record")?;
        let headers = [
            (names::ORIGIN_TOPIC_HEADER, origin.topic.clone()),
            (names::ORIGIN_PARTITION_HEADER, origin.partition.to_string()),
            (names::ORIGIN_OFFSET_HEADER, origin.offset.to_string()),
            (names::RETRIED_HEADER, attempt),
        ];
        let headers = headers.iter().fold(OwnedHeaders::new(), |all, (name, value)| with(all, name, value.as_bytes()));
        let note: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&self.dlq_topic).key(whole.key.as_slice()).headers(headers);
        let noted = self.producer.send(note, Timeout::After(Duration::from_secs(15))).await;
        noted.map_err(|(error, _)| error).context("the record is back in the log, but the note of it failed")?;
        Ok(format!("{}:{}:{}", origin.topic, delivery.partition, delivery.offset))
    }
}

fn attempt(letter: &Letter) -> String {
    letter.retries.saturating_add(1).to_string()
}

/// Of a letter that goes back into the log.
pub(super) fn headers(letter: &Letter) -> OwnedHeaders {
    let mut headers = with(OwnedHeaders::new(), names::RETRIES_HEADER, attempt(letter).as_bytes());
    if letter.is_command {
        headers = with(headers, names::KIND_HEADER, names::KIND_COMMAND);
    }
    match &letter.traceparent {
        Some(trace) => with(headers, names::TRACEPARENT_HEADER, trace.as_bytes()),
        None => headers,
    }
}

fn with(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}
