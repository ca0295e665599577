//! How fast the embedded log takes records, gives a backlog back, and does both at once.
//!
//! `log_throughput RECORDS PARTITIONS`: records of 520 bytes, of which a consumer that starts late must read all.

use embedded::data_dir::DataDir;
use embedded::log::EmbeddedLog;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::error::Error;
use std::time::{Duration, Instant};

type AnyError = Box<dyn Error + Send + Sync>;

const BYTES: usize = 520;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [records, partitions] = words.as_slice() else { return Err("log_throughput RECORDS PARTITIONS".into()) };
    let (records, partitions): (usize, i32) = (records.parse()?, partitions.parse()?);
    let folder = tempfile::tempdir()?;
    let log = EmbeddedLog::start(&DataDir::open(folder.path())?).await?;
    let config = |log: &EmbeddedLog| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", log.brokers());
        config
    };
    let admin: AdminClient<DefaultClientContext> = config(&log).create()?;
    for name in ["backlog", "both"] {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        admin.create_topics([&topic], &AdminOptions::new()).await?;
    }
    let (to_produce, to_drain, to_follow) = (config(&log), config(&log), config(&log));

    let written = produce(to_produce.clone(), "backlog", records)?;
    report("produce", records, written);
    let drained = consume(to_drain, "backlog", records)?;
    report("drain of a backlog", records, drained);

    let begun = Instant::now();
    let follower = std::thread::spawn(move || consume(to_follow, "both", records));
    let written = produce(to_produce, "both", records)?;
    report("produce beside a consumer", records, written);
    follower.join().map_err(|_| "the consumer panicked")??;
    report("consume beside a producer", records, begun.elapsed());
    log.stop().await?;
    Ok(())
}

fn report(what: &str, records: usize, took: Duration) {
    let rate = u128::try_from(records).unwrap_or(0) * 1_000 / took.as_millis().max(1);
    println!("{what:28} {records} records in {:6.2} s: {rate} records/s", took.as_secs_f64());
}

fn produce(mut config: ClientConfig, topic: &str, records: usize) -> Result<Duration, AnyError> {
    config.set("enable.idempotence", "true").set("acks", "all").set("compression.type", "lz4").set("linger.ms", "5");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
    let begun = Instant::now();
    for number in 0..records {
        let (key, payload) = (format!("project-{}", number % 10), format!("{number:0BYTES$}"));
        let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
        while let Err((error, refused)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            record = refused;
            producer.poll(Duration::from_millis(1));
        }
    }
    producer.flush(Duration::from_secs(600))?;
    Ok(begun.elapsed())
}

fn consume(mut config: ClientConfig, topic: &str, records: usize) -> Result<Duration, AnyError> {
    for (name, value) in EmbeddedLog::consumer_settings() {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer =
        config.set("group.id", "drain").set("auto.offset.reset", "earliest").set("check.crcs", "false").create()?;
    consumer.subscribe(&[topic])?;
    let (begun, mut read) = (Instant::now(), 0);
    while read < records {
        // Nothing may also mean that an event of the client was served.
        if let Some(message) = consumer.poll(Duration::from_secs(1)) {
            read += usize::from(message?.payload_len() == BYTES);
        }
    }
    Ok(begun.elapsed())
}
