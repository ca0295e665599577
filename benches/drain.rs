//! `cargo bench -p benches --bench drain`: the engine against a bare consume-and-decode loop on the same records.

use benches::child;
use benches::drain::{Drain, Drained, PARTITIONS, bare, engine};
use benches::events::Mix;
use benches::preload::preload;
use benches::report::{median, setting, verdict};
use benches::servers::{Topic, counts, written};
use benches::usage::load_average;
use schema::testing::TestDatabase;

fn main() -> anyhow::Result<()> {
    match child::part::<Drain>()? {
        Some(drain) if drain.database_url.is_none() => child::tell(&bare(&drain)?),
        Some(drain) => child::tell(&actix_rt::System::new().block_on(engine(&drain))?),
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
    let rounds = setting("BENCH_ROUNDS", 3)?;
    let minutes = setting("BENCH_MINUTES", 10)?;
    for (fingerprints, target) in [(200, 0.75), (20_000, 0.50)] {
        let only = setting("BENCH_FINGERPRINTS", fingerprints)?;
        if only == fingerprints {
            compare(Mix { events, fingerprints, projects: 20, minutes, seed: 1 }, rounds, target).await?;
        }
    }
    Ok(())
}

/// Floor and engine in turn, so that whatever else the machine does disturbs both.
async fn compare(mix: Mix, rounds: usize, target: f64) -> anyhow::Result<()> {
    let topic = Topic::create("drain", PARTITIONS).await?;
    let produced = {
        let name = topic.name.clone();
        tokio::task::spawn_blocking(move || preload(&name, &mix)).await??
    };
    let what = format!("drain of {} events, {} fingerprints", mix.events, mix.fingerprints);
    println!("{what}, {} minutes of event time; preloaded at {produced:.0}/s", mix.minutes);
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let floor: Drained = child::run(&drain(&topic, &mix, None)).await?;
        show(round, "floor", &floor);
        let database = TestDatabase::create().await;
        let engine: Drained = child::run(&drain(&topic, &mix, Some(database.url()))).await?;
        show(round, "ours", &engine);
        anyhow::ensure!(counts(&mut database.connect().await).await? == mix.expected(), "counts are not exact");
        println!("    rows inserted+updated: {}", written(&mut database.connect().await).await?);
        floors.push(floor.rate);
        ours.push(engine.rate);
    }
    println!("{}, counts exact\n", verdict(&what, median(floors), median(ours), target));
    Ok(())
}

fn drain(topic: &Topic, mix: &Mix, database_url: Option<&str>) -> Drain {
    let database_url = database_url.map(str::to_owned);
    Drain { topic: topic.name.clone(), records: mix.events, database_url, residents: None, is_watched: false }
}

fn show(round: usize, name: &str, drained: &Drained) {
    println!(
        "  round {round} {name:5}: {:8.0}/s in {:5.2} s, CPU {:5.2} s + database {:4.2} s, memory {:4} MiB at the end, {:4} at most; load {}",
        drained.rate,
        drained.seconds,
        drained.cpu,
        drained.database_cpu,
        drained.resident_kib / 1024,
        drained.peak_kib / 1024,
        load_average()
    );
}
