//! `cargo bench -p benches --features failpoints --bench supervision`: what it costs that an operator can look on, and how
//! fast he is answered.
//!
//! The cost: the same drain with everything written down and somebody looking on every second, and with nothing written
//! down and nobody there. The answer: `GET /v1/supervision` of an engine in which 100,000 incidents live.

use actix_web::{App, HttpServer, web};
use actors::config::EngineConfig;
use actors::router::book::BookPolicy;
use actors::supervision::root::Engine;
use anyhow::Context;
use benches::child;
use benches::drain::{Drain, Drained, PARTITIONS, engine};
use benches::events::Mix;
use benches::preload::preload;
use benches::report::{bound, median, setting};
use benches::servers::{Topic, kafka, number};
use benches::usage::load_average;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use reqwest::Client;
use schema::database::{DatabaseConfig, pool};
use schema::seed::seed_demo;
use schema::testing::TestDatabase;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Percent of a drain's CPU time that looking on may cost.
const COST: f64 = 3.0;
/// Milliseconds within which the tree must be there.
const ANSWER: f64 = 100.0;
/// Fingerprints are drawn at random: so many, so that 100,000 are met.
const FINGERPRINTS: u64 = 101_000;
const KEY: &str = "sig_the-key-of-this-bench";
const DEADLINE: Duration = Duration::from_secs(180);

/// What a child does.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    /// Drains; not watched also means that nothing is written down for whoever might.
    Drain(Drain),
    /// Drains, and shows its tree until it is killed.
    Serve { topic: String, database_url: String, events: u64 },
}

/// Where the tree is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Served {
    url: String,
    residents: usize,
}

fn main() -> anyhow::Result<()> {
    match child::part::<Part>()? {
        Some(Part::Drain(drain)) => {
            if !drain.is_watched {
                actors::unwatched::switch_off();
            }
            child::tell(&actix_rt::System::new().block_on(engine(&drain))?)
        }
        Some(Part::Serve { topic, database_url, events }) => {
            actix_rt::System::new().block_on(serve(&topic, &database_url, events))
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
    let events = setting("BENCH_EVENTS", 1_000_000)?;
    for fingerprints in [200, 20_000] {
        cost(Mix { events, fingerprints, projects: 20, minutes: 10, seed: 1 }).await?;
    }
    answers(setting("BENCH_FINGERPRINTS", FINGERPRINTS)?).await
}

/// In turn, the one that goes first changing, so that whatever else the machine does disturbs both.
async fn cost(mix: Mix) -> anyhow::Result<()> {
    let topic = Topic::create("supervision", PARTITIONS).await?;
    let name = topic.name.clone();
    tokio::task::spawn_blocking(move || preload(&name, &mix)).await??;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..setting("BENCH_ROUNDS", 5)? {
        for is_watched in [round % 2 == 0, round % 2 != 0] {
            let database = TestDatabase::create().await;
            let drain = Drain {
                topic: topic.name.clone(),
                records: mix.events,
                database_url: Some(database.url().to_owned()),
                residents: None,
                is_watched,
            };
            let drained: Drained = child::run(&Part::Drain(drain)).await?;
            let name = if is_watched { "with" } else { "without" };
            let (rate, cpu) = (drained.rate, drained.cpu);
            println!("  round {round} {name:7}: {rate:8.0}/s, CPU {cpu:5.2} s; load {}", load_average());
            if is_watched { &mut with } else { &mut without }.push(drained);
        }
    }
    let what = format!("supervision, drain of {} events, {} fingerprints", mix.events, mix.fingerprints);
    let of = |drained: &[Drained], figure: fn(&Drained) -> f64| median(drained.iter().map(figure));
    let (floor, ours) = (of(&without, |drained| drained.rate), of(&with, |drained| drained.rate));
    println!("{what}: without {floor:.0}/s, with {ours:.0}/s, ratio {:.1} %", 100.0 * ours / floor);
    let (floor, ours) = (of(&without, |drained| drained.cpu), of(&with, |drained| drained.cpu));
    println!("{what}: without {floor:.2} CPU s, with {ours:.2} CPU s");
    println!("{}\n", bound(&format!("{what}: cost in CPU time"), 100.0 * (ours / floor - 1.0), COST, "%"));
    Ok(())
}

/// The child: an engine that has drained everything and keeps all its incidents.
async fn serve(topic: &str, database_url: &str, events: u64) -> anyhow::Result<()> {
    let mut connection = AsyncPgConnection::establish(database_url).await?;
    seed_demo(&mut connection, KEY).await?;
    let database = pool(&DatabaseConfig::at(database_url), 8)?;
    let config = EngineConfig {
        topic: topic.to_owned(),
        dlq_topic: format!("{topic}-dlq"),
        residents: 200_000,
        limits: BookPolicy { newcomers: 10_000, ..BookPolicy::default() },
        consumer_settings: vec![("group.id".to_owned(), format!("bench-{}", ulid::Ulid::generate()))],
        ..EngineConfig::default()
    };
    let engine = Engine::start(kafka()?, database.clone(), config).await?;
    let began = Instant::now();
    let query = "SELECT coalesce(sum(next_offset), 0)::bigint AS n FROM partition_checkpoints";
    while number(&mut connection, query).await? < i64::try_from(events)? {
        anyhow::ensure!(began.elapsed() < DEADLINE, "not durable in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let residents = engine.tenures().iter().map(|tenure| tenure.progress.residents()).sum();
    let keys = ::web::auth::Keys::new(database.clone());
    let seen =
        ::web::supervision::SupervisionState { database, keys, observer: Some(engine.observer()), summarizers: None };
    let routes = move |config: &mut web::ServiceConfig| {
        config.configure(::web::supervision::routes(seen.clone()));
    };
    let server = HttpServer::new(move || App::new().configure(routes.clone())).workers(1).bind(("127.0.0.1", 0))?;
    let address = server.addrs().first().copied().context("no address")?;
    child::tell(&Served { url: format!("http://{address}"), residents })?;
    Ok(server.run().await?)
}

async fn answers(fingerprints: u64) -> anyhow::Result<()> {
    let (topic, database) = (Topic::create("tree", PARTITIONS).await?, TestDatabase::create().await);
    let mix = Mix { events: fingerprints * 5, fingerprints, projects: 200, minutes: 10, seed: 1 };
    let name = topic.name.clone();
    tokio::task::spawn_blocking(move || preload(&name, &mix)).await??;
    let part = Part::Serve { topic: topic.name.clone(), database_url: database.url().to_owned(), events: mix.events };
    let mut process = child::command(&part)?.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
    let served: Served = serde_json::from_str(&lines.next_line().await?.context("the engine did not get it done")?)?;
    println!("{} incidents live; load {}", served.residents, load_average());
    let client = Client::new();
    for (what, path) in [
        ("GET /v1/supervision", "/v1/supervision"),
        ("the same, 100 children of each kind and router", "/v1/supervision?limit=100&sort=letters"),
    ] {
        let mut times = Vec::new();
        for _ in 0..setting("BENCH_ASKED", 200)? {
            times.push(ask(&client, &served.url, path).await?.0);
        }
        show(what, times);
    }
    pages(&client, &served).await?;
    process.kill().await?;
    Ok(())
}

/// Milliseconds, and what was answered.
async fn ask(client: &Client, url: &str, path: &str) -> anyhow::Result<(f64, Value)> {
    let began = Instant::now();
    let answer = client.get(format!("{url}{path}")).header("x-api-key", KEY).send().await?.error_for_status()?;
    let body = answer.bytes().await?;
    Ok((began.elapsed().as_secs_f64() * 1_000.0, serde_json::from_slice(&body)?))
}

fn show(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied();
    let (half, late, last) = (at(50).unwrap_or(0.0), at(99).unwrap_or(0.0), at(100).unwrap_or(0.0));
    println!("{what}: median {half:.1} ms, p99 {late:.1} ms, longest {last:.1} ms of {}", times.len());
    println!("{}", bound(&format!("{what}, p99"), late, ANSWER, "ms"));
}

/// Every incident is on one page, and each page comes in time.
async fn pages(client: &Client, served: &Served) -> anyhow::Result<()> {
    let (mut times, mut seen) = (Vec::new(), HashSet::new());
    for partition in 0..PARTITIONS {
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/supervision/PartitionRouter/{partition}?limit=100&cursor={cursor}");
            let (time, router) = ask(client, &served.url, &path).await?;
            times.push(time);
            let page = router.pointer("/residents/0").context("no page")?;
            let items = page.get("items").and_then(Value::as_array).context("no items")?;
            seen.extend(items.iter().filter_map(|item| item.get("id")?.as_str().map(str::to_owned)));
            let Some(next) = page.get("next_cursor").and_then(Value::as_str) else { break };
            next.clone_into(&mut cursor);
        }
    }
    anyhow::ensure!(seen.len() == served.residents, "{} of {} are on the pages", seen.len(), served.residents);
    show("each page of 100 incidents, all of them walked", times);
    Ok(())
}
