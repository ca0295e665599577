//! The embedded log: durable through `kill -9`, quick to wake its consumers, quick to start again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends loudly"
)]

mod support;

use embedded::data_dir::DataDir;
use embedded::log::{EmbeddedLog, PARTITIONS};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use support::Process;

const TOPIC: &str = "signals.raw.v1";
const ROUNDS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);

async fn start(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::start(&DataDir::open(folder).unwrap()).await.unwrap()
}

fn client(log: &EmbeddedLog) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", log.brokers());
    config
}

async fn create_topic(log: &EmbeddedLog, name: &str) {
    let admin: AdminClient<DefaultClientContext> = client(log).create().unwrap();
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1))
        .set("cleanup.policy", "delete")
        .set("retention.ms", "604800000");
    let results = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    for result in results {
        assert!(matches!(result, Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))), "{result:?}");
    }
}

fn producer(log: &EmbeddedLog) -> FutureProducer {
    client(log).set("enable.idempotence", "true").set("acks", "all").set("compression.type", "lz4").create().unwrap()
}

fn consumer(log: &EmbeddedLog, group: &str) -> BaseConsumer {
    let mut config = client(log);
    for (name, value) in EmbeddedLog::consumer_settings() {
        config.set(*name, *value);
    }
    config.set("group.id", group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    config.set("partition.assignment.strategy", "cooperative-sticky").create().unwrap()
}

/// The records of a partition from its beginning to the end that it has now: offset to payload.
fn read_all(log: &EmbeddedLog, topic: &str) -> BTreeMap<i64, String> {
    let consumer = consumer(log, "reader");
    let (_, end) = consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap();
    let mut position = TopicPartitionList::new();
    position.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&position).unwrap();
    let mut found = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    while found.len() < usize::try_from(end).unwrap() {
        assert!(Instant::now() < deadline, "{} of {end} records read", found.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            let payload = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
            assert_eq!(found.insert(message.offset(), payload), None, "an offset came twice");
        }
    }
    found
}

/// The child: starts the log and produces in pipelined waves, naming each acknowledged record.
#[tokio::test]
#[ignore = "run by the other tests as a process of its own"]
async fn child_produces_records() {
    let begun = Instant::now();
    let log = start(&support::folder()).await;
    println!("\nstarted {} ms", begun.elapsed().as_millis());
    create_topic(&log, TOPIC).await;
    let producer = producer(&log);
    println!("producing");
    let session = uuid::Uuid::new_v4();
    for wave in 0.. {
        let sent: Vec<_> = (0..50)
            .map(|number| {
                let payload = format!("{session}/{wave}/{number}");
                let record = FutureRecord::<(), _>::to(TOPIC).payload(&payload);
                (producer.send_result(record).map_err(|(error, _)| error).unwrap(), payload)
            })
            .collect();
        for (delivery, payload) in sent {
            let delivery = delivery.await.unwrap().unwrap();
            println!("record {} {payload}.", delivery.offset);
        }
    }
}

#[tokio::test]
async fn records_survive_kill_9_and_none_is_doubled() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let mut acknowledged = BTreeMap::new();
    let mut acknowledge = |line: &str| {
        let (offset, payload) = line.trim_end_matches('.').split_once(' ').unwrap();
        acknowledged.insert(offset.parse::<i64>().unwrap(), payload.to_owned());
    };
    for round in 0..ROUNDS {
        let mut process = Process::start("child_produces_records", &folder);
        println!("round {round}: start took {}", process.says("started"));
        process.says("producing");
        for _ in 0..=round * 777 {
            acknowledge(&process.says("record"));
        }
        for line in process.kill("record") {
            acknowledge(&line);
        }
    }
    let log = start(&folder).await;
    let found = read_all(&log, TOPIC);
    println!("{} records acknowledged, {} found", acknowledged.len(), found.len());
    for (offset, payload) in &acknowledged {
        assert_eq!(found.get(offset), Some(payload), "offset {offset}");
    }
    let distinct: std::collections::BTreeSet<_> = found.values().collect();
    assert_eq!(distinct.len(), found.len(), "a record is in the log twice");
    // Beyond the acknowledged ones, at most the wave in flight at each kill.
    assert!(found.len() <= acknowledged.len() + ROUNDS * 50);
    log.stop().await.unwrap();
}

#[tokio::test]
async fn a_group_goes_on_at_once_where_a_killed_process_left() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let mut process = Process::start("child_consumes_some", &folder);
    process.says("committed");
    process.kill("");
    let begun = Instant::now();
    let log = start(&folder).await;
    let consumer = consumer(&log, "engine");
    consumer.subscribe(&[TOPIC]).unwrap();
    let first = next(&consumer);
    println!("from start to the first record of the group: {:?}", begun.elapsed());
    assert_eq!(first.0, 5, "the committed offset");
    assert!(begun.elapsed() < Duration::from_secs(3), "the dead member was waited for");
    drop(consumer);
    log.stop().await.unwrap();
}

/// The child: writes ten records, reads and commits five of them in a group, and waits to be killed.
#[tokio::test]
#[ignore = "run by the other tests as a process of its own"]
async fn child_consumes_some() {
    let log = start(&support::folder()).await;
    create_topic(&log, TOPIC).await;
    let producer = producer(&log);
    for number in 0..10 {
        let payload = number.to_string();
        producer.send(FutureRecord::<(), _>::to(TOPIC).payload(&payload), PATIENCE).await.unwrap();
    }
    let consumer = consumer(&log, "engine");
    consumer.subscribe(&[TOPIC]).unwrap();
    for _ in 0..4 {
        next(&consumer);
    }
    let deadline = Instant::now() + PATIENCE;
    let message = loop {
        assert!(Instant::now() < deadline);
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            break message.unwrap();
        }
    };
    consumer.commit_message(&message, CommitMode::Sync).unwrap();
    println!("\ncommitted");
    std::future::pending::<()>().await;
}

fn next(consumer: &BaseConsumer) -> (i64, String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no record came");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            return (message.offset(), String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_consumer_is_woken_by_the_record_and_not_by_the_clock() {
    let parent = tempfile::tempdir().unwrap();
    let log = start(&parent.path().join("data")).await;
    create_topic(&log, TOPIC).await;
    let producer = producer(&log);
    let mut config = client(&log);
    config.set("group.id", "patient").set("auto.offset.reset", "earliest").set("fetch.wait.max.ms", "15000");
    // A request of its own may take as long as it waits.
    config.set("socket.timeout.ms", "30000");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut position = TopicPartitionList::new();
    position.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&position).unwrap();
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        let payload = number.to_string();
        let sent = Instant::now();
        producer.send(FutureRecord::<(), _>::to(TOPIC).payload(&payload), PATIENCE).await.unwrap();
        assert_eq!(tokio::task::block_in_place(|| next(&consumer)), (number, payload));
        if number > 0 {
            slowest = slowest.max(sent.elapsed());
        }
    }
    println!("slowest of 19: {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?} with a wait of 15 s");
    drop(consumer);
    log.stop().await.unwrap();
}

#[tokio::test]
async fn a_position_beyond_the_end_is_refused_and_not_waited_at() {
    let parent = tempfile::tempdir().unwrap();
    let log = start(&parent.path().join("data")).await;
    create_topic(&log, TOPIC).await;
    let mut config = client(&log);
    config.set("group.id", "lost").set("auto.offset.reset", "error");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut position = TopicPartitionList::new();
    position.add_partition_offset(TOPIC, 0, Offset::Offset(1_000)).unwrap();
    consumer.assign(&position).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let refusal = loop {
        assert!(Instant::now() < deadline, "the consumer waits for ever");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Err(KafkaError::MessageConsumption(code))) => break code,
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    };
    assert!(matches!(refusal, RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange), "{refusal:?}");
    drop(consumer);
    log.stop().await.unwrap();
}

#[tokio::test]
async fn keys_headers_and_both_topics_come_back_as_they_were_sent() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("with space/daten");
    let log = start(&folder).await;
    create_topic(&log, TOPIC).await;
    create_topic(&log, "signals.dlq.v1").await;
    let headers = OwnedHeaders::new().insert(Header { key: "__connect.errors.topic", value: Some(TOPIC) });
    let record = FutureRecord::to("signals.dlq.v1").key("proj_1").payload(&[0u8, 255, 10][..]).headers(headers);
    producer(&log).send(record, PATIENCE).await.unwrap();
    log.stop().await.unwrap();

    let log = start(&folder).await;
    let consumer = consumer(&log, "dlq");
    consumer.subscribe(&["signals.dlq.v1"]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let message = loop {
        assert!(Instant::now() < deadline);
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            break message.unwrap();
        }
    };
    assert_eq!((message.key(), message.payload()), (Some(&b"proj_1"[..]), Some(&[0u8, 255, 10][..])));
    let header = message.headers().unwrap().get(0);
    assert_eq!((header.key, header.value), ("__connect.errors.topic", Some(TOPIC.as_bytes())));
    drop(message);
    drop(consumer);
    log.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_and_dropping_end_the_thread_and_free_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let log = start(&folder).await;
    let brokers = log.brokers().to_owned();
    log.stop().await.unwrap();
    assert!(std::net::TcpStream::connect(&brokers).is_err());
    assert!(!folder.join("log/log.sqlite-wal").exists(), "the file was not closed in order");
    drop(start(&folder).await);
    let begun = Instant::now();
    let log = start(&folder).await;
    println!("third start took {:?}", begun.elapsed());
    log.stop().await.unwrap();
}
