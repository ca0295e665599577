//! `cargo bench -p benches --bench indexer`: the indexers against a bare loop that sends the same bulks, already prepared, to the
//! same OpenSearch.

use actors::indexer::config::IndexerConfig;
use benches::drain::PARTITIONS;
use benches::events::Mix;
use benches::indexing::{Target, bare, ours, prepared};
use benches::preload::preload;
use benches::report::{median, setting, verdict};
use benches::servers::Topic;
use benches::usage::load_average;

/// Share of the floor that is to be reached.
const TARGET: f64 = 0.80;

fn main() -> anyhow::Result<()> {
    actix_rt::System::new().block_on(async {
        tokio::select! {
            done = all() => done,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })
}

async fn all() -> anyhow::Result<()> {
    let events = setting("BENCH_EVENTS", 200_000)?;
    let rounds = setting("BENCH_ROUNDS", 3)?;
    // Two keep a server on two cores busy, so that the floor is not held back by waiting.
    let together = setting("BENCH_TOGETHER", 2)?;
    let mix = Mix { events, fingerprints: 200, projects: 20, minutes: 10, seed: 1 };
    let topic = Topic::create("indexer", PARTITIONS).await?;
    let name = topic.name.clone();
    tokio::task::spawn_blocking(move || preload(&name, &mix)).await??;
    let bulk = IndexerConfig::default().bulk_records;
    let what = format!("indexer drain of {events} events, bulks of {bulk}");
    println!("{what}; the floor sends {together} at a time");
    warm_up(&mix, bulk, together).await?;
    let (mut floors, mut rates) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let target = Target::create().await?;
        let bulks = prepared(&target, &mix, bulk)?;
        let floor = bare(&target, bulks, events, together).await?;
        settle(target, &mix).await?;
        let target = Target::create().await?;
        let rate = ours(&target, &topic.name, events).await?;
        settle(target, &mix).await?;
        println!("  round {round}: floor {floor:8.0}/s, ours {rate:8.0}/s; load {}", load_average());
        floors.push(floor);
        rates.push(rate);
    }
    println!("{}, counts exact", verdict(&what, median(floors), median(rates), TARGET));
    Ok(())
}

/// The server compiles what it runs often: whoever comes first must not pay for it.
async fn warm_up(mix: &Mix, bulk: usize, together: usize) -> anyhow::Result<()> {
    let target = Target::create().await?;
    let bulks = prepared(&target, mix, bulk)?;
    let rate = bare(&target, bulks, mix.events, together).await?;
    println!("  warm-up: {rate:8.0}/s");
    settle(target, mix).await
}

async fn settle(target: Target, mix: &Mix) -> anyhow::Result<()> {
    let found = target.count(mix).await?;
    anyhow::ensure!(found == mix.events, "{found} events of {} are in the index", mix.events);
    target.remove().await
}
