//! From the log to Postgres as fast as it goes: the engine, and the bare loop that is its floor.

use crate::preload::per_second;
use crate::servers::{kafka, number, server_cpu};
use crate::usage::{cpu_seconds, memory_kib};
use actors::config::EngineConfig;
use actors::consumer::decode::decode_event;
use actors::supervision::observer::Observer;
use actors::supervision::root::Engine;
use actors::supervision::view::Selection;
use anyhow::Context;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schema::database::{DatabaseConfig, pool};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Partitions of a drained topic, as in production.
pub const PARTITIONS: i32 = 6;
/// A drain that takes longer than this has failed.
const DEADLINE: Duration = Duration::from_secs(300);
/// Connections of the engine, as `signals engine` has them.
const CONNECTIONS: usize = 8;

/// What a child drains.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Drain {
    /// From where.
    pub topic: String,
    /// How many records it holds.
    pub records: u64,
    /// Where the engine keeps its incidents; none for the bare loop.
    pub database_url: Option<String>,
    /// IncidentActors that may live with one router; the engine's default if none.
    pub residents: Option<usize>,
    /// Whether somebody looks on: asks for the tree once a second, as `signals top` does.
    pub is_watched: bool,
}

/// How it went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Drained {
    /// From the first call to the last record (durable, for the engine).
    pub seconds: f64,
    /// Of them, until the first record was durable: mostly the group's first assignment; 0 for the bare loop.
    pub waited: f64,
    /// Records per second.
    pub rate: f64,
    /// CPU seconds of this process meanwhile.
    pub cpu: f64,
    /// CPU seconds of the database meanwhile, if it is on this machine.
    pub database_cpu: f64,
    /// Memory at the end, in KiB.
    pub resident_kib: u64,
    /// The most memory, in KiB.
    pub peak_kib: u64,
}

/// Measures what happens between its birth and its end.
struct Watch {
    began: Instant,
    cpu: f64,
}

impl Watch {
    fn start() -> anyhow::Result<Self> {
        Ok(Self { began: Instant::now(), cpu: cpu_seconds()? })
    }

    fn end(&self, records: u64) -> anyhow::Result<Drained> {
        let elapsed = self.began.elapsed();
        let (resident_kib, peak_kib) = memory_kib()?;
        Ok(Drained {
            seconds: elapsed.as_secs_f64(),
            waited: 0.0,
            rate: per_second(records, elapsed),
            cpu: cpu_seconds()? - self.cpu,
            database_cpu: 0.0,
            resident_kib,
            peak_kib,
        })
    }
}

/// The bare loop: one consumer, one thread, each record decoded as the engine decodes it and dropped.
///
/// # Errors
/// If a record cannot be read or decoded.
pub fn bare(drain: &Drain) -> anyhow::Result<Drained> {
    let watch = Watch::start()?;
    let mut kafka = kafka()?;
    kafka
        .set("group.id", &drain.topic)
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "100")
        // With its default, a second, this loop mostly waits and is a third as fast.
        .set("fetch.queue.backoff.ms", "10");
    for (name, value) in tried() {
        kafka.set(name, value);
    }
    let consumer: BaseConsumer = kafka.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&drain.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut seen = 0;
    while seen < drain.records {
        anyhow::ensure!(watch.began.elapsed() < DEADLINE, "{seen} of {} records in time", drain.records);
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        black_box(decode_event(message.payload().context("a record without a value")?)?);
        seen += 1;
    }
    watch.end(seen)
}

/// The engine, from its start until the checkpoints in Postgres say that everything is durable; then it is stopped.
///
/// # Errors
/// If it fails, or is not done in time.
pub async fn engine(drain: &Drain) -> anyhow::Result<Drained> {
    engine_with(drain, |_| ()).await
}

/// The same, told more by `change`.
///
/// # Errors
/// As [`engine`].
pub async fn engine_with(drain: &Drain, change: impl FnOnce(&mut EngineConfig)) -> anyhow::Result<Drained> {
    let url = drain.database_url.as_deref().context("the engine needs a database")?;
    let mut connection = AsyncPgConnection::establish(url).await?;
    let database = pool(&DatabaseConfig::at(url), CONNECTIONS)?;
    let mut config = EngineConfig {
        topic: drain.topic.clone(),
        dlq_topic: format!("{}-dlq", drain.topic),
        // A group of its own: whoever else uses this broker must not take part in its rebalances.
        consumer_settings: vec![("group.id".to_owned(), format!("bench-{}", ulid::Ulid::generate()))],
        ..EngineConfig::default()
    };
    config.consumer_settings.extend(tried());
    config.residents = drain.residents.unwrap_or(config.residents);
    change(&mut config);
    let watch = Watch::start()?;
    let mut engine = Engine::start(kafka()?, database, config).await?;
    let observer = engine.observer();
    let done = tokio::select! {
        done = durable(&mut connection, drain.records, watch.began) => done,
        endless = look_on(observer), if drain.is_watched => match endless {},
        death = engine.failed() => Err(anyhow::anyhow!("the engine failed: {death:?}")),
    };
    let drained = done.and_then(|waited| Ok(Drained { waited, ..watch.end(drain.records)? }));
    let database_cpu = server_cpu(&mut connection).await;
    engine.stop().await;
    Ok(Drained { database_cpu: database_cpu?, ..drained? })
}

/// Once a second, for ever.
async fn look_on(observer: Observer) -> Infallible {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        black_box(observer.view(Selection { limit: 10, ..Selection::default() }).await);
    }
}

/// Settings of librdkafka to try out on both, from `BENCH_CONSUMER`: `name=value,name=value`.
fn tried() -> Vec<(String, String)> {
    let text = std::env::var("BENCH_CONSUMER").unwrap_or_default();
    text.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Waits until all are; returns the seconds until the first were.
async fn durable(connection: &mut AsyncPgConnection, records: u64, began: Instant) -> anyhow::Result<f64> {
    let query = "SELECT coalesce(sum(next_offset), 0)::bigint AS n FROM partition_checkpoints";
    let (mut waited, wanted) = (None, i64::try_from(records)?);
    loop {
        let found = number(connection, query).await?;
        tracing::debug!(found, "durable");
        if found > 0 {
            waited.get_or_insert(began.elapsed().as_secs_f64());
        }
        if found >= wanted {
            return Ok(waited.unwrap_or_default());
        }
        anyhow::ensure!(began.elapsed() < DEADLINE, "{found} of {wanted} records durable in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
