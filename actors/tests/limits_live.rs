//! A project that invents errors without end fills neither the memory nor the tables, and every event is counted.
#![allow(clippy::unwrap_used, clippy::as_conversions)]

mod rig;

use actors::config::EngineConfig;
use actors::router::book::BookPolicy;
use rig::{COUNTED, Rig};

/// An error of a fingerprint of its own; `hour` is when it was received.
fn event(number: usize, hour: usize, environment: usize) -> (String, String) {
    let at = format!("2026-11-24T{hour:02}:00:00.000Z");
    let project = "proj_attacker";
    let event = format!(
        r#"{{"schema_version":"1.0","event_id":"e{number}-{hour}","occurred_at":"{at}","received_at":"{at}","org_id":"org",
        "project_id":"{project}","environment":"env{environment}","event_type":"error","severity":"error","message":"m",
        "fingerprint":"{number:064x}","attributes":{{}},"payload":{{}}}}"#
    );
    (project.to_owned(), event)
}

const INCIDENTS: &str = "SELECT count(*) AS n FROM incidents";
const OVERFLOWN: &str =
    "SELECT coalesce(sum(event_count), 0)::bigint AS n FROM incidents WHERE title LIKE 'Too many different errors%'";

#[actix::test]
async fn g6_twenty_thousand_distinct_errors_are_counted_in_a_thousand_incidents_and_one() {
    let rig = Rig::new().await;
    let config = || EngineConfig { residents: 1_500, batch_records: 500, ..rig.config() };
    let engine = rig.engine_with(config()).await;
    rig.send_records((0..7_000).map(|number| event(number, 5, 0))).await;
    rig.wait_for(COUNTED, 7_000).await;
    let resident: usize = engine.tenures().iter().map(|tenure| tenure.progress.residents()).sum();
    assert!(resident <= 1_001, "{resident} incidents are resident");
    engine.stop().await;

    // A restart in the middle: the limit is known, and so are the fingerprints that came before it was reached.
    let engine = rig.engine_with(config()).await;
    rig.send_records((0..13_000).map(|number| event(7_000 + number, 5, 0))).await;
    rig.send_records((0..1_000).map(|number| event(number, 6, 0))).await;
    rig.wait_for(COUNTED, 21_000).await;
    assert_eq!((rig.sum(INCIDENTS).await, rig.sum(OVERFLOWN).await), (1_001, 19_000));

    // In the next hour those that were turned away may open, up to the limit.
    rig.send_records((1_000..3_500).map(|number| event(number, 7, 0))).await;
    rig.wait_for(COUNTED, 23_500).await;
    engine.stop().await;
    assert_eq!((rig.sum(INCIDENTS).await, rig.sum(OVERFLOWN).await), (2_001, 20_500));
    let ledger = "SELECT sum(events)::bigint AS n FROM ledger WHERE outcome = 'counted'";
    assert_eq!(rig.sum(ledger).await, 23_500);
    let minutes = "SELECT sum(value)::bigint AS n FROM trend_minutes";
    assert_eq!(rig.sum(minutes).await, 23_500);
}

#[actix::test]
async fn environments_beyond_the_limit_are_counted_as_other_also_after_a_restart() {
    let rig = Rig::new().await;
    let limits = BookPolicy { newcomers: 10, environments: 5, ..BookPolicy::default() };
    let config = || EngineConfig { limits, ..rig.config() };
    for (round, counted) in [(0, 200), (1, 400)] {
        let engine = rig.engine_with(config()).await;
        rig.send_records((0..200).map(|number| event(round * 200 + number, 5, number % 20))).await;
        rig.wait_for(COUNTED, counted).await;
        engine.stop().await;
    }
    let names = "SELECT count(DISTINCT environment) AS n FROM metrics_bucket WHERE fingerprint = ''";
    assert_eq!(rig.sum(names).await, 6, "five by name, and other");
    let other = "SELECT sum(value)::bigint AS n FROM metrics_bucket WHERE fingerprint = '' AND environment = 'other'";
    assert_eq!(rig.sum(other).await, 300);
    assert_eq!(rig.sum(INCIDENTS).await, 10 + 6, "one overflow incident for each environment that is counted");
    assert_eq!(rig.sum(OVERFLOWN).await, 390);
}
