//! `cargo bench -p benches --bench ingest`: the ingest role against a bare actix-web handler, and batches against a bare
//! producer.

use anyhow::Context;
use benches::child;
use benches::drain::PARTITIONS;
use benches::events::Mix;
use benches::ingest::{Door, serve_floor, serve_ingest};
use benches::load::{Load, Loaded, send};
use benches::preload::preload;
use benches::report::{bound, median, setting, verdict};
use benches::servers::Topic;
use benches::usage::load_average;
use benches::watch::cpu_seconds_of;
use diesel_async::RunQueryDsl;
use schema::keys::{NewKey, Scope, create, hash_key};
use schema::seed::seed_demo;
use schema::testing::TestDatabase;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

/// A key speaks for one project and a project's events go to one partition: several, so that all are used.
const PROJECTS: usize = 24;
/// Events of a batch.
const BATCH: usize = 100;
/// Acknowledged events per second that batches should reach, if the broker can.
const BATCHED: f64 = 200_000.0;
/// Milliseconds within which 99 of 100 single events should be answered at 64 connections.
const P99: f64 = 10.0;

/// What a child of this bench does.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    Floor(Vec<String>),
    Ours(Door),
    Load(Load),
}

/// A server in a process of its own; killed with this value.
struct Server {
    address: SocketAddr,
    process: Child,
}

fn main() -> anyhow::Result<()> {
    match child::part::<Part>()? {
        Some(Part::Floor(keys)) => actix_rt::System::new().block_on(serve_floor(&keys)),
        Some(Part::Ours(door)) => actix_rt::System::new().block_on(serve_ingest(&door)),
        Some(Part::Load(load)) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            child::tell(&runtime.block_on(send(&load))?)
        }
        None => tokio::runtime::Runtime::new()?.block_on(async {
            tokio::select! {
                done = all() => done,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            }
        }),
    }
}

async fn all() -> anyhow::Result<()> {
    let rounds = setting("BENCH_ROUNDS", 3)?;
    let topic = Topic::create("ingest", PARTITIONS).await?;
    let database = TestDatabase::create().await;
    let keys = make_keys(&database).await?;
    let floor = start(&Part::Floor(keys.clone())).await?;
    let door = Door { topic: topic.name.clone(), database_url: database.url().to_owned() };
    let ours = start(&Part::Ours(door)).await?;
    for (connections, target) in [(64, 0.35), (512, 0.50)] {
        compare(&floor, &ours, &keys, connections, target, rounds).await?;
    }
    batches(&ours, &keys, &topic, rounds).await
}

/// Floor and ours in turn, so that whatever else the machine does disturbs both.
async fn compare(
    floor: &Server,
    ours: &Server,
    keys: &[String],
    connections: usize,
    target: f64,
    rounds: usize,
) -> anyhow::Result<()> {
    println!("single events at {connections} connections");
    let (mut floors, mut singles) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        floors.push(measure(floor, keys, connections, 1, round, "floor").await?);
        singles.push(measure(ours, keys, connections, 1, round, "ours").await?);
    }
    let rate = |all: &[Loaded]| median(all.iter().map(|loaded| loaded.rate));
    let p99 = median(singles.iter().map(|loaded| loaded.p99));
    println!("{}", verdict(&format!("ingest at {connections} connections"), rate(&floors), rate(&singles), target));
    if connections == 64 {
        println!("{}", bound("p99 at 64 connections", p99, P99, "ms"));
    }
    println!();
    Ok(())
}

/// Batches over HTTP and a bare producer of records of the same size to the same topic, in turn.
async fn batches(ours: &Server, keys: &[String], topic: &Topic, rounds: usize) -> anyhow::Result<()> {
    println!("batches of {BATCH} at 64 connections; the floor is a bare idempotent producer, acks=all, lz4");
    let (mut floors, mut batched) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let mix = Mix { events: 500_000, fingerprints: 200, projects: 24, minutes: 10, seed: 1 };
        let name = topic.name.clone();
        let produced = tokio::task::spawn_blocking(move || preload(&name, &mix)).await??;
        println!("  round {round} floor: {produced:8.0} records/s; load {}", load_average());
        floors.push(produced);
        batched.push(measure(ours, keys, 64, BATCH, round, "ours").await?.rate);
    }
    let (floor, ours) = (median(floors), median(batched));
    // More than what the broker takes from a bare producer meanwhile cannot be asked for.
    println!("{}", verdict("batches, events", floor, ours, BATCHED.min(floor) / floor));
    Ok(())
}

async fn measure(
    server: &Server,
    keys: &[String],
    connections: usize,
    batch: usize,
    round: usize,
    name: &str,
) -> anyhow::Result<Loaded> {
    let load = Load {
        address: server.address,
        keys: keys.to_vec(),
        connections,
        batch,
        warm_up: Duration::from_millis(700),
        lasts: Duration::from_millis(setting("BENCH_MILLIS", 3_000)?),
    };
    let seconds = (load.warm_up + load.lasts).as_secs_f64();
    let pid = server.process.id().context("a server has ended")?;
    let cpu = cpu_seconds_of(pid)?;
    let loaded: Loaded = child::run(&Part::Load(load)).await?;
    let cores = (cpu_seconds_of(pid)? - cpu) / seconds;
    println!(
        "  round {round} {name:5}: {:8.0} events/s, p50 {:6.2} ms, p99 {:6.2} ms; server {cores:.2} cores, {:.1} us an event; \
         generator {:.2} cores; load {}",
        loaded.rate,
        loaded.p50,
        loaded.p99,
        cores / loaded.rate * 1e6,
        loaded.cores,
        load_average()
    );
    Ok(loaded)
}

async fn start(part: &Part) -> anyhow::Result<Server> {
    let mut process = child::command(part)?.stdout(Stdio::piped()).spawn()?;
    let output = process.stdout.take().context("a server without an output")?;
    let line = BufReader::new(output).lines().next_line().await?.context("a server did not start")?;
    Ok(Server { address: line.parse()?, process })
}

/// Projects with a key each.
async fn make_keys(database: &TestDatabase) -> anyhow::Result<Vec<String>> {
    let mut connection = database.connect().await;
    seed_demo(&mut connection, "sig_the-key-of-the-demo-project").await?;
    let mut keys = Vec::with_capacity(PROJECTS);
    for number in 0..PROJECTS {
        let (project, id) = (format!("proj_bench_{number}"), format!("key_bench_{number}"));
        diesel::sql_query("INSERT INTO projects (id, org_id, name) VALUES ($1, 'org_demo', $1)")
            .bind::<diesel::sql_types::Text, _>(&project)
            .execute(&mut connection)
            .await?;
        let key = format!("sig_bench-{number:04}-0123456789abcdef0123456789abcdef");
        let new = NewKey {
            id: &id,
            project_id: &project,
            name: "bench",
            prefix: "sig_bench",
            key_hash: &hash_key(&key),
            scopes: &[Scope::Ingest],
        };
        create(&mut connection, &new).await?;
        keys.push(key);
    }
    Ok(keys)
}
