//! How long a record takes from the producer to a consumer of the embedded log, and what waiting for it costs.
//!
//! `log_latency ours|plain WAIT_MS PARTITIONS SAMPLES`: `plain` is the broker as its crate starts it, `ours` is
//! [`EmbeddedLog`]. A second consumer, in a group of its own, waits long, as the indexer does.

use embedded::TRACING_DIRECTIVES;
use embedded::data_dir::DataDir;
use embedded::log::EmbeddedLog;
use hdrhistogram::Histogram;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::error::Error;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tansu_broker::broker::Broker;
use tansu_broker::coordinator::group::administrator::Controller;
use tansu_storage::StorageContainer;

const TOPIC: &str = "latency";
const IDLE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = format!("{},{TRACING_DIRECTIVES}", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into()));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [mode, wait, partitions, samples] = words.as_slice() else {
        return Err("log_latency ours|plain WAIT_MS PARTITIONS SAMPLES".into());
    };
    let folder = tempfile::tempdir()?;
    let data_dir = DataDir::open(folder.path())?;
    let log = if mode == "ours" { Some(EmbeddedLog::start(&data_dir).await?) } else { None };
    let brokers = match &log {
        Some(log) => log.brokers().to_owned(),
        None => plain(&data_dir).await?,
    };
    let partitions = partitions.parse()?;
    create_topic(&brokers, partitions).await?;
    let (arrived, arrivals) = mpsc::channel();
    consume(&brokers, "engine", wait, arrived)?;
    let (unused, _kept) = mpsc::channel();
    consume(&brokers, "indexer", "500", unused)?;
    let producer: FutureProducer = client(&brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("socket.nagle.disable", "true")
        .create()?;
    // The group has its partitions when a record has come through.
    send(&producer, 0).await?;
    let (_, _) = arrivals.recv_timeout(Duration::from_secs(60))?;

    let (before, begun) = (cpu()?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let idle = (cpu()? - before).as_secs_f64() / begun.elapsed().as_secs_f64();

    let (mut through, mut acked) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
    for number in 1..=samples.parse::<u64>()? {
        // Of a length that meets the consumer's wait at every phase.
        tokio::time::sleep(Duration::from_millis(40 + number * 37 % 61)).await;
        let sent = Instant::now();
        send(&producer, number).await?;
        acked.record(micros(sent.elapsed()))?;
        let (received, at) = arrivals.recv_timeout(Duration::from_secs(10))?;
        assert_eq!(received, number);
        through.record(micros(at.duration_since(sent)))?;
    }
    let ms = |histogram: &Histogram<u64>, q| Duration::from_micros(histogram.value_at_quantile(q)).as_secs_f64() * 1e3;
    println!(
        "{mode:5} wait {wait:>4} ms, {partitions} partition(s): through p50 {:6.1} ms p99 {:6.1} ms, ack p50 {:5.2} ms, idle {:4.1} % of a core",
        ms(&through, 0.5),
        ms(&through, 0.99),
        ms(&acked, 0.5),
        idle * 100.0
    );
    drop(folder);
    // The consumers' threads are still reading.
    std::process::exit(0)
}

/// The broker as its crate starts it, in the same process.
async fn plain(data_dir: &DataDir) -> Result<String, Box<dyn Error>> {
    std::env::set_current_dir(data_dir.path())?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let url = url::Url::parse(&format!("tcp://127.0.0.1:{port}"))?;
    let mut broker = Broker::<Controller<StorageContainer>, StorageContainer>::builder()
        .node_id(tansu_broker::NODE_ID)
        .cluster_id("plain")
        .incarnation_id(uuid::Uuid::new_v4())
        .advertised_listener(url.clone())
        .listener(url)
        .storage(url::Url::parse("sqlite://plain.db")?)
        .silent(true)
        .build()
        .await?;
    tokio::spawn(async move { broker.serve(tokio::time::Instant::now()).await });
    Ok(format!("127.0.0.1:{port}"))
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

async fn create_topic(brokers: &str, partitions: i32) -> Result<(), Box<dyn Error>> {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create()?;
    let topic = NewTopic::new(TOPIC, partitions, TopicReplication::Fixed(1)).set("cleanup.policy", "delete");
    for result in admin.create_topics([&topic], &AdminOptions::new()).await? {
        result.map_err(|(name, code)| format!("{name}: {code}"))?;
    }
    Ok(())
}

/// Sends the number and arrival of every record of the topic, from a thread.
fn consume(brokers: &str, group: &str, wait: &str, to: mpsc::Sender<(u64, Instant)>) -> Result<(), Box<dyn Error>> {
    let mut config = client(brokers);
    for (name, value) in EmbeddedLog::consumer_settings() {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config
        .set("group.id", group)
        .set("fetch.wait.max.ms", wait)
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()?;
    consumer.subscribe(&[TOPIC])?;
    std::thread::spawn(move || {
        loop {
            match consumer.poll(Duration::from_secs(1)) {
                Some(Ok(message)) => {
                    let number = message.payload().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                    let _ = to.send((number.unwrap_or_default(), Instant::now()));
                }
                Some(Err(error)) => eprintln!("consumer: {error}"),
                None => {}
            }
        }
    });
    Ok(())
}

async fn send(producer: &FutureProducer, number: u64) -> Result<(), Box<dyn Error>> {
    let (key, payload) = (format!("key-{number}"), number.to_string());
    let record = FutureRecord::to(TOPIC).key(&key).payload(&payload);
    producer.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
    Ok(())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Processor time of this process so far, user and system.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.get(11).ok_or("utime")?.parse::<u64>()? + fields.get(12).ok_or("stime")?.parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}
