//! `cargo bench -p benches --features failpoints --bench poison`: how fast a partition drains when one record in a hundred
//! kills its actor, beside the same records without poison: as long as nobody quarantines it, and when it is quarantined.

use actors::failpoint::POISON;
use actors::router::quarantine::QuarantinePolicy;
use benches::child;
use benches::drain::{Drain, Drained, engine_with};
use benches::preload::{per_second, send};
use benches::report::{median, setting, verdict};
use benches::servers::{Topic, number};
use benches::usage::load_average;
use schema::testing::TestDatabase;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One in so many kills.
const POISON_EVERY: u64 = 100;
/// What has no poison has so many fingerprints.
const FINGERPRINTS: u64 = 200;
const PROJECT: &str = "proj_measured";
/// Of the clean rate: as long as it is tried, and when it is not any more.
const TARGETS: [(&str, f64); 2] = [("never quarantined", 0.80), ("quarantined", 0.95)];

/// What a child drains.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    drain: Drain,
    is_quarantined: bool,
}

fn main() -> anyhow::Result<()> {
    match child::part::<Part>()? {
        Some(part) => {
            actors::failpoint::arm();
            let usual = QuarantinePolicy::default();
            let policy = if part.is_quarantined { usual } else { QuarantinePolicy { records: usize::MAX, ..usual } };
            let drained = engine_with(&part.drain, |config| config.quarantine = policy);
            child::tell(&actix_rt::System::new().block_on(drained)?)
        }
        None => tokio::runtime::Runtime::new()?.block_on(async {
            tokio::select! {
                done = all() => done,
                _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            }
        }),
    }
}

fn event(number: u64, is_poisoned: bool) -> String {
    let at = "2026-11-24T05:00:00.000Z";
    let is_poison = number.is_multiple_of(POISON_EVERY);
    let message = if is_poison && is_poisoned { POISON } else { "request 4711 to /api/checkout failed after 1503 ms" };
    let fingerprint = if is_poison { 0 } else { 1 + number % FINGERPRINTS };
    format!(
        r#"{{"schema_version":"1.0","event_id":"01M880XC67GCMJP5JVF0{number:06}","occurred_at":"{at}","received_at":"{at}","org_id":"org_bench","project_id":"{PROJECT}","environment":"prod","event_type":"error","severity":"error","message":"{message}","fingerprint":"{fingerprint:064x}","attributes":{{"route":"/api/checkout","error_code":"DB_TIMEOUT","status_code":500,"release":"v2.1"}},"payload":{{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","host":"web-7"}}}}"#
    )
}

/// The records, and where their dead letters go.
async fn fill(events: u64, is_poisoned: bool) -> anyhow::Result<[Topic; 2]> {
    let topic = Topic::create("poison", 1).await?;
    let dead_letters = topic.create_dead_letters().await?;
    let name = topic.name.clone();
    let records = (0..events).map(move |number| (PROJECT.to_owned(), event(number, is_poisoned)));
    tokio::task::spawn_blocking(move || send(&name, records)).await??;
    Ok([topic, dead_letters])
}

async fn all() -> anyhow::Result<()> {
    let events = setting("BENCH_EVENTS", 300_000)?;
    let ([clean, _unused], [poisoned, _dead]) = (fill(events, false).await?, fill(events, true).await?);
    let (mut floors, mut ours) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 1..=setting("BENCH_ROUNDS", 3)? {
        floors.push(drained(round, "clean", &clean, events, true).await?);
        for (rates, (name, _)) in ours.iter_mut().zip(TARGETS) {
            rates.push(drained(round, name, &poisoned, events, name == "quarantined").await?);
        }
    }
    for (rates, (name, target)) in ours.into_iter().zip(TARGETS) {
        let what = format!("{events} records of one partition, 1 % poison, {name}");
        println!("{}", verdict(&what, median(floors.clone()), median(rates), target));
    }
    Ok(())
}

/// Records a second from the first that is durable on; the ledger must have each of them.
async fn drained(round: usize, name: &str, topic: &Topic, events: u64, is_quarantined: bool) -> anyhow::Result<f64> {
    let database = TestDatabase::create().await;
    let drain = Drain {
        topic: topic.name.clone(),
        records: events,
        database_url: Some(database.url().to_owned()),
        residents: None,
        is_watched: false,
    };
    let drained: Drained = child::run(&Part { drain, is_quarantined }).await?;
    let mut connection = database.connect().await;
    let sum = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger";
    let handled = number(&mut connection, sum).await?;
    anyhow::ensure!(handled == i64::try_from(events)?, "the ledger has {handled} of {events}");
    let dead = number(&mut connection, &format!("{sum} WHERE outcome = 'dead_lettered'")).await?;
    let wanted = if name == "clean" { 0 } else { i64::try_from(events.div_ceil(POISON_EVERY))? };
    anyhow::ensure!(dead == wanted, "{dead} dead letters instead of {wanted}");
    // The group's first assignment is no part of a partition's drain.
    let rate = per_second(events, Duration::from_secs_f64(drained.seconds - drained.waited));
    println!(
        "  round {round} {name:17}: {rate:8.0}/s in {:4.2} s, CPU {:4.2} s + database {:4.2} s, {dead} dead letters; load {}",
        drained.seconds - drained.waited,
        drained.cpu,
        drained.database_cpu,
        load_average()
    );
    Ok(rate)
}
