//! Reads the dead-letter topic from its beginning to where it ended when the reading began. Belongs to no group and
//! commits nothing. Blocks: to be called on a thread that may.

use super::letter::Place;
use anyhow::{Context, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How long the log may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one poll waits.
const ROUND: Duration = Duration::from_millis(200);

/// Shows `visit` every record that the topic holds now, in the order of each partition, until it breaks.
///
/// # Errors
/// The log does not answer, or stops answering; the error of `visit`.
pub fn scan(
    kafka: &ClientConfig,
    topic: &str,
    visit: &mut dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let consumer = consumer(kafka)?;
    let known = consumer.fetch_metadata(Some(topic), PATIENCE).context("the log does not answer")?;
    let partitions = known.topics().first().map(|topic| topic.partitions()).unwrap_or_default();
    ensure!(!partitions.is_empty(), "the log has no topic {topic}");
    let mut list = TopicPartitionList::new();
    let mut ends = HashMap::new();
    for partition in partitions.iter().map(|partition| partition.id()) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).context("the log does not answer")?;
        if low < high {
            list.add_partition_offset(topic, partition, Offset::Offset(low))?;
            ends.insert(partition, high);
        }
    }
    read(&consumer, &list, ends, visit)
}

/// Shows `visit` the record at `place`.
///
/// # Errors
/// The log does not answer, or holds no such record.
pub fn one(
    kafka: &ClientConfig,
    topic: &str,
    place: Place,
    visit: &mut dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let consumer = consumer(kafka)?;
    let (low, high) =
        consumer.fetch_watermarks(topic, place.partition, PATIENCE).with_context(|| format!("no place {place}"))?;
    ensure!((low..high).contains(&place.offset), "{topic} holds nothing at {place}");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, place.partition, Offset::Offset(place.offset))?;
    let mut found = false;
    let ends = HashMap::from([(place.partition, place.offset.saturating_add(1))]);
    read(&consumer, &list, ends, &mut |message| {
        found = message.offset() == place.offset;
        visit(message).map(ControlFlow::Break)
    })?;
    ensure!(found, "{topic} holds nothing at {place}");
    Ok(())
}

fn read(
    consumer: &BaseConsumer,
    list: &TopicPartitionList,
    mut ends: HashMap<i32, i64>,
    visit: &mut dyn FnMut(&BorrowedMessage<'_>) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    consumer.assign(list)?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(ROUND) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (partition, offset) = (message.partition(), message.offset());
                let Some(end) = ends.get(&partition).copied() else { continue };
                if offset < end && visit(&message)?.is_break() {
                    return Ok(());
                }
                if offset.saturating_add(1) >= end {
                    ends.remove(&partition);
                }
            }
            // The last offsets may be ones that hold no record.
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ends.remove(&partition)),
            Some(Err(error)) if heard.elapsed() > PATIENCE => return Err(error).context("the log does not answer"),
            None if heard.elapsed() > PATIENCE => bail!("the log stopped answering"),
            Some(Err(_)) | None => {}
        }
    }
    Ok(())
}

fn consumer(kafka: &ClientConfig) -> anyhow::Result<BaseConsumer> {
    let mut kafka = kafka.clone();
    // librdkafka wants a name to poll under; without a subscription and without a commit no group comes of it.
    kafka.set("group.id", "signals-dlq").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    Ok(kafka.create()?)
}
