//! Flushes that the database refuses for what is in them, written to the log past ingest: the guilty records become dead
//! letters, or their samples lose their words; all others are counted exactly, and the ledger closes (G5, G6).
#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, clippy::indexing_slicing)]

mod rig;

use actors::supervision::child::ExitReason;
use actors::supervision::kind::Kind;
use actors::supervision::plan::Plan;
use actors::supervision::restart::RestartPolicy;
use actors::supervision::view::{Order, Selection};
use diesel_async::SimpleAsyncConnection;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use rig::{BURIED, COUNTED, FINGERPRINTS, PROJECTS, Rig, event, project};
use std::collections::BTreeMap;

const NONE: Selection = Selection { order: Order::LastUsed, limit: 0, after: None };

/// (project, fingerprint) -> events.
type Counts = BTreeMap<(String, String), i64>;

fn key(number: usize) -> (String, String) {
    (project(number), format!("{:064x}", number % FINGERPRINTS))
}

async fn alter(rig: &Rig, statement: &str) {
    let mut connection = rig.database.as_ref().unwrap().connect().await;
    connection.batch_execute(statement).await.unwrap();
}

/// Incidents, minutes and ledger say the same, and it is this.
async fn check(rig: &Rig, counted: &Counts, accepted: i64) {
    let incidents = "SELECT project_id AS a, fingerprint AS b, event_count AS n FROM incidents";
    assert_eq!(rig.rows(incidents).await, *counted);
    let minutes = "SELECT project_id AS a, fingerprint AS b, sum(value)::bigint AS n FROM trend_minutes GROUP BY 1, 2";
    assert_eq!(rig.rows(minutes).await, *counted);
    let whole = "SELECT sum(value)::bigint AS n FROM metrics_bucket WHERE metric_name = 'events.error'";
    assert_eq!(rig.sum(whole).await, counted.values().sum::<i64>());
    assert_eq!(rig.sum("SELECT sum(events)::bigint AS n FROM ledger").await, accepted);
    assert_eq!(rig.dead_letter_origins().len() as i64, rig.sum(BURIED).await);
}

#[actix::test]
async fn g5_g6_a_sample_that_the_database_refuses_is_kept_without_its_words_and_every_event_is_counted() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut counted = Counts::new();
    let records = (0..700_usize).map(|number| {
        *counted.entry(key(number)).or_insert(0) += 1;
        let text = event(number, "fine");
        let deeply = || text.replace("\"route\":", &format!("\"deep\":{deep},\"route\":"));
        (project(number), if number % 100 == 7 { deeply() } else { text })
    });
    let records: Vec<_> = records.collect();
    rig.send_records(records).await;
    rig.wait_for(COUNTED, 700).await;
    let root = engine.observer().view(NONE).await;
    assert_eq!(root.restarts.count, 0, "no tenure began anew for it: {root:#?}");
    engine.stop().await;
    check(&rig, &counted, 700).await;
    assert_eq!(rig.sum(BURIED).await, 0);
    let bare = "SELECT count(*) AS n FROM incident_events WHERE attributes::text = '{}' AND message = 'fine'";
    assert_eq!(rig.sum(bare).await, 7, "the seven are there, without their attributes");
    let whole = "SELECT count(*) AS n FROM incident_events WHERE attributes::text LIKE '%route%'";
    assert!(rig.sum(whole).await > 300, "and the others with theirs");
}

/// A batch with an evil event, which goes the way of `refuse`, among good ones.
async fn is_isolated(refuse: &str, evil: impl Fn(usize) -> String, words: &str) {
    let rig = Rig::new().await;
    alter(&rig, refuse).await;
    // A tenure that begins anew because of what records say costs nothing, so this budget bears no death at all.
    let plan = Plan::default().with(Kind::PartitionRouter, RestartPolicy { restarts: 0, ..RestartPolicy::default() });
    let mut engine = rig.engine_with(actors::config::EngineConfig { plan, ..rig.config() }).await;
    let observer = engine.observer();
    let modulus = PROJECTS * FINGERPRINTS;
    // Three fingerprints of three projects open with something evil; before that there are good events of the others.
    let is_evil = |number: usize| [11, 12, 93].contains(&(number % modulus)) && number < 2 * modulus;
    let (mut counted, mut accepted) = (Counts::new(), 0);
    for round in 0..4 {
        let mut records = Vec::new();
        for number in round * modulus..(round + 1) * modulus {
            records.push((project(number), if is_evil(number) { evil(number) } else { event(number, "fine") }));
            accepted += 1;
            if !is_evil(number) {
                *counted.entry(key(number)).or_insert(0) += 1;
            }
        }
        rig.send_records(records).await;
        let good: i64 = counted.values().sum();
        rig.wait_for(COUNTED, good).await;
        rig.wait_for(BURIED, accepted - good).await;
    }
    assert_eq!(accepted - counted.values().sum::<i64>(), 6, "three kinds of evil, twice");
    let root = observer.view(NONE).await;
    assert!(root.restarts.count > 0);
    for death in &root.restarts.deaths {
        assert_eq!(death.reason, ExitReason::Rewound, "{death:?}");
        assert!(death.message.contains(words), "{death:?}");
    }
    tokio::select! {
        biased;
        notice = engine.failed() => panic!("{notice:?}"),
        () = std::future::ready(()) => {}
    }
    engine.stop().await;
    check(&rig, &counted, accepted).await;
}

#[actix::test]
async fn g5_g6_records_that_break_a_constraint_are_dead_letters_and_their_neighbours_are_counted() {
    let refuse = "ALTER TABLE incidents ADD CONSTRAINT no_evil CHECK (title NOT LIKE '%evil%')";
    is_isolated(refuse, |number| event(number, "evil"), "no_evil").await;
}

#[actix::test]
async fn g5_g6_records_that_the_database_cannot_hold_are_dead_letters_and_their_neighbours_are_counted() {
    // A key of an index may have 2,704 bytes (SQLSTATE 54000), and text of chance does not compress.
    let refuse = "CREATE INDEX incidents_error_code ON incidents (error_code)";
    let evil = |number: usize| {
        let part = |part: usize| {
            let number = ((number * 1_000 + part) as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            uuid::Uuid::from_u128(number).to_string()
        };
        let long: String = (0..200).map(part).collect();
        event(number, "fine").replace(&format!("E{number}"), &long)
    };
    is_isolated(refuse, evil, "index row").await;
}

#[actix::test]
async fn g5_garbage_under_a_key_that_no_table_holds_stops_nobody() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    let garbage = (0..10).map(|number| (format!("key\0{number}"), "garbage".to_owned()));
    rig.send_records(garbage.chain((0..140).map(|number| (project(number), event(number, "fine"))))).await;
    rig.wait_for(COUNTED, 140).await;
    rig.wait_for(BURIED, 10).await;
    assert_eq!(engine.observer().view(NONE).await.restarts.count, 0);
    engine.stop().await;
    assert_eq!(rig.dead_letter_origins().len(), 10);
}

#[actix::test]
async fn g5_a_dead_letter_that_is_too_large_for_its_topic_goes_without_its_value_and_stops_nobody() {
    let rig = Rig::new().await;
    let (dlq, options) = (rig.dlq(), AdminOptions::new());
    let small = AlterConfig::new(ResourceSpecifier::Topic(&dlq)).set("max.message.bytes", "5000");
    rig.admin().alter_configs([&small], &options).await.unwrap().remove(0).unwrap();
    let engine = rig.engine().await;
    let garbage = [10_000, 100].map(|bytes| (project(0), "x".repeat(bytes)));
    rig.send_records(garbage.into_iter().chain((0..140).map(|number| (project(number), event(number, "fine"))))).await;
    rig.wait_for(COUNTED, 140).await;
    rig.wait_for(BURIED, 2).await;
    engine.stop().await;
    assert_eq!(rig.dead_letter_origins().len(), 2);
}

#[actix::test]
async fn a_database_that_refuses_everything_convicts_nobody_and_is_waited_for() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records((0..140).map(|number| (project(number), event(number, "fine")))).await;
    rig.wait_for(COUNTED, 140).await;
    // A column is gone, as with a program that is newer than its database (SQLSTATE 42703).
    alter(&rig, "ALTER TABLE incidents RENAME COLUMN event_count TO events").await;
    rig.send_records((140..280).map(|number| (project(number), event(number, "fine")))).await;
    let observer = engine.observer();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let flusher = observer.view(NONE).await.children.remove(0);
        let actors::supervision::view::Observed::Flusher(seen) = &flusher.observed else { panic!("{flusher:?}") };
        // More tries than the first two trials need.
        if seen.failures > 20 {
            assert!(flusher.why.unwrap().contains("event_count"), "{seen:?}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{seen:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    alter(&rig, "ALTER TABLE incidents RENAME COLUMN events TO event_count").await;
    rig.wait_for(COUNTED, 280).await;
    assert_eq!((rig.sum(BURIED).await, observer.view(NONE).await.restarts.count), (0, 0));
    engine.stop().await;
}
