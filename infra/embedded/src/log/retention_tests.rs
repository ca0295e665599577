//! What a topic looks like when its time has passed.

#![allow(clippy::unwrap_used)]

use super::offsets::ListOffsets;
use super::records::{Partition, Records, TopicName};
use super::storage::LogStorage;
use rama::{Context, Service};
use std::time::{Duration, SystemTime};
use tansu_sans_io::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use tansu_sans_io::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use tansu_sans_io::record::{Header, Record, inflated};
use tansu_sans_io::{ListOffsetsRequest, record};
use tansu_storage::{Storage, Topition};

const TOPIC: TopicName<'static> = TopicName { name: Some("topic"), id: None };
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

async fn storage(folder: &std::path::Path) -> (LogStorage, Records) {
    let storage = LogStorage::open(folder, "127.0.0.1:1".parse().unwrap()).await.unwrap();
    let records = Records::open(&storage.file).await.unwrap();
    let setting = |name: &str, value: String| CreatableTopicConfig::default().name(name.into()).value(Some(value));
    let settings =
        vec![setting("cleanup.policy", "delete".into()), setting("retention.ms", WEEK.as_millis().to_string())];
    let topic = CreatableTopic::default().name("topic".into()).num_partitions(1).replication_factor(1);
    let topic = topic.assignments(Some(Vec::new())).configs(Some(settings));
    storage.storage.create_topic(topic, false).await.unwrap();
    (storage, records)
}

async fn write(storage: &LogStorage, at: SystemTime) {
    let time = i64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let header = Header::builder().key("k".into()).value("v".into());
    let record = Record::builder().value(Some("value".into())).header(header);
    let batch = inflated::Batch::builder().base_timestamp(time).record(record).build().unwrap();
    let batch: record::deflated::Batch = batch.try_into().unwrap();
    storage.storage.produce(None, &Topition::new("topic", 0), batch).await.unwrap();
}

async fn partition(records: &Records) -> Partition {
    records.partition(TOPIC, 0).await.unwrap().unwrap()
}

async fn offsets(records: &Records, timestamp: i64) -> Option<i64> {
    let partition = ListOffsetsPartition::default().partition_index(0).timestamp(timestamp);
    let topic = ListOffsetsTopic::default().name("topic".into()).partitions(Some(vec![partition]));
    let request = ListOffsetsRequest::default().topics(Some(vec![topic]));
    let response = ListOffsets { records: records.clone() }.serve(Context::default(), request).await.unwrap();
    response.topics.unwrap()[0].partitions.as_ref().unwrap()[0].offset
}

#[tokio::test]
async fn old_records_go_and_the_end_of_the_log_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, records) = storage(folder.path()).await;
    let now = SystemTime::now();
    for age in [3, 2, 0] {
        write(&storage, now - WEEK * age).await;
    }
    storage.storage.maintain(now).await.unwrap();
    let left = partition(&records).await;
    assert_eq!((left.start(), left.end), (2, 3));
    assert!(!left.covers(1), "a consumer is told that its records are gone");
    let batch = records.read(&left, 0, usize::MAX).await.unwrap().unwrap();
    assert_eq!((batch.base_offset, batch.record_count), (2, 1));

    storage.storage.maintain(now + WEEK * 2).await.unwrap();
    let emptied = partition(&records).await;
    assert_eq!((emptied.start(), emptied.end), (3, 3));
    assert_eq!((offsets(&records, -2).await, offsets(&records, -1).await), (Some(3), Some(3)));
    write(&storage, now).await;
    assert_eq!(partition(&records).await.end, 4);
}

#[tokio::test]
async fn a_time_is_found_by_its_first_record() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, records) = storage(folder.path()).await;
    let base = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000);
    for step in 0..3 {
        write(&storage, base + Duration::from_millis(step * 10)).await;
    }
    for (time, offset) in [(0, 0), (1_000, 0), (1_001, 1), (1_020, 2), (1_021, -1)] {
        assert_eq!(offsets(&records, time).await, Some(offset), "{time}");
    }
}

#[tokio::test]
async fn one_record_comes_even_if_the_budget_is_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, records) = storage(folder.path()).await;
    for _ in 0..3 {
        write(&storage, SystemTime::now()).await;
    }
    let partition = partition(&records).await;
    let count = async |budget| records.read(&partition, 0, budget).await.unwrap().unwrap().record_count;
    assert_eq!((count(1).await, count(50).await, count(5_000).await), (1, 2, 3));
    assert!(records.partition(TOPIC, 1).await.unwrap().is_none(), "no such partition");
}
