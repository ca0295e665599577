//! The engine on a real Kafka and a real PostgreSQL: exact counts over restarts, duplicates and hand-overs.
#![allow(clippy::unwrap_used, clippy::as_conversions)]

mod rig;

use actors::config::EngineConfig;
use rig::{COUNTED, DUPLICATES, FINGERPRINTS, PROJECTS, Rig};

#[actix::test]
async fn g2_g3_counts_are_exact_over_restarts_duplicates_and_hand_overs() {
    let rig = Rig::new().await;
    rig.send(0, 1_000).await;
    let first = rig.engine().await;
    rig.wait_for(COUNTED, 1_000).await;
    rig.wait_for(DUPLICATES, 100).await;
    first.stop().await;

    // What was counted before the restart is sent again: the window is read from the log, so nothing is counted twice.
    rig.send(500, 2_000).await;
    let second = rig.engine().await;
    rig.wait_for(COUNTED, 2_000).await;

    // Another engine joins under load, then the one that was there first leaves; and once more.
    rig.send(2_000, 3_000).await;
    let third = rig.engine().await;
    rig.send(3_000, 5_000).await;
    second.stop().await;
    rig.send(5_000, 5_500).await;
    let fourth = rig.engine().await;
    rig.send(5_500, 6_000).await;
    third.stop().await;
    rig.wait_for(COUNTED, 6_000).await;
    fourth.stop().await;

    assert_eq!(rig.sum("SELECT count(*) AS n FROM incidents").await, (PROJECTS * FINGERPRINTS) as i64);
    let exact = "SELECT count(*) AS n FROM incidents WHERE event_count NOT BETWEEN 42 AND 43";
    assert_eq!(rig.sum(exact).await, 0, "6,000 events over 140 incidents");
    let minutes = "SELECT sum(value)::bigint AS n FROM trend_minutes";
    assert_eq!(rig.sum(minutes).await, 6_000);
    let ring = "SELECT count(*) AS n FROM incident_events WHERE attributes ->> 'error_code' IS NULL";
    assert_eq!(rig.sum(ring).await, 0);
    assert_eq!(rig.sum("SELECT count(*) AS n FROM log_gaps").await, 0);
}

#[actix::test]
async fn g8_an_idle_partition_says_that_it_is_complete_until_now() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send(0, 100).await;
    rig.wait_for(COUNTED, 100).await;
    // The events are of a moment long past; that nothing came after them is seen at the log's end, again and again.
    let fresh = "SELECT count(*) AS n FROM partition_checkpoints WHERE next_offset = high_watermark \
                 AND caught_up_at > complete_until";
    rig.wait_for(fresh, i64::from(rig::PARTITIONS)).await;
    assert!(engine.tenures().iter().all(|tenure| tenure.progress.lag() == 0), "{:?}", engine.tenures());
    engine.stop().await;
}

#[actix::test]
async fn passivated_incidents_wake_with_their_counts() {
    let rig = Rig::new().await;
    // Room for 5 where each partition has at least 20: incidents come and go all the time.
    let config = EngineConfig { residents: 5, ..rig.config() };
    let engine = rig.engine_with(config).await;
    for round in 0..10 {
        rig.send(round * 300, (round + 1) * 300).await;
        rig.wait_for(COUNTED, (round as i64 + 1) * 300).await;
    }
    let resident: usize = engine.tenures().iter().map(|tenure| tenure.progress.residents()).sum();
    assert!(resident < PROJECTS * FINGERPRINTS, "{resident} incidents are resident, so none made room");
    engine.stop().await;
    let exact = "SELECT count(*) AS n FROM incidents WHERE event_count NOT BETWEEN 21 AND 22";
    assert_eq!(rig.sum(exact).await, 0, "3,000 events over 140 incidents");
}
