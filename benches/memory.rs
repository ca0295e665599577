//! `cargo bench -p benches --bench memory`: what 100,000 resident incidents cost.
//!
//! An engine in a process of its own: its memory idle before the events come, and idle again when all are durable. A second
//! engine takes as many events of only 2,000 fingerprints: what it grows by is not the incidents'.

use actors::config::EngineConfig;
use actors::router::book::BookPolicy;
use actors::supervision::root::Engine;
use anyhow::Context;
use benches::child;
use benches::drain::PARTITIONS;
use benches::events::Mix;
use benches::preload::preload;
use benches::report::{bound, setting};
use benches::servers::{Topic, kafka, number};
use benches::usage::{load_average, memory_kib};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use schema::database::{DatabaseConfig, pool};
use schema::testing::TestDatabase;
use serde::{Deserialize, Serialize};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Fingerprints are drawn at random: so many, so that 100,000 are met.
const FINGERPRINTS: u64 = 101_000;
/// Of the engine that is compared with.
const FEW: u64 = 2_000;
/// Events of both.
const EVENTS: u64 = 500_000;
/// A drain that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(80);
/// Bytes that an incident may cost.
const TARGET: f64 = 3_072.0;

/// What a child drains and keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    topic: String,
    database_url: String,
    events: u64,
}

/// What it held.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Held {
    before_kib: u64,
    after_kib: u64,
    peak_kib: u64,
    residents: usize,
}

fn main() -> anyhow::Result<()> {
    match child::part::<Part>()? {
        Some(part) => actix_rt::System::new().block_on(hold(&part)),
        None => tokio::runtime::Runtime::new()?.block_on(async {
            tokio::select! {
                done = all() => done,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            }
        }),
    }
}

async fn all() -> anyhow::Result<()> {
    let events = setting("BENCH_EVENTS", EVENTS)?;
    let few = measure(FEW, events).await?;
    let many = measure(setting("BENCH_FINGERPRINTS", FINGERPRINTS)?, events).await?;
    let bytes = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) * 1024.0;
    let residents = f64::from(u32::try_from(many.residents)?);
    let grown = bytes(many.after_kib.saturating_sub(many.before_kib)) / residents;
    let more = f64::from(u32::try_from(many.residents.saturating_sub(few.residents))?);
    let alone = bytes(many.after_kib.saturating_sub(few.after_kib)) / more;
    println!("{}", bound("memory per resident incident, all that the engine grew by", grown, TARGET, "bytes"));
    println!("the same without what the events leave behind however few the incidents: {alone:.0} bytes");
    Ok(())
}

async fn measure(fingerprints: u64, events: u64) -> anyhow::Result<Held> {
    let (topic, database) = (Topic::create("memory", PARTITIONS).await?, TestDatabase::create().await);
    let part = Part { topic: topic.name.clone(), database_url: database.url().to_owned(), events };
    let mut process = child::command(&part)?.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
    // It says that it is idle.
    lines.next_line().await?.context("the engine did not start")?;
    // Few enough for each project, so that none is turned away.
    let mix = Mix { events, fingerprints, projects: 200, minutes: 10, seed: 1 };
    let name = topic.name.clone();
    tokio::task::spawn_blocking(move || preload(&name, &mix)).await??;
    let line = lines.next_line().await?.context("the engine did not get it done")?;
    anyhow::ensure!(process.wait().await?.success(), "the engine did not end well");
    let held: Held = serde_json::from_str(&line)?;
    println!(
        "{events} events: {} incidents resident, {} MiB idle before, {} MiB idle after, {} MiB at most; load {}",
        held.residents,
        held.before_kib / 1024,
        held.after_kib / 1024,
        held.peak_kib / 1024,
        load_average()
    );
    Ok(held)
}

/// The child: an engine, idle, busy, idle.
async fn hold(part: &Part) -> anyhow::Result<()> {
    let mut connection = AsyncPgConnection::establish(&part.database_url).await?;
    let config = EngineConfig {
        topic: part.topic.clone(),
        dlq_topic: format!("{}-dlq", part.topic),
        residents: 200_000,
        limits: BookPolicy { newcomers: 10_000, ..BookPolicy::default() },
        consumer_settings: vec![("group.id".to_owned(), format!("bench-{}", ulid::Ulid::generate()))],
        ..EngineConfig::default()
    };
    let engine = Engine::start(kafka()?, pool(&DatabaseConfig::at(&part.database_url), 8)?, config).await?;
    let partitions = usize::try_from(PARTITIONS)?;
    until("the partitions", || engine.tenures().len() == partitions).await?;
    let before_kib = settled().await?;
    child::tell(&before_kib)?;
    let wanted = i64::try_from(part.events)?;
    let query = "SELECT coalesce(sum(next_offset), 0)::bigint AS n FROM partition_checkpoints";
    let began = Instant::now();
    while number(&mut connection, query).await? < wanted {
        anyhow::ensure!(began.elapsed() < DEADLINE, "not durable in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let after_kib = settled().await?;
    let residents = engine.tenures().iter().map(|tenure| tenure.progress.residents()).sum();
    let (_, peak_kib) = memory_kib()?;
    child::tell(&Held { before_kib, after_kib, peak_kib, residents })?;
    engine.stop().await;
    Ok(())
}

async fn until(what: &str, holds: impl Fn() -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    while !holds() {
        anyhow::ensure!(began.elapsed() < DEADLINE, "{what} did not come in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The memory once it has hardly moved for two seconds, in KiB.
async fn settled() -> anyhow::Result<u64> {
    let began = Instant::now();
    let mut last = memory_kib()?.0;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = memory_kib()?.0;
        if now.abs_diff(last) < 1_024 || began.elapsed() > Duration::from_secs(14) {
            return Ok(now);
        }
        last = now;
    }
}
