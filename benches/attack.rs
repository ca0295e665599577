//! `cargo bench -p benches --bench attack`: one project sends a million errors, each with a route of its own, between the
//! events of others. Neither our memory nor the tables may fill, and the others are counted as if nothing were.

use anyhow::Context;
use benches::child;
use benches::drain::{Drain, Drained, PARTITIONS, engine};
use benches::events::Mix;
use benches::preload::send;
use benches::report::{bound, setting};
use benches::servers::{Topic, number};
use benches::usage::load_average;
use diesel_async::AsyncPgConnection;
use schema::fingerprint::{Grouping, fingerprint};
use schema::testing::TestDatabase;

const ATTACKER: &str = "proj_attacker";
/// For each event of the others so many of the attack.
const ATTACKS: u64 = 10;
/// Incidents that the attacker may have: as many newcomers as a project may open in an hour, and the overflow.
const MOST_INCIDENTS: f64 = 1_002.0;
/// Of the memory that the engine takes without the attack.
const MEMORY: f64 = 2.0;

fn main() -> anyhow::Result<()> {
    match child::part::<Drain>()? {
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
    let attacks = setting("BENCH_EVENTS", 1_000_000)?;
    let others = attacks / ATTACKS;
    let mix = Mix { events: others, fingerprints: 2_000, projects: 20, minutes: 10, seed: 1 };
    // As many events as with the attack, all of them honest.
    let honest = Mix { events: attacks + others, ..mix };
    let (quiet, _) = drained("as many honest events", honest.events, &honest, 0).await?;
    let (ours, database) = drained("the attack between others", others, &mix, attacks).await?;
    let mut connection = database.connect().await;
    let incidents = number(&mut connection, &format!("{COUNT} FROM incidents WHERE project_id = '{ATTACKER}'")).await?;
    let overflow =
        "SELECT coalesce(max(event_count), 0)::bigint AS n FROM incidents WHERE project_id = 'proj_attacker'";
    let overflow = number(&mut connection, overflow).await?;
    println!("the attacker's {attacks} events are in {incidents} incidents; {overflow} of them in the overflow's");
    exact(&mut connection, &mix, attacks).await?;
    println!("the {others} events of the 20 others are exact in {} incidents", mix.expected().len());
    let figure = |number: i64| anyhow::Ok(f64::from(i32::try_from(number)?));
    println!("{}", bound("the attacker's incidents", figure(incidents)?, MOST_INCIDENTS, "incidents"));
    let kib = |kib: u64| anyhow::Ok(f64::from(u32::try_from(kib)?));
    let memory = kib(ours.peak_kib)? / kib(quiet.peak_kib)?;
    println!("{}", bound("the most memory, against as many honest events", memory, MEMORY, "times"));
    println!("the rate, against as many honest events: {:.0} %", 100.0 * ours.rate / quiet.rate);
    Ok(())
}

const COUNT: &str = "SELECT count(*) AS n";

/// The others' counts are those of the mix, and every event of the attack is counted.
async fn exact(connection: &mut AsyncPgConnection, mix: &Mix, attacks: u64) -> anyhow::Result<()> {
    let found = benches::servers::counts_without(connection, ATTACKER).await?;
    anyhow::ensure!(found == mix.expected(), "the others' counts are not exact");
    let sum =
        format!("SELECT coalesce(sum(event_count), 0)::bigint AS n FROM incidents WHERE project_id = '{ATTACKER}'");
    let counted = number(connection, &sum).await?;
    anyhow::ensure!(counted == i64::try_from(attacks)?, "{counted} of {attacks} events of the attack are counted");
    Ok(())
}

/// The mix, with `attacks` events of the attacker spread between.
async fn drained(what: &str, events: u64, mix: &Mix, attacks: u64) -> anyhow::Result<(Drained, TestDatabase)> {
    let (topic, database) = (Topic::create("attack", PARTITIONS).await?, TestDatabase::create().await);
    let (name, mix) = (topic.name.clone(), *mix);
    let records = (0..events + attacks).map(move |number| {
        let is_honest = attacks == 0 || number.is_multiple_of(ATTACKS + 1);
        let honest = if attacks == 0 { number } else { number / (ATTACKS + 1) };
        if is_honest { mix_record(&mix, honest) } else { (ATTACKER.to_owned(), attack(&mix, number)) }
    });
    tokio::task::spawn_blocking(move || send(&name, records)).await??;
    let drain = Drain {
        topic: topic.name.clone(),
        records: events + attacks,
        database_url: Some(database.url().to_owned()),
        residents: None,
        is_watched: false,
    };
    let drained: Drained = child::run(&drain).await.with_context(|| what.to_owned())?;
    println!(
        "{what}: {:.0}/s in {:.2} s, CPU {:.2} s + database {:.2} s, {} MiB at most, {} at the end; load {}",
        drained.rate,
        drained.seconds,
        drained.cpu,
        drained.database_cpu,
        drained.peak_kib / 1024,
        drained.resident_kib / 1024,
        load_average()
    );
    Ok((drained, database))
}

fn mix_record(mix: &Mix, number: u64) -> (String, String) {
    let mut bytes = Vec::new();
    let key = mix.write(number, &mut bytes).unwrap_or_default();
    (key, String::from_utf8(bytes).unwrap_or_default())
}

/// An event that no template makes like another.
fn attack(mix: &Mix, number: u64) -> String {
    let route = format!("/{}", letters(number));
    let grouping =
        Grouping { error_code: Some("E"), route: Some(&route), environment: "prod", message: "", custom: None };
    let at = mix.happened(number / (ATTACKS + 1)).to_rfc3339();
    format!(
        r#"{{"schema_version":"1.0","event_id":"attack-{number}","occurred_at":"{at}","received_at":"{at}","org_id":"org_bench","project_id":"{ATTACKER}","environment":"prod","event_type":"error","severity":"error","message":"not found: {route}","fingerprint":"{}","attributes":{{"route":"{route}","error_code":"E"}},"payload":{{}}}}"#,
        fingerprint(&grouping)
    )
}

/// The number in letters: digits would be taken for an id.
fn letters(number: u64) -> String {
    number.to_string().bytes().map(|digit| char::from(digit + b'a' - b'0')).collect()
}
